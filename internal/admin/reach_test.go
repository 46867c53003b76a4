package admin_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/platform"
)

// What a key opens is told route by route, and what it called is counted from
// the first of the month on.
func TestKeyReach(t *testing.T) {
	t.Parallel()
	w, k, _, _ := newAudited(t, nil)
	var hs []platform.Handler
	for i := range 9 {
		hs = append(hs, platform.Handler{Name: fmt.Sprintf("h%d", i), Guard: platform.GuardKey})
	}
	w.withFunction(t, w.project, "orders", append(hs, platform.Handler{Name: "open", Guard: platform.GuardOpen})...)
	w.withFunction(t, w.elsewhere, "theirs", platform.Handler{Name: "x", Guard: platform.GuardKey})
	today := platform.DayOf(time.Now())
	rows := []platform.UsageRow{{Day: today, ProjectID: w.project, FunctionID: "fn-old", Caller: w.id["invoke"], FunctionName: "gone", Counts: platform.Counts{Invocations: 3}},
		{Day: platform.DayOf(platform.PerMonth.Begin(time.Now())) - 1, ProjectID: w.project, FunctionID: "fn-before", Caller: w.id["invoke"], FunctionName: "before", Counts: platform.Counts{Invocations: 9}}}
	for i := range 55 {
		rows = append(rows, platform.UsageRow{Day: today, ProjectID: w.project, FunctionID: fmt.Sprintf("fn-%02d", i), Caller: w.id["admin"], FunctionName: "f", Counts: platform.Counts{Invocations: 1}})
	}
	if err := w.db.WriteUsage(t.Context(), "w", 1, rows); err != nil {
		t.Fatal(err)
	}
	one := w.keys() + "/" + w.id["invoke"] + "/reach"
	got := ask[api.KeyReach](t, w, "GET", one+"?pageSize=3", w.key["control"], "")
	if got.RouteCount != 5 || len(got.Routes) != 3 || got.NextPageToken != "3" || got.Routes[0].Function != "orders" || got.Routes[0].Guard != "access key" {
		t.Errorf("routes: %+v", got)
	}
	if len(got.Called) != 1 || got.Called[0] != (api.KeyCalls{FunctionID: "fn-old", Function: "gone", Invocations: 3}) || got.CalledMore || got.Used || got.LastUsedTime != nil {
		t.Errorf("called: %+v", got)
	}
	if len(k.reached.Keys) != 1 || k.reached.Keys[0].ID != w.id["invoke"] || len(k.reached.Doors) != 9 {
		t.Errorf("asked about %+v", k.reached)
	}
	if rest := ask[api.KeyReach](t, w, "GET", one+"?pageSize=3&pageToken=3", w.key["control"], ""); len(rest.Routes) != 2 || rest.NextPageToken != "" || rest.RouteCount != 5 {
		t.Errorf("the second page: %+v", rest)
	}
	if err := w.db.RecordUse(t.Context(), map[string]platform.AccessKey{w.id["admin"]: {LastUsedAt: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	if got := ask[api.KeyReach](t, w, "GET", w.keys()+"/"+w.id["admin"]+"/reach", w.key["control"], ""); len(got.Called) != 50 || !got.CalledMore || !got.Used || got.LastUsedTime == nil {
		t.Errorf("used much: %d functions, %+v", len(got.Called), got.LastUsedTime)
	}
}

func TestKeyReach_Refuses(t *testing.T) {
	t.Parallel()
	w, k, _, _ := newAudited(t, nil)
	gone := w.create(t, "admin", `{"displayName":"gone"}`)
	ask[struct{}](t, w, "DELETE", w.keys()+"/"+gone.AccessKey.AccessKeyID, w.key["admin"], "")
	for name, tc := range map[string]struct {
		id, query, key string
		status         int
	}{
		"nobody": {w.id["invoke"], "", "", 401}, "a key that may not control": {w.id["invoke"], "", "invoke", 403}, "a key of another project": {w.id["invoke"], "", "elsewhere", 403},
		"a key that is another's": {w.id["elsewhere"], "", "control", 404}, "no key": {accesskey.NewID(time.Now()), "", "control", 404}, "no ID": {"x", "", "control", 404}, "a key that was revoked": {gone.AccessKey.AccessKeyID, "", "control", 404},
		"no page": {w.id["invoke"], "?pageToken=x", "control", 400}, "too large a page": {w.id["invoke"], "?pageSize=201", "control", 400},
	} {
		rec, _ := w.do("GET", w.keys()+"/"+tc.id+"/reach"+tc.query, w.key[tc.key], "")
		if rec.Code != tc.status || strings.Contains(rec.Body.String(), "routeCount") {
			t.Errorf("%s: %d, want %d: %s", name, rec.Code, tc.status, rec.Body)
		}
	}
	if len(k.reached.Keys) != 0 {
		t.Error("the gateway was asked for somebody who was refused")
	}
	none := ask[json.RawMessage](t, w, "GET", w.keys()+"/"+w.id["invoke"]+"/reach", w.key["control"], "")
	if !strings.Contains(string(none), `"routes":[],"routeCount":0`) || !strings.Contains(string(none), `"called":[]`) {
		t.Errorf("without functions: %s", none)
	}
}
