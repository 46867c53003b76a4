package upstream_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/upstream"
)

// How often the upstream is asked, counted there.
func TestDo_Retries(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		method  string
		body    string
		header  http.Header
		answers []string // an empty one hangs up
		retries int
		status  int
		asked   int64
	}{
		"hung up twice":                {method: "GET", answers: []string{"", "", fine}, retries: 2, status: 200, asked: 3},
		"hung up more often":           {method: "GET", answers: []string{"", "", fine}, retries: 1, asked: 2},
		"none declared":                {method: "GET", answers: []string{"", fine}, asked: 1},
		"PUT without a body":           {method: "PUT", answers: []string{"", fine}, retries: 5, status: 200, asked: 2},
		"DELETE":                       {method: "DELETE", answers: []string{"", fine}, retries: 5, status: 200, asked: 2},
		"POST":                         {method: "POST", answers: []string{"", fine}, retries: 5, asked: 1},
		"PATCH":                        {method: "PATCH", answers: []string{"", fine}, retries: 5, asked: 1},
		"POST with an idempotency key": {method: "POST", header: http.Header{"Idempotency-Key": {"1"}, "X-Idempotency-Key": {"1"}}, answers: []string{fine, "", fine}, retries: 5, asked: 2},
		"a body":                       {method: "PUT", body: "x", answers: []string{"", fine}, retries: 5, asked: 1},
		"half an answer":               {method: "GET", answers: []string{"HTTP/1.1 2", fine}, retries: 5, asked: 1},
		"a failure that is an answer":  {method: "GET", answers: []string{"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", fine}, retries: 5, status: 503, asked: 1},
		"an answer that breaks off":    {method: "GET", answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nok", fine}, retries: 5, status: 200, asked: 1},
		"hung up on an old connection": {method: "POST", answers: []string{fine, "", fine}, retries: 5, asked: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveRaw(t, tc.answers...)
			p := proxyTo(t, s.addr, func(u *platform.Upstream) { u.Retries = tc.retries })
			r := request(tc.method, "/")
			if tc.body != "" {
				r.Body, r.Length = strings.NewReader(tc.body), int64(len(tc.body))
			}
			if tc.header != nil {
				r.Header = tc.header
			}
			status, _, code := answer(t.Context(), p, r)
			if tc.answers[0] == fine { // the next one finds a connection that the upstream then closes
				status, _, code = answer(t.Context(), p, r)
			}
			if status != tc.status || s.requests.Load() != tc.asked || (tc.status == 0) != strings.HasPrefix(code, "upstream_") && code != "upstream_failed" {
				t.Errorf("%d %q, asked %d times, want %d after %d", status, code, s.requests.Load(), tc.status, tc.asked)
			}
			if p.InFlight() != 0 {
				t.Error("a place is still taken")
			}
		})
	}
}

