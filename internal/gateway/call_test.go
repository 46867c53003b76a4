package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
)

// callWorld is a world of four functions that are called: "orders" of the
// project, "hidden" beside it, "below" in a subproject, "theirs" of others.
func newCallWorld(t testing.TB) (*world, *signedSource) {
	t.Helper()
	w, src := newTokenWorld(t)
	more := append([]platform.Handler{
		{Name: "bare", Guard: platform.GuardKey, Rule: platform.Rule{Methods: []string{"basic", "apikey"}}},
		{Name: "bearing", Guard: platform.GuardKey, Rule: platform.Rule{Methods: []string{"bearer"}}},
		{Name: "far", Guard: platform.GuardOpen, Rule: platform.Rule{Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}},
		{Name: "grouped", Guard: platform.GuardKey, Rule: platform.Rule{Group: "partners"}},
		{Name: "controlled", Guard: platform.GuardKey, Rule: platform.Rule{Scopes: []platform.Scope{platform.ScopeControl}}},
	}, handlers...)
	for id, f := range map[string]platform.Function{
		"fn-caller": {ProjectID: project, Name: "caller", Slug: "caller"}, "fn-hidden": {ProjectID: project, Name: "hidden", Slug: "hidden"},
		"fn-below": {ProjectID: "prj_below", ParentProjectID: project, Name: "below", Slug: "below"}, "fn-theirs": {ProjectID: "prj_b", Name: "theirs", Slug: "theirs"},
	} {
		f.ID, f.ActiveDeploymentID = id, "dep_"+f.Name
		d := platform.Deployment{ID: f.ActiveDeploymentID, FunctionID: id, ProjectID: f.ProjectID, Number: 1, Handlers: more, Variables: map[string]string{"ADMIN_USER": adminUser, "ADMIN_PASSWORD": adminPassword}}
		if f.Name == "hidden" {
			d.Visibility = platform.Private
		}
		w.settle(t, w.src.change(platform.ChangeFunction, id, func() { w.src.functions[id], w.src.active[id] = f, d }))
	}
	return w, src
}

func (w *world) settle(t testing.TB, seq int64) {
	t.Helper()
	if err := w.g.WaitApplied(t.Context(), seq); err != nil {
		t.Fatal(err)
	}
}

// functionKey is a deployment's key, changed.
func (w *world) functionKey(t testing.TB, change func(*platform.AccessKey)) string {
	t.Helper()
	k := platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: project, FunctionID: "fn-caller", SecretHash: accesskey.NewSecret().Hash(), Scopes: []platform.Scope{platform.ScopeInvoke}}
	if change != nil {
		change(&k)
	}
	w.settle(t, w.src.change(platform.ChangeKey, k.ID, func() { w.src.keys[k.ID] = k }))
	return k.ID
}

