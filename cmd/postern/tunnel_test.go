package main_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/tunnel"
)

// burrow is a tunnel of a site, whose other end is in this process.
type burrow struct {
	*site
	states chan tunnel.State
	ran    atomic.Int64 // requests that got through
	cut    func()       // breaks the connection off without a word
	done   chan error
	stop   func() // ends the client
	name   string
	url    string // by path
}

// dig opens a tunnel and waits for it.
func (s *site) dig(h http.Handler) *burrow {
	s.Helper()
	b := &burrow{site: s, states: make(chan tunnel.State, 100), done: make(chan error, 1)}
	b.run(s.caller(), h)
	b.opened()
	return b
}

// caller is a client of the API that nothing else uses.
func (s *site) caller() *api.Client {
	return &api.Client{Server: s.control, ProjectID: s.key["POSTERN_PROJECT_ID"], KeyID: s.key["POSTERN_KEY_ID"], Secret: s.key["POSTERN_KEY_SECRET"]}
}

func (b *burrow) run(as *api.Client, h http.Handler) {
	b.Helper()
	var mu sync.Mutex
	var conns []net.Conn
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		}
		return c, err
	}
	b.cut = func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			c.Close()
		}
		conns = nil
	}
	as.HTTP = &http.Client{Transport: transport}
	at, err := as.TunnelURL()
	if err != nil {
		b.Fatal(err)
	}
	client := tunnel.NewClient(tunnel.ClientOptions{URL: at, Transport: as.Tunnels(), Wait: 20 * time.Millisecond,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.ran.Add(1)
			h.ServeHTTP(w, r)
		}),
		Changed: func(st tunnel.State) { b.states <- st }})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); b.done <- client.Run(ctx) }()
	b.stop = func() { cancel(); <-ended }
	b.Cleanup(b.stop)
}

// opened waits until the tunnel is open, and returns what it was before.
func (b *burrow) opened() (before []tunnel.State) {
	b.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case st := <-b.states:
			if st.Open {
				b.name, b.url = st.Name, b.gateway+"/fn/"+st.Name
				return before
			}
			before = append(before, st)
		case err := <-b.done:
			b.Fatalf("the tunnel ended: %v", err)
		case <-late:
			b.Fatalf("the tunnel does not open: %v\n%s", before, b.log())
		}
	}
}

// over waits for the end of the tunnel.
func (b *burrow) over() error {
	b.Helper()
	select {
	case err := <-b.done:
		return err
	case <-time.After(time.Minute):
		b.Fatalf("the tunnel does not end\n%s", b.log())
		return nil
	}
}

// problem is the status and the code of what a URL answers.
func problem(t *testing.T, url string) (int, string) {
	t.Helper()
	status, body := call(t, http.DefaultClient, http.MethodGet, url, "", "", "")
	var p struct{ Code string }
	json.Unmarshal([]byte(body), &p)
	return status, p.Code
}

// mirror tells what came.
func mirror(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Mine", "yes")
	w.WriteHeader(http.StatusTeapot)
	json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "uri": r.RequestURI, "host": r.Host, "header": r.Header, "remote": r.RemoteAddr, "through": tunnel.Through(r), "tls": r.TLS != nil, "body": string(body)})
}

type mirrored struct {
	Method, URI, Host, Remote, Body string
	Header                          http.Header
	Through, TLS                    bool
}

