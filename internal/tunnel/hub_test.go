package tunnel_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/hashicorp/yamux"

	"postern.dev/postern/internal/tunnel"
	"postern.dev/postern/internal/upstream"
)

// yard is a hub behind a server, and the gateway that it opens names at.
type yard struct {
	*testing.T
	hub     *tunnel.Hub
	url     string
	refused atomic.Bool // the caller may not any more
	project atomic.Value
	ended   chan tunnel.Ending

	mu   sync.Mutex
	open map[string]*upstream.Proxy // guarded by mu
}

func (y *yard) OpenTunnel(name, _ string, p *upstream.Proxy) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.open[name] = p
}

func (y *yard) CloseTunnel(name string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	delete(y.open, name)
}

func (y *yard) proxy(name string) *upstream.Proxy {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.open[name]
}

func newYard(t *testing.T, o tunnel.Options) *yard {
	t.Helper()
	y := &yard{T: t, open: map[string]*upstream.Proxy{}, ended: make(chan tunnel.Ending, 100)}
	y.project.Store("prj_a")
	o.Key, o.URLs = tunnel.Key{1}, func(name string) []string { return []string{"http://x/fn/" + name} }
	if o.Most == 0 {
		o.Most, o.PerProject = 10, 10
	}
	y.hub = tunnel.NewHub(o, y)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		place, err := y.hub.Admit(r, tunnel.Caller{ProjectID: y.project.Load().(string), KeyID: "pak_a", Still: func() error {
			if y.refused.Load() {
				return errors.New("not any more")
			}
			return nil
		}})
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		e, _ := place.Serve(w, r)
		y.ended <- e
	}))
	y.url = srv.URL
	t.Cleanup(srv.Close)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- y.hub.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return y
}

// join is the raw other end of a tunnel.
func (y *yard) join(resume string) (*websocket.Conn, tunnel.Welcome) {
	y.Helper()
	ctx, cancel := context.WithTimeout(y.Context(), time.Minute)
	defer cancel()
	c, _, err := websocket.Dial(ctx, y.url, &websocket.DialOptions{Subprotocols: []string{tunnel.Subprotocol}, HTTPHeader: http.Header{tunnel.ResumeField: {resume}}})
	if err != nil {
		y.Fatal(err)
	}
	y.Cleanup(func() { c.CloseNow() })
	_, text, err := c.Read(ctx)
	var w tunnel.Welcome
	if err != nil || json.Unmarshal(text, &w) != nil {
		y.Fatalf("no welcome: %v %s", err, text)
	}
	return c, w
}

// why is how the server told of the end.
func (y *yard) why(c *websocket.Conn) (websocket.StatusCode, string) {
	y.Helper()
	ctx, cancel := context.WithTimeout(y.Context(), time.Minute)
	defer cancel()
	for {
		if _, _, err := c.Read(ctx); err != nil {
			e, _ := errors.AsType[websocket.CloseError](err)
			return e.Code, e.Reason
		}
	}
}

func (y *yard) ending() tunnel.Ending {
	y.Helper()
	select {
	case e := <-y.ended:
		return e
	case <-time.After(40 * time.Second):
		y.Fatal("it does not end")
		return tunnel.Ending{}
	}
}

// A name is random, and comes back only to who shows what came with it, in the
// project that it was made for and unaltered.
func TestHub_Names(t *testing.T) {
	t.Parallel()
	y := newYard(t, tunnel.Options{})
	first, w := y.join("")
	for name, resume := range map[string]string{"nothing": "", "the name": w.Name, "garbage": "AAAA", "altered": w.Resume[:len(w.Resume)-2] + "AA", "cut": w.Resume[:40]} {
		if _, got := y.join(resume); got.Name == w.Name {
			t.Errorf("%s took the name", name)
		}
	}
	y.project.Store("prj_b")
	if _, got := y.join(w.Resume); got.Name == w.Name {
		t.Error("another project took the name")
	}
	y.project.Store("prj_a")
	if _, got := y.join(w.Resume); got.Name != w.Name {
		t.Errorf("its owner got %s", got.Name)
	}
	if code, reason := y.why(first); code != 4003 {
		t.Errorf("the connection before was told %d %s", code, reason)
	}
	if !strings.HasPrefix(w.Name, "tun-") || len(w.Name) != 30 {
		t.Errorf("the name is %s", w.Name)
	}
}

