package gateway

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/upstream"
	"postern.dev/postern/internal/websocket"
	"postern.dev/postern/internal/worker"
)

// session is a WebSocket, or an answer that goes on for long. It was admitted
// once; what then changes is held against it by taking its request through steps 2
// to 4 again: when its key, its token or its upstream changes, and when what it
// shows ends by itself. So there is one place that says who is let in.
type session struct {
	x      exchange // as it was admitted; not written to any more
	socket bool
	end    func(error) // must not block

	mu    sync.Mutex
	timer *time.Timer // for the next moment at which something ends by itself; guarded by mu
	over  bool        // guarded by mu
}

// sessions are those that are open.
type sessions struct {
	mu       sync.Mutex
	open     map[*session]struct{} // guarded by mu
	draining bool                  // guarded by mu
	empty    chan struct{}         // closed when draining and none is open; guarded by mu
}

// add takes up a session. What changed since it was admitted counts.
func (ss *sessions) add(g *Gateway, x *exchange, end func(error)) *session {
	s := &session{socket: websocket.Asked(x.r.Header), end: end}
	s.x = exchange{r: x.r, id: x.id, path: x.path, call: x.call, query: x.query, snapshot: x.snapshot, target: x.target, principal: x.principal, caller: x.callerID(), callback: x.callback, shown: x.shown, visit: x.visit, match: x.match}
	ss.mu.Lock()
	if ss.open == nil {
		ss.open = map[*session]struct{}{}
	}
	ss.open[s] = struct{}{}
	draining := ss.draining
	ss.mu.Unlock()
	switch {
	case draining:
		end(errStopping)
	case g.snapshot.Load() != x.snapshot:
		g.recheck(s)
	default:
		g.wake(s, x)
	}
	return s
}

// remove forgets a session that is over; nil is none.
func (ss *sessions) remove(s *session) {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.open, s)
	if ss.draining && len(ss.open) == 0 && ss.empty != nil {
		close(ss.empty)
		ss.empty = nil
	}
}

// those lists the open sessions that are meant.
func (ss *sessions) those(meant func(*session) bool) (list []*session) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for s := range ss.open {
		if meant(s) {
			list = append(list, s)
		}
	}
	return list
}

var (
	errStopping = fault.New(fault.Unavailable, "the server is stopping").WithCode("shutting_down")
	errMoved    = fault.New(fault.NotFound, "what was at this address is not any more").WithCode("function_not_found")
)

// recheck takes a session's request through steps 2 to 4 again, and ends it if it
// would not be let in.
func (g *Gateway) recheck(s *session) {
	now := exchange{r: s.x.r, began: time.Now(), id: s.x.id, path: s.x.path, query: s.x.query, callback: s.x.callback, stays: s.x.target}
	if s.x.call != nil {
		now.call = &worker.Call{}
	}
	if v := s.x.visit; v != nil { // its cookie was cut off
		now.visit = &visit{cookie: v.cookie}
	}
	now.shown.Proven, now.shown.ProvenAt = s.x.shown.Proven, s.x.shown.ProvenAt // of this very request
	err := g.route(&now)
	if err == nil && now.match.Handler == nil {
		err = errMoved
	}
	if err == nil {
		err = g.authenticate(&now)
	}
	if err == nil {
		err = now.authorise()
	}
	switch {
	case err != nil:
		if s.x.handlerSocket() && fault.KindOf(err) == fault.NotFound {
			err = errMoved
		}
	case s.x.handlerSocket(): // what a deploy replaces ends with its workers
		if err = errMoved; now.callerID() == s.x.caller && now.target.function.ID == s.x.target.function.ID && now.handlerSocket() {
			err = g.admitSocket(&now)
		}
	case !now.target.continues(s.x.target, s.socket) || now.callerID() != s.x.caller:
		err = errMoved
	case s.socket && now.target.program():
		err = upstream.AdmitLocal(s.x.r, g.programOrigins(&now)...)
	case s.socket:
		err = now.target.upstream.AdmitWebSocket(s.x.r, g.origins(&now)...)
	}
	if err != nil {
		s.end(asFault(err))
		return
	}
	g.wake(s, &now)
}

