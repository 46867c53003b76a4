package upstream_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/upstream"
)

// echo is an upstream that sends back what it gets. It counts the handshakes that
// it saw, and says how its last connection ended.
type echo struct {
	url    string
	opened atomic.Int64
	ended  chan websocket.CloseError
	header chan http.Header
}

func serveEcho(t testing.TB) *echo {
	e := &echo{ended: make(chan websocket.CloseError, 100), header: make(chan http.Header, 100)}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.opened.Add(1)
		e.header <- r.Header.Clone()
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat.v2", "chat.v1"}, InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(-1)
		for {
			kind, m, err := c.Read(context.Background())
			if err == nil && string(m) == "leave" {
				err = c.Close(4001, "as you wish")
			} else if err == nil && string(m) == "vanish" {
				c.CloseNow()
				return
			} else if err == nil && string(m) == "long" {
				m = bytes.Repeat([]byte("x"), 1000)
			}
			if err == nil {
				err = c.Write(context.Background(), kind, m)
			}
			if err != nil {
				ce, _ := errors.AsType[websocket.CloseError](err)
				e.ended <- ce
				return
			}
		}
	}))
	t.Cleanup(srv.Close)
	e.url = srv.URL
	return e
}

// door is a server that lets every WebSocket through.
func door(t testing.TB, p *upstream.Proxy, open func(*upstream.Socket)) *httptest.Server {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hurried" {
			c, at := http.NewResponseController(w), time.Now().Add(hurry)
			c.SetReadDeadline(at) // neither must cut a socket off
			c.SetWriteDeadline(at)
		}
		q := request(r.Method, r.URL.Path)
		q.Header = r.Header
		s, _, err := p.Upgrade(w, r, q)
		if err != nil {
			http.Error(w, codeOf(err), http.StatusBadGateway)
			return
		}
		if open != nil {
			open(s)
		}
		s.Relay(r.Context())
	}))
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

func socketTo(t testing.TB, addr string, policy platform.WebSocketPolicy) *upstream.Proxy {
	return proxyTo(t, strings.TrimPrefix(addr, "http://"), func(u *platform.Upstream) { u.WebSocket = &policy })
}

// hurry is how long a request to /hurried may take until it is answered.
const hurry = 2 * time.Second

func dial(t testing.TB, url string, subprotocols ...string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: subprotocols})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	c.SetReadLimit(-1)
	return c
}

func TestSocket_Relays(t *testing.T) {
	t.Parallel()
	e := serveEcho(t)
	var socket atomic.Pointer[upstream.Socket]
	c := dial(t, door(t, socketTo(t, e.url, platform.WebSocketPolicy{MessageLimit: 200_000}), func(s *upstream.Socket) { socket.Store(s) }).URL+"/hurried", "chat.v1", "chat.v2")
	if c.Subprotocol() != "chat.v2" { // the upstream's choice
		t.Errorf("subprotocol %q", c.Subprotocol())
	}
	time.Sleep(hurry + 50*time.Millisecond) // past the deadlines of the server
	sent := int64(0)
	for _, size := range []int{0, 1, 125, 126, 16<<10 - 1, 16 << 10, 16<<10 + 1, 65535, 65536, 200_000} {
		m := bytes.Repeat([]byte{'a' + byte(size%26)}, size)
		for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
			if err := c.Write(t.Context(), kind, m); err != nil {
				t.Fatal(err)
			}
			sent += int64(size)
			if got, back, err := c.Read(t.Context()); err != nil || got != kind || !bytes.Equal(back, m) {
				t.Fatalf("%d bytes: %d, %v, %v", size, len(back), got, err)
			}
		}
	}
	ctx := c.CloseRead(t.Context())
	if err := c.Ping(ctx); err != nil {
		t.Error(err)
	}
	if in, out := socket.Load().Bytes(); in != sent || out != sent {
		t.Errorf("%d and %d bytes, want %d", in, out, sent)
	}
	h := <-e.header
	if h.Get("X-Postern-Auth-Method") != "none" || h.Get("X-Request-Id") != "req_1" || len(h["Sec-Websocket-Key"]) != 1 || h.Get("Sec-Websocket-Extensions") != "" {
		t.Errorf("the upstream's handshake has %v", h)
	}
}

