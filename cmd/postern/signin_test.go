package main_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/secret"
	"postern.dev/postern/internal/signin"
)

// A function with a user of its own: pages that are guarded, and an open one
// that tells how often they ran and what the last one was given.
const ledger = `
export const auth = ['home', 'entries', 'kept', 'slow'];
let ran = 0; let last = {};
const page = (title: string) => ({ statusCode: 200, headers: { 'content-type': 'text/html; charset=utf-8' },
  body: '<!doctype html><title>' + title + '</title><h1>' + title + '</h1><a id="next" href="/entries">entries</a><form method="post" action="/logout"><button id="out">Sign out</button></form>' });
const count = (r: any) => { ran++; last = { headers: r.headers, identity: r.identity, path: r.path, method: r.method }; };
export const entries = (c: any, r: any) => { count(r); return page('The entries'); };
export const kept = (c: any, r: any) => { count(r); return { statusCode: 200, headers: { 'cache-control': 'private, max-age=60', 'set-cookie': 'a=1' }, body: 'kept' }; };
export const slow = (c: any, r: any) => { count(r); return new Response(new ReadableStream({ start(s) { s.enqueue(new TextEncoder().encode('one ')); setTimeout(() => { s.enqueue(new TextEncoder().encode('two')); s.close(); }, 20); } })); };
export const seen = (c: any, r: any) => ({ ran, last, own: r.headers });
export default { home: (c: any, r: any) => { count(r); return page('The ledger'); } };
`

const (
	ledgerUser     = "ada"
	ledgerPassword = "correct horse"
)

// office is a server with that function, called by its host name.
type office struct {
	*site
	base   string // http://ledger.localhost:port
	client *http.Client
}

func newOffice(t *testing.T, flags ...string) *office {
	t.Helper()
	s := newSite(t)
	o := &office{site: s, client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: time.Minute}}
	o.at()
	o.deploy(ledgerPassword)
	return o
}

// at takes the address of the server as it runs now.
func (o *office) at() {
	u, err := url.Parse(o.gateway)
	if err != nil {
		o.Fatal(err)
	}
	o.base = "http://ledger.localhost:" + u.Port()
}

func (o *office) deploy(password string) string {
	o.Helper()
	manifest, err := json.Marshal(map[string]any{"name": "ledger", "runtime": "node", "variables": map[string]string{"ADMIN_USER": ledgerUser, "ADMIN_PASSWORD": password}})
	if err != nil {
		o.Fatal(err)
	}
	return o.deployed(string(manifest), ledger)
}

// ask makes one request; header lines are "Name: value".
func (o *office) ask(method, path, body string, lines ...string) (*http.Response, string) {
	o.Helper()
	u, _ := url.Parse(o.base)
	req, err := http.NewRequestWithContext(o.Context(), method, "http://127.0.0.1:"+u.Port()+path, strings.NewReader(body))
	if err != nil {
		o.Fatal(err)
	}
	req.Host = u.Host
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		req.Header.Add(name, value)
	}
	res, err := o.client.Do(req)
	if err != nil {
		o.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		o.Fatal(err)
	}
	return res, string(got)
}

// logIn signs in and returns the cookie as a header line; empty if it was refused.
func (o *office) logIn(user, password string) string {
	o.Helper()
	res, _ := o.ask("POST", "/login", url.Values{"username": {user}, "password": {password}}.Encode(), "Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: same-origin")
	for _, c := range res.Cookies() {
		if c.Name == "postern-session" && c.MaxAge > 0 {
			return "Cookie: " + c.Name + "=" + c.Value
		}
	}
	return ""
}

