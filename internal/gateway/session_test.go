package gateway_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
)

// echo is an upstream that sends messages back, and counts who comes.
func echo(t testing.TB) (url string, opened, messages *atomic.Int64) {
	t.Helper()
	opened, messages = new(atomic.Int64), new(atomic.Int64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		opened.Add(1)
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		for err == nil {
			var kind websocket.MessageType
			var m []byte
			if kind, m, err = c.Read(context.Background()); err == nil {
				messages.Add(1)
				err = c.Write(context.Background(), kind, m)
			}
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, opened, messages
}

func withSocket(u *platform.Upstream) {
	u.WebSocket = &platform.WebSocketPolicy{Origins: []string{"https://shop.example"}, MessageLimit: 100}
}

func (b *behind) socket(t testing.TB, header http.Header) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	c, res, err := websocket.Dial(t.Context(), "http://"+b.addr+"/fn/api/socket", &websocket.DialOptions{HTTPHeader: header})
	if err == nil {
		t.Cleanup(func() { c.CloseNow() })
	}
	return c, res, err
}

// Who may open a WebSocket; who may not is told by a status, and the upstream
// hears nothing of it.
func TestSocket_Handshake(t *testing.T) {
	t.Parallel()
	url, opened, _ := echo(t)
	b := newBehind(t, url, withSocket)
	_, secret := b.newKey(t, nil)
	_, foreign := b.newKey(t, func(k *platform.AccessKey) { k.ProjectID = "prj_b" })
	revoked, dead := b.newKey(t, nil)
	b.newKey(t, nil)
	b.src.change(platform.ChangeKey, revoked, func() { delete(b.src.keys, revoked) })
	b.g.WaitApplied(t.Context(), b.src.seq())
	for name, tc := range map[string]struct {
		header http.Header
		status int
	}{
		"nothing":           {nil, 401},
		"a key":             {http.Header{"X-Api-Key": {secret}}, 101},
		"a revoked key":     {http.Header{"X-Api-Key": {dead}}, 401},
		"a foreign key":     {http.Header{"X-Api-Key": {foreign}}, 403},
		"the own origin":    {http.Header{"X-Api-Key": {secret}, "Origin": {"http://" + b.addr}}, 101},
		"a listed origin":   {http.Header{"X-Api-Key": {secret}, "Origin": {"https://shop.example"}}, 101},
		"another origin":    {http.Header{"X-Api-Key": {secret}, "Origin": {"https://evil.example"}}, 403},
		"no one's origin":   {http.Header{"X-Api-Key": {secret}, "Origin": {"null"}}, 403},
		"an origin, no key": {http.Header{"Origin": {"https://shop.example"}}, 401},
		"a hop-by-hop key":  {http.Header{"X-Api-Key": {secret}, "X-Postern-Key-Id": {"pak_root"}}, 101},
	} {
		before := opened.Load()
		_, res, err := b.socket(t, tc.header)
		if res == nil || res.StatusCode != tc.status || (err == nil) != (tc.status == 101) || opened.Load()-before != map[bool]int64{true: 1}[tc.status == 101] {
			t.Errorf("%s: %v, %v; the upstream saw %d", name, res, err, opened.Load()-before)
		}
	}
	before := opened.Load()
	for name, text := range map[string]string{
		"a body":       "Content-Length: 2\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nhi",
		"version 12":   "Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		"no key":       "Sec-WebSocket-Version: 13\r\n\r\n",
		"an empty key": "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \r\n\r\n",
		"two keys":     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	} {
		answer := b.raw(t, "GET /fn/api/socket HTTP/1.1\r\nHost: x\r\nX-API-Key: "+secret+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+text)
		if !strings.HasPrefix(answer, "HTTP/1.1 400 ") || opened.Load() != before {
			t.Errorf("%s: %.40q", name, answer)
		}
	}
	for name, tc := range map[string]struct {
		path, host, origin string
		status             int
	}{
		"at its host name, its own origin":           {"/socket", "api.localhost", "http://api.localhost", 101},
		"at its host name, the gateway's":            {"/socket", "api.localhost", "http://127.0.0.1:1", 403}, // of every function's pages
		"at its host name, another's":                {"/socket", "api.localhost", "http://orders.localhost", 403},
		"below /fn/, the gateway's":                  {"/fn/api/socket", "x", "http://127.0.0.1:1", 101},
		"below /fn/, that of its host name":          {"/fn/api/socket", "x", "http://api.localhost", 403},
		"at its host name below /fn/, the gateway's": {"/fn/api/socket", "api.localhost", "http://127.0.0.1:1", 404},
	} {
		before := opened.Load()
		c, res, err := websocket.Dial(t.Context(), "http://"+b.addr+tc.path, &websocket.DialOptions{Host: tc.host, HTTPHeader: http.Header{"X-Api-Key": {secret}, "Origin": {tc.origin}}})
		if err == nil {
			c.CloseNow()
		}
		if res == nil || res.StatusCode != tc.status || (opened.Load() > before) != (tc.status == 101) {
			t.Errorf("%s: %v, %v; the upstream saw %d", name, res, err, opened.Load()-before)
		}
	}
	before = opened.Load()
	// An upgrade that nobody asked for by Connection is none: the upstream gets a plain request, without credentials.
	if answer := b.raw(t, "GET /fn/api/socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nX-API-Key: "+secret+"\r\n\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 426 ") {
		t.Errorf("%.60q", answer)
	}
}

// A WebSocket ends when what opened it ends, within 100 ms; what is sent after
// that goes nowhere.
func TestSocket_Revocation(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		key    func(*platform.AccessKey)
		change func(b *behind, t *testing.T, id string)
		code   websocket.StatusCode
		later  bool // it ends by the clock
	}{
		"revoked": {change: func(b *behind, t *testing.T, id string) {
			b.src.change(platform.ChangeKey, id, func() { k := b.src.keys[id]; k.RevokedAt = time.Now(); b.src.keys[id] = k })
		}, code: 1008},
		"rotated": {change: func(b *behind, t *testing.T, id string) {
			b.src.change(platform.ChangeKey, id, func() { k := b.src.keys[id]; k.SecretHash[0]++; k.Generation++; b.src.keys[id] = k })
		}, code: 1008},
		"rotated, and the grace is over": {change: func(b *behind, t *testing.T, id string) {
			b.src.change(platform.ChangeKey, id, func() {
				k := b.src.keys[id]
				k.PreviousHash, k.PreviousUntil = k.SecretHash, time.Now().Add(50*time.Millisecond)
				k.SecretHash[0]++
				k.Generation++
				b.src.keys[id] = k
			})
		}, code: 1008, later: true},
		"expired": {key: func(k *platform.AccessKey) { k.ExpiresAt = time.Now().Add(2 * time.Second) }, change: func(*behind, *testing.T, string) {}, code: 1008, later: true},
		"another group": {change: func(b *behind, t *testing.T, id string) {
			b.src.change(platform.ChangeKey, id, func() { k := b.src.keys[id]; k.Groups = []string{"partner"}; b.src.keys[id] = k })
		}, code: 1008},
		"the route tightens": {change: func(b *behind, t *testing.T, id string) {
			b.redeclare(t, 2, "", func(u *platform.Upstream) {
				withSocket(u)
				u.Routes[2].Group = "admin"
				u.Routes[2].Rule.Scopes = []platform.Scope{platform.ScopeControl}
			})
		}, code: 1008},
		"the route goes": {change: func(b *behind, t *testing.T, id string) {
			b.redeclare(t, 2, "", func(u *platform.Upstream) { withSocket(u); u.Routes = u.Routes[:2] })
		}, code: 1008},
		"no WebSockets any more": {change: func(b *behind, t *testing.T, id string) { b.redeclare(t, 2, "", nil) }, code: 1008},
		"another server":         {change: func(b *behind, t *testing.T, id string) { b.redeclare(t, 2, "http://127.0.0.1:1", withSocket) }, code: 1001},
		"the upstream goes": {change: func(b *behind, t *testing.T, id string) {
			b.src.change(platform.ChangePolicy, project, func() { delete(b.src.policies, project) })
		}, code: 1008},
		"the server stops": {change: func(b *behind, t *testing.T, id string) { go b.g.Drain(context.Background()) }, code: 1001},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			took := time.Duration(0)
			for range 10 { // a busy machine takes its time now and then, and not each time
				if took = ends(t, tc.key, tc.change, tc.code); took <= 100*time.Millisecond || tc.later {
					return
				}
			}
			t.Errorf("each time it takes longer than 100 ms, as %v", took)
		})
	}
}

