package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
)

const upID = "up-01jd0000000000000000000000"

// behind is a world with one upstream, called api, and a real listener.
type behind struct {
	*world
	addr string // of the gateway
	url  string // of the upstream, where none is named
	log  *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newBehind serves an upstream at a URL: open below /open, at /events and /socket, to a key elsewhere.
func newBehind(t testing.TB, url string, change func(*platform.Upstream)) *behind {
	t.Helper()
	return newBehindLimits(t, url, change, httpx.Limits{Read: shortLimit})
}

// shortLimit is how long a body may take to come, and all else where a test
// outlasts it: what is refused is refused once its body is there, or its time up.
const shortLimit = 2 * time.Second

func newBehindLimits(t testing.TB, url string, change func(*platform.Upstream), limits httpx.Limits) *behind {
	t.Helper()
	w := newWorld(t)
	b := &behind{world: w, log: &syncBuffer{}}
	b.declare(1, url, change)
	w.g = gateway.New(gateway.Options{Access: slog.New(slog.NewJSONHandler(b.log, nil)), Log: slog.New(slog.NewJSONHandler(b.log, nil)), URL: "http://127.0.0.1:1"}, w.invoker)
	w.load(t)
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { w.g.Follow(ctx, w.src, w.src.bell) })
	ln, err := httpx.Listen(t.Context(), "127.0.0.1:0", "--listen")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = ln.Addr().String()
	server := &httpx.Server{Listener: ln, Handler: w.g, Limits: limits, Drain: 100 * time.Millisecond}
	parts.Go(func() { server.Serve(ctx) })
	t.Cleanup(func() { cancel(); w.g.Drain(context.Background()); parts.Wait() })
	return b
}

// declare makes the policy of the project, without telling of it.
func (b *behind) declare(number int, url string, change func(*platform.Upstream)) {
	if url == "" {
		url = b.url
	}
	u := platform.Upstream{ID: upID, ProjectID: project, Name: "api", Slug: "api", URL: url, Routes: []platform.UpstreamRoute{
		{Pattern: "/open/{path...}", Guard: platform.GuardOpen, Rule: platform.Rule{BodyLimit: 1 << 30}},
		{Pattern: "/events", Guard: platform.GuardKey, Rule: platform.Rule{Timeout: shortLimit}},
		{Pattern: "/socket", Guard: platform.GuardKey},
		{Pattern: "POST /orders", Guard: platform.GuardKey, Rule: platform.Rule{BodyLimit: 100}},
		{Pattern: "/odd", Guard: platform.Guard(77)},
		{Pattern: "/health", Guard: platform.GuardKey},
	}}
	if change != nil {
		change(&u)
	}
	b.src.policies[project] = platform.Policy{ProjectID: project, Number: number, Upstreams: []platform.Upstream{u}}
}

// redeclare changes the policy, and waits until it is in force.
func (b *behind) redeclare(t testing.TB, number int, url string, change func(*platform.Upstream)) {
	t.Helper()
	seq := b.src.change(platform.ChangePolicy, project, func() { b.declare(number, url, change) })
	if err := b.g.WaitApplied(t.Context(), seq); err != nil {
		t.Fatal(err)
	}
}

// newKey makes a key that is in force.
func (b *behind) newKey(t testing.TB, change func(*platform.AccessKey)) (id, secret string) {
	t.Helper()
	id, secret = b.key(change)
	if err := b.g.WaitApplied(t.Context(), b.src.seq()); err != nil {
		t.Fatal(err)
	}
	return id, secret
}

// raw sends bytes and reads what is answered, until nothing more comes. It does not
// close its half: that is how a caller goes away.
func (b *behind) raw(t testing.TB, bytes string) string {
	t.Helper()
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, bytes)
	var answer []byte
	pause := 100 * time.Millisecond // behind which it is taken for whole
	if strings.Contains(bytes, "\r\nConnection: close\r\n") {
		pause = 10 * time.Second
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for buf := make([]byte, 4096); ; c.SetReadDeadline(time.Now().Add(pause)) {
		n, err := c.Read(buf)
		if answer = append(answer, buf[:n]...); err != nil {
			return string(answer)
		}
	}
}

// heard is an upstream that keeps what it was sent, byte by byte.
type heard struct {
	url  string
	mu   sync.Mutex
	text string // guarded by mu
	seen atomic.Int64
}