// How one side ends is what the other side reads.
func TestSocket_Ends(t *testing.T) {
	t.Parallel()
	e := serveEcho(t)
	for name, tc := range map[string]struct {
		do             func(c *websocket.Conn, s *upstream.Socket)
		caller, server websocket.StatusCode
		reason         string
	}{
		"the caller closes":             {do: func(c *websocket.Conn, _ *upstream.Socket) { go c.Close(4002, "bye") }, caller: 4002, server: 4002},
		"the caller closes without one": {do: func(c *websocket.Conn, _ *upstream.Socket) { go c.Close(websocket.StatusNoStatusRcvd, "") }, caller: websocket.StatusNoStatusRcvd, server: websocket.StatusNoStatusRcvd},
		"the upstream closes":           {do: say("leave"), caller: 4001, reason: "as you wish"},
		"the upstream vanishes":         {do: say("vanish"), caller: websocket.StatusBadGateway},
		"the caller vanishes":           {do: func(c *websocket.Conn, _ *upstream.Socket) { c.CloseNow() }, caller: -1, server: websocket.StatusGoingAway},
		"too large a message":           {do: say(strings.Repeat("x", 501)), caller: websocket.StatusMessageTooBig, server: websocket.StatusMessageTooBig},
		"too large a message back":      {do: say("long"), caller: websocket.StatusMessageTooBig, server: websocket.StatusMessageTooBig},
		"the gateway ends it":           {do: func(_ *websocket.Conn, s *upstream.Socket) { s.End(websocket.StatusPolicyViolation, "no more") }, caller: 1008, server: 1008, reason: "no more"},
	} {
		t.Run(name, func(t *testing.T) {
			opened := make(chan *upstream.Socket, 1)
			p := socketTo(t, e.url, platform.WebSocketPolicy{MessageLimit: 500})
			srv := door(t, p, func(s *upstream.Socket) { opened <- s })
			c := dial(t, srv.URL+"/chat")
			tc.do(c, <-opened)
			var err error
			for err == nil {
				_, _, err = c.Read(t.Context())
			}
			ce, _ := errors.AsType[websocket.CloseError](err)
			if got := websocket.CloseStatus(err); got != tc.caller && tc.server != 4002 && tc.server != websocket.StatusNoStatusRcvd || tc.reason != "" && ce.Reason != tc.reason {
				t.Errorf("the caller reads %v", err)
			}
			if tc.server != 0 {
				if got := <-e.ended; got.Code != tc.server {
					t.Errorf("the upstream reads %v", got)
				}
			} else if name == "the upstream closes" {
				<-e.ended
			}
			for end := time.Now().Add(30 * time.Second); p.InFlight() != 0 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			if p.InFlight() != 0 {
				t.Error("it is still there")
			}
		})
	}
}

func say(text string) func(*websocket.Conn, *upstream.Socket) {
	return func(c *websocket.Conn, _ *upstream.Socket) {
		c.Write(context.Background(), websocket.MessageText, []byte(text))
	}
}

// What is sent after the end goes nowhere.
func TestSocket_NothingAfterTheEnd(t *testing.T) {
	t.Parallel()
	var got atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		for err == nil {
			if _, _, err = c.Read(context.Background()); err == nil {
				got.Add(1)
			}
		}
	}))
	defer srv.Close()
	opened := make(chan *upstream.Socket, 1)
	c := dial(t, door(t, socketTo(t, srv.URL, platform.WebSocketPolicy{}), func(s *upstream.Socket) { opened <- s }).URL+"/chat")
	s := <-opened
	c.Write(t.Context(), websocket.MessageText, []byte("before"))
	for got.Load() == 0 {
		runtime.Gosched()
	}
	s.End(websocket.StatusPolicyViolation, "")
	for range 100 {
		if c.Write(t.Context(), websocket.MessageText, []byte("after")) != nil {
			break
		}
	}
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != 1008 {
		t.Error(err)
	}
	if got.Load() != 1 {
		t.Errorf("the upstream got %d messages", got.Load())
	}
}

// Half a message is never taken for a whole one.
func TestSocket_CutOff(t *testing.T) {
	t.Parallel()
	for name, frames := range map[string][]byte{
		"before the payload":  {0x81, 0x8a, 1, 2, 3, 4},
		"within the payload":  {0x81, 0x8a, 1, 2, 3, 4, 'a', 'b'},
		"between fragments":   {0x01, 0x82, 1, 2, 3, 4, 'a', 'b'},
		"within a long one":   append([]byte{0x82, 0xfe, 0xff, 0xff, 1, 2, 3, 4}, make([]byte, 16<<10)...),
		"a frame of no known": {0x83, 0x80, 1, 2, 3, 4},
		"a frame unmasked":    {0x81, 0x02, 'a', 'b'},
	} {
		var got atomic.Int64
		e := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, nil)
			for err == nil {
				if _, _, err = c.Read(context.Background()); err == nil {
					got.Add(1)
				}
			}
		}))
		p := socketTo(t, e.URL, platform.WebSocketPolicy{})
		srv := door(t, p, nil)
		c := rawSocket(t, srv.Listener.Addr().String())
		c.Write(frames)
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
		srv.Close()
		e.Close()
		if got.Load() != 0 {
			t.Errorf("%s: the upstream read a whole message", name)
		}
	}
}

