package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signin"
)

const (
	adminUser     = "ada"
	adminPassword = "correct horse"
	ordersHost    = "orders.localhost:8080"
)

var signInKey = signin.Key{1}

// portal is a gateway with a function that has a user of its own.
type portal struct {
	*world
	ended []platform.RevokedToken
	endOf error
}

func newPortal(t testing.TB, change func(*platform.Deployment, *gateway.Options)) *portal {
	t.Helper()
	p := &portal{world: newWorld(t)}
	d := p.src.active[fnID]
	d.Variables = map[string]string{"ADMIN_USER": adminUser, "ADMIN_PASSWORD": adminPassword}
	d.Handlers = append([]platform.Handler{
		{Name: "reports", Routes: []platform.Route{
			{Pattern: "GET /reports/{id}"}, {Pattern: "GET /partners", Rule: platform.Rule{Group: "partners"}}, {Pattern: "GET /own", Rule: platform.Rule{Group: slug}},
			{Pattern: "GET /scoped", Rule: platform.Rule{Scopes: []platform.Scope{platform.ScopeControl}}}, {Pattern: "GET /invoked", Rule: platform.Rule{Scopes: []platform.Scope{platform.ScopeInvoke}}},
			{Pattern: "GET /pages", Rule: platform.Rule{Methods: []string{"admin"}}}, {Pattern: "GET /keyed", Rule: platform.Rule{Methods: []string{"basic", "apikey"}}},
			{Pattern: "GET /inside", Rule: platform.Rule{Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}}},
	}, d.Handlers...)
	o := gateway.Options{Access: slog.New(slog.NewJSONHandler(p.access, nil)), URL: "http://127.0.0.1:8080", SignInKey: signInKey,
		URLs: func(s string) []string {
			return []string{"http://127.0.0.1:8080/fn/" + s, "http://" + s + ".localhost:8080"}
		},
		EndSession: func(_ context.Context, s platform.RevokedToken) error { p.ended = append(p.ended, s); return p.endOf }}
	if change != nil {
		change(&d, &o)
	}
	p.src.active[fnID] = d
	p.g = gateway.New(o, p.invoker)
	p.load(t)
	return p
}

// overHTTPS gives the function an address that begins with https.
func overHTTPS(_ *platform.Deployment, o *gateway.Options) {
	o.URLs = func(s string) []string {
		return []string{"https://gw.example/fn/" + s, "https://" + s + ".localhost:8080"}
	}
}

// ask makes a request of a browser's at the host name. Header lines are "Name: value".
func (p *portal) ask(method, target, body string, lines ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://"+ordersHost+"/", strings.NewReader(body))
	r.RequestURI = target
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		r.Header.Add(name, value)
		if name == "Host" {
			r.Host = value
		}
		if name == "Remote" {
			r.RemoteAddr = value
		}
	}
	rec := httptest.NewRecorder()
	p.g.ServeHTTP(rec, r)
	return rec
}

const (
	navigate   = "Sec-Fetch-Mode: navigate"
	document   = "Sec-Fetch-Dest: document"
	sameOrigin = "Sec-Fetch-Site: same-origin"
	sameSite   = "Sec-Fetch-Site: same-site"
	crossSite  = "Sec-Fetch-Site: cross-site"
	isForm     = "Content-Type: application/x-www-form-urlencoded"
)

func (p *portal) logIn(user, password, next string, lines ...string) *httptest.ResponseRecorder {
	form := url.Values{"username": {user}, "password": {password}, "next": {next}}
	return p.ask("POST", "/login", form.Encode(), append([]string{navigate, sameOrigin, isForm}, lines...)...)
}

// cookieOf is the cookie of a name that an answer sets, as it is sent back; "" if it does not.
func cookieOf(rec *httptest.ResponseRecorder, name string) string {
	for _, c := range rec.Result().Cookies() {
		if c.Name == name && c.MaxAge > 0 {
			return "Cookie: " + c.Name + "=" + c.Value
		}
	}
	return ""
}

func (p *portal) session(t testing.TB) string {
	t.Helper()
	c := cookieOf(p.logIn(adminUser, adminPassword, ""), "postern-session")
	if c == "" {
		t.Fatal("no session")
	}
	return c
}

// ran reports how many handlers would have run during f.
func (p *portal) ran(f func()) int64 {
	before := p.invoker.acquired.Load()
	f()
	return p.invoker.acquired.Load() - before
}

// sealed is the cookie of a session that began and was seen so long ago.
func sealed(t testing.TB, functionID, user, password string, began, seen time.Duration) string {
	t.Helper()
	pair, err := signInKey.Pair(functionID, user, password)
	if err != nil || pair == nil {
		t.Fatal(err)
	}
	s := signin.Begin(time.Now().Add(-began))
	if renewed, ok := s.Renewed(time.Now().Add(-seen)); ok {
		s = renewed
	}
	return "Cookie: postern-session=" + pair.Seal(s)
}