func listen(t testing.TB) *heard {
	t.Helper()
	h := &heard{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.url = "http://" + ln.Addr().String()
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer c.Close()
				r := bufio.NewReader(io.TeeReader(c, writerFunc(func(p []byte) (int, error) {
					h.mu.Lock()
					defer h.mu.Unlock()
					h.text += string(p)
					return len(p), nil
				})))
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					h.seen.Add(1)
					io.Copy(io.Discard, req.Body)
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Upstream: yes\r\nX-Request-Id: theirs\r\n\r\nok")
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); open.Wait() })
	return h
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (h *heard) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() { h.text = "" }()
	return h.text
}

// Who may call, and what of it the upstream sees.
func TestUpstream_Policy(t *testing.T) {
	t.Parallel()
	up := listen(t)
	b := newBehind(t, up.url, nil)
	id, secret := b.newKey(t, nil)
	_, foreign := b.newKey(t, func(k *platform.AccessKey) { k.ProjectID = "prj_b" })
	_, grouped := b.newKey(t, func(k *platform.AccessKey) { k.Groups = []string{"partner"} })
	_, member := b.newKey(t, func(k *platform.AccessKey) { k.Groups = []string{"api"} })
	for _, tc := range []struct {
		method, path string
		header       http.Header
		status       int
		code         string
	}{
		{"GET", "/open/a", nil, 200, ""}, {"GET", "/open/a", http.Header{"Authorization": {"Basic rubbish"}}, 200, ""}, {"HEAD", "/open", nil, 200, ""}, {"OPTIONS", "/open/a", nil, 200, ""},
		{"POST", "/orders", nil, 401, "unauthenticated"}, {"POST", "/orders", http.Header{"X-Api-Key": {secret}}, 200, ""}, {"POST", "/orders", http.Header{"Authorization": {basic(id, secret)}}, 200, ""},
		{"POST", "/orders", http.Header{"X_api_key": {secret}}, 401, "unauthenticated"}, {"POST", "/orders", http.Header{"X-Api-Key": {foreign}}, 403, "not_allowed"}, {"POST", "/orders", http.Header{"X-Api-Key": {grouped}}, 403, "not_allowed"},
		{"POST", "/orders", http.Header{"X-Api-Key": {member}}, 200, ""}, {"GET", "/orders", http.Header{"X-Api-Key": {secret}}, 405, "method_not_allowed"}, {"POST", "/orders/1", http.Header{"X-Api-Key": {secret}}, 404, "handler_not_found"},
		{"POST", "/orders", http.Header{"X-Api-Key": {secret}, "Content-Length": {"101"}}, 413, "body_too_large"}, {"GET", "/odd", http.Header{"X-Api-Key": {secret}}, 401, "signature_required"},
		{"GET", "/health", nil, 401, "unauthenticated"}, {"GET", "/health", http.Header{"X-Api-Key": {secret}}, 200, ""}, {"GET", "/", nil, 404, "handler_not_found"}, {"GET", "/open/../orders", nil, 400, "ambiguous_path"}, {"GET", "/open/..;/orders", nil, 400, "ambiguous_path"},
		{"GET", "/open%2forders", nil, 400, "ambiguous_path"}, {"GET", "/open/%5c", nil, 400, "ambiguous_path"}, {"TRACE", "/open/a", nil, 405, "method_not_allowed"}, {"get", "/open/a", nil, 501, "method_unknown"},
	} {
		before := up.seen.Load()
		var head strings.Builder
		fmt.Fprintf(&head, "%s /fn/api%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", tc.method, tc.path)
		tc.header.Write(&head)
		answer := b.raw(t, head.String()+"\r\n")
		res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), &http.Request{Method: tc.method})
		if err != nil {
			t.Fatalf("%s %s: %v in %q", tc.method, tc.path, err, answer)
		}
		var p httpx.Problem
		json.NewDecoder(res.Body).Decode(&p)
		if res.StatusCode != tc.status || p.Code != tc.code || (up.seen.Load() > before) != (tc.status == 200) {
			t.Errorf("%s %s %v: %d %s, want %d %s; the upstream saw %d", tc.method, tc.path, tc.header, res.StatusCode, p.Code, tc.status, tc.code, up.seen.Load()-before)
		}
		if rid := res.Header.Get("X-Request-Id"); !strings.HasPrefix(rid, "req_") || len(res.Header["X-Request-Id"]) != 1 {
			t.Errorf("%s %s: request ID %q", tc.method, tc.path, res.Header["X-Request-Id"])
		}
	}
	if b.invoker.acquired.Load() != 0 {
		t.Error("a worker was asked")
	}
	for _, s := range []string{secret, foreign, grouped, member} {
		if strings.Contains(up.take()+b.log.String(), s) {
			t.Error("a secret reached the upstream, or the log")
		}
	}
}

