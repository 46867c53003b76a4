package httpx_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/httpx"
)

// tally is a Counter.
type tally struct {
	mu      sync.Mutex
	open    int            // guarded by mu
	refused map[string]int // guarded by mu
}

func (c *tally) Connected(change int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open += change
}

func (c *tally) Refused(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil {
		c.refused = map[string]int{}
	}
	c.refused[reason]++
}

func (c *tally) is(open int, reason string, n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open == open && c.refused[reason] == n
}

// start serves on a free port until the test ends.
func start(t testing.TB, srv *httpx.Server) (addr string) {
	t.Helper()
	if srv.Listener == nil {
		ln, err := httpx.Listen(t.Context(), "127.0.0.1:0", "--listen")
		if err != nil {
			t.Fatal(err)
		}
		srv.Listener = ln
	}
	srv.Drain = time.Second
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return srv.Listener.Addr().String()
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// ask sends a request and returns the answer's status; 0 when there is none.
func ask(conn net.Conn) int {
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		return 0
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })

func TestServer_ConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		srv    httpx.Server
		reason string
	}{
		"in all":     {httpx.Server{MaxConnections: 3}, httpx.RefusedFull},
		"of address": {httpx.Server{MaxConnections: 100, MaxPerAddress: 3}, httpx.RefusedAddress},
	} {
		var count tally
		tc.srv.Handler, tc.srv.Counter = hello, &count
		addr := start(t, &tc.srv)
		var conns []net.Conn
		for range 3 {
			conns = append(conns, dial(t, addr))
			if got := ask(conns[len(conns)-1]); got != 200 {
				t.Fatalf("%s: %d within the bound", name, got)
			}
		}
		for range 2 {
			if got := ask(dial(t, addr)); got != 0 {
				t.Errorf("%s: %d above the bound", name, got)
			}
		}
		if !count.is(3, tc.reason, 2) {
			t.Errorf("%s: counted %+v", name, count.refused)
		}
		if got := ask(conns[0]); got != 200 {
			t.Errorf("%s: %d on a connection that was there before", name, got)
		}
		conns[1].Close()
		until(t, name+": the closed one is counted", func() bool { return count.is(2, tc.reason, 2) })
		if got := ask(dial(t, addr)); got != 200 {
			t.Errorf("%s: %d after one was closed", name, got)
		}
	}
}

func TestServer_ProxiesMayHaveManyConnections(t *testing.T) {
	t.Parallel()
	for proxy, peer := range map[string]string{"127.0.0.0/8": "127.0.0.1:1", "2001:db8::5/128": "[2001:db8::5]:1"} {
		ln, err := httpx.Listen(t.Context(), "127.0.0.1:0", "--listen")
		if err != nil {
			t.Fatal(err)
		}
		addr := start(t, &httpx.Server{Listener: peers{ln, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(peer))}, Handler: hello, MaxPerAddress: 1, Proxies: httpx.Proxies{netip.MustParsePrefix(proxy)}})
		for range 5 {
			if got := ask(dial(t, addr)); got != 200 {
				t.Errorf("the proxy %s gets %d", peer, got)
			}
		}
	}
}

// peers is a listener whose connections all seem to come from one address.
type peers struct {
	net.Listener
	from net.Addr
}

func (p peers) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	return peerConn{c, p.from}, err
}

type peerConn struct {
	net.Conn
	from net.Addr
}

func (c peerConn) RemoteAddr() net.Addr { return c.from }

// Who called is known in each protocol.
func TestServer_CallersBehindProxies(t *testing.T) {
	t.Parallel()
	server, client := tlsConfig(t)
	for name, config := range map[string]*tls.Config{"HTTP/1.1": nil, "HTTP/2.0": server} {
		addr := start(t, &httpx.Server{TLS: config, Proxies: httpx.Proxies{netip.MustParsePrefix("127.0.0.0/8")}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			peer, _, _ := net.SplitHostPort(httpx.Peer(r))
			fmt.Fprint(w, r.Proto, " ", r.RemoteAddr, " ", peer)
		})})
		transport := &http.Transport{TLSClientConfig: client.Clone(), ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		url := "http://" + addr
		if config != nil {
			url = "https://" + addr
		}
		for _, caller := range []string{"192.0.2.7", "192.0.2.8"} { // on one connection
			req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Forwarded-For", "127.0.0.1, "+caller)
			res, err := (&http.Client{Transport: transport}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if want := name + " " + caller + ":0 127.0.0.1"; string(got) != want {
				t.Errorf("the handler says %q, want %q", got, want)
			}
		}
	}
}

// tlsConfig is for a server and for a client that trusts it and has a
// certificate of its own.
func tlsConfig(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	own := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	return &tls.Config{Certificates: own, ClientAuth: tls.RequestClientCert}, &tls.Config{RootCAs: pool, Certificates: own}
}

