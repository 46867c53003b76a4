package admin_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/platform"
)

func (w *world) routes(t *testing.T, query string) api.GatewayRoutes {
	t.Helper()
	return ask[api.GatewayRoutes](t, w, "GET", "/v1/projects/"+w.project+"/gateway/routes?"+query, w.key["control"], "")
}

func TestRoutes_Refuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := "/v1/projects/" + w.project + "/gateway/routes"
	for name, tc := range map[string]struct {
		query, key string
		status     int
	}{
		"nobody": {"", "", 401}, "a key that may not control": {"", "invoke", 403}, "a key of another project": {"", "elsewhere", 403},
		"too many": {"?pageSize=1001", "control", 422}, "too few": {"?pageSize=0", "control", 422}, "no page": {"?pageToken=x", "control", 422}, "a page before the first": {"?pageToken=-1", "control", 422},
		"a long text": {"?query=" + strings.Repeat("a", 101), "control", 422}, "no such kind": {"?only=open", "control", 422}, "none at all": {"", "control", 200},
	} {
		if rec, _ := w.do("GET", path+tc.query, w.key[tc.key], ""); rec.Code != tc.status {
			t.Errorf("%s: %d, want %d: %s", name, rec.Code, tc.status, rec.Body)
		}
	}
}

// counted is a store that counts what a list could ask it once a row.
type counted struct {
	admin.Store
	lists, rows atomic.Int64
}

func (c *counted) ActiveFunctions(ctx context.Context, projectID string) ([]platform.ActiveFunction, error) {
	c.lists.Add(1)
	return c.Store.ActiveFunctions(ctx, projectID)
}

func (c *counted) Deployment(ctx context.Context, id string) (platform.Deployment, error) {
	c.rows.Add(1)
	return c.Store.Deployment(ctx, id)
}

func (c *counted) Deployments(ctx context.Context, functionID string, limit int) ([]platform.Deployment, error) {
	c.rows.Add(1)
	return c.Store.Deployments(ctx, functionID, limit)
}

// Pages are parts of one list whose order stays; it is read once, and anew as soon as
// something has changed.
func TestRoutes(t *testing.T) {
	t.Parallel()
	var store *counted
	w := newWorld(t, func(o *admin.Options) { store = &counted{Store: o.Store}; o.Store = store })
	for i := range 3 {
		w.withFunction(t, w.project, fmt.Sprintf("f%d", i), platform.Handler{Name: "closed", Guard: platform.GuardKey}, platform.Handler{Name: "open", Guard: platform.GuardOpen})
	}
	names := func(page api.GatewayRoutes) (list []string) {
		for _, r := range page.Routes {
			list = append(list, r.Function+r.Path)
		}
		return list
	}
	all := w.routes(t, "")
	if len(all.Routes) != 9 || all.RouteCount != 9 || all.AllCount != 9 || all.PublicCount != 3 || all.NextPageToken != "" {
		t.Fatalf("%+v", all)
	}
	var turned []string
	for token := ""; ; {
		page := w.routes(t, "pageSize=4&pageToken="+token)
		turned = append(turned, names(page)...)
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	if fmt.Sprint(turned) != fmt.Sprint(names(all)) {
		t.Errorf("pages have\n%v, and all is\n%v", turned, names(all))
	}
	for query, want := range map[string]string{
		"only=key": "[f0/closed f1/closed f2/closed]", "only=key&pageSize=1&pageToken=2": "[f2/closed]", "only=signature": "[]", "only=private": "[]", "query=%20F1": "[f1/health f1/closed f1/open]", "query=f2+%2Fclo&only=key": "[f2/closed]",
		"query=f2&only=public": "[f2/health f2/open]", "query=access": "[f0/closed f1/closed f2/closed]", "query=%25": "[]", "query=shut": "[]", "pageToken=99999999": "[]",
	} {
		if page := w.routes(t, query); fmt.Sprint(names(page)) != want || page.AllCount != 9 || page.Routes == nil {
			t.Errorf("%s: %v, want %s", query, names(page), want)
		}
	}
	if n := store.lists.Load(); n != 1 {
		t.Errorf("it was read %d times", n)
	}
	w.withFunction(t, w.project, "f3", platform.Handler{Name: "closed", Guard: platform.GuardKey})
	if page := w.routes(t, "only=key"); fmt.Sprint(names(page)) != "[f0/closed f1/closed f2/closed f3/closed]" || page.AllCount != 11 || page.Number != 0 {
		t.Errorf("with one function more: %v of %d", names(page), page.AllCount)
	}
	if status, code, _ := w.apply(t, w.key["control"], "", "version: 1\nfunctions:\n  f1:\n    handlers:\n      open: { auth: key }\n", nil); status != 200 {
		t.Fatal(status, code)
	}
	if page := w.routes(t, "query=f1&only=key"); fmt.Sprint(names(page)) != "[f1/closed f1/open]" || page.PublicCount != 2 || page.Number != 1 {
		t.Errorf("under a policy: %+v", page)
	}
	if n := store.lists.Load(); n != 3 {
		t.Errorf("it was read %d times", n)
	}
}

// A page of functions is one query, however many are on it.
func TestFunctions_AskedAtOnce(t *testing.T) {
	t.Parallel()
	var store *counted
	w := newWorld(t, func(o *admin.Options) { store = &counted{Store: o.Store}; o.Store = store })
	for i := range 9 {
		w.withFunction(t, w.project, fmt.Sprintf("f%d", i), platform.Handler{Name: "a", Guard: platform.GuardKey})
	}
	list := ask[api.Functions](t, w, "GET", "/v1/projects/"+w.project+"/functions", w.key["control"], "")
	if n := store.rows.Load(); len(list.Functions) != 9 || n != 0 {
		t.Errorf("%d functions were asked about %d times", len(list.Functions), n)
	}
}
