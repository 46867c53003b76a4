package tunnel

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	coder "github.com/coder/websocket"
	"github.com/hashicorp/yamux"

	"postern.dev/postern/internal/upstream"
	"postern.dev/postern/internal/websocket"
)

// line is a name and what stands behind it: one connection after another.
type line struct {
	claim
	proxy *upstream.Proxy

	active  atomic.Int64               // when a byte of a call passed last, in Unix nanoseconds
	calls   atomic.Int64               // streams that were opened; a call may have one that was there
	current atomic.Pointer[connection] // nil: it is down

	users  int         // connections that are there or about to be; guarded by the hub's mu
	served bool        // the gateway knows of it; guarded by the hub's mu
	hold   *time.Timer // guarded by the hub's mu
}

func newLine(c claim, now time.Time) *line {
	l := &line{claim: c}
	l.active.Store(now.UnixNano())
	l.proxy = upstream.Tunnelled(c.Name, maxStreams, l.dial)
	return l
}

// dial opens a stream for a connection of the gateway.
func (l *line) dial(context.Context) (net.Conn, error) {
	c := l.current.Load()
	if c == nil {
		return nil, errDown
	}
	s, err := c.session.OpenStream()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errDown, err)
	}
	l.calls.Add(1)
	return &stream{s, l}, nil
}

func (l *line) touch() { l.active.Store(time.Now().UnixNano()) }

// stream is a connection of the gateway, whose use keeps the tunnel from being idle.
type stream struct {
	*yamux.Stream
	line *line
}

// Read reads.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if n > 0 {
		s.line.touch()
	}
	return n, err
}

// Write writes.
func (s *stream) Write(p []byte) (int, error) {
	s.line.touch()
	return s.Stream.Write(p)
}

// connection is one WebSocket of a line.
type connection struct {
	*pipe
	session  *yamux.Session
	replaced chan struct{} // closed when another has taken its place
	ended    chan error    // of one: why the client's half ended; nil: it did what it may not
}

// Ending is how a tunnel's connection ended.
type Ending struct {
	Reason string // as both sides are told
	Over   bool   // and the name with it
	Calls  int64  // connections that callers had through it, all in all
}

// Serve opens the tunnel: it answers the handshake, and returns when the
// connection has ended. Release is not to be called any more.
func (a *Admission) Serve(w http.ResponseWriter, r *http.Request) (e Ending, err error) {
	defer func() { a.Release(e.Over) }()
	var beneath websocket.Connections
	conn, err := websocket.Accept(w, r, &beneath, Subprotocol)
	if err != nil {
		return e, err
	}
	c := &connection{pipe: newPipe(conn, beneath.Close), replaced: make(chan struct{}), ended: make(chan error, 1)}
	defer c.Close()
	if c.session, err = yamux.Client(c.pipe, streams(1)); err != nil {
		return e, fmt.Errorf("begin a session: %w", err)
	}
	go func() {
		_, err := c.session.AcceptStream()
		c.ended <- err
	}()
	if a.caller.Ended != nil {
		defer func() { a.caller.Ended(e) }()
	}
	a.attach(c)
	if err := sendWelcome(r.Context(), conn, a.welcome()); err != nil {
		a.detach(c)
		c.Close()
		c.session.Close()
		return Ending{Reason: "the client went away"}, nil
	}
	close(c.begun)
	code, reason := a.watch(c)
	a.detach(c)
	if code != 0 {
		c.leave(code, reason) // before the session, which would cut it off without a word
	}
	c.session.Close()
	return Ending{Reason: reason, Over: final(code) && code != codeReplaced || code == coder.StatusNormalClosure, Calls: a.line.calls.Load()}, nil
}

func (a *Admission) welcome() Welcome {
	o, l := &a.hub.o, a.line
	return Welcome{Name: l.Name, URLs: o.URLs(l.Name), Resume: o.Key.mint(l.claim), Idle: o.Idle.Seconds(), Timeout: o.Timeout.Seconds(), Left: time.Until(a.until()).Seconds()}
}

// until is when the tunnel has stood for as long as one may.
func (a *Admission) until() time.Time { return time.Unix(a.line.BeganAt, 0).Add(a.hub.o.Lifetime) }

// attach makes a connection the one that calls go through, in place of another.
func (a *Admission) attach(c *connection) {
	h, l := a.hub, a.line
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.hold != nil {
		l.hold.Stop()
	}
	if old := l.current.Swap(c); old != nil {
		close(old.replaced)
		l.proxy.Retire()
	}
	if !l.served && h.open[l.Name] == l {
		l.served = true
		h.gateway.OpenTunnel(l.Name, l.ProjectID, l.proxy)
	}
}

// detach takes it away again; connections that the gateway keeps for later are gone.
func (a *Admission) detach(c *connection) {
	if a.line.current.CompareAndSwap(c, nil) {
		a.line.proxy.Retire()
	}
}

// watch waits for the end of a connection, or brings it about. The code is 0 if
// the client went away by itself.
func (a *Admission) watch(c *connection) (coder.StatusCode, string) {
	o := &a.hub.o
	tick := time.NewTicker(min(time.Second, o.Idle/4+time.Millisecond, o.Lifetime/4+time.Millisecond))
	defer tick.Stop()
	for {
		changed := o.Changed()
		if err := a.caller.Still(); err != nil {
			return codeRefused, "who opened the tunnel may not have one any more"
		}
		select {
		case <-changed:
		case <-a.hub.stopping:
			return codeStopping, "the server is stopping"
		case <-c.replaced:
			return codeReplaced, "another connection has taken the name over"
		case err := <-c.ended:
			if err == nil {
				return codeBroken, "the client opened a stream, which only the server does"
			}
			if code, _, _ := ending(err); code == coder.StatusNormalClosure {
				return code, "the client closed it"
			}
			return 0, "the client went away"
		case <-tick.C:
			switch now := time.Now(); {
			case now.After(a.until()):
				return codeOver, fmt.Sprintf("a tunnel stands for %v at most", o.Lifetime)
			case now.Sub(time.Unix(0, a.line.active.Load())) > o.Idle:
				return codeIdle, fmt.Sprintf("nobody called for %v", o.Idle)
			}
		}
	}
}