// Inside TLS the same is refused, a handler sees the client's certificate, and
// HTTP/2 is spoken with whoever can.
func TestServer_TLS(t *testing.T) {
	t.Parallel()
	server, client := tlsConfig(t)
	var count tally
	addr := start(t, &httpx.Server{TLS: server, Counter: &count, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Proto, " ", r.TLS != nil && len(r.TLS.PeerCertificates) == 1, " ", n, " ", err)
	})})
	for proto, h2 := range map[string]bool{"HTTP/2.0": true, "HTTP/1.1": false} {
		transport := &http.Transport{TLSClientConfig: client.Clone(), ForceAttemptHTTP2: h2}
		if !h2 {
			transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
		}
		defer transport.CloseIdleConnections()
		for range 2 {
			res, err := (&http.Client{Transport: transport}).Post("https://"+addr, "text/plain", io.MultiReader(strings.NewReader("hello"))) // no length: chunks
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if want := proto + " true 5 <nil>"; string(got) != want {
				t.Errorf("the handler says %q, want %q", got, want)
			}
		}
	}
	conn, err := tls.Dial("tcp", addr, client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 400 {
		t.Errorf("inside TLS: %v, %v", res, err)
	}
	if !count.is(3, httpx.RefusedFraming, 1) && !count.is(2, httpx.RefusedFraming, 1) {
		t.Errorf("counted %+v", count.refused)
	}
	// Who speaks in clear is told, and who says nothing holds up nobody.
	if got := ask(dial(t, addr)); got != 400 {
		t.Errorf("in clear: %d", got)
	}
	until(t, "the handshake is counted", func() bool {
		count.mu.Lock()
		defer count.mu.Unlock()
		return count.refused[httpx.RefusedHandshake] == 1
	})
	for range 300 {
		dial(t, addr)
	}
	began := time.Now()
	late, err := tls.Dial("tcp", addr, client)
	if err != nil {
		t.Fatal(err)
	}
	late.Close()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a handshake beside 300 that do not begin took %s", took)
	}
}

// A server that stops does not wait for handshakes that go nowhere.
func TestServer_StopsDuringHandshakes(t *testing.T) {
	t.Parallel()
	server, _ := tlsConfig(t)
	ln, err := httpx.Listen(t.Context(), "127.0.0.1:0", "--listen")
	if err != nil {
		t.Fatal(err)
	}
	var count tally
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	srv := &httpx.Server{Listener: ln, TLS: server, Handler: hello, Counter: &count}
	go func() { served <- srv.Serve(ctx) }()
	for range 5 {
		dial(t, ln.Addr().String())
	}
	until(t, "all are in", func() bool { return count.is(5, "", 0) })
	cancel()
	select {
	case err := <-served:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the server does not stop")
	}
	if !count.is(0, httpx.RefusedHandshake, 5) {
		t.Errorf("%d connections are left: %v", count.open, count.refused)
	}
}

// A handler may take a connection over, and speak what it likes on it.
func TestServer_Hijack(t *testing.T) {
	t.Parallel()
	server, client := tlsConfig(t)
	for name, config := range map[string]*tls.Config{"in clear": nil, "inside TLS": server} {
		var count tally
		addr := start(t, &httpx.Server{TLS: config, Counter: &count, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stay" {
				return // does not switch, whatever the client asks for
			}
			conn, buf, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
			io.CopyN(conn, buf, 9)
		})})
		open := func() net.Conn {
			if config == nil {
				return dial(t, addr)
			}
			conn, err := tls.Dial("tcp", addr, client)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			return conn
		}
		const upgrade = "GET %s HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
		conn := open()
		fmt.Fprintf(conn, upgrade, "/switch")
		r := bufio.NewReader(conn)
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != 101 {
			t.Fatalf("%s: %v, %v", name, res, err)
		}
		const frames = "\x81\n\r\x00\r\n \xff\n"
		io.WriteString(conn, frames)
		if got, err := io.ReadAll(r); err != nil || string(got) != frames {
			t.Errorf("%s: %q came back, %v", name, got, err)
		}
		until(t, name+": it is counted until it ends", func() bool { return count.is(0, "", 0) })

		conn = open()
		fmt.Fprintf(conn, upgrade+"GET /stay HTTP/1.1\nHost: h\r\n\r\n", "/stay")
		r = bufio.NewReader(conn)
		for i, want := range []int{200, 400} {
			res, err := http.ReadResponse(r, nil)
			if err != nil || res.StatusCode != want {
				t.Fatalf("%s: answer %d: %v, %v; want %d", name, i, res, err, want)
			}
			io.Copy(io.Discard, res.Body)
		}
	}
}