// callToken is the token that the host gives for a key, changed.
func (s *signedSource) callToken(t testing.TB, keyID string, change func(*token.Claims)) string {
	t.Helper()
	at := time.Now()
	c := token.Claims{Issuer: issuer, Subject: keyID, ClientID: keyID, ProjectID: project, Generation: 1, ID: keyID, Audience: []string{auth.CallAudience}, Scope: "invoke", IssuedAt: at, ExpiresAt: at.Add(5 * time.Minute)}
	if change != nil {
		change(&c)
	}
	raw, err := token.Sign(s.key, c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// inside asks at the internal door.
func (w *world) inside(method, host, path string, header http.Header) (*http.Response, httpx.Problem) {
	r := httptest.NewRequest(method, "http://x"+path, nil)
	r.Host, r.RequestURI, r.RemoteAddr = host, path, "@"
	if header != nil {
		r.Header = header
	}
	rec := httptest.NewRecorder()
	w.g.Internal().ServeHTTP(rec, r)
	var p httpx.Problem
	json.Unmarshal(rec.Body.Bytes(), &p)
	return rec.Result(), p
}

// Every token against every function: what is let in has run, and nothing else.
func TestInternal_Policy(t *testing.T) {
	t.Parallel()
	w, src := newCallWorld(t)
	good := w.functionKey(t, nil)
	parent := w.functionKey(t, func(k *platform.AccessKey) { k.ProjectID, k.FunctionID = "prj_below", "fn-below" })
	theirs := w.functionKey(t, func(k *platform.AccessKey) { k.ProjectID, k.FunctionID = "prj_b", "fn-theirs" })
	person := w.functionKey(t, func(k *platform.AccessKey) { k.FunctionID = "" })
	ended := w.functionKey(t, func(k *platform.AccessKey) { k.ExpiresAt = time.Now().Add(-time.Second) })
	revoked := w.functionKey(t, func(k *platform.AccessKey) { k.RevokedAt = time.Now() })
	of := func(project string) func(*token.Claims) {
		return func(c *token.Claims) { c.ProjectID = project }
	}
	const ran = "queue_full"
	tokens := map[string]struct {
		raw     string
		project string // whose functions it calls; empty: nobody's
		code    string // where nobody's
	}{
		"none": {"", "", "unauthenticated"}, "rubbish": {"x", "", "token_invalid"},
		"good":                 {src.callToken(t, good, nil), project, ""},
		"of the subproject":    {src.callToken(t, parent, of("prj_below")), "prj_below", ""},
		"of another project":   {src.callToken(t, theirs, of("prj_b")), "prj_b", ""},
		"with another project": {src.callToken(t, theirs, nil), "", "token_invalid"},
		"of a person's key":    {src.callToken(t, person, nil), "", "token_invalid"},
		"of an ended key":      {src.callToken(t, ended, nil), "", "token_invalid"},
		"of a revoked key":     {src.callToken(t, revoked, nil), "", "token_invalid"},
		"of no key":            {src.callToken(t, accesskey.NewID(time.Now()), nil), "", "token_invalid"},
		"of another secret":    {src.callToken(t, good, func(c *token.Claims) { c.Generation = 2 }), "", "token_invalid"},
		"expired": {src.callToken(t, good, func(c *token.Claims) {
			c.IssuedAt, c.ExpiresAt = time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)
		}), "", "token_expired"},
		"of another issuer": {src.callToken(t, good, func(c *token.Claims) { c.Issuer = "http://other" }), "", "token_invalid"},
		"for the gateway":   {src.callToken(t, good, func(c *token.Claims) { c.Audience = []string{door} }), "", "token_invalid"},
		"for nobody":        {src.callToken(t, good, func(c *token.Claims) { c.Audience = nil }), "", "token_invalid"},
		"bound to a key":    {src.callToken(t, good, func(c *token.Claims) { c.JKT = strings.Repeat("A", 43) }), "", "token_invalid"},
		"without a scope":   {src.callToken(t, good, func(c *token.Claims) { c.Scope = "" }), "", "not_allowed"},
	}
	for name, tok := range tokens {
		for callee, of := range map[string]string{"orders": project, "hidden": project, "below.prj_below": "prj_below", "theirs.prj_b": "prj_b", "theirs": "nobody", "below": "own", "nobody": "nobody", "orders.prj_a": project} {
			want := "function_not_found"
			if tok.project == of || tok.project == project && of == "prj_below" || tok.project == "prj_below" && callee == "below" || tok.project == "prj_b" && callee == "theirs" {
				want = ran
			}
			if tok.project == "" {
				want = tok.code
				if tok.code == "not_allowed" && (of == "prj_b" || of == "nobody" || callee == "below") {
					want = "function_not_found"
				}
			}
			header := http.Header{}
			if tok.raw != "" {
				header["X-Postern-Token"] = []string{tok.raw}
			}
			before := w.invoker.acquired.Load()
			res, p := w.inside("GET", callee+".internal", "/webhook", header)
			if p.Code != want || (p.Code != ran) != (w.invoker.acquired.Load() == before) || res.Header.Get("X-Postern-Refused") != p.Code {
				t.Errorf("%s calls %s: %d %s, want %s", name, callee, res.StatusCode, p.Code, want)
			}
		}
	}
	// Nor does any of them open the door outside, where the key's own tokens do.
	for name, tok := range tokens {
		for _, header := range []http.Header{{"Authorization": {"Bearer " + tok.raw}}, {"X-Postern-Token": {tok.raw}}, {"X-Api-Key": {tok.raw}}} {
			before := w.invoker.acquired.Load()
			if res, p := w.do("GET", "/fn/orders/webhook", header); (res.StatusCode != 401 || w.invoker.acquired.Load() != before) && name != "for the gateway" {
				t.Errorf("%s at the gateway: %d %s", name, res.StatusCode, p.Code)
			}
		}
	}
}

// What a door of a function asks of everybody it asks of functions.
func TestInternal_Steps(t *testing.T) {
	t.Parallel()
	w, src := newCallWorld(t)
	raw := src.callToken(t, w.functionKey(t, nil), nil)
	for name, tt := range map[string]struct {
		host, method, path string
		header             http.Header
		code               string
	}{
		"guarded": {"hidden.internal", "GET", "/webhook", nil, "queue_full"}, "open": {"hidden.internal", "GET", "/status", nil, "queue_full"}, "below a path": {"hidden.internal", "GET", "/a/webhook", nil, "queue_full"},
		"a host in capitals": {"HIDDEN.Internal", "GET", "/webhook", nil, "queue_full"}, "a port": {"hidden.internal:80", "GET", "/webhook", nil, "queue_full"},
		"signed":              {"hidden.internal", "GET", "/ice", nil, "signature_required"},
		"a guard that is odd": {"hidden.internal", "GET", "/odd", nil, "signature_required"},
		"no bearers":          {"hidden.internal", "GET", "/bare", nil, "credential_not_taken"}, "bearers": {"hidden.internal", "GET", "/bearing", nil, "queue_full"},
		"no bearers, with a key beside":            {"hidden.internal", "GET", "/bare", http.Header{"X-Api-Key": {accesskey.NewSecret().Reveal()}}, "credential_not_taken"},
		"no bearers, with the function's own user": {"hidden.internal", "GET", "/bare", http.Header{"Authorization": {basic(adminUser, adminPassword)}}, "credential_not_taken"},
		"as a browser": {"hidden.internal", "GET", "/bare", http.Header{"Sec-Fetch-Mode": {"navigate"}, "Accept": {"text/html"}}, "credential_not_taken"}, "the page to sign in": {"hidden.internal", "GET", "/login", nil, "handler_not_found"},
		"addresses": {"hidden.internal", "GET", "/far", nil, "address_not_allowed"}, "addresses, said": {"hidden.internal", "GET", "/far", http.Header{"X-Forwarded-For": {"10.0.0.1"}}, "address_not_allowed"},
		"a group": {"hidden.internal", "GET", "/grouped", nil, "queue_full"}, "another scope": {"hidden.internal", "GET", "/controlled", nil, "not_allowed"},
		"nothing there": {"hidden.internal", "GET", "/nope", nil, "handler_not_found"}, "an ambiguous path": {"hidden.internal", "GET", "/a/../webhook", nil, "ambiguous_path"},
		"a method": {"hidden.internal", "TRACE", "/webhook", nil, "method_not_allowed"}, "a path of the gateway": {"x", "GET", "/fn/hidden/webhook", nil, "function_not_found"},
		"an address": {"hidden.localhost", "GET", "/webhook", nil, "function_not_found"}, "an ID": {"fn-hidden.internal", "GET", "/webhook", nil, "function_not_found"}, "no name": {".internal", "GET", "/webhook", nil, "function_not_found"},
		"the domain": {"internal", "GET", "/webhook", nil, "function_not_found"}, "metadata": {"hidden.internal", "GET", "/.well-known/oauth-protected-resource", nil, "handler_not_found"},
		"ten hops": {"hidden.internal", "GET", "/webhook", http.Header{"X-Postern-Hops": {"10"}}, "queue_full"}, "eleven": {"hidden.internal", "GET", "/webhook", http.Header{"X-Postern-Hops": {"11"}}, "call_loop"},
		"very many": {"hidden.internal", "GET", "/webhook", http.Header{"X-Postern-Hops": {"99999999999999999999"}}, "invalid_request"}, "none": {"hidden.internal", "GET", "/webhook", http.Header{"X-Postern-Hops": {"0"}}, "invalid_request"},
		"somebody's token beside": {"hidden.internal", "GET", "/webhook", http.Header{"Authorization": {"Bearer of-a-user"}}, "queue_full"},
	} {
		h := tt.header.Clone()
		if h == nil {
			h = http.Header{}
		}
		h.Set("X-Postern-Token", raw)
		before := w.invoker.acquired.Load()
		if res, p := w.inside(tt.method, tt.host, tt.path, h); p.Code != tt.code || (w.invoker.acquired.Load() == before) != (tt.code != "queue_full") {
			t.Errorf("%s: %d %s, want %s", name, res.StatusCode, p.Code, tt.code)
		}
	}
	if res, _ := w.inside("GET", "hidden.internal", "/health", http.Header{"X-Postern-Token": {raw}}); res.StatusCode != 200 {
		t.Errorf("/health: %d", res.StatusCode)
	}
}

// A token dies with its key, while it is still in memory.
func TestInternal_TokenDiesWithItsKey(t *testing.T) {
	t.Parallel()
	w, src := newCallWorld(t)
	id := w.functionKey(t, nil)
	raw := src.callToken(t, id, nil)
	ask := func() string {
		_, p := w.inside("GET", "orders.internal", "/webhook", http.Header{"X-Postern-Token": {raw}})
		return p.Code
	}
	end := func(at time.Time) {
		w.settle(t, w.src.change(platform.ChangeKey, id, func() {
			k := w.src.keys[id]
			k.ExpiresAt = at
			w.src.keys[id] = k
		}))
	}
	if code := ask(); code != "queue_full" {
		t.Fatal(code)
	}
	end(time.Now().Add(time.Minute)) // as a deploy gives the key that it replaces
	if code := ask(); code != "queue_full" {
		t.Errorf("in its last minute: %s", code)
	}
	end(time.Now())
	if code := ask(); code != "token_invalid" {
		t.Errorf("after its end: %s", code)
	}
}

// A private function is told of as none: by ID, by slug, by host and by path.
func TestPrivate(t *testing.T) {
	t.Parallel()
	w, _ := newCallWorld(t)
	_, secret := w.key(nil)
	w.settle(t, w.src.seq())
	for _, path := range []string{"/fn/%s/webhook", "/fn/%s/status", "/fn/%s/health", "/fn/%s", "//fn//%s/status", "/.well-known/oauth-protected-resource/fn/%s"} {
		for _, name := range []string{"hidden", "fn-hidden"} {
			got, p := w.do("GET", strings.ReplaceAll(path, "%s", name), http.Header{"X-Api-Key": {secret}})
			want, q := w.do("GET", strings.ReplaceAll(path, "%s", "nobody"), http.Header{"X-Api-Key": {secret}})
			p.RequestID, q.RequestID = "", ""
			if got.StatusCode != 404 || got.StatusCode != want.StatusCode || p != q {
				t.Errorf("%s of %s: %d %+v, want %+v", path, name, got.StatusCode, p, q)
			}
		}
	}
	if w.invoker.acquired.Load() != 0 {
		t.Error("something ran")
	}
	// A deploy opens it, and another closes it again.
	for _, tt := range []struct {
		v      platform.Visibility
		status int
	}{{platform.Public, 503}, {platform.Private, 404}} {
		w.settle(t, w.src.change(platform.ChangeFunction, "fn-hidden", func() {
			d := w.src.active["fn-hidden"]
			d.Visibility = tt.v
			w.src.active["fn-hidden"] = d
		}))
		if res, _ := w.do("GET", "/fn/hidden/status", nil); res.StatusCode != tt.status {
			t.Errorf("visibility %q: %d", tt.v, res.StatusCode)
		}
	}
}

// A call is explained as what it is, when it was made and when it is asked about.
func TestExplain_Call(t *testing.T) {
	t.Parallel()
	w, src := newCallWorld(t)
	id := w.functionKey(t, nil)
	res, _ := w.inside("GET", "hidden.internal", "/ice", http.Header{"X-Postern-Token": {src.callToken(t, id, nil)}})
	e, ok := w.g.Explained(project, res.Header.Get("X-Request-Id"))
	if !ok || e.Code != "signature_required" || e.Steps[1].Verdict != audit.Passed {
		t.Errorf("%v %+v", ok, e)
	}
	for url, want := range map[string]string{"http://hidden.internal/webhook": "", "http://hidden.internal/nope": "handler_not_found", "http://nobody.internal/webhook": "function_not_found", "http://127.0.0.1/fn/hidden/webhook": "function_not_found"} {
		k := w.src.keys[id]
		e, err := w.g.Explain(audit.Question{ProjectID: project, URL: url, Remote: "192.0.2.1:1", KeyID: id, Key: &k})
		if err != nil || e.Code != want || want == "" && !strings.Contains(e.Steps[2].Why, "the function caller") {
			t.Errorf("%s: %v %+v", url, err, e)
		}
	}
	person, _ := w.key(nil)
	w.settle(t, w.src.seq())
	k := w.src.keys[person]
	if e, err := w.g.Explain(audit.Question{ProjectID: project, URL: "http://hidden.internal/webhook", KeyID: person, Key: &k}); err != nil || e.Code != "token_invalid" {
		t.Errorf("by a person's key: %v %+v", err, e)
	}
}