// wake has a session looked at again when what it shows may end by itself. x is
// its request as of now: a key that was rotated ends otherwise than it did.
func (g *Gateway) wake(s *session, x *exchange) {
	now := time.Now()
	until := x.principal.Until(now)
	if v := x.visit; v != nil && v.in {
		until = now.Add(v.session.Left(now))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	if until.IsZero() || s.over {
		return
	}
	s.timer = time.AfterFunc(time.Until(until)+time.Millisecond, func() { g.recheck(s) })
}

// recheckAfter looks again at the sessions that a change may be about.
func (g *Gateway) recheckAfter(c platform.Change) {
	snapshot := g.snapshot.Load()
	for _, s := range g.sessions.those(func(s *session) bool {
		p := &s.x.principal
		switch c.Kind {
		case platform.ChangeKey:
			return p.Key != nil && s.x.caller == c.ID
		case platform.ChangeToken:
			return p.Token != nil && (c.ID == "" || p.Token.ID() == c.ID) || p.Admin != nil
		case platform.ChangeFunction, platform.ChangePolicy:
			return !snapshot.has(s.x.target)
		}
		return true
	}) {
		g.recheck(s)
	}
}

// Drain ends the sessions that are open, which a server that stops does not wait
// for, and every new one; and waits until they have taken leave.
func (g *Gateway) Drain(ctx context.Context) error {
	g.sessions.mu.Lock()
	g.sessions.draining = true
	empty := g.sessions.empty
	if empty == nil {
		empty = make(chan struct{})
		if len(g.sessions.open) == 0 {
			close(empty)
		} else {
			g.sessions.empty = empty
		}
	}
	g.sessions.mu.Unlock()
	for _, s := range g.sessions.those(func(*session) bool { return true }) {
		s.end(errStopping)
	}
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// origins are those of the address that a request was sent to. That of the
// gateway's URL is one below /fn/ alone: the pages of all functions are of it,
// and a host name is its own function's.
func (g *Gateway) origins(x *exchange) []string {
	own := []string{g.scheme(x.r) + "://" + x.r.Host}
	if len(x.own) < len(x.path) {
		own = append(own, g.options.URL)
	}
	return own
}

// leave is how the end of a WebSocket is told to its two sides. The reason is the
// problem's code.
func leave(err error) (websocket.Code, string) {
	code := httpx.CodeOf(err).Code
	if errors.Is(err, errStopping) || errors.Is(err, errMoved) {
		return websocket.GoingAway, code
	}
	return websocket.Refused, code
}

// relay is step 7 of a WebSocket.
func (g *Gateway) relay(x *exchange, proxy *upstream.Proxy) error {
	x.enter(stepInvoke)
	x.started = true
	q := g.upstreamRequest(x)
	d := deadlines{rc: http.NewResponseController(x.w), each: q.Timeout + slack}
	d.move(x.began)
	x.w.Header()["X-Request-Id"] = []string{x.id}
	socket, wrote, err := proxy.Upgrade(x.w, x.r, q)
	if err != nil {
		if wrote {
			x.status = http.StatusInternalServerError
		}
		return g.unanswered(x, err)
	}
	x.ran, x.status = true, http.StatusSwitchingProtocols
	var why atomic.Pointer[error]
	s := g.sessions.add(g, x, func(err error) {
		why.CompareAndSwap(nil, &err)
		socket.End(leave(err))
	})
	socket.Relay(context.WithoutCancel(x.r.Context()))
	g.sessions.remove(s)
	x.rest = &limitedBody{}
	var in int64
	in, x.sent = socket.Bytes()
	x.rest.taken.Store(in)
	if err := why.Load(); err != nil {
		x.why, x.code = *err, httpx.CodeOf(*err).Code
	}
	return nil
}