// A client that waits for 100 Continue gets it, and one that is refused before
// keeps its body.
func TestServer_Continue(t *testing.T) {
	t.Parallel()
	addr := start(t, &httpx.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(401)
			return
		}
		io.Copy(w, r.Body)
	})})
	for path, want := range map[string]string{"/": "200 hello", "/refuse": "401 "} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+path, strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Expect", "100-continue")
		transport := &http.Transport{ExpectContinueTimeout: 10 * time.Second}
		res, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		transport.CloseIdleConnections()
		if got := fmt.Sprint(res.StatusCode, " ", string(body)); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// Slow callers are cut off: by the time of the header, or by that of the whole
// request, however steadily they drip.
func TestServer_SlowCallers(t *testing.T) {
	t.Parallel()
	const post = "POST / HTTP/1.1\r\nHost: h\r\n"
	for name, tc := range map[string]struct {
		first, drip string
		runs        bool
	}{
		"nothing":       {"", "", false},
		"a slow header": {"GET / HTTP/1.1\r\nHost: h\r\nX-A: ", "a", false},
		"slow headers":  {"GET / HTTP/1.1\r\nHost: h\r\n", "X-A: a\r\n", false},
		"a slow body":   {post + "Content-Length: 100000\r\n\r\n", "a", true},
		"slow chunks":   {post + "Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", true},
		"a slow chunk":  {post + "Transfer-Encoding: chunked\r\n\r\n10000\r\n", "a", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read := make(chan error, 1)
			addr := start(t, &httpx.Server{Limits: httpx.Limits{ReadHeader: 300 * time.Millisecond, Read: 600 * time.Millisecond}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				read <- err
				panic(http.ErrAbortHandler)
			})})
			conn := dial(t, addr)
			ended := make(chan struct{})
			go func() { io.Copy(io.Discard, conn); close(ended) }()
			io.WriteString(conn, tc.first)
			until(t, "it is cut off", func() bool {
				if tc.drip != "" {
					io.WriteString(conn, tc.drip)
				}
				select {
				case <-ended:
					return true
				default:
					return false
				}
			})
			select {
			case err := <-read:
				if !tc.runs || err == nil {
					t.Errorf("the handler read a body: %v", err)
				}
			default:
				if tc.runs {
					t.Error("the handler did not run")
				}
			}
		})
	}
}

// Who has waited, and then sends what is not plain, is answered as one who did
// so at once: no deadline is left of the request before.
func TestServer_RefusedAfterAWhile(t *testing.T) {
	t.Parallel()
	conn := dial(t, start(t, &httpx.Server{Handler: hello, Limits: httpx.Limits{Write: 50 * time.Millisecond}}))
	if got := ask(conn); got != 200 {
		t.Fatalf("the first gets %d", got)
	}
	time.Sleep(150 * time.Millisecond)
	io.WriteString(conn, "GET / HTTP/1.1\nHost: h\r\n\r\n")
	if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 400 {
		t.Errorf("the second: %v, %v", res, err)
	}
}

// A listener that fails for a while is not given up.
func TestServer_AcceptFailsForAWhile(t *testing.T) {
	t.Parallel()
	server, client := tlsConfig(t)
	for _, config := range []*tls.Config{nil, server} {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		srv := &httpx.Server{Listener: &failing{Listener: inner, left: 3}, TLS: config, Handler: hello}
		go func() { served <- srv.Serve(ctx) }()
		conn := dial(t, inner.Addr().String())
		if config != nil {
			client := client.Clone()
			client.ServerName, client.NextProtos = "127.0.0.1", []string{"http/1.1"}
			conn = tls.Client(conn, client)
		}
		if got := ask(conn); got != 200 {
			t.Errorf("status %d", got)
		}
		conn.Close()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

type failing struct {
	net.Listener
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left--; f.left >= 0 {
		return nil, tooMany{errors.New("too many open files")}
	}
	return f.Listener.Accept()
}

type tooMany struct{ error }

func (tooMany) Timeout() bool   { return false }
func (tooMany) Temporary() bool { return true }

// What the framing costs a small request on a connection that is kept: compare
// the two with benchstat.
func BenchmarkKeepAlive(b *testing.B) {
	for _, read := range []string{"by package wire", "as it comes"} {
		b.Run(read, func(b *testing.B) {
			var addr string
			if h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}); read == "as it comes" {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 60 * time.Second, WriteTimeout: 60 * time.Second, IdleTimeout: 120 * time.Second}
				go srv.Serve(ln)
				defer srv.Close()
				addr = ln.Addr().String()
			} else {
				addr = start(b, &httpx.Server{Handler: h})
			}
			conn := dial(b, addr)
			conn.SetDeadline(time.Time{})
			request := []byte("GET /fn/hello/webhook HTTP/1.1\r\nHost: gateway.example.org\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nX-Api-Key: psk_0123456789012345678901234567890123456789012345678\r\n\r\n")
			buf := make([]byte, 4<<10)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				if _, err := conn.Read(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
