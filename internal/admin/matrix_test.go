package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/platform"
)

func (w *world) matrix(t *testing.T, query string) (out api.GatewayMatrix) {
	t.Helper()
	rec, _ := w.do("GET", "/v1/projects/"+w.project+"/gateway/matrix?"+query, w.key["control"], "")
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || rec.Code != 200 {
		t.Fatalf("%s: %d %s", query, rec.Code, rec.Body)
	}
	return out
}

func TestMatrix_Refuses(t *testing.T) {
	t.Parallel()
	w, _, _, _ := newAudited(t, nil)
	path := "/v1/projects/" + w.project + "/gateway/matrix"
	for name, tc := range map[string]struct {
		query, key string
		status     int
	}{
		"nobody": {"", "", 401}, "a key that may not control": {"", "invoke", 403}, "a key of another project": {"", "elsewhere", 403},
		"too many keys": {"?pageSize=51", "control", 422}, "too many routes": {"?routePageSize=201", "control", 422}, "no page of keys": {"?pageToken=x", "control", 400}, "no page of routes": {"?routePageToken=x", "control", 422},
		"no order": {"?order=best", "control", 422}, "no address": {"?from=here", "control", 400}, "an address with a zone": {"?from=fe80::1%25eth0", "control", 200},
	} {
		if rec, _ := w.do("GET", path+tc.query, w.key[tc.key], ""); rec.Code != tc.status {
			t.Errorf("%s: %d, want %d: %s", name, rec.Code, tc.status, rec.Body)
		}
	}
}

// Keys and routes come in pages, and the gateway is asked about those alone.
func TestMatrix(t *testing.T) {
	t.Parallel()
	w, k, _, _ := newAudited(t, nil)
	w.withFunction(t, w.project, "orders", platform.Handler{Name: "refund", Guard: platform.GuardKey}, platform.Handler{Name: "status", Guard: platform.GuardOpen}, platform.Handler{Name: "prices", Guard: platform.GuardKey, Routes: []platform.Route{{Pattern: "GET /prices", Guard: platform.GuardKey}}})
	all := w.matrix(t, "pageSize=50")
	if all.RouteCount != 4 || len(all.Routes) != 4 || len(all.Verdicts) != 2 || all.NextPageToken != "" || all.NextRoutePageToken != "" {
		t.Fatalf("%+v", all)
	}
	for _, row := range all.Keys {
		if len(row.Cells) != 4 || !all.Verdicts[row.Cells[0]].Opens || all.Verdicts[row.Cells[1]].Opens || row.DisplayName == "" {
			t.Errorf("%+v", row)
		}
		if strings.HasPrefix(row.DisplayName, "function:") {
			t.Errorf("a function's key is listed: %s", row.DisplayName)
		}
	}
	if d := k.reached.Doors; len(d) != 4 || (d[0] != audit.Door{Of: "orders"}) || (d[1] != audit.Door{Of: "orders", Handler: "prices", Pattern: "GET /prices"}) || (d[2] != audit.Door{Of: "orders", Handler: "refund"}) {
		t.Errorf("doors %+v", d)
	}
	part := w.matrix(t, "pageSize=1&routePageSize=1&routePageToken=1&guarded=true&from=10.0.0.1&routeQuery=ORDERS")
	if part.RouteCount != 2 || len(part.Routes) != 1 || part.Routes[0].Path != "/refund" || len(part.Keys) != 1 || part.NextPageToken != part.Keys[0].AccessKeyID || part.NextRoutePageToken != "" || k.reached.Remote != "10.0.0.1:0" {
		t.Errorf("%+v, from %s", part, k.reached.Remote)
	}
	if found := w.matrix(t, "query=CONTR&order=newest"); len(found.Keys) != 1 || found.Keys[0].DisplayName != "control" {
		t.Errorf("%+v", found.Keys)
	}
	if none := w.matrix(t, "routePageToken=99999999&pageToken="+all.Keys[len(all.Keys)-1].AccessKeyID); len(none.Routes) != 0 || len(none.Keys) != 0 || none.Routes == nil {
		t.Errorf("%+v", none)
	}
}