// Who says that a message is longer than it is, and waits, is not waited for:
// neither above the limit nor when the end comes in the middle of it.
func TestSocket_EndsWithinAMessage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		payload int
		end     bool
	}{"above the limit": {2000, false}, "ended": {20 << 10, true}, "ended before a piece": {1, true}} {
		e := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, nil)
			for err == nil {
				_, _, err = c.Read(context.Background())
			}
		}))
		policy := platform.WebSocketPolicy{MessageLimit: 1000}
		if tc.end {
			policy.MessageLimit = 1 << 40
		}
		opened := make(chan *upstream.Socket, 1)
		srv := door(t, socketTo(t, e.URL, policy), func(s *upstream.Socket) { opened <- s })
		c := rawSocket(t, srv.Listener.Addr().String())
		s := <-opened
		c.Write(append([]byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, make([]byte, tc.payload)...))
		if tc.end {
			for in, _ := s.Bytes(); tc.payload > 1 && in == 0; in, _ = s.Bytes() {
				time.Sleep(time.Millisecond)
			}
			s.End(websocket.StatusPolicyViolation, "revoked")
			c.Write(make([]byte, 20<<10)) // that it is looked at again
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stays open", name)
		}
		c.Close()
		srv.Close()
		e.Close()
	}
}

// rawSocket shakes hands as a WebSocket client by hand.
func rawSocket(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	var head []byte
	for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, one...) {
		if _, err := io.ReadFull(c, one); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) || !bytes.Contains(head, []byte("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) {
		t.Fatalf("%s", head)
	}
	return c
}

// A message of which only pieces are in memory, and who reads slowly holds up who writes.
func TestSocket_Memory(t *testing.T) {
	e := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err == nil {
			<-r.Context().Done()
			c.CloseNow()
		}
	}))
	p := socketTo(t, e.URL, platform.WebSocketPolicy{MessageLimit: 1 << 30})
	srv := door(t, p, nil)
	c := rawSocket(t, srv.Listener.Addr().String())
	c.Write(append(append([]byte{0x82, 0xff}, binary.BigEndian.AppendUint64(nil, 1<<29)...), 0, 0, 0, 0))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	n, _ := io.Copy(c, io.LimitReader(zeros{}, 256<<20))
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); n > 64<<20 || grown > 4<<20 {
		t.Errorf("%d MiB were taken of a reader who reads nothing, with %d KiB", n>>20, grown>>10)
	}
	c.Close()
	e.CloseClientConnections()
	srv.Close()
	e.Close()
}

// Nobody sends anything, or one side is gone without a word.
func TestSocket_Idle(t *testing.T) {
	t.Parallel()
	e := serveEcho(t)
	c := dial(t, door(t, socketTo(t, e.url, platform.WebSocketPolicy{Idle: 100 * time.Millisecond}), nil).URL+"/chat")
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Error(err)
	}
	raw := rawSocket(t, door(t, socketTo(t, e.url, platform.WebSocketPolicy{}), func(s *upstream.Socket) { s.Every(50 * time.Millisecond) }).Listener.Addr().String())
	raw.SetReadDeadline(time.Now().Add(30 * time.Second))
	read, err := io.ReadAll(raw) // it answers no ping
	if err != nil || !bytes.HasPrefix(read, []byte{0x89, 1, '1'}) {
		t.Errorf("%x, %v", read, err)
	}
}