// Who is let in by the pair and by a session, and who is not: what ran decides.
func TestSignIn_WhoIsLetIn(t *testing.T) {
	t.Parallel()
	p := newPortal(t, nil)
	id, secret := p.key(nil)
	p.load(t)
	live := p.session(t)
	value := strings.TrimPrefix(live, "Cookie: postern-session=")
	right, wrong := "Authorization: "+basic(adminUser, adminPassword), "Authorization: "+basic(adminUser, "wrong horse!")
	for name, tc := range map[string]struct {
		method, target string
		lines          []string
		status         int // 503: it ran
	}{
		"basic":                               {"GET", "/webhook", []string{right}, 503},
		"basic, below /fn":                    {"GET", "/fn/orders/webhook", []string{right, "Host: 127.0.0.1:8080"}, 503},
		"basic, post":                         {"POST", "/webhook", []string{right}, 503},
		"basic, scheme in capitals":           {"GET", "/webhook", []string{strings.Replace(right, "Basic", "BASIC", 1)}, 503},
		"basic, wrong":                        {"GET", "/webhook", []string{wrong}, 401},
		"basic, wrong, navigation":            {"GET", "/webhook", []string{wrong, navigate, document}, 401},
		"basic, other user":                   {"GET", "/webhook", []string{"Authorization: " + basic("eve", adminPassword)}, 401},
		"basic, empty":                        {"GET", "/webhook", []string{"Authorization: " + basic("", "")}, 401},
		"basic, no colon":                     {"GET", "/webhook", []string{"Authorization: Basic YWRh"}, 401},
		"basic, with a wrong key":             {"GET", "/webhook", []string{right, "X-Api-Key: x"}, 401},
		"as a bearer":                         {"GET", "/webhook", []string{"Authorization: Bearer " + adminPassword}, 401},
		"as a key":                            {"GET", "/webhook", []string{"X-Api-Key: " + adminPassword}, 401},
		"in the query":                        {"GET", "/webhook?username=ada&password=correct+horse", nil, 401},
		"session, page":                       {"GET", "/webhook", []string{live, navigate, document, sameOrigin}, 503},
		"session, typed":                      {"GET", "/webhook", []string{live, navigate, document, "Sec-Fetch-Site: none"}, 503},
		"session, link elsewhere":             {"GET", "/webhook", []string{live, navigate, document, crossSite}, 503},
		"session, link on a sibling":          {"GET", "/webhook", []string{live, navigate, document, sameSite}, 503},
		"session, fetch":                      {"GET", "/webhook", []string{live, "Sec-Fetch-Mode: cors", sameOrigin}, 503},
		"session, fetch elsewhere":            {"GET", "/webhook", []string{live, "Sec-Fetch-Mode: cors", crossSite}, 401},
		"session, fetch on a sibling":         {"GET", "/webhook", []string{live, "Sec-Fetch-Mode: cors", sameSite}, 401},
		"session, frame on a sibling":         {"GET", "/webhook", []string{live, navigate, "Sec-Fetch-Dest: iframe", sameSite}, 303},
		"session, script elsewhere":           {"GET", "/webhook", []string{live, "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script", crossSite}, 401},
		"session, post":                       {"POST", "/webhook", []string{live, navigate, sameOrigin}, 503},
		"session, post by origin":             {"POST", "/webhook", []string{live, "Origin: http://" + ordersHost}, 503},
		"session, post by origin in capitals": {"POST", "/webhook", []string{live, "Origin: http://ORDERS.localhost:8080"}, 503},
		"session, post elsewhere":             {"POST", "/webhook", []string{live, navigate, crossSite}, 401},
		"session, post on a sibling":          {"POST", "/webhook", []string{live, navigate, sameSite, "Origin: http://" + ordersHost}, 401},
		"session, post typed":                 {"POST", "/webhook", []string{live, navigate, "Sec-Fetch-Site: none"}, 401},
		"session, post of unknown origin":     {"POST", "/webhook", []string{live}, 401},
		"session, post of origin null":        {"POST", "/webhook", []string{live, "Origin: null"}, 401},
		"session, post of another port":       {"POST", "/webhook", []string{live, "Origin: http://orders.localhost:9090"}, 401},
		"session, post of another scheme":     {"POST", "/webhook", []string{live, "Origin: https://" + ordersHost}, 401},
		"session, post of two origins":        {"POST", "/webhook", []string{live, "Origin: http://" + ordersHost, "Origin: http://evil"}, 401},
		"session, two sites":                  {"POST", "/webhook", []string{live, sameOrigin, crossSite}, 401},
		"session, put elsewhere":              {"PUT", "/webhook", []string{live, crossSite}, 401},
		"session, delete elsewhere":           {"DELETE", "/webhook", []string{live, crossSite}, 401},
		"session, method in a header":         {"GET", "/webhook", []string{live, "Sec-Fetch-Mode: cors", crossSite, "X-Http-Method-Override: GET"}, 401},
		"session, socket elsewhere":           {"GET", "/webhook", []string{live, "Upgrade: websocket", "Connection: Upgrade", "Origin: http://evil"}, 401},
		"session, socket of unknown origin":   {"GET", "/webhook", []string{live, "Upgrade: websocket", "Connection: Upgrade"}, 401},
		"session, socket where there is none": {"GET", "/webhook", []string{live, "Upgrade: websocket", "Connection: Upgrade", "Origin: http://" + ordersHost}, 400},
		"session, head":                       {"HEAD", "/webhook", []string{live, sameOrigin}, 503},
		"session, old browser":                {"GET", "/webhook", []string{live}, 503},
		"session, old browser elsewhere":      {"GET", "/webhook", []string{live, "Origin: http://evil"}, 401},
		"session, beside a wrong password":    {"GET", "/webhook", []string{live, wrong, navigate, document, sameOrigin}, 401},
		"session, beside a wrong key":         {"GET", "/webhook", []string{live, "X-Api-Key: x", sameOrigin}, 401},
		"session, beside an empty credential": {"GET", "/webhook", []string{live, "Authorization: ", sameOrigin}, 401},
		"session, below /fn":                  {"GET", "/fn/orders/webhook", []string{live, sameOrigin, "Host: 127.0.0.1:8080"}, 401},
		"session, twice":                      {"GET", "/webhook", []string{live, live, sameOrigin}, 401},
		"session, other prefix":               {"GET", "/webhook", []string{"Cookie: __Host-postern-session=" + value, sameOrigin}, 401},
		"session, other case":                 {"GET", "/webhook", []string{"Cookie: Postern-Session=" + value, sameOrigin}, 401},
		"session, cut":                        {"GET", "/webhook", []string{live[:len(live)-1], sameOrigin}, 401},
		"session, padded":                     {"GET", "/webhook", []string{live + "=", sameOrigin}, 401},
		"session, altered":                    {"GET", "/webhook", []string{live[:len(live)-60] + "A" + live[len(live)-59:], sameOrigin}, 401},
		"session, chosen by another":          {"GET", "/webhook", []string{"Cookie: postern-session=" + strings.Repeat("A", len(value)), sameOrigin}, 401},
		"session, of another function":        {"GET", "/webhook", []string{sealed(t, "fn-01jd0000000000000000000001", adminUser, adminPassword, 0, 0), sameOrigin}, 401},
		"session, of another user":            {"GET", "/webhook", []string{sealed(t, fnID, "eve", adminPassword, 0, 0), sameOrigin}, 401},
		"session, of the password before":     {"GET", "/webhook", []string{sealed(t, fnID, adminUser, "older horse", 0, 0), sameOrigin}, 401},
		"session, in use":                     {"GET", "/webhook", []string{sealed(t, fnID, adminUser, adminPassword, 11*time.Hour+59*time.Minute, 59*time.Minute), sameOrigin}, 503},
		"session, idle":                       {"GET", "/webhook", []string{sealed(t, fnID, adminUser, adminPassword, 2*time.Hour, time.Hour), sameOrigin}, 401},
		"session, over":                       {"GET", "/webhook", []string{sealed(t, fnID, adminUser, adminPassword, 12*time.Hour, time.Minute), sameOrigin}, 401},
		"session, of a time to come":          {"GET", "/webhook", []string{sealed(t, fnID, adminUser, adminPassword, -time.Hour, -time.Hour), sameOrigin}, 401},
		"session, callback":                   {"POST", "/ice", []string{live, sameOrigin}, 401},
		"session, unknown guard":              {"GET", "/odd", []string{live, sameOrigin}, 401},
		"open, nothing":                       {"GET", "/status", []string{navigate}, 503},
		"health":                              {"GET", "/health", []string{navigate}, 200},
		"route":                               {"GET", "/reports/7", []string{right}, 503},
		"route of its own group":              {"GET", "/own", []string{right}, 503},
		"route with the scope invoke":         {"GET", "/invoked", []string{right}, 503},
		"route of a group":                    {"GET", "/partners", []string{right}, 403},
		"route of a group, session":           {"GET", "/partners", []string{live, sameOrigin}, 403},
		"route with a scope":                  {"GET", "/scoped", []string{right}, 403},
		"route for the user":                  {"GET", "/pages", []string{right}, 503},
		"route for the user, session":         {"GET", "/pages", []string{live, sameOrigin}, 503},
		"route for the user, nobody":          {"GET", "/pages", []string{navigate}, 303},
		"route for the user, key":             {"GET", "/pages", []string{"X-Api-Key: " + secret}, 401},
		"route for the user, key as basic":    {"GET", "/pages", []string{"Authorization: " + basic(id, secret)}, 401},
		"route for keys":                      {"GET", "/keyed", []string{"Authorization: " + basic(id, secret)}, 503},
		"route for keys, the user":            {"GET", "/keyed", []string{right}, 401},
		"route for keys, session":             {"GET", "/keyed", []string{live, sameOrigin}, 401},
		"route for keys, nobody":              {"GET", "/keyed", []string{navigate}, 401},
		"route for addresses":                 {"GET", "/inside", []string{right}, 403},
		"route for addresses, session":        {"GET", "/inside", []string{live, sameOrigin, "X-Forwarded-For: 10.0.0.1"}, 403},
		"route with a scope, session":         {"GET", "/scoped", []string{live, navigate, document, sameOrigin}, 403},
	} {
		var rec *httptest.ResponseRecorder
		// Each from an address of its own, so that no attempt stands in another's way.
		remote := fmt.Sprintf("Remote: 198.51.%d.%d:1", len(name)%200, len(tc.lines)*16+len(tc.target))
		ran := p.ran(func() { rec = p.ask(tc.method, tc.target, "", append(tc.lines, remote)...) })
		if rec.Code != tc.status || ran != map[bool]int64{true: 1}[tc.status == 503] {
			t.Errorf("%s: %d, ran %d times; want %d", name, rec.Code, ran, tc.status)
		}
		if tc.status == 401 && rec.Header().Get("Location") != "" {
			t.Errorf("%s: a redirect beside 401", name)
		}
	}
	for _, s := range []string{adminPassword, basic(adminUser, adminPassword), value} {
		if strings.Contains(p.access.String(), s) {
			t.Error("a secret is in the access log")
		}
	}
	if !strings.Contains(p.access.String(), `"auth":"admin"`) {
		t.Error("the access log does not say who was let in")
	}
}

