package upstream_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/upstream"
)

// rawServer is an upstream on a bare socket: it keeps what it was sent, byte by
// byte, and answers what it is told to.
type rawServer struct {
	addr     string
	mu       sync.Mutex
	got      []string // what came on each connection; guarded by mu
	conns    atomic.Int64
	requests atomic.Int64
}

// serveRaw answers each request, the header of which has come, with the next of
// the answers; the last of them again and again. An empty answer hangs up.
func serveRaw(t testing.TB, answers ...string) *rawServer {
	t.Helper()
	return serveConns(t, func(s *rawServer, c net.Conn) {
		r := bufio.NewReader(io.TeeReader(c, s.recorder()))
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			n := s.requests.Add(1)
			io.Copy(io.Discard, req.Body)
			a := answers[min(int(n), len(answers))-1]
			if a == "" {
				return
			}
			io.WriteString(c, a)
			if strings.Contains(a, "Connection: close") || !strings.HasPrefix(a, "HTTP/1.1 ") || !strings.Contains(a, "\r\n\r\n") {
				return
			}
		}
	})
}

func serveConns(t testing.TB, serve func(*rawServer, net.Conn)) *rawServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{addr: ln.Addr().String()}
	var open sync.WaitGroup
	var mu sync.Mutex
	live := map[net.Conn]bool{}
	open.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			mu.Lock()
			live[c] = true
			mu.Unlock()
			open.Go(func() { defer c.Close(); serve(s, c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for c := range live {
			c.Close()
		}
		mu.Unlock()
		open.Wait()
	})
	return s
}

// readHeader reads the header of a request: what is sent before it is an answer to nobody.
func readHeader(c net.Conn) {
	http.ReadRequest(bufio.NewReader(c))
}

// recorder takes down what comes on one connection.
func (s *rawServer) recorder() io.Writer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, "")
	n := len(s.got) - 1
	return writerFunc(func(p []byte) (int, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got[n] += string(p)
		return len(p), nil
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (s *rawServer) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.got, "")
}

func proxyTo(t testing.TB, addr string, change func(*platform.Upstream)) *upstream.Proxy {
	t.Helper()
	u := platform.Upstream{Name: "api", URL: "http://" + addr}
	if change != nil {
		change(&u)
	}
	p, err := upstream.New(u, upstream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Retire)
	return p
}

func request(method, path string) *upstream.Request {
	return &upstream.Request{ID: "req_1", Method: method, Path: path, Host: "door.example", Scheme: "https", ClientIP: "192.0.2.7", AuthMethod: "none", Header: http.Header{}, Timeout: 30 * time.Second}
}

// answer is what came of a request: the status and the body, or the error's code.
func answer(ctx context.Context, p *upstream.Proxy, r *upstream.Request) (status int, body string, code string) {
	res, err := p.Do(ctx, r)
	if err != nil {
		return 0, "", codeOf(err)
	}
	defer res.Close()
	b, err := io.ReadAll(res)
	return res.Status, string(b), codeOf(err)
}

func codeOf(err error) string {
	switch _, is := errors.AsType[*fault.Error](err); {
	case err == nil:
		return ""
	case is:
		return httpx.CodeOf(err).Code
	}
	return err.Error()
}

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