// ends opens a WebSocket with a key, changes something, and returns how long it
// took until the socket ended, with a code.
func ends(t *testing.T, key func(*platform.AccessKey), change func(*behind, *testing.T, string), code websocket.StatusCode) (took time.Duration) {
	t.Helper()
	url, _, messages := echo(t)
	b := newBehind(t, url, withSocket)
	b.url = url
	id, secret := b.newKey(t, key)
	c, _, err := b.socket(t, http.Header{"X-Api-Key": {secret}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, m, err := c.Read(t.Context()); string(m) != "hello" {
		t.Fatal(err)
	}
	// What is about another key or nothing of it ends nothing.
	b.newKey(t, nil)
	b.src.change(platform.ChangeToken, "tok_x", func() {})
	b.src.change(platform.ChangeSigning, "", func() {})
	began := time.Now()
	change(b, t, id)
	_, _, err = c.Read(t.Context())
	took = time.Since(began)
	if got := websocket.CloseStatus(err); got != code {
		t.Errorf("closed with %v", err)
	}
	c.Write(t.Context(), websocket.MessageText, []byte("after"))
	if messages.Load() != 1 {
		t.Errorf("the upstream got %d messages", messages.Load())
	}
	return took
}

// What changes and does not concern a WebSocket leaves it open.
func TestSocket_Stays(t *testing.T) {
	t.Parallel()
	url, _, _ := echo(t)
	b := newBehindLimits(t, url, withSocket, httpx.Limits{Read: shortLimit, Write: shortLimit})
	b.url = url
	id, secret := b.newKey(t, nil)
	c, _, err := b.socket(t, http.Header{"X-Api-Key": {secret}})
	if err != nil {
		t.Fatal(err)
	}
	b.src.change(platform.ChangeKey, id, func() { k := b.src.keys[id]; k.DisplayName = "renamed"; b.src.keys[id] = k })
	b.src.change(platform.ChangeKey, id, func() {
		k := b.src.keys[id]
		k.PreviousHash, k.PreviousUntil = k.SecretHash, time.Now().Add(time.Hour)
		k.SecretHash[0]++
		k.Generation++
		b.src.keys[id] = k
	})
	b.redeclare(t, 2, "", func(u *platform.Upstream) { withSocket(u); u.Retries = 2; u.Routes[2].Group = "" })
	b.src.change(platform.ChangeFunction, fnID, func() {})
	time.Sleep(shortLimit + 50*time.Millisecond) // past the limits of the listener
	if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, m, err := c.Read(t.Context()); string(m) != "hello" {
		t.Fatal(err)
	}
	if err := c.Write(t.Context(), websocket.MessageText, []byte(strings.Repeat("x", 101))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Error(err)
	}
}

// A thousand changes and sockets that come and go leave no goroutine behind.
func TestSocket_Leaks(t *testing.T) {
	url, opened, _ := echo(t)
	b := newBehind(t, url, withSocket)
	id, secret := b.newKey(t, nil)
	before := runtime.NumGoroutine()
	for range 3 {
		var list []*websocket.Conn
		for range 20 {
			c, _, err := b.socket(t, http.Header{"X-Api-Key": {secret}})
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, c)
		}
		for range 100 {
			b.src.change(platform.ChangeKey, id, func() { k := b.src.keys[id]; k.DisplayName += "x"; b.src.keys[id] = k })
		}
		b.g.WaitApplied(t.Context(), b.src.seq())
		for i, c := range list {
			if i%2 == 0 {
				c.CloseNow()
			} else {
				c.Close(1000, "")
			}
		}
	}
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before+5; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines became %d after %d sockets\n%s", before, runtime.NumGoroutine(), opened.Load(), stacks[:runtime.Stack(stacks, true)])
		}
	}
	for end := time.Now().Add(time.Minute); strings.Count(b.log.String(), `"status":101`) != 60; time.Sleep(10 * time.Millisecond) { // the last few may still write theirs
		if time.Now().After(end) {
			t.Fatal("not every WebSocket is in the access log")
		}
	}
}