// What is no pair opens nothing, and brings no page.
func TestSignIn_NoPair(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]map[string]string{
		"none": {}, "user alone": {"ADMIN_USER": "ada"}, "password alone": {"ADMIN_PASSWORD": adminPassword}, "empty user": {"ADMIN_USER": "", "ADMIN_PASSWORD": adminPassword},
		"empty password": {"ADMIN_USER": "ada", "ADMIN_PASSWORD": ""}, "short": {"ADMIN_USER": "ada", "ADMIN_PASSWORD": "1234567"}, "long": {"ADMIN_USER": "ada", "ADMIN_PASSWORD": strings.Repeat("x", 1025)},
	} {
		p := newPortal(t, func(d *platform.Deployment, _ *gateway.Options) { d.Variables = v })
		ran := p.ran(func() {
			for _, line := range []string{navigate, "Authorization: " + basic(v["ADMIN_USER"], v["ADMIN_PASSWORD"]), "Authorization: " + basic("", "")} {
				if rec := p.ask("GET", "/webhook", "", line); rec.Code != 401 {
					t.Errorf("%s, %s: %d", name, line, rec.Code)
				}
			}
			if rec := p.logIn(v["ADMIN_USER"], v["ADMIN_PASSWORD"], ""); rec.Code != 404 || len(rec.Result().Cookies()) != 0 {
				t.Errorf("%s: POST /login: %d", name, rec.Code)
			}
			for _, path := range []string{"/login", "/logout"} {
				if rec := p.ask("GET", path, "", navigate); rec.Code != 404 {
					t.Errorf("%s: %s: %d", name, path, rec.Code)
				}
			}
		})
		if ran != 0 {
			t.Errorf("%s: %d ran", name, ran)
		}
	}
}

// The vault is asked before the variables.
func TestSignIn_Secrets(t *testing.T) {
	t.Parallel()
	p := newPortal(t, func(d *platform.Deployment, o *gateway.Options) {
		d.Variables["ADMIN_PASSWORD"] = "not this one"
		o.Secrets = vault{fnID + " ADMIN_PASSWORD": adminPassword}
	})
	if rec := p.logIn(adminUser, "not this one", ""); rec.Code != 401 {
		t.Errorf("the variable's password: %d", rec.Code)
	}
	p.session(t)
}