// The upstream of a subproject is open to its parent's keys, as its functions are,
// and to nobody else's.
func TestUpstream_Subproject(t *testing.T) {
	t.Parallel()
	up := listen(t)
	b := newBehind(t, up.url, nil)
	_, above := b.newKey(t, func(k *platform.AccessKey) { k.ProjectID = "prj_above" })
	_, beside := b.newKey(t, func(k *platform.AccessKey) { k.ProjectID = "prj_beside" })
	seq := b.src.change(platform.ChangePolicy, project, func() {
		p := b.src.policies[project]
		p.Number, p.ParentProjectID = 2, "prj_above"
		b.src.policies[project] = p
	})
	if err := b.g.WaitApplied(t.Context(), seq); err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]string{above: "200", beside: "403"} {
		before := up.seen.Load()
		answer := b.raw(t, "POST /fn/api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nX-API-Key: "+secret+"\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 "+want) || (up.seen.Load() > before) != (want == "200") {
			t.Errorf("want %s: %.60q", want, answer)
		}
	}
}

// What counts for an upstream, or with it, ends with it.
func TestUpstream_ForgetsLimits(t *testing.T) {
	t.Parallel()
	up := listen(t)
	b := newBehind(t, up.url, nil)
	limited := func(u *platform.Upstream) {
		for i := range u.Routes {
			u.Routes[i].Limits = []platform.RateLimit{{Requests: 9, Per: time.Second, By: platform.LimitByAddress}, {Requests: 99, Per: time.Second, By: platform.LimitByRoute, Pool: "p"}}
		}
	}
	b.redeclare(t, 2, up.url, limited)
	if n := b.g.Limiters(); n == 0 {
		t.Fatal("nothing counts")
	}
	seq := b.src.change(platform.ChangePolicy, project, func() { b.src.policies[project] = platform.Policy{ProjectID: project, Number: 3} })
	if err := b.g.WaitApplied(t.Context(), seq); err != nil {
		t.Fatal(err)
	}
	if n := b.g.Limiters(); n != 0 {
		t.Errorf("%d still count", n)
	}
}

