package gateway_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"postern.dev/postern/internal/platform"
)

// routed is a world whose function has routes of two groups, and a handler
// that is found by its name.
func routed(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	d := w.src.active[fnID]
	d.Handlers = []platform.Handler{
		{Name: "admin", Routes: []platform.Route{{Pattern: "/admin/{path...}", Rule: platform.Rule{Group: "admin"}}}},
		{Name: "customer", Guard: platform.GuardOpen, Routes: []platform.Route{{Pattern: "GET /customers/{id}", Rule: platform.Rule{Group: "partner"}}, {Pattern: "POST /customers", Rule: platform.Rule{Group: "partner", BodyLimit: 4}}}},
		{Name: "odd", Routes: []platform.Route{{Pattern: "/odd", Guard: platform.Guard(77)}}},
		{Name: "plain"},
		{Name: "prices", Routes: []platform.Route{{Pattern: "GET /prices", Guard: platform.GuardOpen, Loosened: true}, {Pattern: "PUT /prices"}}},
		{Name: "status", Guard: platform.GuardOpen, Routes: []platform.Route{{Pattern: "/status", Guard: platform.GuardOpen}}},
		{Name: "tools", Routes: []platform.Route{{Pattern: "/tools", Rule: platform.Rule{Scopes: []platform.Scope{platform.ScopeControl}}}}},
		{Name: "webhook", Routes: []platform.Route{{Pattern: "/webhook"}}},
	}
	w.src.active[fnID] = d
	return w
}

// Every key against every route: who is not for a route's group touches no worker.
func TestRoutes_Groups(t *testing.T) {
	t.Parallel()
	w := routed(t)
	keys := map[string]string{"none": "", "unknown": "psk_x"}
	for name, groups := range map[string][]string{"any group": nil, "partner": {"partner"}, "admin": {"admin"}, "both": {"admin", "partner"}, "the function's": {slug}, "other": {"Partner", "partne", "partner2"}} {
		_, keys[name] = w.key(func(k *platform.AccessKey) { k.Groups = groups })
	}
	both := []platform.Scope{platform.ScopeInvoke, platform.ScopeControl}
	_, keys["operator"] = w.key(func(k *platform.AccessKey) { k.Scopes, k.Groups = both, []string{slug} })
	_, keys["operator, other group"] = w.key(func(k *platform.AccessKey) { k.Scopes, k.Groups = both, []string{"admin2"} })
	_, keys["control alone"] = w.key(func(k *platform.AccessKey) { k.Scopes = both[1:] })
	w.load(t)
	allowed := map[string]string{
		"GET /customers/7": "any group, partner, both", "HEAD /customers/7": "any group, partner, both", "POST /customers": "any group, partner, both",
		"DELETE /admin/tools": "any group, admin, both", "GET /admin": "any group, admin, both", "GET /admin/customers/7": "any group, admin, both",
		"POST /webhook": "any group, the function's, operator", "GET /plain": "any group, the function's, operator", "PUT /prices": "any group, the function's, operator", "GET /tools": "operator",
		"GET /prices": "*", "GET /status": "*", "GET /odd": "-",
	}
	for call, who := range allowed {
		method, path, _ := strings.Cut(call, " ")
		for name, secret := range keys {
			want := http.StatusForbidden
			switch {
			case who == "-":
				want = http.StatusUnauthorized // a guard that nobody knows opens to nobody
			case who == "*" || strings.Contains(", "+who+",", ", "+name+","):
				want = http.StatusServiceUnavailable // it would have run
			case name == "none" || name == "unknown":
				want = http.StatusUnauthorized
			}
			header := http.Header{}
			if secret != "" {
				header.Set("X-Api-Key", secret)
			}
			before := w.invoker.acquired.Load()
			res, p := w.do(method, "/fn/orders"+path, header)
			ran := w.invoker.acquired.Load() - before
			if res.StatusCode != want || ran != map[bool]int64{true: 1}[want == http.StatusServiceUnavailable] {
				t.Errorf("%s with the key %q: %d %s and %d ran, want %d", call, name, res.StatusCode, p.Code, ran, want)
			}
		}
	}
}