// A browser that opens a page is sent to sign in; nobody else ever is.
func TestSignIn_Navigation(t *testing.T) {
	t.Parallel()
	const chrome = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
	p := newPortal(t, nil)
	for name, tc := range map[string]struct {
		method, target string
		lines          []string
		to             string // empty: 401
	}{
		"page":                 {"GET", "/webhook", []string{navigate}, "/login?next=%2Fwebhook"},
		"head":                 {"HEAD", "/webhook", []string{navigate}, "/login?next=%2Fwebhook"},
		"query":                {"GET", "/webhook?a=1&b=%2F", []string{navigate}, "/login?next=%2Fwebhook%3Fa%3D1%26b%3D%252F"},
		"untidy path":          {"GET", "//reports///a%20b/", []string{navigate}, "/login?next=%2Freports%2Fa%2520b"},
		"query that is none":   {"GET", "/webhook?a=\\", []string{navigate}, "/login"},
		"long query":           {"GET", "/webhook?a=" + strings.Repeat("x", 2048), []string{navigate}, "/login"},
		"accept":               {"GET", "/webhook", []string{chrome}, "/login?next=%2Fwebhook"},
		"mode before accept":   {"GET", "/webhook", []string{chrome, "Sec-Fetch-Mode: cors"}, ""},
		"by host of its ID":    {"GET", "/webhook", []string{navigate, "Host: " + fnID + ".localhost:8080"}, "/login?next=%2Fwebhook"},
		"frame":                {"GET", "/webhook", []string{navigate, "Sec-Fetch-Dest: iframe", crossSite}, "/login?next=%2Fwebhook"},
		"dead session":         {"GET", "/webhook", []string{navigate, "Cookie: postern-session=x"}, "/login?next=%2Fwebhook"},
		"two modes":            {"GET", "/webhook", []string{navigate, navigate}, ""},
		"post":                 {"POST", "/webhook", []string{navigate, chrome}, ""},
		"delete":               {"DELETE", "/webhook", []string{navigate}, ""},
		"curl":                 {"GET", "/webhook", []string{"Accept: */*"}, ""},
		"nothing":              {"GET", "/webhook", nil, ""},
		"json":                 {"GET", "/webhook", []string{"Accept: application/json"}, ""},
		"json before html":     {"GET", "/webhook", []string{"Accept: application/json, text/html"}, ""},
		"html of less weight":  {"GET", "/webhook", []string{"Accept: text/html;q=0.5, application/json"}, ""},
		"html of no weight":    {"GET", "/webhook", []string{"Accept: text/html;q=0"}, ""},
		"fetch":                {"GET", "/webhook", []string{"Sec-Fetch-Mode: cors", chrome}, ""},
		"a wrong key":          {"GET", "/webhook", []string{navigate, "X-Api-Key: x"}, ""},
		"a bad token":          {"GET", "/webhook", []string{navigate, "Authorization: Bearer x"}, ""},
		"below /fn":            {"GET", "/fn/orders/webhook", []string{navigate, "Host: 127.0.0.1:8080"}, ""},
		"callback":             {"GET", "/ice", []string{navigate}, ""},
		"path of two readings": {"GET", "/x/../webhook", []string{navigate}, "400"},
		"no such handler":      {"GET", "/nope", []string{navigate}, "404"},
	} {
		var rec *httptest.ResponseRecorder
		ran := p.ran(func() { rec = p.ask(tc.method, tc.target, "", tc.lines...) })
		want := map[string]int{"": 401, "400": 400, "404": 404}[tc.to]
		if want == 0 {
			want = 303
		} else {
			tc.to = ""
		}
		if rec.Code != want || rec.Header().Get("Location") != tc.to || ran != 0 {
			t.Errorf("%s: %d to %q, ran %d times; want %d to %q", name, rec.Code, rec.Header().Get("Location"), ran, want, tc.to)
		}
		if c := rec.Header().Get("Cache-Control"); c != "no-store" {
			t.Errorf("%s: Cache-Control %q", name, c)
		}
	}
	// Below /fn a browser is told where, and opens no window that would take the password.
	rec := p.ask("GET", "/fn/orders/webhook", "", navigate, crossSite, "Host: 127.0.0.1:8080")
	if c := strings.Join(rec.Header()["www-authenticate"], ""); !strings.Contains(rec.Body.String(), "http://orders.localhost:8080") || strings.Contains(c, "Basic") || c == "" {
		t.Errorf("below /fn: challenge %q, %s", c, rec.Body)
	}
	if rec := p.ask("GET", "/webhook", "", "Sec-Fetch-Mode: cors", sameOrigin); strings.Join(rec.Header()["www-authenticate"], "") != `Bearer realm="postern"` {
		t.Errorf("a browser's fetch is asked for %q", rec.Header()["www-authenticate"])
	}
	if rec := p.logIn(adminUser, "x", ""); strings.Join(rec.Header()["www-authenticate"], "") != `Bearer realm="postern"` {
		t.Errorf("the form is answered with %q", rec.Header()["www-authenticate"])
	}
	if rec := p.ask("GET", "/webhook", "", "Sec-Fetch-Mode: cors"); !strings.Contains(strings.Join(rec.Header()["www-authenticate"], ""), "Basic") {
		t.Error("another client is not asked for Basic")
	}
	// Over plain HTTP on a name that is not this machine's there is no page at all.
	p = newPortal(t, func(_ *platform.Deployment, o *gateway.Options) {
		o.BaseDomain = "example.com"
		o.URLs = func(s string) []string { return []string{"http://gw/fn/" + s, "http://" + s + ".example.com"} }
	})
	rec = p.ask("GET", "/webhook", "", navigate, "Host: orders.example.com")
	if rec.Code != 401 || !strings.Contains(rec.Body.String(), "HTTPS") {
		t.Errorf("plain HTTP: %d %s", rec.Code, rec.Body)
	}
	if rec := p.logIn(adminUser, adminPassword, "", "Host: orders.example.com"); rec.Code != 404 || len(rec.Result().Cookies()) != 0 {
		t.Errorf("plain HTTP: POST /login: %d", rec.Code)
	}
}

// Where a sign-in leads is a path of the same host, whatever it was asked for.
func TestSignIn_Next(t *testing.T) {
	t.Parallel()
	p := newPortal(t, nil)
	for next, want := range map[string]string{
		"": "/", "/": "/", "/webhook": "/webhook", "/webhook?a=1&b=%2F": "/webhook?a=1&b=%2F", "/a%20b": "/a%20b", "/a//b/": "/a/b", "/ö": "/", "/%C3%B6": "/%C3%B6",
		"//evil": "/", "/\\evil": "/", "\\\\evil": "/", "/%5cevil": "/", "/%2fevil": "/", "/\t/evil": "/", "/%09/evil": "/", "https://evil": "/", "http:evil": "/", "javascript:alert(1)": "/", "evil": "/",
		"/../evil": "/", "/%2e%2e/evil": "/", "/.//evil": "/", "/;/evil": "/;/evil", "/x#//evil": "/", "/x?#": "/", "/x\r\nSet-Cookie: a=b": "/", "/x?a=\nb": "/", "/x?\\": "/", "/x?u=//evil": "/x?u=//evil",
		"/login": "/", "/login/": "/", "/%6cogin": "/", "/login?next=/": "/", "/logout": "/", "/logout/": "/", "/logins": "/logins", "/@evil": "/@evil", "/" + strings.Repeat("x", 2048): "/", " /x": "/", "///evil": "/",
	} {
		rec := p.logIn(adminUser, adminPassword, next)
		got := rec.Header().Get("Location")
		if rec.Code != 303 || got != want {
			t.Errorf("%q leads to %d %q, want %q", next, rec.Code, got, want)
		}
		base, _ := url.Parse("http://" + ordersHost + "/login")
		if to, err := base.Parse(got); err != nil || to.Host != ordersHost || to.Scheme != "http" {
			t.Errorf("%q leads to %v, %v", next, to, err)
		}
		page := p.ask("GET", "/login?next="+url.QueryEscape(next), "", navigate)
		if m := regexp.MustCompile(`name="next" value="([^"]*)"`).FindStringSubmatch(page.Body.String()); m == nil || strings.ReplaceAll(m[1], "&amp;", "&") != want {
			t.Errorf("%q: the page has %q", next, m)
		}
	}
}

