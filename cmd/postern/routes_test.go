package main_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const routedManifest = `{"name": "f", "runtime": "node", "routes": [
  {"path": "GET /customers/{customerId}", "handler": "customer", "group": "public"},
  {"path": "/admin/{path...}", "handler": "admin", "group": "admin"},
  {"path": "GET /status", "handler": "status", "auth": "none"}
]}`

// Every guarded handler counts what it was given; /status tells.
const routedSource = `
let ran = 0; let paths: string[] = []; let headers = {};
const count = (c: any, r: any) => { ran++; paths.push(r.path + ' ' + JSON.stringify(r.params)); headers = r.headers; return { in: true }; };
export const customer = count; export const admin = count;
export const status = (c: any, r: any) => ({ ran, paths, headers, own: r.headers });
`

// newRouted is a target with routes, and the secrets of a key of each group.
func newRouted(t *testing.T) (g *target, public, admin string) {
	t.Helper()
	s := newSite(t)
	s.deployed(routedManifest, routedSource)
	g = s.target()
	_, public = g.createKey("public", "--group", "public")
	_, admin = g.createKey("admin", "--group", "admin")
	return g, public, admin
}

// On routes as on names: the path that policy looked at is the path that the
// router used is the path, and the parameters, that the handler saw.
func TestAttack_Routes(t *testing.T) {
	t.Parallel()
	g, public, admin := newRouted(t)
	denied := []int{403}
	for path, want := range map[string][]int{
		"/customers/7": refused, "//customers//7": refused, "/customers/7/": refused, "/%63ustomers/7": refused, "/customers/%37": refused, "/customers/./7": ambiguous, "/x/../customers/7": ambiguous,
		"/customers/%2e%2e": ambiguous, "/customers/..;/7": ambiguous, "/customers/7%2f8": ambiguous, "/customers/7%5c8": ambiguous, "/customers/7%00": ambiguous, "/customers/7#/status": ambiguous, "/status#/customers/7": ambiguous,
		"/status/../customers/7": ambiguous, "/status/%2e%2e/admin/x": ambiguous, "/customers/7?x=/status": refused, "/customers": nowhere, "/customers/7/8": nowhere, "/Customers/7": nowhere, "/customer": nowhere, "/a/customer": nowhere,
		"/a/admin": nowhere, "/admin": refused, "/admin/status": refused, "/admin/health": refused, "/admin/x/ice": refused, "/a/status": nowhere, "/status/admin": nowhere, "/constructor": nowhere, "/customers/__proto__": refused,
		"/customers/{customerId}": refused, "/customers/%7bcustomerId%7d": refused, "/customers/*": refused, "/*": nowhere, "/{path...}": nowhere, "/health": fine, "/status": fine, "//status/": fine,
	} {
		g.try(both(path, want, "", false))
	}
	byKey := func(secret string) string { return "X-API-Key: " + secret + "\r\n" }
	for path, sees := range map[string]string{
		"/customers/7": `/customers/7 {"customerId":"7"}`, "//customers//7/": `/customers/7 {"customerId":"7"}`, "/customers/%37": `/customers/7 {"customerId":"7"}`, "/customers/a%20b": `/customers/a b {"customerId":"a b"}`,
		"/customers/%25%32%66": `/customers/%2f {"customerId":"%2f"}`, "/customers/7;v=1": `/customers/7;v=1 {"customerId":"7;v=1"}`, "/customers/%C3%A9": `/customers/é {"customerId":"é"}`, "/customers/__proto__": `/customers/__proto__ {"__proto__":"__proto__"}`,
		"/customers/%7bcustomerId%7d": `/customers/{customerId} {"customerId":"{customerId}"}`, "/customers/7?customerId=8": `/customers/7 {"customerId":"7"}`,
	} {
		sees = strings.Replace(sees, `{"__proto__":`, `{"customerId":`, 1)
		g.try(both(path, denied, byKey(admin), false))
		g.try(both(path, fine, byKey(public)+"x-postern-params: 9\r\n", true))
		if _, paths := g.ran(); paths[len(paths)-1] != sees || paths[len(paths)-2] != sees {
			t.Errorf("%s: the handler saw %q, want %q", path, paths[len(paths)-2:], sees)
		}
	}
	g.try(both("/customers/7", ambiguous, byKey(public)+":customerId: 9\r\n", false))
	for path, sees := range map[string]string{"/admin": `/admin {"path":""}`, "/admin/a/b": `/admin/a/b {"path":"a/b"}`, "/admin/health": `/admin/health {"path":"health"}`} {
		g.try(both(path, denied, byKey(public), false))
		g.try(both(path, fine, byKey(admin), true))
		if _, paths := g.ran(); paths[len(paths)-1] != sees {
			t.Errorf("%s: the handler saw %q, want %q", path, paths[len(paths)-1], sees)
		}
	}
	g.try([]attempt{
		{"POST where only GET is", "POST /fn/f/customers/7 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n" + byKey(public) + "\r\n", []int{405}, false},
		{"OPTIONS where only GET is", "OPTIONS /fn/f/customers/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + byKey(public) + "\r\n", []int{405}, false},
		{"HEAD is GET", "HEAD /fn/f/customers/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + byKey(public) + "\r\n", fine, true},
		{"HEAD of another group", "HEAD /fn/f/customers/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + byKey(admin) + "\r\n", denied, false},
		{"an overridden method", "POST /fn/f/customers/7 HTTP/1.1\r\nHost: a\r\nX-HTTP-Method-Override: GET\r\nContent-Length: 0\r\nConnection: close\r\n" + byKey(public) + "\r\n", []int{405}, false},
	})
}

// What a handler sees of credentials: a user's own, and never one of ours.
func TestAttack_AuthorizationIsPassedOnOnlyWhenForeign(t *testing.T) {
	t.Parallel()
	g, public, _ := newRouted(t)
	enc := base64.RawURLEncoding.EncodeToString
	jwt := func(claims string) string {
		return enc([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc([]byte(claims)) + "." + enc([]byte("0123456789abcdef"))
	}
	user, forged := jwt(`{"iss":"https://users","sub":"u1"}`), jwt(`{"iss":"`+g.control+`","sub":"pak_x"}`)
	for name, tc := range map[string]struct {
		path, authorization, key string
		status                   int
		sees                     string
	}{
		"a user's token and a key":    {"/customers/7", "Bearer " + user, public, 200, "Bearer " + user},
		"a user's token alone":        {"/customers/7", "Bearer " + user, "", 401, ""},
		"a token with our issuer":     {"/customers/7", "Bearer " + forged, public, 401, ""},
		"our key both ways":           {"/customers/7", g.basic, public, 400, ""},
		"a user's token, open":        {"/status", "Bearer " + user, "", 200, "Bearer " + user},
		"a session, open":             {"/status", "Bearer 0123456789", "", 200, "Bearer 0123456789"},
		"a user's password, open":     {"/status", "Basic YWxpY2U6c2VjcmV0", "", 200, "Basic YWxpY2U6c2VjcmV0"},
		"our key, open":               {"/status", g.basic, "", 200, ""},
		"our secret as bearer, open":  {"/status", "Bearer " + public, "", 200, ""},
		"our secret cut off, open":    {"/status", "Bearer " + public[:12], "", 200, ""},
		"a token of our issuer, open": {"/status", "Bearer " + forged, "", 200, ""},
		"another scheme, open":        {"/status", "Token " + user, "", 200, ""},
	} {
		tried(t, name, tc.path)
		r, err := http.NewRequest("GET", g.gateway+"/fn/f"+tc.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", tc.authorization)
		if tc.key != "" {
			r.Header.Set("X-API-Key", tc.key)
		}
		before, _ := g.ran()
		res, err := g.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var said struct{ Own map[string]string }
		json.NewDecoder(res.Body).Decode(&said)
		res.Body.Close()
		after, _, headers := g.told()
		if tc.path == "/status" {
			headers = said.Own
		} else if (after > before) != (tc.status == 200) {
			t.Errorf("%s: a guarded handler ran %d times", name, after-before)
		}
		if res.StatusCode != tc.status || tc.status == 200 && (headers["authorization"] != tc.sees || headers["x-api-key"] != "") {
			t.Errorf("%s: %d, the handler saw %q, want %d and %q", name, res.StatusCode, headers["authorization"], tc.status, tc.sees)
		}
	}
}

// A client in a loop sees nothing of a rotation with grace, and the end of a
// secret at once; nothing is deployed meanwhile.
func TestRotation_OfARoutesKey(t *testing.T) {
	t.Parallel()
	g, public, _ := newRouted(t)
	var secret atomic.Pointer[string]
	secret.Store(&public)
	var stop atomic.Bool
	var calls, failed atomic.Int64
	var first atomic.Value
	var load sync.WaitGroup
	ask := func(client *http.Client, secret string) int {
		r, err := http.NewRequest("GET", g.gateway+"/fn/f/customers/7", nil)
		if err != nil {
			return 0
		}
		r.Header.Set("X-API-Key", secret)
		res, err := client.Do(r)
		if err != nil {
			return 0
		}
		res.Body.Close()
		return res.StatusCode
	}
	for range 2 {
		load.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
			defer client.CloseIdleConnections()
			for !stop.Load() {
				calls.Add(1)
				if status := ask(client, *secret.Load()); status != http.StatusOK {
					failed.Add(1)
					first.CompareAndSwap(nil, fmt.Sprint("status ", status))
				}
			}
		})
	}
	for i := range 4 {
		old := *secret.Load()
		var made struct{ Secret string }
		if err := json.Unmarshal([]byte(g.must("keys", "rotate", "public", "--grace", "1h", "--json")), &made); err != nil || made.Secret == "" {
			t.Fatal(err)
		}
		if status := ask(g.client, made.Secret); status != http.StatusOK {
			t.Errorf("rotation %d: the new secret is answered %d", i, status)
		}
		if status := ask(g.client, old); status != http.StatusOK {
			t.Errorf("rotation %d: the old secret within its grace is answered %d", i, status)
		}
		secret.Store(&made.Secret)
	}
	stop.Store(true)
	load.Wait()
	if failed.Load() > 0 || calls.Load() < 20 {
		t.Errorf("%d of %d calls failed, the first with %v", failed.Load(), calls.Load(), first.Load())
	}
	last := *secret.Load()
	g.must("keys", "rotate", "public")
	before, _ := g.ran()
	if status := ask(g.client, last); status != http.StatusUnauthorized {
		t.Errorf("a secret that was rotated away is answered %d", status)
	}
	if after, _ := g.ran(); after != before {
		t.Error("it ran the handler")
	}
	if list := g.must("functions", "status", "f", "--json"); !strings.Contains(list, `"number":1`) {
		t.Errorf("something was deployed: %s", list)
	}
}