func basicOf(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// told is what the open handler says.
func (o *office) told() (ran int, last struct {
	Headers  map[string]string
	Identity map[string]any
	Path     string
}) {
	o.Helper()
	var got struct {
		Ran  int
		Last json.RawMessage
	}
	res, body := o.ask("GET", "/seen", "")
	if err := json.Unmarshal([]byte(body), &got); err != nil || res.StatusCode != 200 || json.Unmarshal(got.Last, &last) != nil {
		o.Fatal(res.Status, body, err)
	}
	return got.Ran, last
}

// in reports whether a cookie opens a page, by what ran.
func (o *office) in(cookie string) bool {
	o.Helper()
	before, _ := o.told()
	res, _ := o.ask("GET", "/entries", "", cookie, "Sec-Fetch-Site: same-origin")
	after, _ := o.told()
	if (res.StatusCode == 200) != (after > before) {
		o.Errorf("%d, and it ran %d times", res.StatusCode, after-before)
	}
	return after > before
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	live := o.logIn(ledgerUser, ledgerPassword)
	if live == "" {
		t.Fatal("no session")
	}
	t.Run("what the handler is given", func(t *testing.T) {
		for name, lines := range map[string][]string{
			"session": {live + "; theme=dark", "Cookie: postern-form=x; __Host-postern-session=y", "Sec-Fetch-Site: same-origin"},
			"basic":   {"Authorization: " + basicOf(ledgerUser, ledgerPassword), "Cookie: theme=dark"},
		} {
			res, body := o.ask("GET", "/entries", "", lines...)
			_, last := o.told()
			if res.StatusCode != 200 || !strings.Contains(body, "The entries") || last.Headers["cookie"] != "theme=dark" || last.Headers["authorization"] != "" {
				t.Errorf("%s: %d, headers %v", name, res.StatusCode, last.Headers)
			}
			if who := last.Identity; who["method"] != "admin" || who["keyId"] != "" || who["projectId"] != o.key["POSTERN_PROJECT_ID"] || fmt.Sprint(who["scopes"]) != "[invoke]" {
				t.Errorf("%s: identity %v", name, who)
			}
		}
		for _, path := range []string{"/seen", "/entries"} {
			res, body := o.ask("GET", path, "", "Authorization: "+basicOf(ledgerUser, ledgerPassword), live)
			if res.StatusCode != 200 || strings.Contains(body, "authorization") || strings.Contains(body, "postern-session") {
				t.Errorf("%s is given the credentials: %s", path, body)
			}
		}
	})
	t.Run("how the answer is kept", func(t *testing.T) {
		for path, want := range map[string]string{"/entries": "no-store", "/kept": "private, max-age=60", "/": "no-store", "/slow": "no-store"} {
			res, body := o.ask("GET", path, "", live, "Sec-Fetch-Site: same-origin")
			if res.StatusCode != 200 || res.Header.Get("Cache-Control") != want || res.Header.Get("Vary") != "Cookie" {
				t.Errorf("%s: %d, Cache-Control %q, Vary %q", path, res.StatusCode, res.Header.Get("Cache-Control"), res.Header.Get("Vary"))
			}
			if path == "/slow" && body != "one two" {
				t.Errorf("a stream arrives as %q", body)
			}
		}
		if res, _ := o.ask("GET", "/entries", "", "Authorization: "+basicOf(ledgerUser, ledgerPassword)); res.Header.Get("Cache-Control") != "" {
			t.Error("Basic changes how an answer is kept")
		}
		if res, body := o.ask("HEAD", "/entries", "", live, "Sec-Fetch-Site: same-origin"); res.StatusCode != 200 || body != "" {
			t.Errorf("HEAD: %d %q", res.StatusCode, body)
		}
	})
	t.Run("renewed", func(t *testing.T) {
		box, err := secret.OpenBox(filepath.Join(o.data, "sealing.key"))
		if err != nil {
			t.Fatal(err)
		}
		key, err := box.Derive("sign-in")
		if err != nil {
			t.Fatal(err)
		}
		text := o.must("functions", "status", "ledger", "--json")
		id := text[strings.Index(text, "fn-"):][:29]
		pair, err := signin.Key(key).Pair(id, ledgerUser, ledgerPassword)
		if err != nil {
			t.Fatal(err)
		}
		was := "Cookie: postern-session=" + pair.Seal(signin.Begin(time.Now().Add(-10*time.Minute)))
		res, _ := o.ask("GET", "/entries", "", was, "Sec-Fetch-Site: same-origin")
		c := res.Cookies()
		if res.StatusCode != 200 || len(c) != 1 || c[0].MaxAge != 3600 || !c[0].HttpOnly || c[0].SameSite != http.SameSiteLaxMode || "Cookie: postern-session="+c[0].Value == was || !o.in("Cookie: postern-session="+c[0].Value) {
			t.Errorf("%d, cookies %v", res.StatusCode, c)
		}
		// What the handler lets be kept never carries a session.
		if res, _ := o.ask("GET", "/kept", "", was, "Sec-Fetch-Site: same-origin"); len(res.Cookies()) != 1 || res.Cookies()[0].Name != "a" {
			t.Errorf("cookies %v", res.Cookies())
		}
	})
	t.Run("signed out", func(t *testing.T) {
		if res, _ := o.ask("POST", "/logout", "", live, "Sec-Fetch-Site: cross-site"); res.StatusCode != 403 || !o.in(live) {
			t.Errorf("from elsewhere: %d", res.StatusCode)
		}
		if res, _ := o.ask("POST", "/logout", "", live, "Sec-Fetch-Site: same-origin"); res.StatusCode != 303 || o.in(live) {
			t.Errorf("%d, and the session lives", res.StatusCode)
		}
	})
	t.Run("restarted", func(t *testing.T) {
		other := o.logIn(ledgerUser, ledgerPassword)
		o.kill()
		o.start()
		o.at()
		if o.in(live) || !o.in(other) {
			t.Error("after kill -9 what was ended lives, or what lived is dead")
		}
		live = other
	})
	t.Run("other password", func(t *testing.T) {
		o.deploy("another horse")
		if o.in(live) || o.logIn(ledgerUser, ledgerPassword) != "" || o.logIn(ledgerUser, "another horse") == "" {
			t.Error("the password before still counts")
		}
		if out := o.deploy("short"); !strings.Contains(out, "ADMIN_PASSWORD has fewer than 8 bytes") || strings.Contains(out, "short") {
			t.Errorf("a short password: %s", out)
		}
		if res, _ := o.ask("GET", "/entries", "", "Authorization: "+basicOf(ledgerUser, "short")); res.StatusCode != 401 {
			t.Errorf("a short password: %d", res.StatusCode)
		}
	})
	t.Run("told", func(t *testing.T) {
		var refused, allowed, out bool
		eventually(t, "the audit log has the sign-ins", func() bool {
			text := o.must("audit", "--since", "1h")
			for line := range strings.Lines(text) {
				refused = refused || strings.Contains(line, "signIn") && strings.Contains(line, "signin_failed")
				allowed = allowed || strings.Contains(line, "signIn") && strings.Contains(line, "allowed")
				out = out || strings.Contains(line, "signOut") && strings.Contains(line, "allowed")
			}
			return refused && allowed && out
		})
		eventually(t, "usage has the calls", func() bool { return strings.Contains(o.must("usage", "--by", "key"), "admin") })
		log := o.log()
		for _, s := range []string{ledgerPassword, strings.TrimPrefix(live, "Cookie: postern-session=")} {
			if strings.Contains(log, s) {
				t.Error("the server's log has a secret")
			}
		}
	})
}