// FuzzNext: a sign-in never leads to another host.
func FuzzNext(f *testing.F) {
	for _, s := range []string{"/webhook", "//evil", "/\\evil", "/%5c", "/x?y", "https://evil", "/\t/evil"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://orders.example/login")
	f.Fuzz(func(t *testing.T, next string) {
		got := gateway.SafeNext(next)
		to, err := base.Parse(got)
		if err != nil || to.Host != base.Host || to.Scheme != base.Scheme || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n\t #") {
			t.Errorf("%q leads to %q, %v", next, got, err)
		}
		if again := gateway.SafeNext(got); again != got {
			t.Errorf("%q leads to %q, and that to %q", next, got, again)
		}
		if to.Path == "/login" || to.Path == "/logout" {
			t.Errorf("%q leads to %q", next, got)
		}
	})
}

// Forms are taken from our own pages only.
func TestSignIn_Forms(t *testing.T) {
	t.Parallel()
	p := newPortal(t, nil)
	page := p.ask("GET", "/login", "")
	cookie := cookieOf(page, "postern-form")
	token := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(page.Body.String())[1]
	other := cookieOf(p.ask("GET", "/login", ""), "postern-form")
	live := p.session(t)
	good := "username=ada&password=correct+horse"
	for name, tc := range map[string]struct {
		body  string
		lines []string
		want  int
		code  string
	}{
		"same origin":            {good, []string{sameOrigin, isForm}, 303, ""},
		"typed":                  {good, []string{"Sec-Fetch-Site: none", isForm}, 303, ""},
		"origin":                 {good, []string{"Origin: http://" + ordersHost, isForm}, 303, ""},
		"token":                  {good + "&form=" + token, []string{cookie, isForm}, 303, ""},
		"token, origin null":     {good + "&form=" + token, []string{cookie, "Origin: null", isForm}, 303, ""},
		"no token":               {good, []string{cookie, isForm}, 403, "signin_forged"},
		"no cookie":              {good + "&form=" + token, []string{isForm}, 403, "signin_forged"},
		"another's cookie":       {good + "&form=" + token, []string{other, isForm}, 403, "signin_forged"},
		"empty both":             {good + "&form=", []string{"Cookie: postern-form=", isForm}, 403, "signin_forged"},
		"elsewhere":              {good, []string{crossSite, isForm}, 403, "signin_forged"},
		"elsewhere, with token":  {good + "&form=" + token, []string{cookie, crossSite, isForm}, 403, "signin_forged"},
		"on a sibling":           {good, []string{sameSite, "Origin: http://" + ordersHost, isForm}, 403, "signin_forged"},
		"origin elsewhere":       {good, []string{"Origin: http://evil", isForm}, 403, "signin_forged"},
		"origin null":            {good, []string{"Origin: null", isForm}, 403, "signin_forged"},
		"elsewhere, with a live": {good, []string{live, crossSite, isForm}, 403, "signin_forged"},
		"user twice":             {good + "&username=eve", []string{sameOrigin, isForm}, 400, "invalid_request"},
		"password twice":         {good + "&password=x", []string{sameOrigin, isForm}, 400, "invalid_request"},
		"json":                   {`{"username":"ada","password":"correct horse"}`, []string{sameOrigin, "Content-Type: application/json"}, 400, "invalid_request"},
		"text":                   {good, []string{sameOrigin, "Content-Type: text/plain"}, 400, "invalid_request"},
		"no type":                {good, []string{sameOrigin}, 400, "invalid_request"},
		"bad escapes":            {"username=%zz", []string{sameOrigin, isForm}, 400, "invalid_request"},
		"too large":              {good + strings.Repeat("x", 8<<10), []string{sameOrigin, isForm}, 413, "body_too_large"},
		"in the query":           {"", []string{sameOrigin, isForm}, 401, "signin_failed"},
		"wrong":                  {"username=eve&password=wrong+horse", []string{sameOrigin, isForm}, 401, "signin_failed"},
		"no user":                {"username=&password=correct+horse", []string{sameOrigin, isForm}, 401, "signin_failed"},
		"password with a space":  {"username=ada&password=correct+horse+", []string{sameOrigin, isForm}, 401, "signin_failed"},
	} {
		target := "/login"
		if name == "in the query" {
			target += "?" + good
		}
		tc.lines = append(tc.lines, fmt.Sprintf("Remote: 198.51.%d.%d:1", len(name), len(tc.body)%250)) // no attempt stands in another's way
		rec := p.ask("POST", target, tc.body, tc.lines...)
		session := cookieOf(rec, "postern-session")
		if rec.Code != tc.want || (session != "") != (tc.want == 303) || tc.code != "" && !strings.Contains(rec.Body.String(), `"`+tc.code+`"`) {
			t.Errorf("%s: %d %s, session %t; want %d %s", name, rec.Code, rec.Body, session != "", tc.want, tc.code)
		}
		page := p.ask("POST", target, tc.body, append(tc.lines, navigate)...)
		if page.Code != tc.want || (cookieOf(page, "postern-session") != "") != (tc.want == 303) {
			t.Errorf("%s, by a browser: %d", name, page.Code)
		}
		if html := strings.HasPrefix(page.Header().Get("Content-Type"), "text/html"); html != strings.HasPrefix(tc.code, "signin_") {
			t.Errorf("%s, by a browser: %s", name, page.Header())
		}
	}
	for _, m := range []string{"PUT", "PATCH", "DELETE", "OPTIONS"} {
		if rec := p.ask(m, "/login", "", sameOrigin); rec.Code != 405 || rec.Header().Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%s /login: %d", m, rec.Code)
		}
	}
	if p.invoker.acquired.Load() != 0 {
		t.Error("something ran")
	}
}

