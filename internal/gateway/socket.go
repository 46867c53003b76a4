package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signin"
	"postern.dev/postern/internal/websocket"
	"postern.dev/postern/internal/worker"
)

var (
	errUpgrade      = fault.New(fault.Invalid, "a WebSocket is at this address, and the request asks for none").WithCode("upgrade_required")
	errNoSocket     = fault.New(fault.Invalid, "the handler takes no WebSocket").WithCode("upgrade_refused")
	errSocketFrom   = fault.New(fault.Denied, "pages of this origin may not open this WebSocket").WithCode("origin_not_allowed").WithHint("list the origin in cors of the handler in the manifest, or of its policy")
	errSocketFailed = fault.New(fault.Internal, "the handler failed").WithCode("handler_failed")
	errSocketLost   = fault.New(fault.Unavailable, "the worker ended").WithCode("worker_lost")
)

// admitSocket refuses a request that asks for a WebSocket where there is none,
// and one that asks for none where there is; a handshake that is none; and one
// from a page of an origin that is neither the address's own nor in the handler's
// CORS.
func (g *Gateway) admitSocket(x *exchange) error {
	asked, here := websocket.Asked(x.r.Header), x.handlerSocket()
	switch {
	case !asked && !here, x.target.program(): // a program's upgrades are its own
		return nil
	case !here:
		return errNoSocket
	case !asked || x.r.ProtoMajor != 1:
		return errUpgrade
	}
	if err := websocket.CheckHandshake(x.r); err != nil {
		return err
	}
	var listed []string
	if c := x.match.Handler.CORS; c != nil {
		listed = c.Origins
	}
	if !websocket.AllowsOrigin(x.r.Header, listed, g.origins(x)...) {
		return errSocketFrom
	}
	return nil
}

// handlerSocket reports whether the request found the WebSocket of a handler.
func (x *exchange) handlerSocket() bool {
	return x.match.Handler != nil && x.match.Handler.Kind == platform.HandlerSocket
}

// socket is an open WebSocket of a handler: what passes between its caller and
// its worker. The caller's messages are read in the goroutine of the request;
// one that writes to the caller runs only while there is something to write.
type socket struct {
	g    *Gateway
	peer *websocket.Peer
	ws   *worker.Socket

	in, out atomic.Int64 // bytes of messages

	mu    sync.Mutex
	ended bool           // guarded by mu
	done  chan struct{}  // closed when it has ended
	parts sync.WaitGroup // added to while it has not ended, under mu
	why   error          // that of us who ended it; guarded by mu
	early bool           // notified before the handshake was answered; guarded by mu
}

// serveSocket is steps 6 and 7 of a WebSocket.
func (g *Gateway) serveSocket(x *exchange) (err error) {
	if x.held, err = g.invoker.AcquireSocket(x.r.Context(), x.target.deployment.ID); err != nil {
		return err
	}
	release := x.held.Release
	defer func() { release() }()
	x.enter(stepInvoke)
	signin.Cut(x.r.Header)
	timeout := g.timeout(x)
	d := deadlines{rc: http.NewResponseController(x.w), each: timeout + slack}
	d.move(time.Now())
	ctx, cancel := context.WithTimeout(x.r.Context(), timeout)
	defer cancel()
	req := g.request(x)
	x.traced.place.Send(x.r.Header)
	s := &socket{g: g, done: make(chan struct{})}
	if s.ws, err = x.held.Open(ctx, &req, s.notify); err != nil {
		return err
	}
	x.started, x.ran = true, true
	h := x.w.Header()
	h["X-Request-Id"] = []string{x.id}
	x.keepSession(h)
	if s.peer, err = websocket.NewPeer(x.w, x.r, s.ws.Protocol(), g.options.Message); err != nil {
		s.ws.Close(uint16(websocket.Lost), "")
		x.status = http.StatusInternalServerError
		return err
	}
	x.status = http.StatusSwitchingProtocols
	release = func() {}
	rest := x.detach()
	go s.live(rest, g.sessions.add(g, rest, s.revoked))
	return nil
}

