package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
	"github.com/hashicorp/yamux"

	"postern.dev/postern/internal/tunnel"
)

// What callers send towards a tunnel: names that are almost its own reach nobody,
// and headers that speak for the gateway do not come through.
func TestAttack_TunnelCallers(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	b := g.dig(http.HandlerFunc(mirror))
	name := b.name
	for what, target := range map[string][2]string{ // host and path
		"below its host":          {"a." + name + ".localhost", "/webhook"},
		"its host and more":       {name + ".localhost.evil.example", "/webhook"},
		"its name alone":          {name, "/webhook"},
		"another name":            {name[:len(name)-1] + "0.localhost", "/webhook"},
		"a name that is longer":   {name + "a.localhost", "/webhook"},
		"the prefix":              {"tun-.localhost", "/webhook"},
		"its path, cut":           {"h", "/fn/" + name[:10]},
		"its path, encoded slash": {"h", "/fn/" + name + "%2fwebhook"},
		"its path, dots":          {"h", "/fn/" + name + "/../f/webhook"},
		"its path, from another":  {"h", "/fn/f/../" + name + "/webhook"},
		"a page of dev's, by dot": {name + ".localhost", "/./_postern/"},
		"a NUL":                   {name + ".localhost", "/a%00b"},
		"a backslash":             {name + ".localhost", "/a%5c..%5cb"},
		"its host with a user":    {"user@" + name + ".localhost", "/"},
		"two hosts":               {name + ".localhost\r\nHost: f.localhost", "/"},
		"a length and chunks":     {name + ".localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked", "/"},
		"a folded line":           {name + ".localhost\r\nX-A: b\r\n X-Postern-Key-Id: pak_x", "/"},
		"an upgrade to HTTP/2":    {name + ".localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nX-Postern-Hops: 10", "/"},
	} {
		tried(t, what, target[0]+target[1])
		before := b.ran.Load()
		status, _ := g.exchange("GET " + target[1] + " HTTP/1.1\r\nHost: " + target[0] + "\r\nConnection: close\r\n\r\n")
		if b.ran.Load() != before || status < 400 {
			t.Errorf("%s: %d, came through %d times", what, status, b.ran.Load()-before)
		}
	}
	spoofed := []string{"X-Postern-Key-Id: pak_x", "X-Postern-Project-Id: prj_x", "X-Postern-Scopes: control", "X-Postern-Auth-Method: basic", "X-Forwarded-For: 127.0.0.1, 192.0.0.8", "X-Forwarded-For: ::1", "X-Forwarded-Host: localhost", "X-Forwarded-Proto: https",
		"X-Forwarded-Prefix: /_postern", "Forwarded: for=127.0.0.1;host=localhost;proto=https", "X-Real-Ip: 127.0.0.1", "X-Original-Url: /_postern/", "X-Rewrite-Url: /_postern/", "Connection: x-forwarded-for, x-forwarded-proto, x-request-id", "X-Postern-Hops: 0", "X_Forwarded_For: 127.0.0.1"}
	for _, line := range spoofed {
		tried(t, "spoofed", line)
		status, body := g.exchange("GET /a HTTP/1.1\r\nHost: " + name + ".localhost\r\n" + line + "\r\nConnection: close\r\n\r\n")
		var got mirrored
		if err := json.Unmarshal([]byte(body), &got); status != http.StatusTeapot || err != nil {
			t.Errorf("%s: %d %s", line, status, body)
			continue
		}
		field, value, _ := strings.Cut(line, ": ")
		if there := got.Header.Get(field); there == value && field != "X-Postern-Hops" && field != "Connection" {
			t.Errorf("%s came through", line)
		}
		host, _, _ := net.SplitHostPort(got.Remote)
		if got.TLS || !got.Through || got.Host != name+".localhost" || host != "127.0.0.1" || got.Header.Get("X-Forwarded-Proto") != "http" || got.Header.Get("X-Postern-Key-Id") != "" {
			t.Errorf("%s: %+v", line, got)
		}
	}
	if ran, _ := g.ran(); ran != 0 {
		t.Errorf("the function that has nothing to do with it ran %d times", ran)
	}
}