// A session ends at the log-out, for whoever has a copy of it, and with its user.
func TestSignIn_End(t *testing.T) {
	t.Parallel()
	p := newPortal(t, nil)
	live, other := p.session(t), p.session(t)
	in := func(cookie string) bool { return p.ask("GET", "/webhook", "", cookie, sameOrigin).Code == 503 }
	if live == other || !in(live) || !in(other) {
		t.Fatal("two sign-ins are not two sessions")
	}
	for name, lines := range map[string][]string{"elsewhere": {crossSite, navigate}, "on a sibling": {sameSite}, "of unknown origin": {}, "of origin null": {"Origin: null"}} {
		if rec := p.ask("POST", "/logout", "", append(lines, live, isForm)...); rec.Code != 403 || !in(live) || strings.Contains(strings.Join(rec.Header()["Set-Cookie"], ""), "session") {
			t.Errorf("a log-out %s: %d", name, rec.Code)
		}
	}
	if rec := p.ask("GET", "/logout", "", live, navigate, crossSite); rec.Code != 200 || !in(live) || !strings.Contains(rec.Body.String(), `action="/logout"`) {
		t.Errorf("GET /logout: %d", rec.Code)
	}
	rec := p.ask("POST", "/logout", "", live, sameOrigin, navigate)
	if rec.Code != 303 || rec.Header().Get("Location") != "/login?out" || in(live) || !in(other) || len(p.ended) != 1 || p.ended[0].ExpiresAt.Before(time.Now().Add(11*time.Hour)) {
		t.Errorf("a log-out: %d, ended %v", rec.Code, p.ended)
	}
	if c := rec.Header()["Set-Cookie"]; len(c) != 1 || c[0] != "postern-session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax" {
		t.Errorf("the cookie stays: %q", c)
	}
	if rec := p.ask("POST", "/logout", "", live, sameOrigin); rec.Code != 303 || len(p.ended) != 1 {
		t.Errorf("a second log-out: %d, %d ended", rec.Code, len(p.ended))
	}
	// Signing in again ends the session that the browser had.
	last := p.session(t)
	if rec := p.logIn(adminUser, adminPassword, "", last); rec.Code != 303 || in(last) {
		t.Error("the session before lives on")
	}
	// When the others cannot be told, it is dead here, and somebody is told.
	last = p.session(t)
	p.endOf = fault.New(fault.Unavailable, "away")
	if rec := p.ask("POST", "/logout", "", last, sameOrigin); rec.Code != 503 || in(last) || !strings.Contains(rec.Header().Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("with the store away: %d", rec.Code)
	}
	for name, v := range map[string]map[string]string{"another password": {"ADMIN_USER": adminUser, "ADMIN_PASSWORD": "another horse"}, "another user": {"ADMIN_USER": "bob", "ADMIN_PASSWORD": adminPassword}, "no user": {}} {
		if !in(other) {
			t.Fatal("ended too early")
		}
		d := p.src.active[fnID]
		was := d.Variables
		d.Variables = v
		p.src.active[fnID] = d
		p.load(t)
		if in(other) {
			t.Errorf("%s: the session lives", name)
		}
		d.Variables = was
		p.src.active[fnID] = d
		p.load(t)
	}
}

// Nodes that share the installation's key take one another's sessions, and
// follow one another's log-outs.
func TestSignIn_TwoNodes(t *testing.T) {
	t.Parallel()
	one := newPortal(t, nil)
	two := newPortal(t, func(_ *platform.Deployment, o *gateway.Options) {
		o.EndSession = func(_ context.Context, s platform.RevokedToken) error {
			one.src.change(platform.ChangeToken, s.ID, func() { one.src.revoked = append(one.src.revoked, s) })
			return nil
		}
	})
	other := newPortal(t, func(_ *platform.Deployment, o *gateway.Options) { o.SignInKey = signin.Key{2} })
	live, second := one.session(t), one.session(t)
	in := func(p *portal, cookie string) bool {
		return p.ask("GET", "/webhook", "", cookie, sameOrigin).Code == 503
	}
	if !in(one, live) || !in(two, live) || in(other, live) {
		t.Fatalf("one %t, two %t, another installation %t", in(one, live), in(two, live), in(other, live))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() { one.g.Follow(ctx, one.src, one.src.bell) })
	defer following.Wait()
	defer cancel()
	if rec := two.ask("POST", "/logout", "", live, sameOrigin); rec.Code != 303 || in(two, live) {
		t.Fatalf("the log-out: %d", rec.Code)
	}
	if err := one.g.WaitApplied(t.Context(), 2); err != nil || in(one, live) || !in(one, second) {
		t.Errorf("on the other node: %v, it lives %t, another lives %t", err, in(one, live), in(one, second))
	}
}

// The cookies and the pages have the flags that they should.
func TestSignIn_Flags(t *testing.T) {
	t.Parallel()
	p := newPortal(t, overHTTPS)
	form := p.ask("GET", "/login", "", navigate)
	if c := form.Header().Get("Set-Cookie"); !regexp.MustCompile(`^__Host-postern-form=[\w-]{43}; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Strict$`).MatchString(c) {
		t.Errorf("the form's cookie is %q", c)
	}
	rec := p.logIn(adminUser, adminPassword, "")
	c := rec.Header()["Set-Cookie"]
	if len(c) != 2 || !regexp.MustCompile(`^__Host-postern-session=[\w-]{108}; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax$`).MatchString(c[0]) || !strings.Contains(c[1], "Max-Age=0") {
		t.Errorf("the cookies are %q", c)
	}
	live := cookieOf(rec, "__Host-postern-session")
	if p.ask("GET", "/webhook", "", live, sameOrigin).Code != 503 || p.ask("GET", "/webhook", "", strings.Replace(live, "__Host-", "", 1), sameOrigin).Code != 401 {
		t.Error("the prefix does not count")
	}
	for name, page := range map[string]*httptest.ResponseRecorder{"login": form, "logout": p.ask("GET", "/logout", ""), "wrong": p.logIn(adminUser, "x", "")} {
		h := page.Header()
		csp := h.Get("Content-Security-Policy")
		for _, d := range []string{"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'sha256-"} {
			if !strings.Contains(csp, d) {
				t.Errorf("%s: the policy lacks %q: %s", name, d, csp)
			}
		}
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Frame-Options") != "DENY" || h.Get("X-Request-Id") == "" {
			t.Errorf("%s: %v", name, h)
		}
		if body := page.Body.String(); strings.Contains(body, "<script") || strings.Contains(body, " style=") || strings.Contains(body, "src=") {
			t.Errorf("%s has more than it may", name)
		}
	}
	if res := p.ask("HEAD", "/login", ""); res.Code != 200 {
		t.Errorf("HEAD /login: %d", res.Code)
	}
}

