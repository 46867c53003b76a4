package admin_test

import (
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/traffic"
)

func trafficked(t *testing.T) (*world, *traffic.Book, string, *httptest.Server) {
	t.Helper()
	b := traffic.NewBook(0)
	w, _, id, server := logged(t, func(o *admin.Options) { o.Traffic = b })
	return w, b, id, server
}

func TestTraffic_OfAFunction(t *testing.T) {
	t.Parallel()
	w, b, id, _ := trafficked(t)
	now := time.Now()
	f := b.Function(w.project, id, "f")
	for class := range traffic.Classes {
		f.Record(traffic.Call{At: now, Class: traffic.Class(class), Took: 100 * time.Millisecond, Cold: true, BytesIn: 1, BytesOut: 2})
	}
	for _, name := range []string{"f", id} {
		for query, want := range map[string]struct {
			window string
			step   int
		}{"": {"15m", 10}, "?window=15m": {"15m", 10}, "?window=24h": {"24h", 300}} {
			var got api.Traffic
			rec, _ := w.do("GET", "/v1/projects/"+w.project+"/functions/"+name+"/traffic"+query, w.key["control"], "")
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || rec.Code != 200 {
				t.Fatal(rec.Code, rec.Body)
			}
			p := got.Total
			if p.Calls != 6 || p.Successes != 1 || p.Redirects != 1 || p.ClientErrors != 1 || p.ServerErrors != 1 || p.Refused != 1 || p.CutOff != 1 || p.ColdStarts != 6 || p.BytesIn != 6 || p.BytesOut != 12 || p.Bad() != 2 ||
				p.P50Ms < 90 || p.P99Ms > 110 {
				t.Errorf("%s%s: %+v", name, query, p)
			}
			// The node has just been started: there is nothing to tell from before.
			if got.FunctionID != id || got.Window != want.window || got.StepSeconds != want.step || !got.Since.Equal(b.Began()) || len(got.Points) == 0 || len(got.Points) > 12 {
				t.Errorf("%s%s: %+v", name, query, got)
			}
		}
	}
}

func TestTraffic_OfAProject(t *testing.T) {
	t.Parallel()
	w, b, id, _ := trafficked(t)
	b.Function(w.project, id, "f").Record(traffic.Call{At: time.Now(), Class: traffic.ServerError})
	b.Function(w.elsewhere, "fn-theirs", "theirs").Record(traffic.Call{At: time.Now()})
	var got api.ProjectTraffic
	rec, _ := w.do("GET", "/v1/projects/"+w.project+"/traffic", w.key["control"], "")
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || len(got.Functions) != 1 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	sum := func(list []int64) (n int64) {
		for _, i := range list {
			n += i
		}
		return n
	}
	for query, want := range map[string]int{"?functionId=" + id: 1, "?functionId=fn-theirs&functionId=" + id: 1, "?functionId=fn-theirs": 0, "?functionId=f": 0} {
		var got api.ProjectTraffic
		rec, _ := w.do("GET", "/v1/projects/"+w.project+"/traffic"+query, w.key["control"], "")
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || len(got.Functions) != want {
			t.Errorf("%s: %d %s", query, rec.Code, rec.Body)
		}
	}
	if r := got.Functions[0]; r.Name != "f" || r.FunctionID != id || len(r.Minutes) != 15 || sum(r.Minutes) != 1 || sum(r.BadMinutes) != 1 || r.LastCallTime.IsZero() {
		t.Errorf("%+v", got)
	}
}

// Figures are told of the own functions only, and of those that nobody called too.
func TestTraffic_Refused(t *testing.T) {
	t.Parallel()
	w, _, _, _ := trafficked(t)
	own := "/v1/projects/" + w.project
	for _, tc := range []struct {
		name, path, key string
		want            int
	}{
		{"no such function", own + "/functions/nosuch/traffic", "control", 404},
		{"a window that is none", own + "/functions/f/traffic?window=7d", "control", 422},
		{"another project's key", own + "/functions/f/traffic", "elsewhere", 403},
		{"101 functions", own + "/traffic?functionId=a" + strings.Repeat("&functionId=a", 100), "control", 422},
		{"another project's key, all", own + "/traffic", "elsewhere", 403},
		{"a key for calls", own + "/traffic", "invoke", 403},
		{"never called", own + "/functions/f/traffic", "control", 200},
	} {
		rec, _ := w.do("GET", tc.path, w.key[tc.key], "")
		var got api.Traffic
		if err := json.Unmarshal(rec.Body.Bytes(), &got); rec.Code != tc.want || err != nil {
			t.Errorf("%s: %d %s", tc.name, rec.Code, rec.Body)
		}
		if tc.want == 200 && (got.Points == nil || !slices.Equal(got.Points, []api.TrafficPoint{})) {
			t.Errorf("%s: %s", tc.name, rec.Body)
		}
	}
}