// detach gives the rest of an exchange to another goroutine, which accounts for
// it: what the server keeps for a request, its stack before all, is not kept for
// as long as a WebSocket is open.
func (x *exchange) detach() *exchange {
	rest := *x
	rest.w, rest.body, x.detached = nil, nil, true
	return &rest
}

// live is what is left of the request: it lasts as long as the WebSocket. Drain
// waits for it.
func (s *socket) live(x *exchange, held *session) {
	defer func() {
		recover() // account has told it
		s.g.sessions.remove(held)
	}()
	defer s.g.account(x) // 8
	defer x.held.Release()
	s.relay()
	x.rest = &limitedBody{}
	x.rest.taken.Store(s.in.Load())
	x.sent = s.out.Load()
	if s.why != nil {
		x.why, x.code = s.why, httpx.CodeOf(s.why).Code
	}
}

// relay passes messages on until one side ends, and returns when nothing of the
// socket is left but what the worker is told.
func (s *socket) relay() {
	s.begin()
	s.g.watch.Add(s.peer, s.ws.Waiting, func(why string) { s.end(websocket.Lost, why, nil) })
	defer s.g.watch.Remove(s.peer)
	err := s.read()
	code, reason, clean := websocket.Ending(err)
	if errors.Is(err, worker.ErrClosed) {
		<-s.done // the end comes from the other side: its writer says which
	} else if s.ws.Close(uint16(code), reason); !clean && code == websocket.Lost {
		code = websocket.Malformed // or the connection is lost, and it does not matter
	}
	s.end(code, reason, nil)
	s.parts.Wait()
	s.ws.Close(uint16(websocket.Lost), "") // who was told nothing yet
}

// begin lets the writer run: what the handler sent at once waits for it.
func (s *socket) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.early {
		s.parts.Go(s.write)
	}
	s.early = true
}

// notify starts the writer. It does not block.
func (s *socket) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.early {
		s.early = true
		return
	}
	if !s.ended {
		s.parts.Go(s.write)
	}
}

// revoked ends the socket because it would not be let in any more, or the server
// stops: nothing is passed on from now on.
func (s *socket) revoked(err error) {
	code, reason := leave(err)
	s.end(code, reason, err)
}

// end ends the socket from our side: both ends are told. It does not wait.
func (s *socket) end(code websocket.Code, reason string, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended, s.why = true, why
	close(s.done)
	s.parts.Go(func() {
		s.ws.Close(uint16(code), reason)
		s.peer.Close(code, reason)
	})
}

// bye is the handler's own end, told to the caller; what the caller says to it
// the handler hears when the reading ends.
func (s *socket) bye(code websocket.Code, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	close(s.done)
	if code == websocket.Failed {
		s.why = errSocketFailed
	}
	s.parts.Go(func() {
		if s.peer.Close(code, reason) {
			s.ws.Close(uint16(code), reason)
		}
	})
}

// over reports whether nothing is passed on any more.
func (s *socket) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// read passes the caller's messages on, and returns why no more come.
func (s *socket) read() error {
	for {
		binary, r, err := s.peer.Next()
		if err == nil {
			err = s.pass(binary, r)
		}
		if err != nil {
			return err
		}
	}
}

// pass passes one message on, in parts. The buffer is held only as long.
func (s *socket) pass(binary bool, r io.Reader) error {
	buf := s.g.proxies.buffer()
	defer s.g.proxies.buffers.Put(buf)
	for {
		n, whole, err := s.peer.Fill(binary, r, *buf)
		if err != nil {
			return err
		}
		if s.over() {
			return worker.ErrClosed
		}
		s.in.Add(int64(n))
		if err := s.ws.Send(binary, (*buf)[:n], whole); err != nil || whole {
			return err
		}
	}
}

// write passes on what the handler has sent.
func (s *socket) write() {
	for {
		p, ok := s.ws.Take()
		switch {
		case !ok:
			return
		case p.Err != nil:
			s.end(websocket.Restart, "the worker ended", errSocketLost)
			return
		case p.Code != 0:
			s.bye(websocket.Code(p.Code), p.Reason)
			return
		case s.over():
			continue
		}
		s.out.Add(int64(len(p.Data)))
		if err := s.peer.Write(p.Binary, p.Data, p.Last); err != nil {
			s.end(websocket.Lost, "", nil)
			return
		}
	}
}
