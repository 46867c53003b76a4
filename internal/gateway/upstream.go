package gateway

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signin"
	"postern.dev/postern/internal/upstream"
	"postern.dev/postern/internal/websocket"
	"postern.dev/postern/internal/worker"
)

// proxies are those of the upstreams in the snapshot, by ID: they outlive the
// targets, which each change of a policy makes anew.
type proxies struct {
	mu   sync.Mutex
	byID map[string]*upstream.Proxy // guarded by mu

	buffers sync.Pool // of *[]byte
}

func (p *proxies) buffer() *[]byte {
	if b, ok := p.buffers.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, copyBuffer)
	return &b
}

// upstreamTarget is an upstream as requests find it. It has routes and nothing
// that is found by a name: /health of it is a path like any other.
func (g *Gateway) upstreamTarget(u platform.Upstream, p *platform.Policy) *target {
	own := u
	own.Routes = slices.Clone(u.Routes)
	for i := range own.Routes {
		r := &own.Routes[i].Rule
		r.BodyLimit, r.Timeout = cmp.Or(r.BodyLimit, g.options.BodyLimit), cmp.Or(r.Timeout, g.options.Timeout)
	}
	t := &target{function: platform.Function{ID: u.ID, ProjectID: u.ProjectID, ParentProjectID: p.ParentProjectID, Name: u.Name, Slug: u.Slug}, visibility: u.Visibility}
	hs, err := function.GovernUpstream(own, p.Groups)
	if err == nil {
		t.upstream, err = g.proxy(u)
	}
	if err != nil {
		g.log.Error("an upstream is shut: it cannot be served as it is declared", "upstreamId", u.ID, "upstream", u.Slug, "error", err)
		t.closed, hs = true, []platform.Handler{{Name: u.Name}}
	}
	t.deployment.Handlers = hs
	t.routes, t.metrics = function.NewRoutes(hs[0]), g.metrics.Function(u.Slug)
	t.traffic = g.options.Traffic.Function(u.ProjectID, u.ID, u.Name)
	t.verifiers = g.verifiers(t)
	t.describe(g.options)
	g.openDoors(t)
	return t
}

// proxy is the proxy of an upstream: that which there is, as it is declared now.
func (g *Gateway) proxy(u platform.Upstream) (p *upstream.Proxy, err error) {
	g.proxies.mu.Lock()
	defer g.proxies.mu.Unlock()
	old := g.proxies.byID[u.ID]
	if old == nil {
		p, err = upstream.New(u, upstream.Options{Own: g.options.Own, Taken: g.options.Taken, Changed: g.breakerChanged})
	} else {
		p, err = old.With(u)
	}
	if err != nil {
		return nil, err
	}
	if old != nil && !p.Shares(old) {
		old.Retire()
	}
	if g.proxies.byID == nil {
		g.proxies.byID = map[string]*upstream.Proxy{}
	}
	g.proxies.byID[u.ID] = p
	return p, nil
}

// retireProxies lets go of the proxies that a snapshot has not any more.
func (g *Gateway) retireProxies(s *snapshot) {
	g.proxies.mu.Lock()
	defer g.proxies.mu.Unlock()
	for id, p := range g.proxies.byID {
		if s.byID[id] == nil {
			p.Retire()
			delete(g.proxies.byID, id)
		}
	}
}

func (g *Gateway) breakerChanged(u *platform.Upstream, open bool) {
	g.metrics.Breaker(u.Slug, open)
	if open {
		g.log.Warn("an upstream does not answer, and is left alone for a while", "upstreamId", u.ID, "upstream", u.Slug, "url", u.URL)
	} else {
		g.log.Info("an upstream answers again", "upstreamId", u.ID, "upstream", u.Slug)
	}
}

// forward is steps 6 and 7 of an upstream: the request, with the caller's
// credentials taken off and what the gateway knows of the caller put on. There is
// no place to wait in: a server that has as many calls as it may have is full.
func (g *Gateway) forward(x *exchange) error {
	x.enter(stepAcquire)
	if websocket.Asked(x.r.Header) {
		if err := x.target.upstream.AdmitWebSocket(x.r, g.origins(x)...); err != nil {
			return err
		}
		return g.relay(x, x.target.upstream)
	}
	if err := g.readSmall(x); err != nil {
		return err
	}
	return g.ask(x, x.target.upstream)
}

