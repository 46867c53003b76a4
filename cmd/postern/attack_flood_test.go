package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// idle opens a connection, makes a request of an open handler on it, and keeps
// it until the test ends. It returns the status; 0 when the server closed it.
func (g *target) idle(header string) int {
	g.Helper()
	conn := g.dial()
	g.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(conn, "GET /fn/f/health HTTP/1.1\r\nHost: h\r\n"+header+"\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// works fails the test if the server does not do its work beside the flood.
func (g *target) works(after string) {
	g.Helper()
	g.one(attempt{"a right call after " + after, "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nAuthorization: " + g.basic + "\r\nConnection: close\r\n\r\n", fine, true})
}

// Whoever sends much, or for ever, is refused, or cut off, and runs nothing.
func TestAttack_Flood(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	shown := "Authorization: " + g.basic + "\r\n"
	const host = "Host: h\r\n"
	post := "POST /fn/f/webhook HTTP/1.1\r\n" + host + shown
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	// 0: the answer was lost, because the server no longer read.
	g.try([]attempt{
		{"10,000 headers", "GET /fn/f/webhook HTTP/1.1\r\n" + host + shown + many(10_000, "X-%d: a\r\n") + "\r\n", []int{400, 431, 0}, false},
		{"a header of a mebibyte", "GET /fn/f/webhook HTTP/1.1\r\n" + host + shown + "X-A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", []int{431, 0}, false},
		{"a name of a mebibyte", "GET /fn/f/webhook HTTP/1.1\r\n" + host + shown + strings.Repeat("a", 1<<20) + ": a\r\n\r\n", []int{431, 0}, false},
		{"a line that does not end", strings.Repeat("G", 1<<20), []int{400, 431, 0}, false},
		{"endless chunks", post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("10000\r\n"+strings.Repeat("x", 1<<16)+"\r\n", 128), []int{413, 0}, false},
		{"a chunk's size that does not end", post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("0", 1<<20), []int{400, 0}, false},
		{"endless trailers", post + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + many(10_000, "X-%d: a\r\n") + "\r\n", []int{400, 0}, false},
	})
	g.works("floods")
	// Deep JSON is a body like others: its reader may refuse it, and lives.
	for _, n := range []int{1000, 100_000, 1_000_000} {
		deep := strings.Repeat("[", n) + strings.Repeat("]", n)
		if got := g.raw(post + "Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(deep)) + "\r\n\r\n" + deep); got != 200 && got != 400 {
			t.Errorf("JSON of depth %d: status %d", n, got)
		}
	}
	g.works("deep JSON")
}

// An address that is refused more often than it may be waits for more of it,
// and for nothing else.
func TestAttack_RefusalsWait(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	g.start("--refusals-per-address", "5")
	g.addr = strings.TrimPrefix(g.gateway, "http://")
	const stranger = "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	begun := time.Now()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got := g.raw(stranger); got != 401 {
				t.Errorf("a stranger: status %d", got)
			}
		})
	}
	slept := make(chan struct{})
	go func() { all.Wait(); close(slept) }()
	g.works("strangers") // and meanwhile
	<-slept
	if took := time.Since(begun); took < time.Second {
		t.Errorf("20 refusals, of which 5 a second are given at once, took %v", took)
	}
}

// Slow callers are cut off when their time is up, and hold up nobody until then.
func TestAttack_SlowHeaders(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	began := time.Now()
	ended := make(chan time.Duration)
	const slow = 200
	for i := range slow {
		conn, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go func() {
			io.WriteString(conn, []string{"GET /fn/f/webhook HTTP/1.1\r\n", "G", "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nX-A: a", ""}[i%4])
			conn.SetDeadline(time.Now().Add(2 * time.Minute))
			io.Copy(io.Discard, conn)
			ended <- time.Since(began)
		}()
	}
	g.works("the beginning of 200 slow headers")
	for range slow {
		if after := <-ended; after < 5*time.Second || after > time.Minute {
			t.Errorf("a slow caller was cut off after %s, want 10 s", after)
		}
	}
	if n, _ := g.ran(); n != 1 {
		t.Errorf("a guarded handler ran %d times, want once", n)
	}
}

