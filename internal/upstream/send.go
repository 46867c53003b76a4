package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/fault"
)

// BodyError says that a request's body could not be read to its end.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return "read the body: " + e.Err.Error() }

// Unwrap gives the cause.
func (e *BodyError) Unwrap() error { return e.Err }

// What a caller is told of an upstream that does not answer as it should.
const (
	textUnreachable = "the upstream cannot be reached, or hung up before it answered"
	textBroken      = "the upstream sent what is no answer"
	textLate        = "the upstream did not answer in time"
)

// errLate ends a call whose time is over.
var errLate = errors.New("the time for the answer is over")

// Sent reports whether a request that failed may have been seen by the server.
func Sent(err error) bool {
	_, unsent := errors.AsType[*unsentError](err)
	return err == nil || !unsent
}

// unsentError is of a request of which the server got nothing.
type unsentError struct{ error }

// Unwrap gives the cause.
func (e *unsentError) Unwrap() error { return e.error }

// Do sends a request and returns the answer when its header is there. Close it.
//
// What may be repeated (an idempotent method, and no body) is sent again if the
// connection fails before a byte of an answer, as often as is declared and as
// the time allows.
func (p *Proxy) Do(ctx context.Context, r *Request) (*Response, error) {
	hops, err := r.hops()
	if err == nil {
		err = p.enter()
	}
	if err != nil {
		return nil, &unsentError{err}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	c := &call{proxy: p, cancel: cancel, timeout: r.Timeout}
	c.timer = time.AfterFunc(r.Timeout, func() { cancel(errLate) })
	header, b := r.header(hops), newBody(r.Body)
	seen := false
	for try := 0; ; try++ {
		a := p.attempt(ctx, r, header, b)
		seen = seen || a.seen
		if a.err == nil {
			c.timer.Stop()
			return &Response{Status: a.res.StatusCode, call: c, ctx: ctx, res: a.res, request: r}, nil
		}
		if !a.again || try >= p.declared.Retries || r.Body != nil || !replayed(r.Method) || !pause(ctx, try) {
			c.end()
			if !seen {
				a.err = &unsentError{a.err}
			}
			return nil, a.err
		}
	}
}

// attempt is one try, and what came of it.
type attempt struct {
	res   *http.Response
	err   error
	again bool // nothing of an answer came, because the connection failed
	seen  bool // the server may have seen the request
}

func (p *Proxy) attempt(ctx context.Context, r *Request, header http.Header, b *body) (a attempt) {
	done, err := p.breaker.allow()
	if err != nil {
		return attempt{err: err}
	}
	var connected, began atomic.Bool
	out := p.request(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(got httptrace.GotConnInfo) { connected.Store(true); settled(got) },
		GotFirstResponseByte: func() { began.Store(true) },
	}), r, header, b)
	a.res, err = p.transport.RoundTrip(out)
	held := b.held(r.Timeout)
	if err == nil && (a.res.ProtoMajor > 2 || a.res.StatusCode < 200 || a.res.StatusCode > 599) {
		a.res.Body.Close() // after a 101 that nobody asked for, what follows would be no HTTP
		err = fmt.Errorf("it answered %s %d", a.res.Proto, a.res.StatusCode)
	}
	a.seen = connected.Load()
	if err == nil {
		done(nil)
		return a
	}
	a.res = nil
	verdict := err
	a.err, a.again = p.failure(ctx, err, b.failed(), began.Load())
	if kind := fault.KindOf(a.err); kind != fault.Unavailable && (kind != fault.Timeout || held) {
		verdict = errNoVerdict
	}
	done(verdict)
	return a
}

// failure says in the gateway's words what went wrong, and whether another try
// could mend it.
func (p *Proxy) failure(ctx context.Context, err, body error, began bool) (_ error, again bool) {
	err = p.named(err)
	switch {
	case body != nil:
		return &BodyError{body}, false
	case errors.Is(context.Cause(ctx), errLate):
		return fault.Wrap(err, fault.Timeout, textLate).WithHint("the upstream has to answer sooner, or the route needs a longer timeout"), false
	case ctx.Err() != nil:
		return ctx.Err(), false
	case began:
		return fault.Wrap(err, fault.Unavailable, textBroken).WithCode("upstream_failed"), false
	}
	_, forbidden := errors.AsType[*addressError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return fault.Wrap(err, fault.Unavailable, textUnreachable).WithCode("upstream_unreachable"), !forbidden && !untrusted
}

// pause waits before another try: twice as long each time, and any part of that,
// so that those who failed together do not come back together.
func pause(ctx context.Context, try int) bool {
	t := time.NewTimer(rand.N(50*time.Millisecond<<try) + time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
