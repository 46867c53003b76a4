package gateway

import (
	"net/http"
	"time"

	"postern.dev/postern/internal/httpx"
)

// account is step 8: what is said of a request when it is over, whatever
// became of it. It recovers a panic of ours, so that one request cannot take
// the server down, and gives the exchange back.
func (g *Gateway) account(x *exchange) {
	failed := recover()
	if x.detached {
		*x = exchange{body: x.body[:0]}
		g.pool.Put(x)
		return
	}
	if failed != nil && failed != http.ErrAbortHandler {
		g.log.Error("panic in the gateway", "requestId", x.id, "panic", failed)
		if x.status == 0 {
			p := httpx.WriteProblem(x.w, nil, x.id)
			x.status, x.code = p.Status, p.Code
			failed = nil
		}
	}
	g.settle(x)
	took := time.Since(x.began)
	g.measure(x, took)
	g.tell(x, x.began.Add(took))
	g.remember(x, took)
	g.keepCall(x, took)
	g.meter(x, x.began.Add(took))
	x.weigh()
	if g.options.AccessLog == AccessLogAll || g.options.AccessLog == AccessLogErrors && x.status >= 400 {
		g.logAccess(x, took)
	}
	if cap(x.body) > inlineBody || x.callback.by != nil || x.proxied() { // who was handed it may still be reading
		x.body = nil
	}
	w, kept := x.w, failed != nil || x.kept()
	*x = exchange{body: x.body[:0]}
	g.pool.Put(x)
	if failed != nil {
		panic(http.ErrAbortHandler)
	}
	if !kept {
		httpx.Release(w)
	}
}

// kept reports whether somebody may have something of the request still: who
// sends its body on, who looks at a session again, or the transport that asked an
// upstream or a program. That goes on with a connection it began for a call that
// got another, and asks the call's context for values.
func (x *exchange) kept() bool {
	return x.rest != nil || x.visit != nil || x.started && x.status == 0 || x.proxied()
}

// proxied reports whether the request may have been sent on by a transport.
func (x *exchange) proxied() bool {
	return x.target != nil && (x.target.upstream != nil || x.target.program())
}