// Guessing gets slower and slower, in the form and by Basic alike, and what is
// said is the same of a right password as of a wrong one, of a known user as of none.
func TestSignIn_BruteForce(t *testing.T) {
	t.Parallel()
	p := newPortal(t, nil)
	_, secret := p.key(nil)
	p.load(t)
	from := func(n int) string { return fmt.Sprintf("Remote: 198.51.100.%d:4711", n) }
	for _, user := range []string{adminUser, "nobody"} {
		for i := range 5 {
			if rec := p.logIn(user, "guess", "", from(i)); rec.Code != 401 {
				t.Fatalf("%s, attempt %d: %d", user, i+1, rec.Code)
			}
		}
	}
	var said []string
	for _, try := range [][2]string{{adminUser, "guess"}, {adminUser, adminPassword}, {"nobody", "guess"}} {
		rec := p.logIn(try[0], try[1], "", from(9))
		if rec.Code != 429 || rec.Header().Get("Retry-After") != "1" || cookieOf(rec, "postern-session") != "" {
			t.Errorf("%v: %d after %q", try, rec.Code, rec.Header().Get("Retry-After"))
		}
		said = append(said, regexp.MustCompile(`value="[^"]*"`).ReplaceAllString(rec.Body.String(), ""))
	}
	if said[0] != said[1] || said[0] != said[2] || !strings.Contains(said[0], "Too many attempts") {
		t.Errorf("the answers differ: %v", said)
	}
	ran := p.ran(func() {
		if rec := p.ask("GET", "/webhook", "", "Authorization: "+basic(adminUser, adminPassword), from(9)); rec.Code != 429 || rec.Header().Get("Retry-After") == "" || !strings.Contains(rec.Body.String(), "signin_locked") {
			t.Errorf("Basic during the wait: %d", rec.Code)
		}
	})
	if ran != 0 {
		t.Error("the handler ran during the wait")
	}
	// A key, and a key that has ended, have nothing to do with it.
	if rec := p.ask("GET", "/webhook", "", "X-Api-Key: "+secret, from(9)); rec.Code != 503 {
		t.Errorf("a key during the wait: %d", rec.Code)
	}
	for range 30 {
		if rec := p.ask("GET", "/webhook", "", "Authorization: "+basic("pak_01jd0000000000000000000000", "psk_"+strings.Repeat("x", 43)), from(77)); rec.Code != 401 && rec.Code != 429 {
			t.Fatalf("a key that is none: %d", rec.Code)
		}
	}
	// One address that tries everywhere waits too, whatever user it names.
	q := newPortal(t, nil)
	got := map[int]int{}
	for i := range 40 {
		got[q.logIn(fmt.Sprint("user", i), "guess", "", from(1)).Code]++
	}
	if got[401] != 20 || got[429] != 20 {
		t.Errorf("one address: %v", got)
	}
	if rec := q.logIn(adminUser, adminPassword, "", from(2)); rec.Code != 303 {
		t.Errorf("another address meanwhile: %d", rec.Code)
	}
	// By Basic and by the form it is one count.
	q = newPortal(t, nil)
	for i := range 5 {
		q.ask("GET", "/webhook", "", "Authorization: "+basic(adminUser, "guess"), from(i))
	}
	if rec := q.logIn(adminUser, adminPassword, "", from(9)); rec.Code != 429 {
		t.Errorf("the form after five guesses by Basic: %d", rec.Code)
	}
}

// A function's own pages take the place of ours, and the sign-in stays ours.
func TestSignIn_OwnPages(t *testing.T) {
	t.Parallel()
	with := func(hs ...platform.Handler) *portal {
		return newPortal(t, func(d *platform.Deployment, _ *gateway.Options) { d.Handlers = append(hs, d.Handlers...) })
	}
	open := platform.GuardOpen
	for name, tc := range map[string]struct {
		p             *portal
		login, logout int // 200: ours, 503: its own
	}{
		"none":               {with(), 200, 200},
		"exports":            {with(platform.Handler{Name: "login", Guard: open}, platform.Handler{Name: "logout"}), 503, 303},
		"guarded login":      {with(platform.Handler{Name: "login"}), 200, 200},
		"routes":             {with(platform.Handler{Name: "hello", Routes: []platform.Route{{Pattern: "GET /login", Guard: open}, {Pattern: "/logout", Guard: open}}}), 503, 503},
		"everything is open": {with(platform.Handler{Name: "all", Guard: open, Routes: []platform.Route{{Pattern: "/{path...}", Guard: open}}}), 200, 200},
		"by another method":  {with(platform.Handler{Name: "hello", Routes: []platform.Route{{Pattern: "PUT /login", Guard: open}}}), 200, 200},
	} {
		if rec := tc.p.ask("GET", "/login", "", navigate); rec.Code != tc.login {
			t.Errorf("%s: GET /login: %d, want %d", name, rec.Code, tc.login)
		}
		if rec := tc.p.ask("GET", "/logout", "", navigate); rec.Code != tc.logout {
			t.Errorf("%s: GET /logout: %d, want %d", name, rec.Code, tc.logout)
		}
		ran := tc.p.ran(func() {
			rec := tc.p.logIn(adminUser, "wrong horse", "/webhook?a=1")
			want, to := 401, ""
			if tc.login == 503 {
				want, to = 303, "/login?error=signin_failed&next=%2Fwebhook%3Fa%3D1"
			}
			if rec.Code != want || rec.Header().Get("Location") != to || cookieOf(rec, "postern-session") != "" {
				t.Errorf("%s: a wrong password: %d to %q", name, rec.Code, rec.Header().Get("Location"))
			}
			live := cookieOf(tc.p.logIn(adminUser, adminPassword, ""), "postern-session")
			if rec := tc.p.ask("POST", "/logout", "", live, sameOrigin); rec.Code != 303 || len(tc.p.ended) != 1 {
				t.Errorf("%s: POST /logout: %d", name, rec.Code)
			}
		})
		if ran != 0 {
			t.Errorf("%s: the function was given the form", name)
		}
	}
	p := with(platform.Handler{Name: "login", Guard: open})
	for i := range 6 {
		p.logIn(adminUser, "guess", "", fmt.Sprintf("Remote: 198.51.100.%d:1", i))
	}
	if to := p.logIn(adminUser, adminPassword, "").Header().Get("Location"); to != "/login?error=signin_locked&wait=1" {
		t.Errorf("during the wait: %q", to)
	}
	if rec := p.ask("POST", "/login", "", navigate, crossSite, isForm); rec.Header().Get("Location") != "/login?error=signin_forged" {
		t.Errorf("a forged form: %q", rec.Header().Get("Location"))
	}
	// At the other address /login is a path like any other.
	if rec := p.ask("POST", "/fn/orders/login", "", "Host: 127.0.0.1:8080"); rec.Code != 503 {
		t.Errorf("below /fn: %d", rec.Code)
	}
}