// ask is step 7: the request as a server over HTTP gets it, and its answer.
func (g *Gateway) ask(x *exchange, proxy *upstream.Proxy) error {
	x.enter(stepInvoke)
	x.started = true
	q := g.upstreamRequest(x)
	d := deadlines{rc: http.NewResponseController(x.w), each: q.Timeout + slack}
	d.move(x.began)
	if x.rest != nil {
		d.rc.EnableFullDuplex() // HTTP/2 is; an error says only that
	}
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	res, err := proxy.Do(ctx, q)
	if err != nil {
		return g.unanswered(x, err)
	}
	defer res.Close()
	x.ran = true
	h := x.w.Header()
	res.CopyHeader(h)
	g.decorate(x, h)
	h["X-Request-Id"] = []string{x.id}
	if x.target.upstream == nil {
		x.keepSession(h)
		if res.Status >= http.StatusInternalServerError {
			g.giveBack(x)
		}
	}
	x.status = res.Status
	x.w.WriteHeader(res.Status)
	return g.passOn(x, res, &d, cancel)
}

// unanswered tells what kept an upstream from answering.
func (g *Gateway) unanswered(x *exchange, err error) error {
	if e, ok := errors.AsType[*upstream.BodyError](err); ok {
		return &worker.BodyError{Err: e.Err} // the caller's doing: nothing ran that counts
	}
	x.ran = upstream.Sent(err)
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Code == "upstream_unreachable" && !x.ran && x.target.upstream != nil && !x.target.tunnel {
		g.log.Warn("an upstream cannot be reached", "requestId", x.id, "error", err) // the breaker bounds how often
	}
	return err
}

// upstreamRequest is what the gateway knows of a call.
func (g *Gateway) upstreamRequest(x *exchange) *upstream.Request {
	if x.target.tunnel {
		signin.CutConsole(x.r.Header)
	} else {
		signin.Cut(x.r.Header)
	}
	x.traced.place.Send(x.r.Header)
	q := &upstream.Request{ID: x.id, Method: x.r.Method, Path: x.own, Query: x.query, Prefix: strings.TrimSuffix(x.path, x.own), Host: x.r.Host, Scheme: g.scheme(x.r), ClientIP: httpx.PeerIP(x.remote()),
		AuthMethod: string(x.shownAs()), Header: x.r.Header, ForeignAuthorization: g.foreign(x), Credentials: x.target.tunnel, Timeout: cmp.Or(x.match.Handler.Timeout, g.options.Timeout)}
	if p := x.principal; p.Method != auth.MethodNone {
		q.KeyID, q.ProjectID, q.Scopes = x.callerID(), p.ProjectID(), p.Scopes()
	}
	switch {
	case x.callback.by != nil && len(x.body) > 0: // what was verified is what is sent
		q.Body, q.Length = bytes.NewReader(x.body), int64(len(x.body))
	case x.rest != nil:
		q.Body, q.Length = x.rest, x.r.ContentLength
	case len(x.body) > 0:
		q.Body, q.Length = bytes.NewReader(x.body), int64(len(x.body))
	}
	return q
}

// scheme is that of the URL that the caller used: behind a proxy which ends TLS,
// that of the public URL.
func (g *Gateway) scheme(r *http.Request) string {
	if r.TLS != nil || strings.HasPrefix(g.options.URL, "https:") {
		return "https"
	}
	return "http"
}

// deadlines are those of a connection, which the server set as if no answer could
// take longer than a minute. They are moved on while something is passed on.
type deadlines struct {
	rc   *http.ResponseController
	each time.Duration
	last time.Time
}

func (d *deadlines) move(now time.Time) {
	if now.Sub(d.last) > time.Second {
		d.rc.SetReadDeadline(now.Add(d.each)) // also of who sends nothing: a read that fails ends the request
		d.rc.SetWriteDeadline(now.Add(d.each))
		d.last = now
	}
}

// passOn sends an answer's body on as it arrives. What takes longer than a call of
// a handler may take is looked at again when something changes: whoever would not
// be let in any more gets no more of it.
func (g *Gateway) passOn(x *exchange, res *upstream.Response, d *deadlines, cancel context.CancelFunc) error {
	buf := g.proxies.buffer()
	defer g.proxies.buffers.Put(buf)
	var s *session
	defer func() { g.sessions.remove(s) }()
	if res.Length() < 0 && d.rc.Flush() != nil {
		return nil // the caller went away; closing the response tells the upstream
	}
	for {
		n, err := res.Read(*buf)
		now := time.Now()
		d.move(now)
		if n > 0 {
			sent, werr := x.w.Write((*buf)[:n])
			x.sent += int64(sent)
			if werr == nil && (res.Length() < 0 || n < len(*buf) && x.sent < res.Length()) {
				werr = d.rc.Flush()
			}
			if werr != nil {
				return nil
			}
		}
		switch {
		case err == io.EOF:
			res.CopyTrailer(x.w.Header())
			return nil
		case err != nil:
			g.log.Warn("an answer was cut off", "requestId", x.id, "error", err)
			return err
		case s == nil && now.Sub(x.began) > d.each-slack:
			s = g.sessions.add(g, x, func(error) { cancel() })
		}
	}
}