// The path that policy looks at is the path that the router uses: no spelling
// of a guarded route comes to a worker, and no open one lends it its guard.
func TestRoutes_Paths(t *testing.T) {
	t.Parallel()
	w := routed(t)
	w.load(t)
	for target, want := range map[string]string{
		"//webhook": "unauthenticated", "/./webhook": "ambiguous_path", "/x/../webhook": "ambiguous_path", "/%77ebhook": "unauthenticated", "/%2577ebhook": "handler_not_found", "/webhook/": "unauthenticated",
		"/webhook%2f": "ambiguous_path", "/webhook;v=1": "handler_not_found", "/webhook%00": "ambiguous_path", "/webhook%5c": "ambiguous_path", "/status/..;/webhook": "ambiguous_path",
		"/health/../webhook": "ambiguous_path", "/webhook/health": "handler_not_found", "/health/webhook": "handler_not_found", "/ice/../webhook": "ambiguous_path", "/a/ice": "handler_not_found",
		"/webhook?x=/health": "unauthenticated", "/webhook?x=/status": "unauthenticated", "/status#/webhook": "ambiguous_path", "/Webhook": "handler_not_found", "/status/webhook": "handler_not_found",
		"/webhook/status": "handler_not_found", "/x/status": "handler_not_found", "/x/webhook": "handler_not_found", "/admin/%2e%2e/status": "ambiguous_path", "/status/%2e%2e/admin": "ambiguous_path",
		"/admin/..%2fstatus": "ambiguous_path", "/admin/status": "unauthenticated", "/admin//status": "unauthenticated", "/ADMIN/x": "handler_not_found", "/admin%2fx": "ambiguous_path", "/admin\\x": "ambiguous_path",
		"/prices/": "queue_full", "/prices/../admin/x": "ambiguous_path", "/prices;/admin": "handler_not_found", "/customers/..": "ambiguous_path", "/customers/%2e": "ambiguous_path", "/customers/a%2fb": "ambiguous_path",
		"/customers/{id}": "unauthenticated", "/customers/": "method_not_allowed", "/customers/a/b": "handler_not_found", "/customers/%7bid%7d": "unauthenticated", "/customers/%E2%80%A6": "unauthenticated", "/customers/%ff": "ambiguous_path",
		"/customer": "handler_not_found", "/x/customer": "handler_not_found", "/admin/../admin": "ambiguous_path", "/" + strings.Repeat("a", 64<<10): "handler_not_found", "/admin/" + strings.Repeat("a/", 32<<10): "unauthenticated",
		"/health": "", "/x/health": "handler_not_found", "/admin/health": "unauthenticated", "/status": "queue_full", "//status": "queue_full", "/%73tatus": "queue_full", "/status?a=/webhook": "queue_full",
	} {
		before := w.invoker.acquired.Load()
		res, p := w.do("GET", "/fn/orders"+target, nil)
		ran := w.invoker.acquired.Load() - before
		if p.Code != want || ran != map[bool]int64{true: 1}[want == "queue_full"] {
			t.Errorf("%.80s: %d %s and %d ran, want %s", target, res.StatusCode, p.Code, ran, want)
		}
	}
}

func TestRoutes_Methods(t *testing.T) {
	t.Parallel()
	w := routed(t)
	_, secret := w.key(nil)
	w.load(t)
	for call, want := range map[string]struct {
		code  string
		allow string
	}{
		"GET /customers": {"method_not_allowed", "POST"}, "HEAD /customers": {"method_not_allowed", "POST"}, "OPTIONS /customers": {"method_not_allowed", "POST"},
		"POST /customers/7": {"method_not_allowed", "GET, HEAD"}, "OPTIONS /customers/7": {"method_not_allowed", "GET, HEAD"}, "DELETE /prices": {"method_not_allowed", "GET, HEAD, PUT"},
		"get /customers/7": {"method_unknown", ""}, "TRACE /customers/7": {"method_not_allowed", ""}, "CONNECT /customers/7": {"method_not_allowed", ""}, "GETX /prices": {"method_unknown", ""},
		"OPTIONS /webhook": {"queue_full", ""}, "HEAD /prices": {"queue_full", ""}, "PUT /prices": {"queue_full", ""},
	} {
		method, path, _ := strings.Cut(call, " ")
		header := http.Header{"X-Api-Key": {secret}, "X-Http-Method-Override": {"GET"}, "X-Method-Override": {"GET"}}
		before := w.invoker.acquired.Load()
		res, p := w.do(method, "/fn/orders"+path+"?_method=GET", header)
		ran := w.invoker.acquired.Load() - before
		if p.Code != want.code || res.Header.Get("Allow") != want.allow || ran != map[bool]int64{true: 1}[want.code == "queue_full"] {
			t.Errorf("%s: %d %s, allow %q, %d ran, want %v", call, res.StatusCode, p.Code, res.Header.Get("Allow"), ran, want)
		}
	}
}