// Nobody listens: nothing is sent, and the caller is not told where to.
func TestDo_Unreachable(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	_, err = proxyTo(t, addr, func(u *platform.Upstream) { u.Retries = 3 }).Do(t.Context(), request("GET", "/"))
	if codeOf(err) != "upstream_unreachable" || upstream.Sent(err) {
		t.Errorf("%v, sent %v", err, upstream.Sent(err))
	}
	if problem := httpx.ProblemOf(err, ""); strings.Contains(problem.Detail+problem.Hint, "127.0.0.1") || !strings.Contains(err.Error(), addr) {
		t.Errorf("the caller reads %q, the log %q", problem.Detail, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := proxyTo(t, addr, nil).Do(ctx, request("GET", "/")); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller went away: %v", err)
	}
}

func TestDo_InFlight(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := serveConns(t, func(s *rawServer, c net.Conn) {
		readHeader(c)
		<-release
		io.WriteString(c, fine)
	})
	p := proxyTo(t, s.addr, func(u *platform.Upstream) { u.MaxInFlight = 2 })
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if status, _, code := answer(t.Context(), p, request("GET", "/")); status != 200 {
				t.Error(status, code)
			}
		})
	}
	for s.conns.Load() < 2 {
		runtime.Gosched()
	}
	if _, _, code := answer(t.Context(), p, request("GET", "/")); code != "queue_full" || s.conns.Load() != 2 {
		t.Errorf("%q after %d connections", code, s.conns.Load())
	}
	close(release)
	wg.Wait()
	if p.InFlight() != 0 {
		t.Errorf("%d are still waiting", p.InFlight())
	}
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []bool
		allow := upstream.NewBreaker(platform.Breaker{Failures: 3, Open: 10 * time.Second}, func(open bool) { told = append(told, open) })
		failure := errors.New("connection refused")
		call := func(result error) error {
			done, err := allow()
			if err == nil {
				done(result)
			}
			return err
		}
		state := func(what string, open bool, changes int) {
			t.Helper()
			if len(told) != changes || changes > 0 && told[changes-1] != open {
				t.Fatalf("%s: %v", what, told)
			}
		}
		for _, result := range []error{failure, failure, nil, failure, failure, upstream.ErrNoVerdict, context.Canceled} {
			if result == context.Canceled {
				continue
			}
			call(result)
		}
		state("failures that a success came between", false, 0)
		call(failure)
		state("three failures", true, 1)
		time.Sleep(4 * time.Second)
		var wait httpx.RetryAfter
		if err := call(nil); codeOf(err) != "circuit_open" || !errors.As(err, &wait) || wait.RetryAfter() != 6*time.Second {
			t.Fatalf("open: %v, %v", err, wait)
		}
		time.Sleep(6*time.Second + 1)
		probe, err := allow()
		if err != nil {
			t.Fatal(err)
		}
		if err := call(nil); codeOf(err) != "circuit_open" {
			t.Fatalf("beside the probe: %v", err)
		}
		probe(failure)
		state("a probe that failed", true, 1)
		if err := call(nil); err == nil {
			t.Fatal("it let a second one through")
		}
		time.Sleep(10*time.Second + 1)
		gone, err := allow()
		if err != nil {
			t.Fatal(err)
		}
		gone(upstream.ErrNoVerdict) // the probe's caller went away: the next one is the probe
		if err := call(nil); err != nil {
			t.Fatal(err)
		}
		state("a probe that succeeded", false, 2)
		late, _ := allow()
		for range 3 {
			call(failure)
		}
		state("open again", true, 3)
		late(nil) // was let through before, and changes nothing now
		if err := call(nil); err == nil {
			t.Fatal("a late success closed it")
		}
	})
}

