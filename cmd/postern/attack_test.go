package main_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// target is a deployed function whose handlers count themselves, and a raw
// socket to call it with: a client library would tidy the request.
type target struct {
	*site
	addr   string // host:port of the gateway
	basic  string // the value of a right Authorization header
	client *http.Client
}

// Every guarded handler counts; /status, which is open, tells the counts.
const counting = `
export const auth = ['webhook', 'health', 'get', 'head'];
let ran = 0; let paths: string[] = []; let headers = {};
const count = (c: any, r: any) => { ran++; paths.push(r.path); headers = r.headers; return { path: r.path }; };
export const webhook = count; export const get = count; export const head = count;
export const health = (c: any, r: any) => (r.path === '/health' ? { healthy: true } : count(c, r));
export const ice = count;
export const status = (c: any, r: any) => ({ ran, paths, headers });
export default { constructor: count, toString: count, valueOf: count };
`

func newTarget(t *testing.T) *target {
	t.Helper()
	s := newSite(t)
	s.deployed(`{"name":"f","runtime":"node"}`, counting)
	return s.target()
}

// target is the site as it is called with an administrator's key.
func (s *site) target() *target {
	id, secret := s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"]
	return &target{site: s, client: http.DefaultClient, addr: strings.TrimPrefix(s.gateway, "http://"), basic: "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))}
}

// dial opens a connection on which HTTP/1.1 is spoken, for a minute.
func (g *target) dial() net.Conn {
	g.Helper()
	conn, err := net.DialTimeout("tcp", g.addr, time.Minute)
	if err != nil {
		g.Fatal(err)
	}
	if transport, ok := g.client.Transport.(*http.Transport); ok {
		config := transport.TLSClientConfig.Clone()
		config.ServerName, config.NextProtos = "127.0.0.1", []string{"http/1.1"}
		conn = tls.Client(conn, config)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// raw sends bytes on a connection of their own and returns the status of the
// first answer, 0 when there was none.
func (g *target) raw(request string) int {
	g.Helper()
	conn := g.dial()
	defer conn.Close()
	go io.WriteString(conn, request) // a large request may be answered before it is read
	return readStatus(conn)
}

// readStatus is the status of the next answer on a connection, 0 when there is none.
func readStatus(conn net.Conn) int {
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// ran is how often a guarded handler ran, and for which paths.
func (g *target) ran() (n int, paths []string) {
	g.Helper()
	n, paths, _ = g.told()
	return n, paths
}

// told is what the function says: runs, their paths, and the last one's headers.
func (g *target) told() (n int, paths []string, headers map[string]string) {
	g.Helper()
	res, err := g.client.Get(g.gateway + "/fn/f/status")
	if err != nil {
		g.Fatal(err)
	}
	defer res.Body.Close()
	var got struct {
		Ran     int
		Paths   []string
		Headers map[string]string
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode != 200 {
		g.Fatal(res.Status, err)
	}
	return got.Ran, got.Paths, got.Headers
}

// createKey makes another key of the same project.
func (g *target) createKey(args ...string) (id, secret string) {
	g.Helper()
	var made struct {
		AccessKey struct{ AccessKeyID string }
		Secret    string
	}
	out := g.must(append([]string{"keys", "create", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Secret == "" {
		g.Fatalf("no key in %q: %v", out, err)
	}
	return made.AccessKey.AccessKeyID, made.Secret
}

// attempt is one line of a table: what is sent, which statuses are right, and
// whether a guarded handler may run.
type attempt struct {
	name    string
	request string
	status  []int
	runs    bool
}

func (g *target) try(attempts []attempt) {
	g.Helper()
	for _, a := range attempts {
		tried(g, a.name, a.request)
		g.one(a)
	}
}

func (g *target) one(a attempt) {
	g.Helper()
	before, _ := g.ran()
	got := g.raw(a.request)
	after, paths := g.ran()
	if !slices.Contains(a.status, got) {
		g.Errorf("%s: status %d, want %v", a.name, got, a.status)
	}
	if (after > before) != a.runs {
		g.Errorf("%s: a guarded handler ran %d times, for %v", a.name, after-before, paths[before:])
	}
}

// both is an attempt on the address by path and on the address by host.
func both(path string, status []int, header string, runs bool) []attempt {
	line := func(target, host string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + header + "Connection: close\r\n\r\n"
	}
	name := path
	if len(name) > 60 {
		name = name[:60] + "…"
	}
	return []attempt{{name + " by path", line("/fn/f"+path, "127.0.0.1"), status, runs}, {name + " by host", line(path, "f.localhost"), status, runs}}
}

var (
	refused   = []int{401}
	ambiguous = []int{400}
	nowhere   = []int{404}
	fine      = []int{200}
)

// The rule to prove: the path that the policy looked at is the path that the
// router used is the path that the handler saw.
func TestAttack_Paths(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	long := "/" + strings.Repeat("a", 64<<10)
	for path, want := range map[string][]int{
		"/webhook": refused, "//webhook": refused, "/./webhook": ambiguous, "/x/../webhook": ambiguous, "/%77ebhook": refused, "/%2577ebhook": nowhere, "/webhook/": refused, "/webhook//": refused,
		"/webhook%2f": ambiguous, "/webhook%2F": ambiguous, "/webhook;v=1": nowhere, "/webhook%00": ambiguous, "/webhook%5c": ambiguous, "/webhook\\": ambiguous, "/status/..;/webhook": ambiguous, "/status/..;x/webhook": ambiguous,
		"/health/../webhook": ambiguous, "/webhook/health": refused, "/health/webhook": refused, "/ice/../webhook": ambiguous, "/a/ice": refused, "/ice": refused, "/ice/webhook": refused, "/webhook?x=/health": refused,
		"/webhook?/../health": refused, "/status#/webhook": ambiguous, "/webhook#/status": ambiguous, "/Webhook": nowhere, "/WEBHOOK": nowhere, long + "/webhook": {431, 414, 401}, "/%2e%2e/webhook": ambiguous, "/%2E%2e/webhook": ambiguous,
		"/.%2e/webhook": ambiguous, "/%2e/webhook": ambiguous, "/webhook/.": ambiguous, "/webhook/..": ambiguous, "/webhook%20": nowhere, "/%20webhook": nowhere, "/webhook%09": ambiguous, "/webhook%0a": ambiguous, "/webhook%0d%0aX: y": ambiguous,
		"/%c0%ae%c0%ae/webhook": ambiguous, "/%c0%afwebhook": ambiguous, "/%EF%BD%97ebhook": nowhere, "/webhook%EF%BC%8F": nowhere, "/web%68ook": refused, "/webhook.json": nowhere, "/webhook%": ambiguous, "/webhook%zz": ambiguous, "/webhook%u002f": ambiguous,
		"/status/webhook": refused, "/webhook/status": fine, "/nope": nowhere, "/": nowhere, "": nowhere, "/health": fine, "/health/": fine, "//health": fine, "/a/health": refused, "/health;x": nowhere, "/%68ealth": fine, "/health/health": refused,
		"/constructor": nowhere, "/__proto__": nowhere, "/toString": nowhere, "/valueOf": nowhere, "/hasOwnProperty": nowhere, "/then": nowhere, "/auth": nowhere, "/setup": nowhere, "/default": nowhere, "/prototype": nowhere,
	} {
		if path == "" {
			g.try(both(path, want, "", false)[:1])
			continue
		}
		g.try(both(path, want, "", false))
	}
	// With the key, what is routed is what the handler sees.
	shown := "Authorization: " + g.basic + "\r\n"
	for path, sees := range map[string]string{"/webhook": "/webhook", "//a//webhook/": "/a/webhook", "/%77ebhook": "/webhook", "/a%20b/webhook": "/a b/webhook", "/a;b/webhook": "/a;b/webhook", "/%2525/webhook": "/%25/webhook", "/a/health": "/a/health"} {
		g.try(both(path, fine, shown, true))
		_, paths := g.ran()
		if last := paths[len(paths)-2:]; last[0] != sees || last[1] != sees {
			t.Errorf("%s: the handler saw %q", path, last)
		}
	}
	for path, want := range map[string][]int{"/ice": refused, "/x/../webhook": ambiguous, "/webhook%2f": ambiguous, "/constructor": nowhere} {
		g.try(both(path, want, shown, false))
	}
}

func TestAttack_TargetsAndMethods(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	line := func(start, header string) string {
		return start + "\r\n" + header + "Connection: close\r\n\r\n"
	}
	const host = "Host: 127.0.0.1\r\n"
	shown := "Authorization: " + g.basic + "\r\n"
	g.try([]attempt{
		{"absolute form", line("GET http://127.0.0.1/fn/f/webhook HTTP/1.1", host), refused, false},
		{"absolute form, other host", line("GET http://f.localhost/webhook HTTP/1.1", host), ambiguous, false},
		{"absolute form, other host, with the key", line("GET http://f.localhost/webhook HTTP/1.1", host+shown), ambiguous, false},
		{"absolute form, the same host", line("GET http://f.localhost/webhook HTTP/1.1", "Host: F.localhost\r\n"), refused, false},
		{"absolute form, the same host, with the key", line("GET http://f.localhost/webhook HTTP/1.1", "Host: f.localhost\r\n"+shown), fine, true},
		{"absolute form, Host of the function", line("GET http://evil/webhook HTTP/1.1", "Host: f.localhost\r\n"), ambiguous, false},
		{"absolute form with dots", line("GET http://127.0.0.1/fn/f/status/../webhook HTTP/1.1", host), ambiguous, false},
		{"absolute form without a path", line("GET http://f.localhost HTTP/1.1", "Host: f.localhost\r\n"), nowhere, false},
		{"no slash", line("GET fn/f/webhook HTTP/1.1", host), ambiguous, false},
		{"asterisk", line("OPTIONS * HTTP/1.1", host), ambiguous, false},
		{"CONNECT", line("CONNECT 127.0.0.1:80 HTTP/1.1", host), []int{405}, false},
		{"CONNECT with a path", line("CONNECT /fn/f/webhook HTTP/1.1", host+shown), []int{400, 405}, false},
		{"TRACE", line("TRACE /fn/f/webhook HTTP/1.1", host+shown), []int{405}, false},
		{"lower-case method", line("get /fn/f/webhook HTTP/1.1", host+shown), []int{501}, false},
		{"unknown method", line("FETCH /fn/f/webhook HTTP/1.1", host+shown), []int{501}, false},
		{"HEAD without a key", line("HEAD /fn/f/webhook HTTP/1.1", host), refused, false},
		{"OPTIONS without a key", line("OPTIONS /fn/f/webhook HTTP/1.1", host+"Origin: http://a\r\nAccess-Control-Request-Method: POST\r\n"), refused, false},
		{"override to open", line("POST /fn/f/webhook HTTP/1.1", host+"X-HTTP-Method-Override: GET\r\nContent-Length: 0\r\n"), refused, false},
		{"rewrite headers", line("GET /fn/f/webhook HTTP/1.1", host+"X-Original-URL: /fn/f/status\r\nX-Rewrite-URL: /fn/f/status\r\nX-Forwarded-Prefix: /fn/f/status\r\n"), refused, false},
		{"open path, guarded rewrite", line("GET /fn/f/nope HTTP/1.1", host+"X-Original-URL: /fn/f/webhook\r\n"), nowhere, false},
		{"HTTP/1.0 without Host", line("GET /fn/f/webhook HTTP/1.0", ""), []int{400, 401}, false},
		{"HTTP/1.0 without Host, root", line("GET /webhook HTTP/1.0", ""), []int{400, 404}, false},
		{"no Host", line("GET /fn/f/webhook HTTP/1.1", ""), ambiguous, false},
		{"two Hosts", line("GET /webhook HTTP/1.1", "Host: f.localhost\r\nHost: x\r\n"), ambiguous, false},
		{"forwarded host", line("GET /webhook HTTP/1.1", host+"X-Forwarded-Host: f.localhost\r\n"), nowhere, false},
		{"unknown host does not fall back", line("GET /fn/f/webhook HTTP/1.1", "Host: g.localhost\r\n"+shown), nowhere, false},
		{"h2c upgrade", line("GET /fn/f/webhook HTTP/1.1", host+"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"), refused, false},
		{"HTTP/2 preface in clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ambiguous, false},
		{"HEAD with the key", line("HEAD /fn/f/webhook HTTP/1.1", host+shown), fine, true},
		{"with the key", line("GET /fn/f/webhook HTTP/1.1", host+shown), fine, true},
	})
}

func TestAttack_Credentials(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	id, secret := g.key["POSTERN_KEY_ID"], g.key["POSTERN_KEY_SECRET"]
	encoded := strings.TrimPrefix(g.basic, "Basic ")
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	otherID, otherSecret := g.createKey("Other")
	for name, c := range map[string]struct {
		header string
		status []int
		runs   bool
	}{
		"right":                    {"Authorization: " + g.basic + "\r\n", fine, true},
		"right, scheme in capital": {"authorization: BASIC " + encoded + "\r\n", fine, true},
		"right, by key":            {"x-api-key: " + secret + "\r\n", fine, true},
		"two Authorization":        {"Authorization: " + g.basic + "\r\nAuthorization: " + g.basic + "\r\n", ambiguous, false},
		"two, other case":          {"Authorization: " + g.basic + "\r\nauthorization: Basic eDp5\r\n", ambiguous, false},
		"two keys":                 {"X-API-Key: " + secret + "\r\nX-API-Key: x\r\n", ambiguous, false},
		"comma":                    {"Authorization: " + g.basic + ", " + g.basic + "\r\n", refused, false},
		"tab after the scheme":     {"Authorization: Basic\t" + encoded + "\r\n", refused, false},
		"base64url":                {"Authorization: Basic " + base64.URLEncoding.EncodeToString([]byte(id+":"+secret[:51]+"\xfb\xff")) + "\r\n", refused, false},
		"not UTF-8":                {"Authorization: Basic " + b64(id+":\xff\xfe"+secret[2:]) + "\r\n", refused, false},
		"colon in the secret":      {"Authorization: Basic " + b64(id+"::"+secret[1:]) + "\r\n", refused, false},
		"empty user":               {"Authorization: Basic " + b64(":"+secret) + "\r\n", refused, false},
		"empty secret":             {"Authorization: Basic " + b64(id+":") + "\r\n", refused, false},
		"control characters":       {"Authorization: Basic " + b64(id+":"+secret[:52]+"\x00") + "\r\n", refused, false},
		"a mebibyte":               {"Authorization: Basic " + strings.Repeat("A", 1<<20) + "\r\n", []int{431}, false},
		"many spaces":              {"Authorization: Basic     " + encoded + "\r\n", []int{200, 401}, true},
		"padding added":            {"Authorization: " + g.basic + "==\r\n", refused, false},
		"padding left out":         {"Authorization: Basic " + strings.TrimRight(b64(id+":"+secret+"x"), "=") + "\r\n", refused, false},
		"scheme alone":             {"Authorization: Basic\r\n", refused, false},
		"empty":                    {"Authorization: \r\n", refused, false},
		"empty key header":         {"X-API-Key: \r\n", refused, false},
		"another key's secret":     {"Authorization: Basic " + b64(id+":"+otherSecret) + "\r\n", refused, false},
		"the other key itself":     {"Authorization: Basic " + b64(otherID+":"+otherSecret) + "\r\n", fine, true},
		"two keys that are valid":  {"Authorization: " + g.basic + "\r\nX-API-Key: " + otherSecret + "\r\n", ambiguous, false},
		"the same key twice":       {"Authorization: " + g.basic + "\r\nX-API-Key: " + secret + "\r\n", fine, true},
		"a key ID as the secret":   {"X-API-Key: " + id + "\r\n", refused, false},
		"secret in lower case":     {"X-API-Key: " + strings.ToLower(secret) + "\r\n", refused, false},
		"disagree":                 {"Authorization: " + g.basic + "\r\nX-API-Key: psk_x\r\n", refused, false},
		"hop-by-hop":               {"X-API-Key: psk_x\r\nConnection: authorization, x-api-key\r\n", refused, false},
		"proxy":                    {"Proxy-Authorization: " + g.basic + "\r\n", refused, false},
		"alias _":                  {"X_API_Key: " + secret + "\r\n", refused, false},
		"alias .":                  {"X.API.Key: " + secret + "\r\n", refused, false},
		"cookie":                   {"Cookie: authorization=" + g.basic + "; x-api-key=" + secret + "\r\n", refused, false},
		"bearer":                   {"Authorization: Bearer " + secret + "\r\n", refused, false},
		"wrong secret":             {"Authorization: Basic " + b64(id+":psk_"+strings.Repeat("0", 49)) + "\r\n", refused, false},
		"one character off":        {"Authorization: Basic " + b64(id+":"+secret[:52]+string(secret[52]^1)) + "\r\n", refused, false},
		"identity header":          {"X-Postern-Key-Id: " + id + "\r\nX-Postern-Project: x\r\n", refused, false},
	} {
		request := "GET /fn/f/webhook HTTP/1.1\r\nHost: 127.0.0.1\r\n" + c.header
		if !strings.Contains(c.header, "Connection:") {
			request += "Connection: close\r\n"
		}
		g.try([]attempt{{name, request + "\r\n", c.status, c.runs}})
	}
	g.try([]attempt{
		{"open handler, two keys", "GET /fn/f/status HTTP/1.1\r\nHost: h\r\nX-API-Key: a\r\nX-API-Key: b\r\nConnection: close\r\n\r\n", ambiguous, false},
		{"open handler, wrong key", "GET /fn/f/status HTTP/1.1\r\nHost: h\r\nX-API-Key: a\r\nConnection: close\r\n\r\n", fine, false},
		{"no such handler, right key", "GET /fn/f/nope HTTP/1.1\r\nHost: h\r\nX-API-Key: " + secret + "\r\nConnection: close\r\n\r\n", nowhere, false},
		{"own key named as hop-by-hop", "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nX-API-Key: " + secret + "\r\nConnection: close, x-api-key\r\n\r\n", fine, true},
		{"in the query", fmt.Sprintf("GET /fn/f/webhook?api_key=%s&x-api-key=%s&authorization=%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", secret, secret, encoded), refused, false},
		{"in the user info", fmt.Sprintf("GET http://%s:%s@127.0.0.1/fn/f/webhook HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", id, secret), ambiguous, false},
		{"in a trailer", "POST /fn/f/webhook HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\nConnection: close\r\n\r\n0\r\nAuthorization: " + g.basic + "\r\n\r\n", refused, false},
	})
	if strings.Contains(g.log(), secret) || strings.Contains(g.log(), encoded) {
		t.Error("a secret is in the server's log")
	}
}

// Two callers on one connection: what one showed is nothing to the other.
func TestAttack_PipelinedPrincipals(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	with := "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nAuthorization: " + g.basic + "\r\n\r\n"
	without := "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\n\r\n"
	if _, err := io.WriteString(conn, with+without+with+without); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	for i, want := range []int{200, 401, 200, 401} {
		tried(t, "answer", strconv.Itoa(i))
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		if res.StatusCode != want {
			t.Errorf("answer %d: %d, want %d", i, res.StatusCode, want)
		}
	}
	if n, _ := g.ran(); n != 2 {
		t.Errorf("the handler ran %d times, want 2", n)
	}
}