// Requests that would be smuggled: what arrives is asserted to the byte, and what
// is refused arrives not at all.
func TestUpstream_HostileClients(t *testing.T) {
	t.Parallel()
	up := listen(t)
	b := newBehind(t, up.url, nil)
	id, secret := b.newKey(t, nil)
	host := strings.TrimPrefix(up.url, "http://")
	const smuggled = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
	tail := func(extra string) string {
		return "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: x\r\nX-Forwarded-Prefix: /fn/api\r\nX-Forwarded-Proto: http\r\n" + extra
	}
	open := tail("X-Postern-Auth-Method: none\r\nX-Postern-Hops: 1\r\n")
	for name, tc := range map[string]struct{ sent, want string }{
		"plain":                        {"GET /fn/api/open/a?b=c;d HTTP/1.1\r\nHost: x\r\n\r\n", "GET /open/a?b=c;d HTTP/1.1\r\nHost: " + host + "\r\n" + open + "\r\n"},
		"a path in another form":       {"GET /fn/api//open/%61%20b/%3bx/ HTTP/1.1\r\nHost: x\r\n\r\n", "GET /open/a%20b/%3Bx HTTP/1.1\r\nHost: " + host + "\r\n" + open + "\r\n"},
		"the absolute form":            {"GET http://evil/fn/api/open/a HTTP/1.1\r\nHost: evil\r\n\r\n", "GET /open/a HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Replace(open, "Host: x", "Host: evil", 1) + "\r\n"},
		"connection: content-length":   {"POST /fn/api/open/a HTTP/1.1\r\nHost: x\r\nConnection: Content-Length\r\nContent-Length: " + fmt.Sprint(len(smuggled)) + "\r\n\r\n" + smuggled, ""},
		"CL.0":                         {"GET /fn/api/open/a HTTP/1.1\r\nHost: x\r\nContent-Length: " + fmt.Sprint(len(smuggled)) + "\r\n\r\n" + smuggled, "GET /open/a HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\nContent-Length: " + fmt.Sprint(len(smuggled)) + "\r\n" + open + "\r\n" + smuggled},
		"both lengths":                 {"POST /fn/api/open/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, ""},
		"two lengths":                  {"POST /fn/api/open/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + smuggled, ""},
		"an unknown transfer encoding": {"POST /fn/api/open/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled, ""},
		"a fragment":                   {"GET /fn/api/open/a#/orders HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		"an upgrade to h2c":            {"GET /fn/api/open/a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", "GET /open/a HTTP/1.1\r\nHost: " + host + "\r\n" + open + "\r\n"},
		"a websocket":                  {"GET /fn/api/open/a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", ""},
		"a loop":                       {"GET /fn/api/open/a HTTP/1.1\r\nHost: x\r\nX-Postern-Hops: 10\r\n\r\n", ""},
		"identity, and hop-by-hop": {"POST /fn/api/orders HTTP/1.1\r\nHost: x\r\nX-API-Key: " + secret + "\r\nConnection: X-Postern-Key-Id, X-Postern-Project-Id, X-Postern-Scopes, x-forwarded-for\r\nX-Postern-Key-Id: pak_root\r\nX_Postern_Key_Id: pak_root\r\nX.Postern.Scopes: control\r\nX-Forwarded-For: 10.0.0.1\r\nX_Forwarded_For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nContent-Length: 2\r\n\r\nhi",
			"POST /orders HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 2\r\n" + tail("X-Postern-Auth-Method: apikey\r\nX-Postern-Hops: 1\r\nX-Postern-Key-Id: "+id+"\r\nX-Postern-Project-Id: "+project+"\r\nX-Postern-Scopes: invoke\r\n") + "\r\nhi"},
	} {
		up.take()
		answer := b.raw(t, tc.sent)
		got := withoutID(up.take())
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: answered %.60q\n%s", name, answer, diff)
		}
		if n := strings.Count("\n"+answer, "\nHTTP/1.1 "); n != 1 && name != "two lengths" {
			t.Errorf("%s: %d answers: %s", name, n, answer)
		}
	}
}

// What is behind a body never reaches the upstream.
func TestUpstream_Trailers(t *testing.T) {
	t.Parallel()
	for _, trailer := range []string{"X-Checksum: 1\r\n", "X-Postern-Key-Id: pak_x\r\n", "Authorization: x\r\n"} {
		up := listen(t)
		b := newBehind(t, up.url, nil)
		b.raw(t, "POST /fn/api/open/a HTTP/1.1\r\nHost: x\r\nTrailer: X-Checksum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"+trailer+"\r\n")
		if got := up.take(); strings.Contains(got, strings.TrimSpace(trailer)) {
			t.Errorf("behind %q the upstream got %q", trailer, got)
		}
	}
}

// withoutID takes the line of the request ID out of what an upstream got.
func withoutID(text string) string {
	before, after, ok := strings.Cut(text, "X-Request-Id: ")
	if !ok {
		return text
	}
	_, after, _ = strings.Cut(after, "\r\n")
	return before + after
}

// Events come when they are sent, past all limits of the listener, until the key
// that opened the stream is revoked.
func TestUpstream_Events(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		rc := http.NewResponseController(w)
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil || rc.Flush() != nil {
				return
			}
			select {
			case <-time.After(shortLimit / 25):
			case <-r.Context().Done():
				return
			}
		}
	}))
	defer up.Close()
	b := newBehindLimits(t, up.URL, nil, httpx.Limits{Read: shortLimit, Write: shortLimit}) // by which no stream is bound
	id, secret := b.newKey(t, nil)
	// The stream outlives its timeout: from then on it is looked at again.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+b.addr+"/fn/api/events", nil)
	req.Header.Set("X-Api-Key", secret)
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for i := range 30 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) || !lines.Scan() {
			t.Fatalf("event %d: %q, %v", i, lines.Text(), lines.Err())
		}
	}
	b.src.change(platform.ChangeKey, id, func() { k := b.src.keys[id]; k.RevokedAt = time.Now(); b.src.keys[id] = k })
	for lines.Scan() {
	}
	if lines.Err() == nil || ctx.Err() != nil {
		t.Errorf("it goes on, or a stream that was cut off looks whole: %v", lines.Err())
	}
	<-ended
}