// An open breaker keeps calls from the upstream, and what is an answer opens none.
func TestDo_Breaker(t *testing.T) {
	t.Parallel()
	var open atomic.Int64
	hang := serveRaw(t, "")
	p, err := upstream.New(platform.Upstream{Name: "api", URL: "http://" + hang.addr, Breaker: platform.Breaker{Failures: 2, Open: time.Hour}},
		upstream.Options{Changed: func(u *platform.Upstream, now bool) {
			if now && u.Name == "api" {
				open.Add(1)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"upstream_unreachable", "upstream_unreachable", "circuit_open", "circuit_open"} {
		_, err := p.Do(t.Context(), request("GET", "/"))
		if codeOf(err) != want || upstream.Sent(err) != (i < 2) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if hang.requests.Load() != 2 || open.Load() != 1 {
		t.Errorf("asked %d times, opened %d times", hang.requests.Load(), open.Load())
	}
	next, err := p.With(platform.Upstream{Name: "api", URL: "http://" + hang.addr, Breaker: platform.Breaker{Failures: 2, Open: time.Hour}, Retries: 1})
	if _, _, code := answer(t.Context(), next, request("GET", "/")); err != nil || code != "circuit_open" || !next.Shares(p) {
		t.Errorf("declared anew: %q, %v", code, err)
	}
	next, _ = p.With(platform.Upstream{Name: "api", URL: "http://" + hang.addr + "/v2"})
	if next.Shares(p) {
		t.Error("another URL has the old connections")
	}
	busy := serveRaw(t, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
	p = proxyTo(t, busy.addr, func(u *platform.Upstream) { u.Breaker.Failures = 1 })
	for range 5 {
		if status, _, code := answer(t.Context(), p, request("GET", "/")); status != 503 || code != "" {
			t.Errorf("%d %q", status, code)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"http://10.0.0.5:9000", "https://api.example/v1/", "http://[fd00::1]:80", "http://localhost:3000/a%20b"} {
		if err := upstream.Check(platform.Upstream{URL: u}); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	for _, u := range []string{"", "api.example", "/v1", "ftp://api.example", "unix:/run/x", "http://", "http://:80", "http://api.example:", "http://u:p@api.example", "http://api.example?", "http://api.example?a=b", "http://api.example#a", "http://api.example#",
		"http://api.example/a/../b", "http://api.example/a//b", "http://api.example/a%5cb", "http://api.example/a;b", "http://api.example/%2e%2e/b", "http:api.example", "http://api.example:99999999",
		"http://169.254.169.254/latest", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/", "http://[64:ff9b::a9fe:a9fe]/", "http://0.0.0.0:80", "http://[::]:80", "http://[fd00:ec2::254]/"} {
		if err := upstream.Check(platform.Upstream{URL: u}); codeOf(err) != "invalid_request" {
			t.Errorf("%s: %v", u, err)
		}
	}
	for _, u := range []platform.Upstream{{Retries: 6}, {Retries: -1}, {MaxInFlight: -1}, {ConnectTimeout: -1}, {Breaker: platform.Breaker{Failures: -1}}, {Breaker: platform.Breaker{Open: -1}}, {WebSocket: &platform.WebSocketPolicy{MessageLimit: -1}},
		{WebSocket: &platform.WebSocketPolicy{Idle: -1}}, {WebSocket: &platform.WebSocketPolicy{Origins: []string{"shop.example"}}}} {
		u.URL = "http://10.0.0.5"
		if err := upstream.Check(u); codeOf(err) != "invalid_request" {
			t.Errorf("%+v: %v", u, err)
		}
	}
}

func TestReachable(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{"127.0.0.1": true, "::1": true, "10.0.0.1": true, "8.8.8.8": true, "2001:db8::1": true, "169.253.255.255": true, "169.254.0.1": false, "169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false,
		"::ffff:169.254.169.254": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b::808:808": true, "224.0.0.1": false, "255.255.255.255": false, "ff02::1": false, "0.0.0.0": false, "::": false, "100.100.100.200": false, "fd00:ec2::254": false} {
		if err := upstream.Reachable(netip.MustParseAddr(addr)); (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// A name that leads to one of our own listeners leads nowhere.
func TestDo_Own(t *testing.T) {
	t.Parallel()
	s := serveRaw(t, fine)
	at := netip.MustParseAddrPort(s.addr)
	for _, own := range []netip.AddrPort{at, netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port()), netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())} {
		for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
			_, port, _ := net.SplitHostPort(s.addr)
			p, err := upstream.New(platform.Upstream{Name: "api", URL: "http://" + host + ":" + port, Retries: 3}, upstream.Options{Own: []netip.AddrPort{own}})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, code := answer(t.Context(), p, request("GET", "/")); code != "upstream_unreachable" {
				t.Errorf("%s, with a listener at %s: %q", host, own, code)
			}
		}
	}
	if s.conns.Load() != 0 {
		t.Error("a connection was made")
	}
	if upstream.IsOwn(at, []netip.AddrPort{netip.AddrPortFrom(at.Addr(), at.Port()+1), netip.MustParseAddrPort("127.0.0.2:" + strings.Split(s.addr, ":")[1])}) {
		t.Error("another port or address is taken for an own one")
	}
}

// 64 MiB each way at once, in a few pieces of memory.
func TestDo_Large(t *testing.T) {
	s := serveConns(t, func(s *rawServer, c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
		io.Copy(c, req.Body)
	})
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := request("POST", "/")
	r.Body, r.Length = io.LimitReader(zeros{}, 64<<20), 64<<20
	res, err := proxyTo(t, s.addr, nil).Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	buf, total, peak := make([]byte, 32<<10), 0, uint64(0)
	for i := 0; err == nil; i++ {
		var n int
		n, err = res.Read(buf)
		total += n
		if i%100 == 0 {
			runtime.ReadMemStats(&during)
			peak = max(peak, during.HeapAlloc)
		}
	}
	if err != io.EOF || total != 64<<20 {
		t.Fatalf("%d bytes, %v", total, err)
	}
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("it took %d KiB", grown>>10)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A body that cannot be read is the caller's failure, and closes no breaker.
func TestDo_BadBody(t *testing.T) {
	t.Parallel()
	s := serveRaw(t, fine)
	p := proxyTo(t, s.addr, func(u *platform.Upstream) { u.Breaker = platform.Breaker{Failures: 1, Open: time.Hour} })
	broken := errors.New("broken")
	for range 3 {
		r := request("POST", "/")
		r.Body, r.Length = io.MultiReader(strings.NewReader("abc"), failing{broken}), -1
		_, err := p.Do(t.Context(), r)
		if e, ok := errors.AsType[*upstream.BodyError](err); !ok || !errors.Is(e, broken) {
			t.Errorf("%v", err)
		}
	}
	if status, _, code := answer(t.Context(), p, request("GET", "/")); status != 200 {
		t.Error(status, code)
	}
}

// A caller who sends slowly uses up the time of its own call alone: however many
// do, the upstream is not left alone for anybody. Who does not read is slow itself.
func TestDo_SlowBody(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	deaf := serveDeaf(t)
	fair := serveRaw(t, fine)
	for name, tc := range map[string]struct {
		addr string
		body func(context.Context) io.Reader
		open bool
	}{
		"it stops": {fair.addr, func(ctx context.Context) io.Reader { return io.MultiReader(strings.NewReader("abc"), stalled{ctx}) }, false},
		"it ends at the last": {deaf, func(ctx context.Context) io.Reader {
			return io.MultiReader(strings.NewReader("abc"), late{timeout - 20*time.Millisecond})
		}, false},
		"it is not waited for": {deaf, func(context.Context) io.Reader { return strings.NewReader("abc") }, true},
		"nobody reads it":      {deaf, func(context.Context) io.Reader { return zeros{} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := proxyTo(t, tc.addr, func(u *platform.Upstream) { u.Breaker = platform.Breaker{Failures: 1, Open: time.Hour} })
			r := request("POST", "/")
			r.Body, r.Length, r.Timeout = tc.body(t.Context()), -1, timeout
			if _, err := p.Do(t.Context(), r); fault.KindOf(err) != fault.Timeout {
				t.Errorf("%v", err)
			}
			r = request("GET", "/")
			r.Timeout = 50 * time.Millisecond
			if _, err := p.Do(t.Context(), r); (codeOf(err) == "circuit_open") != tc.open {
				t.Errorf("the next caller: %v", err)
			}
		})
	}
}

// serveDeaf takes connections, and neither reads nor answers.
func serveDeaf(t testing.TB) (addr string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

// stalled is a body of which nothing more comes.
type stalled struct{ context.Context }

func (s stalled) Read([]byte) (int, error) {
	select {
	case <-s.Done():
	case <-time.After(3 * time.Second):
	}
	return 0, io.EOF
}

// late is a body that ends after a while.
type late struct{ time.Duration }

func (l late) Read([]byte) (int, error) { time.Sleep(l.Duration); return 0, io.EOF }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