func TestRoutes_BodyLimit(t *testing.T) {
	t.Parallel()
	w := routed(t)
	_, secret := w.key(nil)
	w.load(t)
	for body, want := range map[string]int{"1234": 503, "12345": 413} {
		r := httptest.NewRequest("POST", "/fn/orders/customers", strings.NewReader(body))
		r.Header.Set("X-Api-Key", secret)
		if res, _ := w.send(r); res.StatusCode != want {
			t.Errorf("a body of %d bytes: %d, want %d", len(body), res.StatusCode, want)
		}
	}
}

// A handler that is open by itself and guarded on its routes makes a function
// that describes itself as guarded.
func TestRoutes_AreSaidToBeGuarded(t *testing.T) {
	t.Parallel()
	w := routed(t)
	w.load(t)
	res, _ := w.do("GET", "/fn/orders/customers/7", nil)
	if res.StatusCode != 401 || len(res.Header["www-authenticate"]) != 1 {
		t.Errorf("%d, challenges %q", res.StatusCode, res.Header["www-authenticate"])
	}
	if line := w.access.String(); !strings.Contains(line, `"route":"GET /customers/{id}"`) {
		t.Errorf("access line %s", line)
	}
}

// A user's token beside a key: the key decides, whoever the token is of.
func TestRoutes_UsersToken(t *testing.T) {
	t.Parallel()
	w := routed(t)
	_, partner := w.key(func(k *platform.AccessKey) { k.Groups = []string{"partner"} })
	w.load(t)
	enc := base64.RawURLEncoding.EncodeToString
	user := "Bearer " + enc([]byte(`{"alg":"HS256"}`)) + "." + enc([]byte(`{"iss":"https://users","sub":"u1"}`)) + "." + enc([]byte("0123456789abcdef"))
	for name, tc := range map[string]struct {
		path, key string
		want      int
	}{
		"the key opens": {"/customers/7", partner, 503}, "of another group": {"/admin/x", partner, 403}, "no key": {"/customers/7", "", 401},
		"a wrong key": {"/customers/7", "psk_x", 401}, "an open handler": {"/status", "", 503}, "a key on an open handler": {"/prices", partner, 503},
	} {
		header := http.Header{"Authorization": {user}}
		if tc.key != "" {
			header.Set("X-Api-Key", tc.key)
		}
		before := w.invoker.acquired.Load()
		res, p := w.do("GET", "/fn/orders"+tc.path, header)
		if ran := w.invoker.acquired.Load() - before; res.StatusCode != tc.want || ran != map[bool]int64{true: 1}[tc.want == 503] {
			t.Errorf("%s: %d %s and %d ran, want %d", name, res.StatusCode, p.Code, ran, tc.want)
		}
	}
}

func TestRoutes_AdmitDoesNotAllocate(t *testing.T) {
	w := routed(t)
	_, secret := w.key(func(k *platform.AccessKey) { k.Groups = []string{"partner"} })
	w.load(t)
	r := httptest.NewRequest("GET", "/fn/orders/customers/7", nil)
	r.RequestURI = "/fn/orders/customers/7"
	r.Header.Set("X-Api-Key", secret)
	base := httptest.NewRequest("GET", "/fn/orders/plain", nil)
	base.RequestURI = "/fn/orders/plain"
	base.Header.Set("X-Api-Key", secret)
	// The same steps without a route cost as much: the request's ID.
	with := testing.AllocsPerRun(200, func() { w.g.Admit(r) })
	without := testing.AllocsPerRun(200, func() { w.g.Admit(base) })
	if with > without {
		t.Errorf("%v allocations with a route, %v without", with, without)
	}
}