// Names and what was typed are text on the pages, whatever they are.
func TestSignIn_Texts(t *testing.T) {
	t.Parallel()
	p := newPortal(t, nil)
	f := p.src.functions[fnID]
	f.Name = `<script>alert(1)</script>`
	p.src.functions[fnID] = f
	p.load(t)
	for _, evil := range []string{`"><script>alert(2)</script>`, `' autofocus onfocus=alert(3) x='`, "\x00\xff", "{{.Token}}"} {
		rec := p.logIn(evil, "x", evil)
		body := rec.Body.String()
		if rec.Code != 401 || strings.Contains(body, "<script") || strings.Contains(body, "onfocus=alert(3) x='") || !strings.Contains(body, "&lt;script&gt;alert(1)") {
			t.Errorf("%q: %d %s", evil, rec.Code, body)
		}
		if strings.Contains(p.access.String(), evil) {
			t.Errorf("%q is in the access log", evil)
		}
	}
}

// Who has no user of their own pays nothing for those who have.
func TestSignIn_Allocations(t *testing.T) {
	p := newPortal(t, nil)
	id, secret := p.key(nil)
	p.load(t)
	live := p.session(t)
	for name, tc := range map[string]struct {
		header http.Header
		most   float64
	}{
		"a key at a function with a user": {http.Header{"Authorization": {basic(id, secret)}}, 2},
		"a session":                       {http.Header{"Cookie": {strings.TrimPrefix(live, "Cookie: ")}, "Sec-Fetch-Site": {"same-origin"}}, 16},
	} {
		r := httptest.NewRequest("GET", "http://"+ordersHost+"/webhook", nil)
		r.RequestURI, r.Header = "/webhook", tc.header
		if err := p.g.Admit(r); err != nil {
			t.Fatal(name, err)
		}
		if n := testing.AllocsPerRun(200, func() { p.g.Admit(r) }); n > tc.most {
			t.Errorf("%s: %v allocations, want at most %v", name, n, tc.most)
		}
	}
}

// Nothing of a pair is in the log when it is none.
func TestSignIn_WarnsWithoutTelling(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	newPortal(t, func(d *platform.Deployment, o *gateway.Options) {
		d.Variables = map[string]string{"ADMIN_USER": "ada-lovelace", "ADMIN_PASSWORD": "hunter2"}
		o.Log = slog.New(slog.NewJSONHandler(&log, nil))
	})
	if text := log.String(); !strings.Contains(text, "ADMIN_PASSWORD") || strings.Contains(text, "hunter2") || strings.Contains(text, "ada-lovelace") {
		t.Errorf("the log says %s", text)
	}
}

// One function that calls another meets no page: what it calls login is the
// other's handler. A private function has no page outside either.
func TestSignIn_BetweenFunctions(t *testing.T) {
	t.Parallel()
	w, src := newCallWorld(t)
	for _, id := range []string{"fn-below", "fn-hidden"} {
		d := w.src.active[id]
		d.Variables = map[string]string{"ADMIN_USER": adminUser, "ADMIN_PASSWORD": adminPassword}
		d.Handlers = append([]platform.Handler{{Name: "login", Guard: platform.GuardKey}}, d.Handlers...)
		w.settle(t, w.src.change(platform.ChangeFunction, id, func() { w.src.active[id] = d }))
	}
	by := src.callToken(t, w.functionKey(t, nil), nil)
	for _, header := range []http.Header{{"X-Postern-Token": {by}}, {"X-Postern-Token": {by}, "Sec-Fetch-Mode": {"navigate"}, "Cookie": {"postern-session=x"}}} {
		for _, method := range []string{"GET", "POST"} {
			before := w.invoker.acquired.Load()
			if res, p := w.inside(method, "hidden.internal", "/login", header.Clone()); res.StatusCode != 503 || w.invoker.acquired.Load() != before+1 || len(res.Cookies()) != 0 {
				t.Errorf("inside, %s: %d %s", method, res.StatusCode, p.Code)
			}
		}
	}
	for host, want := range map[string]int{"below.localhost": 200, "hidden.localhost": 404} {
		for _, path := range []string{"/login", "/logout"} {
			r := httptest.NewRequest("GET", "http://"+host+path, nil)
			r.RequestURI = path
			if res, p := w.send(r); res.StatusCode != want {
				t.Errorf("outside, %s%s: %d %s", host, path, res.StatusCode, p.Code)
			}
		}
	}
	before := w.invoker.acquired.Load()
	for _, header := range []http.Header{nil, {"Authorization": {basic(adminUser, adminPassword)}}, {"Sec-Fetch-Mode": {"navigate"}}} {
		if res, p := w.inside("GET", "hidden.internal", "/webhook", header); res.StatusCode != 401 || res.Header.Get("Location") != "" {
			t.Errorf("inside without a token: %d %s", res.StatusCode, p.Code)
		}
	}
	if w.invoker.acquired.Load() != before {
		t.Error("something ran")
	}
}

// Who may come to no door of the user may not guess at their password either, nor
// make them wait: right and wrong are answered alike, and neither counts.
func TestSignIn_FromElsewhere(t *testing.T) {
	t.Parallel()
	p := newPortal(t, func(d *platform.Deployment, _ *gateway.Options) {
		inside := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		for i := range d.Handlers {
			d.Handlers[i].Addresses = inside
			for j := range d.Handlers[i].Routes {
				d.Handlers[i].Routes[j].Addresses = inside
			}
		}
	})
	basicOf := func(password string) string { return "Authorization: " + basic(adminUser, password) }
	const outside, within = "Remote: 192.0.2.1:1", "Remote: 10.0.0.1:1"
	ran := p.ran(func() {
		for range 8 { // five would make the user wait
			for _, password := range []string{"wrong", adminPassword} {
				if rec := p.logIn(adminUser, password, "", outside); rec.Code != 403 || cookieOf(rec, "postern-session") != "" {
					t.Errorf("the form, %s: %d", password, rec.Code)
				}
				if rec := p.ask("GET", "/reports/1", "", outside, basicOf(password)); rec.Code != 403 {
					t.Errorf("Basic, %s: %d", password, rec.Code)
				}
			}
		}
	})
	if ran != 0 {
		t.Errorf("%d handlers ran", ran)
	}
	if rec := p.logIn(adminUser, adminPassword, "", within); rec.Code != 303 || cookieOf(rec, "postern-session") == "" {
		t.Errorf("from within: %d", rec.Code)
	}
	if rec := p.ask("GET", "/reports/1", "", within, basicOf("wrong")); rec.Code != 401 {
		t.Errorf("wrong, from within: %d", rec.Code)
	}
	if n := p.ran(func() { p.ask("GET", "/reports/1", "", within, basicOf(adminPassword)) }); n != 1 {
		t.Error("Basic from within does not get in")
	}
}