// answering opens a tunnel whose client writes what it is told to, whatever that is,
// and returns its address.
func (s *site) answering(answer func(asked string) string) (url string) {
	s.Helper()
	as := s.caller()
	at, err := as.TunnelURL()
	if err != nil {
		s.Fatal(err)
	}
	conn, _, err := websocket.Dial(s.Context(), at, &websocket.DialOptions{HTTPClient: &http.Client{Transport: as.Tunnels()}, Subprotocols: []string{tunnel.Subprotocol}})
	if err != nil {
		s.Fatal(err)
	}
	_, text, err := conn.Read(s.Context())
	var w tunnel.Welcome
	if err != nil || json.Unmarshal(text, &w) != nil {
		s.Fatalf("no welcome: %v %s", err, text)
	}
	session, err := yamux.Server(websocket.NetConn(context.Background(), conn, websocket.MessageBinary), nil)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { session.Close() })
	go func() {
		for {
			c, err := session.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				asked := make([]byte, 16<<10)
				n, _ := c.Read(asked)
				io.WriteString(c, answer(string(asked[:n])))
			}()
		}
	}()
	return s.gateway + "/fn/" + w.Name
}

// What a tunnel's client answers: bytes that two readers take for two things, or
// headers that speak for the gateway, are no answer of another's, and do not stay
// for the next who calls.
func TestAttack_TunnelAnswers(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	var raw atomic.Value // what the client answers
	url := g.answering(func(asked string) string {
		if strings.Contains(asked, "/fine") {
			return "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
		}
		return raw.Load().(string)
	})
	for what, tc := range map[string]struct {
		raw  string
		want int // 0: none below 500
	}{
		"two answers in one":           {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", 200},
		"two lengths":                  {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\nokpoison", 0},
		"a length that is none":        {"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", 0},
		"no HTTP":                      {"poison\r\n\r\n", 0},
		"a protocol that nobody asked": {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: poison\r\n\r\npoison", 0},
		"a status of two digits":       {"HTTP/1.1 20 OK\r\n\r\n", 0},
		"a status of none":             {"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok", 0},
		"an endless header":            {"HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("poison", 1<<18) + "\r\n\r\n", 0},
		"early hints without end":      {strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <"+strings.Repeat("a", 1000)+">\r\n\r\n", 5000), 0},
		"headers of the gateway's":     {"HTTP/1.1 200 OK\r\nX-Request-Id: poison\r\nX-Postern-Refused: poison\r\nAlt-Svc: poison\r\nProxy-Authenticate: poison\r\nContent-Length: 2\r\n\r\nok", 200},
		"nothing":                      {"", 0},
	} {
		tried(t, what, tc.raw)
		raw.Store(tc.raw)
		res, err := http.Get(url + "/raw")
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		var body [1 << 10]byte
		n, _ := res.Body.Read(body[:])
		res.Body.Close()
		if ok := res.StatusCode == tc.want || tc.want == 0 && res.StatusCode >= 500; !ok || strings.Contains(fmt.Sprint(res.Header), "poison") || strings.Contains(string(body[:n]), "poison") {
			t.Errorf("%s: %d %v %s", what, res.StatusCode, res.Header, body[:n])
		}
		if status, said := call(t, http.DefaultClient, "GET", url+"/fine", "", "", ""); status != 200 || said != "fine" {
			t.Errorf("after %s: %d %s", what, status, said)
		}
		if status, _ := call(t, http.DefaultClient, "GET", g.gateway+"/fn/f/status", "", "", ""); status != 200 {
			t.Errorf("after %s another function answers %d", what, status)
		}
	}
}
