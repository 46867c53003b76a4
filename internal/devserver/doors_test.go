package devserver_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"postern.dev/postern/internal/devserver"
	"postern.dev/postern/internal/environ"
)

// marked is a function whose handlers leave a line when they run.
const marked = `
export const auth = ['closed'];
export const closed = () => { console.log('ran'); return 'closed'; };
export const open = () => { console.log('ran'); return 'open'; };
export const page = () => { console.log('ran'); return 'page'; };
export default { ice() { console.log('ran'); return {}; } };
`

// ran is how often a handler has run.
func (w *world) ran() (n int) {
	for _, e := range w.events() {
		if e.Line != nil && e.Line.Text == "ran" {
			n++
		}
	}
	return n
}

func host(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}
func callback(r *http.Request) {
	r.Method, r.Body, r.ContentLength = http.MethodPost, io.NopCloser(strings.NewReader("{}")), 2
	r.Header.Set("Content-Type", "application/json")
}
func basic(user, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

// A page on the web that lets its own name point to this machine reaches nothing.
func TestLocal_ForeignHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"function.ts": marked}, nil)
	for _, name := range []string{"evil.example", "evil.example:3000", "localhost.evil.example", "192.168.1.7:3000", "127.0.0.1.evil.example", "localhost.", "[fe80::1]"} {
		if got := w.get("/open", host(name)); name != "localhost." && (got.StatusCode != http.StatusForbidden || got.code() != "not_allowed") {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
	before := w.ran()
	if before > 1 { // "localhost." is a name of this machine
		t.Errorf("handlers ran %d times", before)
	}
	for _, name := range []string{"localhost", "localhost:3000", "f.localhost", "127.0.0.1:99", "127.8.9.1", "[::1]:3000", "LOCALHOST"} {
		if got := w.get("/open", host(name)); got.body != "open" {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
}

func TestLocal_AnyHostWhereItWasAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"function.ts": marked}, func(o *devserver.Options) { o.AnyHost = true })
	if got := w.get("/open", host("box.lan:3000")); got.body != "open" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if got := w.get("/_postern/", host("box.lan:3000")); got.StatusCode == http.StatusOK {
		t.Errorf("the page: %d", got.StatusCode)
	}
}

// The page is for the developer at this machine: no other host, no page of
// another origin, no tunnel, and never the function in its place.
func TestPage_OnlyForTheDeveloper(t *testing.T) {
	t.Parallel()
	files := map[string]string{"function.ts": marked, "postern.json": `{"name":"f","runtime":"node","routes":[{"path":"/{path...}","handler":"open","auth":"none"}]}`}
	w := newWorld(t, files, func(o *devserver.Options) {
		o.Page = func(*devserver.Server) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("developer's " + r.URL.Path)) })
		}
	})
	for name, how := range map[string]func(*http.Request){
		"another host":              host("evil.example"),
		"a page of another origin":  header("Origin", "https://evil.example"),
		"a page of no origin":       header("Origin", "null"),
		"a page of another port":    header("Origin", "http://localhost:9"),
		"another site, by metadata": header("Sec-Fetch-Site", "cross-site"),
		"another port, by metadata": header("Sec-Fetch-Site", "same-site"),
	} {
		for _, path := range []string{"/_postern/", "/_postern", "/_postern/feed"} {
			if got := w.get(path, how); got.StatusCode != http.StatusForbidden {
				t.Errorf("%s at %s: %d %s", name, path, got.StatusCode, got.body)
			}
		}
	}
	for _, path := range []string{"/_postern/", "/_postern", "/_postern/feed"} {
		rec := httptest.NewRecorder()
		w.d.Outside().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil))
		if rec.Code != http.StatusNotFound {
			t.Errorf("from outside %s: %d %s", path, rec.Code, rec.Body)
		}
	}
	if n := w.ran(); n != 0 {
		t.Errorf("handlers ran %d times", n)
	}
	if got := w.get("/_postern/feed", header("Origin", w.url)); got.body != "developer's /_postern/feed" {
		t.Errorf("the developer: %d %s", got.StatusCode, got.body)
	}
	rec := httptest.NewRecorder()
	w.d.Outside().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "http://tun-1.example/open", nil))
	if rec.Body.String() != "open" {
		t.Errorf("the function from outside: %d %s", rec.Code, rec.Body)
	}
}

// A page that the developer looks at can send a form to this machine without
// anybody's leave. Where nobody is asked for credentials that must not run what is
// closed to it when deployed.
func TestLocal_PagesOfOtherSites(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		path, origin, site string
		status             int
	}{
		"a form of another site":                  {"/closed", "https://evil.example", "cross-site", 403},
		"the same, of a browser without metadata": {"/closed", "https://evil.example", "", 403},
		"a frame without an origin":               {"/closed", "null", "cross-site", 403},
		"a picture":                               {"/closed", "", "cross-site", 403},
		"a name that begins like ours":            {"/closed", "http://localhost.evil.example", "cross-site", 403},
		"a route":                                 {"/route", "https://evil.example", "cross-site", 403},
		"a callback without a signature":          {"/ice", "https://evil.example", "cross-site", 403},
		"what is open when deployed":              {"/open", "https://evil.example", "cross-site", 200},
		"a page of another port":                  {"/closed", "http://localhost:5173", "same-site", 200},
		"a page of another name of this machine":  {"/closed", "http://127.0.0.1:5173", "cross-site", 200},
		"a page of a private name":                {"/closed", "http://app.localhost", "cross-site", 200},
		"an address that was typed":               {"/closed", "", "none", 200},
		"no page":                                 {"/closed", "", "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]string{"function.ts": marked, "postern.json": `{"name":"f","runtime":"node","routes":[{"path":"/route","handler":"page","auth":"key"}]}`}, nil)
			got := w.get(tc.path, func(r *http.Request) {
				callback(r)
				for field, value := range map[string]string{"Origin": tc.origin, "Sec-Fetch-Site": tc.site} {
					if value != "" {
						r.Header.Set(field, value)
					}
				}
			})
			if got.StatusCode != tc.status || tc.status == 403 && got.code() != "origin_not_allowed" {
				t.Errorf("%d %s", got.StatusCode, got.body)
			}
			if ran := w.ran(); (ran == 1) != (tc.status == 200) {
				t.Errorf("handlers ran %d times", ran)
			}
		})
	}
}