// 64 MiB each way, with bounded memory.
func TestUpstream_Large(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	}))
	defer up.Close()
	b := newBehind(t, up.URL, nil)
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const size = 64 << 20
	req, _ := http.NewRequest("POST", "http://"+b.addr+"/fn/api/open/a", io.LimitReader(zeros{}, size))
	req.ContentLength = size
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf, total, peak := make([]byte, 64<<10), 0, uint64(0)
	for i := 0; err == nil; i++ {
		var n int
		n, err = res.Body.Read(buf)
		total += n
		if i%200 == 0 {
			runtime.ReadMemStats(&during)
			peak = max(peak, during.HeapAlloc)
		}
	}
	if err != io.EOF || total != size {
		t.Fatalf("%d bytes, %v", total, err)
	}
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("it took %d KiB", grown>>10)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// What a caller is told of an upstream that fails, and what the log is.
func TestUpstream_Failures(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + ln.Addr().String()
	ln.Close()
	b := newBehind(t, url, func(u *platform.Upstream) { u.Breaker = platform.Breaker{Failures: 2, Open: time.Hour} })
	for i, want := range []string{"502 upstream_unreachable", "502 upstream_unreachable", "503 circuit_open", "503 circuit_open"} {
		res, p := b.do("GET", "/fn/api/open/a", nil)
		if got := fmt.Sprint(res.StatusCode, " ", p.Code); got != want || strings.Contains(p.Detail+p.Hint, "127.0.0.1") {
			t.Errorf("call %d: %s: %s", i, got, p.Detail)
		}
		if strings.HasPrefix(want, "503") && res.Header.Get("Retry-After") != "3600" {
			t.Errorf("Retry-After %q", res.Header.Get("Retry-After"))
		}
	}
	if log := b.log.String(); strings.Count(log, "an upstream cannot be reached") != 2 || strings.Count(log, "left alone for a while") != 1 || !strings.Contains(log, "connection refused") {
		t.Error(log)
	}
	// While it is declared with that URL the breaker stays, and with another it is new.
	b.redeclare(t, 2, url, func(u *platform.Upstream) { u.Breaker = platform.Breaker{Failures: 2, Open: time.Hour}; u.Retries = 1 })
	if _, p := b.do("GET", "/fn/api/open/a", nil); p.Code != "circuit_open" {
		t.Errorf("after a change: %s", p.Code)
	}
	up := listen(t)
	b.redeclare(t, 3, up.url, nil)
	if res, p := b.do("GET", "/fn/api/open/a", nil); res.StatusCode != 200 {
		t.Errorf("elsewhere: %d %s", res.StatusCode, p.Code)
	}
	for number, change := range map[int]func(*platform.Upstream){4: func(u *platform.Upstream) { u.URL = "http://169.254.169.254" }, 5: func(u *platform.Upstream) { u.Retries = 100 }} {
		b.redeclare(t, number, up.url, change)
		if res, p := b.do("GET", "/fn/api/open/a", nil); res.StatusCode != 503 || p.Code != "policy_unfit" {
			t.Errorf("what cannot be served: %d %s", res.StatusCode, p.Code)
		}
	}
	seq := b.src.change(platform.ChangePolicy, project, func() { delete(b.src.policies, project) })
	b.g.WaitApplied(t.Context(), seq)
	if res, _ := b.do("GET", "/fn/api/open/a", nil); res.StatusCode != 404 || up.seen.Load() != 1 {
		t.Errorf("what is gone: %d", res.StatusCode)
	}
}

func TestUpstream_Explained(t *testing.T) {
	t.Parallel()
	up := listen(t)
	b := newBehind(t, up.url, nil)
	res, _ := b.do("GET", "/fn/api/open/a", nil)
	e, ok := b.g.Explained(project, res.Header.Get("X-Request-Id"))
	if !ok || e.Outcome != platform.OutcomeAllowed || e.Steps[6].Why != "the upstream answered 200" {
		t.Errorf("%+v", e)
	}
	e, err := b.g.Explain(audit.Question{ProjectID: project, CallerID: project, Method: "POST", URL: "/fn/api/orders", Remote: "192.0.2.1:1"})
	if err != nil || e.Status != 401 || up.seen.Load() != 1 {
		t.Errorf("%+v, %v; the upstream saw %d", e, err, up.seen.Load())
	}
}