func TestAdmitWebSocket(t *testing.T) {
	t.Parallel()
	good := func() *http.Request {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header = http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
		return r
	}
	p := proxyTo(t, "10.0.0.5", func(u *platform.Upstream) {
		u.WebSocket = &platform.WebSocketPolicy{Origins: []string{"https://shop.example", "https://shop.example:8443"}}
	})
	any := proxyTo(t, "10.0.0.5", func(u *platform.Upstream) { u.WebSocket = &platform.WebSocketPolicy{Origins: []string{"*"}} })
	const own = "https://api.example"
	if err := p.AdmitWebSocket(good(), own); err != nil {
		t.Error(err)
	}
	if err := proxyTo(t, "10.0.0.5", nil).AdmitWebSocket(good(), own); codeOf(err) != "upgrade_refused" {
		t.Error(err)
	}
	for origin, want := range map[string]bool{own: true, "https://API.example": true, "https://shop.example": true, "https://shop.example:8443": true, "http://shop.example": false, "https://shop.example:444": false, "https://evil.example": false,
		"https://shop.example.evil": false, "https://evil.example#https://shop.example": false, "null": false, "": false, "*": false, "https://api.example/": false, "https://x@api.example": false, "http://api.example": false} {
		r := good()
		r.Header["Origin"] = []string{origin}
		if err := p.AdmitWebSocket(r, own); (err == nil) != want || err != nil && codeOf(err) != "origin_not_allowed" {
			t.Errorf("origin %q: %v", origin, err)
		}
		if err := any.AdmitWebSocket(r, own); err != nil {
			t.Errorf("any origin, %q: %v", origin, err)
		}
	}
	for name, change := range map[string]func(*http.Request){
		"HTTP/1.0": func(r *http.Request) { r.ProtoMinor = 0 }, "HTTP/2": func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 }, "POST": func(r *http.Request) { r.Method = "POST" }, "a body": func(r *http.Request) { r.ContentLength = 1 },
		"chunks": func(r *http.Request) { r.ContentLength = -1 }, "version 8": func(r *http.Request) { r.Header["Sec-Websocket-Version"] = []string{"8"} }, "no version": func(r *http.Request) { delete(r.Header, "Sec-Websocket-Version") },
		"no key": func(r *http.Request) { delete(r.Header, "Sec-Websocket-Key") }, "a short key": func(r *http.Request) { r.Header["Sec-Websocket-Key"] = []string{"aGk="} },
		"two keys": func(r *http.Request) {
			r.Header["Sec-Websocket-Key"] = append(r.Header["Sec-Websocket-Key"], "dGhlIHNhbXBsZSBub25jZQ==")
		},
		"two origins": func(r *http.Request) { r.Header["Origin"] = []string{own, own} },
	} {
		r := good()
		change(r)
		if err := p.AdmitWebSocket(r, own); err == nil {
			t.Errorf("%s is let in", name)
		}
	}
}

// An upstream that does not take it, or answers what it likes.
func TestUpgrade_Refused(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"401": "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "200": fine, "a redirect": "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", "101 without more": "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"a wrong accept": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: xxxx\r\n\r\n", "garbage": "SSH-2.0\r\n", "nothing": "",
	} {
		s := serveRaw(t, answer)
		p := socketTo(t, s.addr, platform.WebSocketPolicy{})
		srv := door(t, p, nil)
		_, res, err := websocket.Dial(t.Context(), srv.URL, nil)
		if err == nil || res == nil || res.StatusCode != 502 { // not the upstream's status, and not 101
			t.Errorf("%s: %v, %v", name, res, err)
		}
		if p.InFlight() != 0 || s.requests.Load() != 1 {
			t.Errorf("%s: %d in flight, asked %d times", name, p.InFlight(), s.requests.Load())
		}
	}
}

// Many sockets, ended in all ways at once, leave nothing.
func TestSocket_Leaks(t *testing.T) {
	e := serveEcho(t)
	p := socketTo(t, e.url, platform.WebSocketPolicy{})
	var mu sync.Mutex
	var all []*upstream.Socket
	srv := door(t, p, func(s *upstream.Socket) { mu.Lock(); all = append(all, s); mu.Unlock() })
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for i := range 40 {
		c := dial(t, srv.URL+"/chat")
		wg.Go(func() {
			switch c.Write(context.Background(), websocket.MessageText, []byte("hello")); i % 3 {
			case 0:
				c.CloseNow()
			case 1:
				c.Close(1000, "")
			default:
				for err := error(nil); err == nil; {
					_, _, err = c.Read(context.Background())
				}
			}
		})
	}
	for mu.Lock(); len(all) < 40; mu.Lock() {
		mu.Unlock()
		runtime.Gosched()
	}
	for _, s := range all {
		go s.End(websocket.StatusGoingAway, "")
	}
	mu.Unlock()
	wg.Wait()
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before+3 || p.InFlight() != 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines became %d; %d in flight\n%s", before, runtime.NumGoroutine(), p.InFlight(), stacks[:runtime.Stack(stacks, true)])
		}
	}
}