// Every end is told with its reason, and only what is no end of the name keeps it.
func TestHub_Ends(t *testing.T) {
	t.Parallel()
	t.Run("without calls", func(t *testing.T) {
		t.Parallel()
		y := newYard(t, tunnel.Options{Idle: 100 * time.Millisecond})
		c, w := y.join("")
		if code, reason := y.why(c); code != 4000 || reason != "nobody called for 100ms" {
			t.Errorf("%d %s", code, reason)
		}
		if e := y.ending(); !e.Over || y.hub.Len() != 0 || y.proxy(w.Name) != nil {
			t.Errorf("%+v", e)
		}
	})
	t.Run("at its longest, resumed or not", func(t *testing.T) {
		t.Parallel()
		y := newYard(t, tunnel.Options{Lifetime: 1500 * time.Millisecond})
		c, w := y.join("")
		c.CloseNow()
		y.ending()
		c, _ = y.join(w.Resume)
		if code, _ := y.why(c); code != 4001 {
			t.Errorf("%d", code)
		}
		if _, got := y.join(w.Resume); got.Name == w.Name {
			t.Error("it came back from its end")
		}
	})
	t.Run("who may not any more", func(t *testing.T) {
		t.Parallel()
		y := newYard(t, tunnel.Options{})
		c, _ := y.join("")
		y.refused.Store(true)
		if code, _ := y.why(c); code != 4002 {
			t.Errorf("%d", code)
		}
	})
	t.Run("a name that is down is kept for a while", func(t *testing.T) {
		t.Parallel()
		y := newYard(t, tunnel.Options{Hold: 300 * time.Millisecond})
		c, w := y.join("")
		c.CloseNow()
		if e := y.ending(); e.Over {
			t.Errorf("%+v", e)
		}
		if p := y.proxy(w.Name); p != nil { // else the time was over already
			if _, err := p.Get(t.Context(), "/"); err == nil {
				t.Error("somebody answered")
			}
		}
		for deadline := time.Now().Add(time.Minute); y.hub.Len() != 0; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("it is kept for ever")
			}
		}
	})
	t.Run("one that is closed by its owner is not", func(t *testing.T) {
		t.Parallel()
		y := newYard(t, tunnel.Options{})
		c, _ := y.join("")
		c.Close(websocket.StatusNormalClosure, "")
		if e := y.ending(); !e.Over || y.hub.Len() != 0 {
			t.Errorf("%+v", e)
		}
	})
	t.Run("as many as may be", func(t *testing.T) {
		t.Parallel()
		y := newYard(t, tunnel.Options{Most: 2, PerProject: 1})
		y.join("")
		if _, res, err := websocket.Dial(t.Context(), y.url, &websocket.DialOptions{Subprotocols: []string{tunnel.Subprotocol}}); err == nil || res.StatusCode != http.StatusForbidden {
			t.Error("one more of the project was opened")
		}
		if _, res, err := websocket.Dial(t.Context(), y.url, nil); err == nil || res.StatusCode != http.StatusForbidden {
			t.Error("one of another protocol was opened")
		}
	})
}

// What a client sends that is none of the protocol ends its tunnel, and costs the
// server next to nothing.
// Who was let in before the server stops is waited for, and nobody is let in behind it.
func TestHub_StopWaits(t *testing.T) {
	t.Parallel()
	h := tunnel.NewHub(tunnel.Options{Most: 2, PerProject: 2}, &yard{T: t, open: map[string]*upstream.Proxy{}})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": tunnel.Subprotocol} {
		r.Header.Set(name, value)
	}
	place, err := h.Admit(r, tunnel.Caller{ProjectID: "prj_a"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- h.Run(ctx) }()
	stop()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		late, err := h.Admit(r, tunnel.Caller{ProjectID: "prj_a"})
		if err != nil {
			break
		}
		if late.Release(true); time.Now().After(deadline) {
			t.Fatal("it lets in")
		}
	}
	select {
	case <-over:
		t.Error("it did not wait")
	default:
	}
	place.Release(true)
	if err := <-over; err != nil || h.Len() != 0 {
		t.Errorf("%v, %d tunnels", err, h.Len())
	}
}

func TestHub_Hostile(t *testing.T) {
	t.Parallel()
	t.Run("garbage", func(t *testing.T) {
		t.Parallel()
		y := newYard(t, tunnel.Options{})
		for _, m := range [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n........"), bytes.Repeat([]byte{255}, 1<<20), {0, 0, 0, 1, 0, 0, 0, 1, 255, 255, 255, 255}, {0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}} {
			c, _ := y.join("")
			c.Write(t.Context(), websocket.MessageBinary, m)
			c.Write(t.Context(), websocket.MessageBinary, m)
			if e := y.ending(); e.Calls != 0 {
				t.Errorf("%+v", e)
			}
		}
		c, _ := y.join("")
		c.Write(t.Context(), websocket.MessageText, []byte(`{"name":"tun-mine"}`))
		y.ending()
		c, _ = y.join("") // 4 GiB are promised for a stream that there is not
		c.Write(t.Context(), websocket.MessageBinary, []byte{0, 0, 0, 0, 0, 0, 0, 2, 255, 255, 255, 255})
		c.Write(t.Context(), websocket.MessageBinary, make([]byte, 1<<20))
		c.CloseNow()
		y.ending()
	})
	t.Run("10,000 streams", func(t *testing.T) {
		t.Parallel()
		y := newYard(t, tunnel.Options{})
		c, w := y.join("")
		config := yamux.DefaultConfig()
		config.LogOutput, config.AcceptBacklog = io.Discard, 1<<20
		session, err := yamux.Server(websocket.NetConn(context.Background(), c, websocket.MessageBinary), config)
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		before := runtime.NumGoroutine()
		opened := 0
		for range 10_000 {
			if _, err := session.OpenStream(); err != nil {
				break
			}
			opened++
		}
		if e := y.ending(); !e.Over || !strings.Contains(e.Reason, "opened a stream") || y.proxy(w.Name) != nil {
			t.Errorf("%+v after %d", e, opened)
		}
		if after := runtime.NumGoroutine(); after > before+1000 { // those of the other tests come and go
			t.Errorf("%d goroutines, were %d", after, before)
		}
	})
	t.Run("never reads", func(t *testing.T) {
		t.Parallel()
		y := newYard(t, tunnel.Options{})
		_, w := y.join("")
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := y.proxy(w.Name).Get(ctx, "/"+strings.Repeat("a", 60<<10)); err == nil {
					t.Error("somebody answered")
				}
			})
		}
		group.Wait()
		if _, again := y.join(""); again.Name == "" { // the server lives
			t.Error("no other tunnel opens")
		}
	})
}