// TestTunnel_Calls: another process calls through the tunnel, by path and by
// host, and the server behind it sees who called and what they showed, and none of
// what callers say about themselves.
func TestTunnel_Calls(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.dig(http.HandlerFunc(mirror))
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.gateway, "http://"))
	for name, at := range map[string][]string{"by path": {b.url + "/a%20b?c=d", "127.0.0.1:" + port}, "by host": {s.gateway + "/a%20b?c=d", b.name + ".localhost:" + port}} {
		out, err := exec.Command("curl", "-sS", "-i", "-X", "POST", "-d", "hello", "-u", "user:pass", "-H", "X-Api-Key: psk", "-H", "X-Forwarded-For: 1.2.3.4", "-H", "X-Forwarded-Proto: https",
			"-H", "X-Postern-Key-Id: pak_x", "-H", "Connection: x-hop", "-H", "X-Hop: 1", "-H", "Cookie: a=b; postern-console=x", "-H", "Host: "+at[1], at[0]).CombinedOutput()
		head, body, _ := strings.Cut(string(out), "\r\n\r\n")
		var got mirrored
		if err != nil || json.Unmarshal([]byte(body), &got) != nil || !strings.Contains(head, "418") || !strings.Contains(head, "X-Mine: yes") {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		if got.Method != "POST" || got.URI != "/a%20b?c=d" || got.Body != "hello" || got.Host != at[1] || !got.Through || got.TLS || got.Remote != "127.0.0.1:0" {
			t.Errorf("%s: %+v", name, got)
		}
		h := got.Header
		if h.Get("Authorization") == "" || h.Get("X-Api-Key") != "psk" || h.Get("Cookie") != "a=b" || h.Get("X-Postern-Key-Id") != "" || h.Get("X-Hop") != "" || h.Get("X-Forwarded-For") != "127.0.0.1" || h.Get("X-Forwarded-Proto") != "http" {
			t.Errorf("%s: %v", name, h)
		}
	}
	if out := s.must("audit", "--json"); !strings.Contains(out, `"openTunnel"`) || !strings.Contains(out, b.name) {
		t.Errorf("the audit log does not have it: %s", out)
	}
	eventually(t, "an access line", func() bool { return strings.Contains(s.log(), `"function":"`+b.name+`"`) })
	if out := s.must("usage", "--json"); strings.Contains(out, b.name) {
		t.Errorf("it was billed: %s", out)
	}
	if status, code := problem(t, s.gateway+"/fn/tun-abcdefghijklmnopqrstuvwxyz"); status != 404 || code != "function_not_found" {
		t.Errorf("a name that was guessed: %d %s", status, code)
	}
}

// TestTunnel_Streams: 64 MiB in each direction at once, a pause in neither, with
// bounded memory; a WebSocket; a hundred calls at a time.
func TestTunnel_Streams(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	gone := make(chan struct{}, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("first\n"))
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	})
	mux.HandleFunc("/talk", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, m, err := c.Read(context.Background())
			if err != nil || c.Write(context.Background(), kind, m) != nil {
				return
			}
		}
	})
	b := s.dig(mux)
	t.Run("64 MiB up and down", func(t *testing.T) {
		const size = 64 << 20
		sent, passed := sha256.New(), new(passing)
		res, err := http.Post(b.url+"/echo", "application/octet-stream", io.TeeReader(io.LimitReader(rand.Reader, size), io.MultiWriter(sent, passed)))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if most := passed.still(); most > 48<<20 { // nobody reads the answer
			t.Errorf("%d MiB are on their way", most>>20)
		}
		got := sha256.New()
		n, err := io.Copy(got, res.Body)
		if err != nil || n != size || !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		t.Logf("the server's most: %d MiB", peak(t, s.cmd.Process.Pid)>>20)
	})
	t.Run("who hangs up is told of", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/slow", nil)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 6)
		if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "first\n" {
			t.Fatalf("%q %v", first, err)
		}
		cancel()
		select {
		case <-gone:
		case <-time.After(time.Minute):
			t.Error("the server behind the tunnel was not told")
		}
	})
	t.Run("a WebSocket", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c, _, err := websocket.Dial(ctx, b.url+"/talk", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		for range 50 {
			text := hex.EncodeToString([]byte(time.Now().String()))
			if got := says(t, c, text); got != text {
				t.Fatalf("%q for %q", got, text)
			}
		}
	})
	t.Run("a hundred at a time", func(t *testing.T) {
		var group sync.WaitGroup
		for i := range 100 {
			group.Go(func() {
				text := fmt.Sprint("call ", i)
				if status, body := call(t, http.DefaultClient, http.MethodPost, b.url+"/echo", "", "", text); status != 200 || body != text {
					t.Errorf("%d %q", status, body)
				}
			})
		}
		group.Wait()
	})
}

// passing counts what passes.
type passing struct{ n atomic.Int64 }

// Write implements io.Writer.
func (p *passing) Write(b []byte) (int, error) { p.n.Add(int64(len(b))); return len(b), nil }

// still waits until nothing passes any more, and returns how much has.
func (p *passing) still() int64 {
	for last := int64(-1); ; {
		now := p.n.Load()
		if now == last {
			return now
		}
		last = now
		<-time.After(300 * time.Millisecond)
	}
}

