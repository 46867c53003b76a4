package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/feed"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/traffic"
)

// watched gives w a book of traffic and a feed.
func watched(w *world) (*traffic.Book, *feed.Feed) {
	b, f := traffic.NewBook(0), feed.New()
	w.g = gateway.New(gateway.Options{Traffic: b, Feed: f}, w.invoker)
	return b, f
}

func classes(b *traffic.Book) [traffic.Classes]int64 {
	_, total := b.Read(fnID, traffic.Minutes, time.Now())
	return total.Calls
}

// Each call of a function that is known is in one class, and what finds none is
// in nobody's figures.
func TestTraffic_Classes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, code string
		status     int
		ran        bool
		want       traffic.Class
	}{
		{"answered", "", 200, true, traffic.Success},
		{"answered by the gateway", "", 204, false, traffic.Success},
		{"a redirect", "", 302, true, traffic.Redirect},
		{"not found by the handler", "", 404, true, traffic.ClientError},
		{"failed by the handler", "", 503, true, traffic.ServerError},
		{"threw", "handler_failed", 500, true, traffic.ServerError},
		{"too late", "timeout", 504, true, traffic.ServerError},
		{"no worker", "queue_full", 503, false, traffic.ServerError},
		{"a body that ended", "invalid", 400, false, traffic.Refused},
		{"cut off", "aborted", 200, true, traffic.CutOff},
		{"the caller went away", "client_closed", 499, true, traffic.CutOff},
		{"the caller went away before", "client_closed", 499, false, traffic.CutOff},
		{"nothing was answered", "", 0, true, traffic.CutOff},
		{"a WebSocket", "", 101, true, traffic.Success},
		{"a WebSocket whose key was revoked", "unauthenticated", 101, true, traffic.Success},
	} {
		w := newWorld(t)
		b, _ := watched(w)
		w.load(t)
		w.g.Measured(httptest.NewRequest("GET", "/fn/orders/status", nil), tc.status, tc.code, tc.ran)()
		var want [traffic.Classes]int64
		if want[tc.want]++; classes(b) != want {
			t.Errorf("%s: %v, want %v", tc.name, classes(b), want)
		}
		_, total := b.Read(fnID, traffic.Minutes, time.Now())
		if timed := tc.want != traffic.Refused && tc.status != 101; timed != (total.P50 > 0) {
			t.Errorf("%s: took %v", tc.name, total.P50)
		}
	}
}

func TestTraffic_Requests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, _ := watched(w)
	w.load(t)
	for _, path := range []string{"/fn/orders/webhook", "/fn/orders/nope", "/fn/orders/odd", "/fn/orders/health", "/fn/orders/status", "/fn/nobody/status", "/", "/fn/orders/a%2fb"} {
		w.do("GET", path, nil)
	}
	if got := classes(b); got != [traffic.Classes]int64{traffic.Success: 1, traffic.Refused: 3, traffic.ServerError: 1} {
		t.Errorf("%v", got)
	}
	delete(w.src.functions, fnID)
	w.load(t)
	if points, _ := b.Read(fnID, traffic.Day, time.Now()); points != nil {
		t.Error("figures of a function that is gone")
	}
}

func TestTraffic_Allocations(t *testing.T) {
	w := newWorld(t)
	watched(w)
	w.load(t)
	if n := testing.AllocsPerRun(200, w.g.Measured(httptest.NewRequest("GET", "/fn/orders/status", nil), 200, "", true)); n != 0 {
		t.Errorf("%v allocations to measure a call", n)
	}
}

// Who follows a project is told of its changes when they are in the snapshot, and
// of nobody else's.
func TestFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, f := watched(w)
	w.load(t)
	go w.g.Follow(t.Context(), w.src, w.src.bell)
	mine, theirs := f.Follow(project, feed.From{}), f.Follow("prj_b", feed.From{})
	told := func(kind platform.ChangeKind, id string, do func(), want ...string) {
		t.Helper()
		w.src.change(kind, id, do)
		events, resync, _, err := mine.Next(t.Context())
		if err != nil || resync {
			t.Fatal(err, resync)
		}
		var got []string
		for _, e := range events {
			got = append(got, fmt.Sprint(e.Kind, e.Names))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	nothing := func() {}
	k := platform.AccessKey{ID: "pak_1", ProjectID: project, Scopes: []platform.Scope{platform.ScopeInvoke}}
	told(platform.ChangeKey, k.ID, func() { w.src.keys[k.ID] = k }, "keys[pak_1]")
	k.RevokedAt = time.Now()
	told(platform.ChangeKey, k.ID, func() { w.src.keys[k.ID] = k }, "keys[pak_1]")
	told(platform.ChangePolicy, project, nothing, "policy[]")
	told(platform.ChangeSecret, fnID, nothing, "secrets[orders]")
	told(platform.ChangeSecret, project, nothing, "secrets[]")
	told(platform.ChangeProject, project, nothing, "subprojects[]")
	told(platform.ChangeFunction, fnID, nothing, "functions[orders]")
	told(platform.ChangeFunction, fnID, func() { delete(w.src.functions, fnID) }, "functions[orders]")
	for _, kind := range []platform.ChangeKind{platform.ChangeToken, platform.ChangeSigning, "newer"} {
		w.src.change(kind, "x", nothing)
	}
	w.src.change(platform.ChangeFunction, "fn-nobody", nothing)
	other := k
	other.ID, other.ProjectID = "pak_2", "prj_b"
	w.src.change(platform.ChangeKey, other.ID, func() { w.src.keys[other.ID] = other })
	if events, _, _, err := theirs.Next(t.Context()); err != nil || len(events) != 1 || fmt.Sprint(events[0]) != "{keys [pak_2]}" {
		t.Errorf("%v %v", events, err)
	}
	place := mine.Place()
	if events, _, _, _ := f.Follow(project, feed.From{After: place}).Next(t.Context()); len(events) != 1 || events[0].Kind != feed.Traffic {
		t.Errorf("of others it was told %v", events)
	}
}

// Where changes were lost, who follows is told to read everything anew.
func TestFeed_Lost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, f := watched(w)
	w.load(t)
	r := f.Follow(project, feed.From{})
	w.load(t)
	if _, resync, _, err := r.Next(t.Context()); err != nil || !resync {
		t.Error(resync, err)
	}
}

func BenchmarkMeasure(b *testing.B) {
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprint("traffic=", with), func(b *testing.B) {
			w := newWorld(b)
			if w.g = gateway.New(gateway.Options{}, w.invoker); with {
				watched(w)
			}
			w.load(b)
			measure := w.g.Measured(httptest.NewRequest(http.MethodGet, "/fn/orders/status", nil), 200, "", true)
			b.ReportAllocs()
			for b.Loop() {
				measure()
			}
		})
	}
}