// The server is described to whom it belongs, and not to its tenants.
func TestServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *admin.Options) {
		o.Server = func(context.Context) api.ServerInfo { return api.ServerInfo{Version: "1.2.3", Database: "SQLite"} }
	})
	secret := accesskey.NewSecret()
	k := platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: w.subproject(t, w.project), DisplayName: "tenant", SecretHash: secret.Hash(), Scopes: []platform.Scope{platform.ScopeControl}, CreatedAt: time.Now()}
	if _, err := w.db.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	w.key["tenant"] = secret.Reveal()
	w.load(t)
	for key, want := range map[string]int{"": 401, "invoke": 403, "tenant": 403, "control": 200} {
		rec, p := w.do("GET", "/v1/server", w.key[key], "")
		if rec.Code != want || (want == 200) != strings.Contains(rec.Body.String(), "1.2.3") || key == "tenant" && p.Hint == "" {
			t.Errorf("with the key %q: %d %s", key, rec.Code, rec.Body)
		}
	}
}

// Of keys those are told of that have a limit.
func TestLimits(t *testing.T) {
	t.Parallel()
	w, _, _, _ := newAudited(t, nil)
	for i, quota := range []int64{10, 0, 20} {
		k := platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: w.project, DisplayName: fmt.Sprint("limited ", i), SecretHash: accesskey.NewSecret().Hash(), Quota: platform.Quota{Limit: quota, Per: platform.PerMonth}, CreatedAt: time.Now()}
		if _, err := w.db.CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	path := "/v1/projects/" + w.project + "/gateway/limits"
	got := ask[api.GatewayLimits](t, w, "GET", path, w.key["control"], "")
	if len(got.Keys) != 2 || got.NextPageToken != "" || got.Keys[0].Quota.Limit != 10 || *got.Keys[0].RateLeft != 4 || got.Keys[1].DisplayName != "limited 2" {
		t.Errorf("%+v", got)
	}
	if r := got.Rates; len(r) != 2 || *r[0].Left != 3 || strings.Join(r[0].Routes, ", ") != "orders refund, orders GET /a" || r[0].Rate != "5/s" || r[1].Left != nil || r[1].Spent != 2 {
		t.Errorf("%+v", r)
	}
	first := ask[api.GatewayLimits](t, w, "GET", path+"?pageSize=1", w.key["control"], "")
	if next := ask[api.GatewayLimits](t, w, "GET", path+"?pageSize=1&pageToken="+first.NextPageToken, w.key["control"], ""); len(next.Keys) != 1 || next.Keys[0].DisplayName != "limited 2" {
		t.Errorf("%+v", next)
	}
	for query, want := range map[string]int{"?pageToken=x": 400, "?pageSize=0": 422} {
		if rec, _ := w.do("GET", path+query, w.key["control"], ""); rec.Code != want {
			t.Errorf("%s: %d", query, rec.Code)
		}
	}
}

func TestPolicyDiff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withFunction(t, w.project, "orders", platform.Handler{Name: "refund", Guard: platform.GuardKey})
	for i, text := range []string{"version: 1\n", "version: 1\ngroups: { orders: { rate: 1/s } }\n", "# the same\nversion: 1\ngroups: { orders: { rate: 2/s } }\n"} {
		if status, code, _ := w.apply(t, w.key["control"], "", text, i); status != 200 {
			t.Fatal(status, code)
		}
	}
	path := "/v1/projects/" + w.project + "/gateway/diff"
	for query, want := range map[string]string{"?before=2&after=3": "group orders|rate|[1/s]|[2/s]", "?before=3&after=2": "group orders|rate|[2/s]|[1/s]", "?before=2&after=2": "", "?after=1": ""} {
		got := ""
		for _, c := range ask[api.PolicyDiff](t, w, "GET", path+query, w.key["control"], "").Changes {
			got += c.What + "|" + c.Field + "|" + c.Before + "|" + c.After
		}
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for query, want := range map[string]int{"": 422, "?after=0": 422, "?after=4": 404, "?before=9&after=1": 404, "?before=x&after=1": 422} {
		if rec, _ := w.do("GET", path+query, w.key["control"], ""); rec.Code != want {
			t.Errorf("%s: %d, want %d", query, rec.Code, want)
		}
	}
}