// TestTunnel_BreaksOff: a call that was under way gets 502, those that follow are
// told that it is down, and the tunnel comes back to its name, also from a server
// that was killed.
func TestTunnel_BreaksOff(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in := make(chan struct{}, 1)
	b := s.dig(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			in <- struct{}{}
			<-r.Context().Done()
		}
	}))
	was := b.name
	answer := make(chan string, 1)
	go func() {
		status, code := problem(t, b.url+"/hang")
		answer <- fmt.Sprint(status, " ", code)
	}()
	<-in
	b.cut()
	if got := <-answer; got != "502 tunnel_failed" {
		t.Errorf("the call under way: %s", got)
	}
	if before := b.opened(); len(before) == 0 || before[0].Why == nil || before[0].Retry == 0 || b.name != was {
		t.Errorf("came back as %s after %v, was %s", b.name, before, was)
	}
	if status, _ := problem(t, b.url); status != 200 {
		t.Errorf("after it came back: %d", status)
	}
	s.server.kill()
	s.start("--listen", strings.TrimPrefix(s.gateway, "http://"), "--control-listen", strings.TrimPrefix(s.control, "http://"))
	b.opened()
	if status, _ := problem(t, b.url); b.name != was || status != 200 {
		t.Errorf("after a restart: %s, was %s: %d", b.name, was, status)
	}
}

// TestTunnel_Ends: by itself after a time without calls and at its longest, each
// told to its owner; by the end of the key, with the oracle that nobody gets through.
func TestTunnel_Ends(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	over := func(t *testing.T, b *burrow, reason string) {
		t.Helper()
		e, closed := errors.AsType[*tunnel.ClosedError](b.over())
		if !closed || !strings.Contains(e.Reason, reason) {
			t.Errorf("it ended with %v", e)
		}
		ran := b.ran.Load()
		eventually(t, "the name is gone", func() bool {
			status, code := problem(t, b.url)
			return status == 404 && code == "function_not_found"
		})
		if b.ran.Load() != ran {
			t.Error("somebody got through")
		}
	}
	restart := func(flags ...string) {
		s.stop()
		s.start(flags...)
	}
	restart("--tunnel-idle", "300ms")
	over(t, s.dig(ok), "nobody called for 300ms")
	restart("--tunnel-lifetime", "1500ms")
	over(t, s.dig(ok), "stands for 1.5s")
	restart("--tunnel-timeout", "200ms", "--tunnels-per-project", "1")
	b := s.dig(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	if status, code := problem(t, b.url); status != 504 || code != "timeout" {
		t.Errorf("a call without an answer: %d %s", status, code)
	}
	second := &burrow{site: s, states: make(chan tunnel.State, 100), done: make(chan error, 1)}
	second.run(s.caller(), ok)
	if err := second.over(); err == nil || !strings.Contains(err.Error(), "as many tunnels open") {
		t.Errorf("one more than may be: %v", err)
	}
	b.stop()
	restart("--tunnels", "0")
	third := &burrow{site: s, states: make(chan tunnel.State, 100), done: make(chan error, 1)}
	third.run(s.caller(), ok)
	if err := third.over(); err == nil || !strings.Contains(err.Error(), "opens no tunnels") {
		t.Errorf("where there are none: %v", err)
	}
}

// TestTunnel_WhoMay: a key of another project, one that may not control, and one
// that is revoked while its tunnel stands; nobody gets through after that.
func TestTunnel_WhoMay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	key := func(flags ...string) *api.Client {
		var made struct {
			AccessKey struct{ AccessKeyID string }
			Secret    string
		}
		if err := json.Unmarshal([]byte(s.must(append([]string{"keys", "create", "--json"}, flags...)...)), &made); err != nil {
			t.Fatal(err)
		}
		c := s.caller()
		c.KeyID, c.Secret = made.AccessKey.AccessKeyID, made.Secret
		return c
	}
	try := func(c *api.Client) *burrow {
		b := &burrow{site: s, states: make(chan tunnel.State, 100), done: make(chan error, 1)}
		b.run(c, ok)
		return b
	}
	if err := try(key("only calls", "--scope", "invoke")).over(); err == nil {
		t.Error("a key that may only call opened one")
	}
	stranger := s.caller()
	stranger.ProjectID = "prj_00000000000000000000000000"
	if err := try(stranger).over(); err == nil {
		t.Error("one was opened in another project")
	}
	wrong := s.caller()
	wrong.Secret = "psk_" + strings.Repeat("a", 49)
	if err := try(wrong).over(); err == nil {
		t.Error("a wrong secret opened one")
	}
	dies := key("dies", "--scope", "invoke,control")
	b := try(dies)
	b.opened()
	s.must("keys", "revoke", dies.KeyID, "--yes")
	if err := b.over(); err == nil {
		t.Error("it stands without its key")
	}
	ran := b.ran.Load()
	if status, _ := problem(t, b.url); status < 400 || b.ran.Load() != ran {
		t.Errorf("somebody got through after the key was revoked: %d", status)
	}
}
