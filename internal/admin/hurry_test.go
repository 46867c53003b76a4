package admin_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/admin"
)

// A bare secret is for trying things out, in either header: beyond the burst
// the answer says when to come back and what to do instead. Who is not
// recognised takes nothing from anybody's rate.
func TestBareSecretIsLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *admin.Options) { o.BasicRate, o.BasicBurst = 1, 5 })
	basic := func(secret string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/v1/whoami", nil)
		r.SetBasicAuth(w.id["control"], secret)
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		return rec
	}
	for range 20 {
		if rec := basic(accesskey.NewSecret().Reveal()); rec.Code != 401 || rec.Header().Get("Retry-After") != "" {
			t.Fatalf("a wrong secret: %d", rec.Code)
		}
	}
	get := func(path string) func() *httptest.ResponseRecorder {
		return func() *httptest.ResponseRecorder { rec, _ := w.do("GET", path, w.key["control"], ""); return rec }
	}
	byBasic := func() *httptest.ResponseRecorder { return basic(w.key["control"]) }
	for i, call := range []func() *httptest.ResponseRecorder{byBasic, get("/v1/whoami"), byBasic, get(w.keys()), byBasic} {
		if rec := call(); rec.Code != 200 {
			t.Fatalf("call %d of the burst: %d %s", i, rec.Code, rec.Body)
		}
	}
	// soon calls until it is too soon, which a slow machine may take a while for.
	soon := func(call func() *httptest.ResponseRecorder) (rec *httptest.ResponseRecorder) {
		for range 100 {
			if rec = call(); rec.Code == http.StatusTooManyRequests {
				break
			}
		}
		return rec
	}
	refused, byHeader := soon(byBasic), soon(get(w.keys()))
	unknown := soon(get("/v1/projects/prj_none/accessKeys")) // no look-up before the limit
	for name, rec := range map[string]*httptest.ResponseRecorder{"Basic": refused, "X-API-Key": byHeader, "any path": unknown} {
		p := told(rec)
		wait, err := strconv.Atoi(rec.Header().Get("Retry-After"))
		if rec.Code != http.StatusTooManyRequests || p.Code != "basic_limited" || err != nil || wait != 1 || !strings.Contains(p.Detail, "/oauth2/token") || !strings.Contains(p.Hint, "Bearer") || rec.Header()["www-authenticate"] != nil {
			t.Errorf("%s: %d %v %s", name, rec.Code, rec.Header(), rec.Body)
		}
	}
	if !strings.Contains(byHeader.Body.String(), `"status":"RESOURCE_EXHAUSTED"`) || refused.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("shapes: %s, %s", byHeader.Body, refused.Body)
	}
	lines := w.audit(t)
	if last := lines[len(lines)-1]; last["status"] != float64(429) || last["keyId"] != w.id["control"] {
		t.Errorf("recorded: %v", last)
	}
	bearer := w.token(t, w.id["control"], "control")
	for i := range 30 {
		if rec, _ := w.do("GET", "/v1/whoami", bearer, ""); rec.Code != 200 {
			t.Fatalf("call %d with a token of the same key: %d %s", i, rec.Code, rec.Body)
		}
	}
	if rec, _ := w.do("GET", "/v1/whoami", w.key["elsewhere"], ""); rec.Code != 200 {
		t.Errorf("another key: %d", rec.Code)
	}
}