// Who gets in, with credentials and without. What is refused does not run.
func TestGuards(t *testing.T) {
	t.Parallel()
	always := `{"name":"f","runtime":"node","webhookProtection":"always"}`
	for name, tc := range map[string]struct {
		manifest, env string
		pair          *devserver.Pair
		path          string
		how           func(*http.Request)
		status        int
	}{
		"no pair: guarded is open":                    {"", "", nil, "/closed", host("localhost"), 200},
		"no pair: a callback without a signature":     {"", "", nil, "/ice", callback, 200},
		"no pair: callbacks are protected always":     {always, "", nil, "/ice", callback, 401},
		"a pair: nobody":                              {"", "", &devserver.Pair{KeyID: "my-key", Secret: environ.NewValue("my-secret")}, "/closed", host("localhost"), 401},
		"a pair: another":                             {"", "", &devserver.Pair{KeyID: "my-key", Secret: environ.NewValue("my-secret")}, "/closed", basic("my-key", "my-Secret"), 401},
		"a pair: its key with no secret":              {"", "", &devserver.Pair{KeyID: "my-key", Secret: environ.NewValue("my-secret")}, "/closed", basic("my-key", ""), 401},
		"a pair: its secret as a bearer":              {"", "", &devserver.Pair{KeyID: "my-key", Secret: environ.NewValue("my-secret")}, "/closed", header("Authorization", "Bearer my-secret"), 401},
		"a pair: shown":                               {"", "", &devserver.Pair{KeyID: "my-key", Secret: environ.NewValue("my-secret")}, "/closed", basic("my-key", "my-secret"), 200},
		"a pair: its secret alone":                    {"", "", &devserver.Pair{KeyID: "my-key", Secret: environ.NewValue("my-secret")}, "/closed", header("X-API-Key", "my-secret"), 200},
		"a pair: an open handler":                     {"", "", &devserver.Pair{KeyID: "my-key", Secret: environ.NewValue("my-secret")}, "/open", host("localhost"), 200},
		"a pair: a callback without a signature":      {"", "", &devserver.Pair{KeyID: "my-key", Secret: environ.NewValue("my-secret")}, "/ice", callback, 200},
		"a user of its own: nobody":                   {"", "ADMIN_USER=ann\nADMIN_PASSWORD=correct-horse\n", nil, "/closed", host("localhost"), 401},
		"a user of its own: a wrong password":         {"", "ADMIN_USER=ann\nADMIN_PASSWORD=correct-horse\n", nil, "/closed", basic("ann", "wrong-horse"), 401},
		"a user of its own: shown":                    {"", "ADMIN_USER=ann\nADMIN_PASSWORD=correct-horse\n", nil, "/closed", basic("ann", "correct-horse"), 200},
		"half a user lets nobody in":                  {"", "ADMIN_USER=ann\n", nil, "/closed", host("localhost"), 401},
		"a user whose password is too short":          {"", "ADMIN_USER=ann\nADMIN_PASSWORD=short\n", nil, "/closed", basic("ann", "short"), 401},
		"a route that asks for a key: no pair":        {`{"name":"f","runtime":"node","routes":[{"path":"/x","handler":"open","auth":"key"}]}`, "", nil, "/x", host("localhost"), 200},
		"a route that asks for a key: a pair, nobody": {`{"name":"f","runtime":"node","routes":[{"path":"/x","handler":"open","auth":"key"}]}`, "", &devserver.Pair{KeyID: "k", Secret: environ.NewValue("s")}, "/x", host("localhost"), 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"function.ts": marked, "postern.json": manifest}
			if tc.manifest != "" {
				files["postern.json"] = tc.manifest
			}
			if tc.env != "" {
				files[".env"] = tc.env
			}
			w := newWorld(t, files, func(o *devserver.Options) {
				o.Settings = withPair(o.Settings, tc.pair)
			})
			got := w.get(tc.path, tc.how)
			if got.StatusCode != tc.status {
				t.Errorf("%d %s", got.StatusCode, got.body)
			}
			if ran := w.ran(); (ran == 1) != (tc.status == 200) {
				t.Errorf("handlers ran %d times", ran)
			}
			unguarded := false
			until(t, "the call is told of", func() bool {
				for _, e := range w.events() {
					if e.Request != nil {
						unguarded = e.Request.Unguarded
						return true
					}
				}
				return false
			})
			if loud := strings.Contains(name, "is open") || strings.HasSuffix(name, "key: no pair"); unguarded != loud {
				t.Errorf("told as unguarded: %v, want %v", unguarded, loud)
			}
			if strings.Contains(strings.ToLower(got.body), "secret\"") {
				t.Errorf("the answer has a secret: %s", got.body)
			}
		})
	}
}
