package upstream_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/platform"
)

// A hostile or broken upstream.
func TestDo_Answers(t *testing.T) {
	t.Parallel()
	type want struct {
		status     int
		body, code string
	}
	broken := want{code: "upstream_failed"}
	for name, tc := range map[string]struct {
		answer string
		want   want
	}{
		"garbage":                       {"SSH-2.0-OpenSSH\r\n", broken},
		"a garbage status":              {"HTTP/1.1 2000 OK\r\n\r\n", broken},
		"a status below 100":            {"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", broken},
		"HTTP/3.0":                      {"HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n", broken},
		"half a header":                 {"HTTP/1.1 200 OK\r\nContent-", broken},
		"a giant header":                {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 70<<10) + "\r\n\r\n", broken},
		"many headers":                  {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: xxxxxxxxxx\r\n", 5000) + "\r\n", broken},
		"two lengths":                   {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk", broken},
		"a negative length":             {"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", broken},
		"an unknown transfer encoding":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", broken},
		"101 without being asked":       {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nxxxx", broken},
		"a bare 101":                    {"HTTP/1.1 101 Switching Protocols\r\n\r\nxxxx", broken},
		"a flood of 1xx":                {strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 5000), broken},
		"nothing":                       {"", want{code: "upstream_unreachable"}},
		"some 1xx":                      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nSet-Cookie: a=b\r\n\r\n" + fine, want{200, "ok", ""}},
		"an early end":                  {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nok", want{200, "ok", "upstream_failed"}},
		"an early end of chunks":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n", want{200, "ok", "upstream_failed"}},
		"a bad chunk":                   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n", want{200, "ok", "upstream_failed"}},
		"a giant chunk":                 {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nfffffffffffffffff\r\n", want{200, "ok", "upstream_failed"}},
		"an endless chunk line":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;" + strings.Repeat("x", 10<<10), want{200, "ok", "upstream_failed"}},
		"until the end":                 {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", want{200, "ok", ""}},
		"a 401 of its own":              {"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno", want{401, "no", ""}},
		"a 503 of its own":              {"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno", want{503, "no", ""}},
		"chunks and a length":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 100\r\n\r\n2\r\nok\r\n0\r\n\r\n", want{200, "ok", ""}},
		"an answer to nobody behind it": {fine + "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled", want{200, "ok", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveRaw(t, tc.answer)
			p := proxyTo(t, s.addr, nil)
			status, body, code := answer(t.Context(), p, request("POST", "/"))
			if got := (want{status, body, code}); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
			if n := s.requests.Load(); n != 1 {
				t.Errorf("it was asked %d times", n)
			}
			if p.InFlight() != 0 {
				t.Error("a place is still taken")
			}
		})
	}
}

// What comes behind an answer is never somebody else's.
func TestDo_Poisoned(t *testing.T) {
	t.Parallel()
	for range 100 { // it is a matter of who is quicker
		s := serveRaw(t, fine+"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled", fine)
		p := proxyTo(t, s.addr, nil)
		for range 3 {
			if status, body, code := answer(t.Context(), p, request("GET", "/")); status != 200 || body != "ok" || code != "" {
				t.Fatalf("a caller got an answer that was not theirs: %d %q %s", status, body, code)
			}
		}
	}
}

func TestResponse_Header(t *testing.T) {
	t.Parallel()
	s := serveRaw(t, "HTTP/1.1 200 OK\r\nServer: nginx\r\nX-Powered-By: php\r\nBad Name: x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\n"+
		"Alt-Svc: h3=\":443\"\r\nX-Request-Id: theirs\r\nX-Postern-Key-Id: pak_x\r\nWWW-Authenticate: Basic\r\nVary: Accept\r\nAccess-Control-Allow-Origin: *\r\nTrailer: X-End, X-Postern-End\r\nTransfer-Encoding: chunked\r\n"+
		"\r\n2\r\nok\r\n0\r\nX-End: 1\r\nX-Postern-End: 1\r\nX-Unannounced: 1\r\n\r\n")
	res, err := proxyTo(t, s.addr, nil).Do(t.Context(), request("GET", "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	got := http.Header{"Vary": {"Origin"}, "Access-Control-Allow-Origin": {"https://shop.example"}}
	res.CopyHeader(got)
	want := http.Header{"Server": {"nginx"}, "X-Powered-By": {"php"}, "Set-Cookie": {"a=1", "b=2"}, "Www-Authenticate": {"Basic"}, "Vary": {"Origin", "Accept"}, "Access-Control-Allow-Origin": {"https://shop.example"},
		"Content-Type": nil, "Trailer": {"X-End"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if b, err := io.ReadAll(res); string(b) != "ok" || err != nil {
		t.Error(string(b), err)
	}
	end := http.Header{}
	res.CopyTrailer(end)
	if end.Get("X-End") != "1" || end["X-Postern-End"] != nil {
		t.Errorf("trailer %v", end)
	}
}

func TestResponse_Location(t *testing.T) {
	t.Parallel()
	for base, list := range map[string]map[string]string{
		"http://10.0.0.5:9000/v1": {
			"http://10.0.0.5:9000/v1/a?b=c#d": "/fn/api/a?b=c#d", "/v1/a": "/fn/api/a", "/v1": "/fn/api/", "//10.0.0.5:9000/v1/a": "/fn/api/a", "a/b": "a/b", "?x": "?x", "/other": "/other", "/v1x": "/v1x",
			"https://10.0.0.5:9000/v1/a": "https://10.0.0.5:9000/v1/a", "http://other/v1/a": "http://other/v1/a", "http://u@10.0.0.5:9000/v1/a": "http://u@10.0.0.5:9000/v1/a", "/v1//evil.example": "/v1//evil.example",
			"/v1/a%2fb": "/fn/api/a%2fb", "%zz": "%zz", "": "",
		},
		"http://10.0.0.5:9000": {"/a": "/fn/api/a", "http://10.0.0.5:9000": "/fn/api/", "//evil.example/a": "//evil.example/a"},
	} {
		p := proxyTo(t, "", func(u *platform.Upstream) { u.URL = base })
		for location, want := range list {
			if got := p.Outside("/fn/api", location); got != want {
				t.Errorf("below %s, %q becomes %q, want %q", base, location, got, want)
			}
		}
	}
}

func TestDo_Late(t *testing.T) {
	t.Parallel()
	r := request("GET", "/")
	r.Timeout = time.Second
	t.Run("nothing comes", func(t *testing.T) {
		t.Parallel()
		stall := serveConns(t, func(s *rawServer, c net.Conn) { io.Copy(io.Discard, c) })
		p := proxyTo(t, stall.addr, func(u *platform.Upstream) { u.Retries = 5 })
		if _, _, code := answer(t.Context(), p, r); code != "timeout" || stall.conns.Load() != 1 {
			t.Errorf("%q after %d connections: what may have been seen is not sent again", code, stall.conns.Load())
		}
	})
	t.Run("the rest does not come", func(t *testing.T) {
		t.Parallel()
		pausing := serveConns(t, func(s *rawServer, c net.Conn) {
			readHeader(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok")
			io.Copy(io.Discard, c)
		})
		if status, body, code := answer(t.Context(), proxyTo(t, pausing.addr, nil), r); status != 200 || body != "ok" || code != "timeout" {
			t.Error(status, body, code)
		}
	})
	t.Run("a stream may take longer, if no pause in it does", func(t *testing.T) {
		t.Parallel()
		slow := serveConns(t, func(s *rawServer, c net.Conn) {
			readHeader(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
			for i := range 10 {
				time.Sleep(r.Timeout / 8)
				fmt.Fprint(c, i)
			}
		})
		if status, body, code := answer(t.Context(), proxyTo(t, slow.addr, nil), r); status != 200 || body != "0123456789" || code != "" {
			t.Error(status, body, code)
		}
	})
}

// Each event of a stream is there when it was sent, not when the next one is.
func TestDo_Streams(t *testing.T) {
	t.Parallel()
	next := make(chan string)
	s := serveConns(t, func(s *rawServer, c net.Conn) {
		readHeader(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
		for event := range next {
			io.WriteString(c, event)
		}
	})
	res, err := proxyTo(t, s.addr, nil).Do(t.Context(), request("GET", "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	buf := make([]byte, 100)
	for i := range 5 {
		event := fmt.Sprintf("data: %d\n\n", i)
		next <- event
		if n, err := res.Read(buf); string(buf[:n]) != event {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	}
	close(next)
}
