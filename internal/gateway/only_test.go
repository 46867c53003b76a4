package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
)

// Where one function has the gateway to itself, no address leads past its guards.
func TestOnly_OneFunctionAtEveryAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.g = gateway.New(gateway.Options{Only: fnID}, w.invoker)
	if _, p := w.do(http.MethodGet, "/status", nil); p.Status != http.StatusServiceUnavailable {
		t.Errorf("before it is loaded: %+v", p)
	}
	w.load(t)
	id, secret := w.key(nil)
	w.load(t)
	for name, tc := range map[string]struct {
		host, path string
		header     http.Header
		code       string
	}{
		"at the root":                     {"127.0.0.1:3000", "/status", nil, "queue_full"},
		"under any name":                  {"example.com", "/status", nil, "queue_full"},
		"under another function's":        {"other.localhost", "/status", nil, "queue_full"},
		"a guarded handler":               {"127.0.0.1", "/webhook", nil, "unauthenticated"},
		"a guarded handler, with the key": {"127.0.0.1", "/webhook", http.Header{"Authorization": {basic(id, secret)}}, "queue_full"},
		"a guarded handler by a path":     {"127.0.0.1", "/fn/orders/webhook", nil, "unauthenticated"},
		"a callback":                      {"orders.localhost", "/ice", nil, "signature_required"},
		"a path that is none":             {"127.0.0.1", "/%2e%2e/status", nil, "ambiguous_path"},
		"no such handler":                 {"127.0.0.1", "/fn/orders/nothing", nil, "handler_not_found"},
		"no description of it":            {"127.0.0.1", "/.well-known/oauth-protected-resource", nil, "function_not_found"},
	} {
		before := w.invoker.acquired.Load()
		r := httptest.NewRequest(http.MethodGet, "http://"+tc.host+"/", nil)
		r.RequestURI = tc.path
		if tc.header != nil {
			r.Header = tc.header
		}
		if _, p := w.send(r); p.Code != tc.code {
			t.Errorf("%s: %+v", name, p)
		}
		if ran := w.invoker.acquired.Load() - before; (ran == 1) != (tc.code == "queue_full") {
			t.Errorf("%s: %d workers were asked for", name, ran)
		}
	}
	w.src.change(platform.ChangeFunction, fnID, func() {
		d := w.src.active[fnID]
		d.ID, d.Visibility = "dep_2", platform.Private
		w.src.active[fnID] = d
	})
	w.load(t)
	if _, p := w.do(http.MethodGet, "/status", nil); p.Code != "queue_full" {
		t.Errorf("of a private function: %+v", p)
	}
}

// Who answers with a problem in other words decides neither whether nor which.
func TestProblem_IsTheOnlyAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked := 0
	w.g = gateway.New(gateway.Options{Only: fnID, Problem: func(rw http.ResponseWriter, r *http.Request, err error, id string) httpx.Problem {
		asked++
		rw.WriteHeader(http.StatusTeapot)
		p := httpx.ProblemOf(err, id)
		p.Status = http.StatusTeapot
		return p
	}}, w.invoker)
	w.load(t)
	if res, _ := w.do(http.MethodGet, "/webhook", nil); res.StatusCode != http.StatusTeapot || asked != 1 || res.Header["Www-Authenticate"] == nil && res.Header["www-authenticate"] == nil {
		t.Errorf("%d after %d calls: %v", res.StatusCode, asked, res.Header)
	}
	if w.invoker.acquired.Load() != 0 {
		t.Error("it ran")
	}
}