// A body that does not come holds up its own caller and nobody else, and while
// it has not come nothing runs. Who is refused is refused once it has.
func TestAttack_SlowBodies(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	shown := "Authorization: " + g.basic + "\r\n"
	type held struct {
		name string
		net.Conn
		rest string
		want int
	}
	var refused, let []held
	for _, path := range []string{"/fn/f/webhook", "/fn/f/ice", "/fn/f/nope", "/fn/g/webhook"} {
		for name, body := range map[string][2]string{ // what comes at once, and what much later
			"no byte":            {"Content-Length: 100\r\n\r\n", strings.Repeat("x", 100)},
			"half":               {"Content-Length: 100\r\n\r\n" + strings.Repeat("x", 50), strings.Repeat("x", 50)},
			"all but one":        {"Content-Length: 100\r\n\r\n" + strings.Repeat("x", 99), "x"},
			"no chunk":           {"Transfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n"},
			"half a chunk":       {"Transfer-Encoding: chunked\r\n\r\n8\r\nxxxx", "xxxx\r\n0\r\n\r\n"},
			"no last chunk":      {"Transfer-Encoding: chunked\r\n\r\n4\r\nxxxx\r\n", "0\r\n\r\n"},
			"half a chunk's end": {"Transfer-Encoding: chunked\r\n\r\n4\r\nxxxx\r\n0\r\n", "\r\n"},
			"not asked to go on": {"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n", ""},
		} {
			request := "POST " + path + " HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\n"
			open := func(header string) net.Conn {
				conn := g.dial()
				t.Cleanup(func() { conn.Close() })
				conn.SetDeadline(time.Now().Add(time.Minute))
				io.WriteString(conn, request+header+body[0])
				return conn
			}
			want := 401
			if path == "/fn/f/nope" || path == "/fn/g/webhook" {
				want = 404
			}
			tried(t, name+" of a body, nothing shown", path)
			refused = append(refused, held{path + ", " + name, open(""), body[1], want})
			if path == "/fn/f/webhook" {
				tried(t, name+" of a body, with the key", path)
				for range 20 {
					let = append(let, held{path + ", " + name, open(shown), body[1], 0})
				}
			}
		}
	}
	g.works("the beginning of slow bodies")
	if n, _ := g.ran(); n != 1 {
		t.Errorf("a guarded handler ran %d times, want once", n)
	}
	for _, h := range let {
		h.Close()
	}
	for _, h := range refused {
		io.WriteString(h, h.rest)
		if got := readStatus(h); got != h.want {
			t.Errorf("%s of a body, then the rest: %d, want %d", h.name, got, h.want)
		}
	}
	g.works("slow bodies")
	if n, paths := g.ran(); n != 2 {
		t.Errorf("a guarded handler ran %d times, want twice: %v", n, paths)
	}
}

// Callers who are refused, on many connections and many at a time on each, take
// nothing from one who is not: each of his calls is answered, and only his run.
func TestAttack_FloodOfRefusals(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	const floods, rounds, atOnce, accepted = 16, 40, 50, 200
	kinds := []struct {
		name, request string
		status        int
	}{
		{"nothing shown", "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\n\r\n", 401},
		{"a wrong secret", "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nX-API-Key: psk_" + strings.Repeat("0", 49) + "\r\n\r\n", 401},
		{"an unknown key", "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nAuthorization: Basic cGFrX3g6cHNrX3k=\r\n\r\n", 401},
		{"a token that is none", "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer eyJhbGciOiJub25lIn0.e30.\r\n\r\n", 401},
		{"no signature", "POST /fn/f/ice HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}", 401},
		{"no such function", "GET /fn/g/webhook HTTP/1.1\r\nHost: h\r\n\r\n", 404},
		{"no such handler", "GET /fn/f/nope HTTP/1.1\r\nHost: h\r\n\r\n", 404},
		{"a method that is not served", "TRACE /fn/f/webhook HTTP/1.1\r\nHost: h\r\n\r\n", 405},
	}
	var flood sync.WaitGroup
	for i := range floods {
		k := kinds[i%len(kinds)]
		tried(t, k.name, k.request)
		flood.Go(func() {
			conn, err := net.Dial("tcp", g.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(3 * time.Minute))
			r := bufio.NewReader(conn)
			for n := range rounds {
				go io.WriteString(conn, strings.Repeat(k.request, atOnce))
				for range atOnce {
					res, err := http.ReadResponse(r, nil)
					if err != nil {
						t.Errorf("%s, round %d: %v", k.name, n, err)
						return
					}
					io.Copy(io.Discard, res.Body)
					if res.StatusCode != k.status {
						t.Errorf("%s: %d, want %d", k.name, res.StatusCode, k.status)
						return
					}
				}
			}
		})
	}
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(3 * time.Minute))
	r := bufio.NewReader(conn)
	for i := range accepted {
		io.WriteString(conn, "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nAuthorization: "+g.basic+"\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("call %d beside the flood: %v", i, err)
		}
		io.Copy(io.Discard, res.Body)
		if res.StatusCode != 200 {
			t.Fatalf("call %d beside the flood: %d", i, res.StatusCode)
		}
	}
	flood.Wait()
	if n, _ := g.ran(); n != accepted {
		t.Errorf("a guarded handler ran %d times, want %d", n, accepted)
	}
	// What the flood left in the audit log is bounded, and says how much it was.
	if lines := strings.Count(g.must("audit", "--outcome", "refused", "--json", "--limit", "1000"), "\n"); lines == 0 || lines > 900 {
		t.Errorf("%d refusals were recorded one by one", lines)
	}
}

// Connections that only wait cost little, and keep nobody out.
func TestAttack_IdleConnections(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	// Both ends are bound by the same limit, and this one has other tests beside it.
	room := int(min(limit.Cur, 1<<20))*3/4 - 1000
	if room < 100 {
		t.Fatalf("a limit of %d open files leaves no room for this test", limit.Cur)
	}
	for _, c := range []struct {
		name   string
		target func(*testing.T) *target
		n      int
		most   int64 // bytes of one
	}{{"in clear", newTarget, 10_000, 32 << 10}, {"inside TLS", newSecureTarget, 1000, 96 << 10}} {
		t.Run(c.name, func(t *testing.T) {
			g, n := c.target(t), min(c.n, room)
			for range 50 {
				g.idle("")
			}
			before := resident(t, g.cmd.Process.Pid)
			for range n {
				if got := g.idle(""); got != 200 {
					t.Fatalf("status %d", got)
				}
			}
			each := (resident(t, g.cmd.Process.Pid) - before) / int64(n)
			t.Logf("%d idle connections, of %d bytes each", n, each)
			if each > c.most {
				t.Errorf("%d idle connections cost %d bytes each, want at most %d", n, each, c.most)
			}
			g.works("idle connections")
		})
	}
}

// resident is the memory that a process has now.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
