package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signin"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/worker"
)

const (
	inlineBody = 64 << 10 // a body of known length up to this is sent in one frame
	copyBuffer = 32 << 10
	// The server's own write limit is 60 s; what may take longer gets its own.
	ownDeadline = 45 * time.Second
	// How long past an invocation's end its last bytes may take to a slow caller.
	slack = 10 * time.Second
)

// acquire is step 6: a worker. A small body is read before, so that a slow
// caller does not hold one.
func (g *Gateway) acquire(x *exchange) (err error) {
	if err := g.readSmall(x); err != nil {
		return err
	}
	x.held, err = g.invoker.Acquire(x.r.Context(), x.target.deployment.ID)
	return err
}

// readSmall reads a body of known, small length, and wraps any other.
func (g *Gateway) readSmall(x *exchange) error {
	if x.callback.by != nil {
		x.handOver() // it is read, and what was verified is what is run
		return nil
	}
	n := x.r.ContentLength
	switch {
	case n == 0 || len(x.body) > 0:
		return nil
	case n > 0 && n <= inlineBody && x.match.Handler.Body == platform.BodyBuffered:
		if int64(cap(x.body)) < n {
			x.body = make([]byte, 0, n)
		}
		x.body = x.body[:n]
		if _, err := io.ReadFull(x.r.Body, x.body); err != nil {
			x.body = x.body[:0]
			return fault.Wrap(err, fault.Invalid, "the body ended before its announced length")
		}
		return nil
	}
	x.rest = &limitedBody{r: x.r.Body, left: g.bodyLimit(x.match.Handler)}
	return nil
}

// limitedBody reads a body of unknown length up to the handler's limit.
type limitedBody struct {
	r     io.Reader
	left  int64
	taken atomic.Int64 // bytes read; who counts them may not be who reads
	whole atomic.Bool  // read to its end
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	b.taken.Add(int64(n))
	if err == io.EOF {
		b.whole.Store(true)
	}
	return n, err
}

// invoke is step 7: the handler, with the caller's credentials taken off and
// what the gateway knows of the caller put on.
func (g *Gateway) invoke(x *exchange) error {
	defer x.held.Release()
	signin.Cut(x.r.Header)
	deadline := x.work.begin().Add(g.timeout(x))
	req := g.request(x)
	req.Inline, req.Stream, req.Deadline = x.body, x.match.Handler.Body == platform.BodyStream, deadline
	if x.rest != nil {
		req.Body, req.Inline = x.rest, nil
		x.started = true // a body that was read cannot be sent to another worker
		g.openBothWays(x, deadline)
	} else if deadline.Sub(x.began) > ownDeadline { // the server's limit began with the request, not with the handler
		http.NewResponseController(x.w).SetWriteDeadline(deadline.Add(slack))
	}
	x.traced.place.Send(x.r.Header)
	res, err := x.held.Do(x.r.Context(), &req)
	x.work.end()
	x.ran = !errors.Is(err, worker.ErrRefused) && !errors.Is(err, worker.ErrTooLarge)
	if err != nil {
		return g.late(x, err)
	}
	defer res.Close()
	if res.Status >= http.StatusInternalServerError {
		g.giveBack(x)
	}
	return g.answer(x, res, deadline)
}

// timeout is how long the handler may take.
func (g *Gateway) timeout(x *exchange) time.Duration {
	return cmp.Or(x.match.Handler.Timeout, g.options.Timeout)
}

// late names the limit that the handler went past, if that is what happened:
// there is only this one, and who reads of it need not look for others.
func (g *Gateway) late(x *exchange, err error) error {
	if !errors.Is(err, worker.ErrDeadline) {
		return err
	}
	return fault.Wrap(err, fault.Timeout, fmt.Sprintf("the handler did not answer within %v, its timeout", g.timeout(x)))
}

// request is what the handler is told of a call, but for its body.
func (g *Gateway) request(x *exchange) worker.Request {
	req := worker.Request{ID: x.id, Method: x.r.Method, Handler: x.match.Handler.Name, Path: x.own, Query: x.query, Host: x.r.Host, ClientIP: httpx.PeerIP(x.remote()),
		AuthMethod: string(x.shownAs()), Call: x.call, Header: x.r.Header, ForeignAuthorization: g.foreign(x)}
	if req.Method == http.MethodHead {
		req.Method = http.MethodGet // the server leaves the body out
	}
	if m := &x.match; m.Pattern != "" {
		req.Route, req.Params, req.Values = m.Pattern, m.Names, m.Values[:len(m.Names)]
	}
	if x.callback.by != nil {
		req.Scheme, req.MessageID = x.callback.verdict.Scheme, x.callback.verdict.ID
	}
	if p := x.principal; p.Method != auth.MethodNone {
		req.KeyID, req.ProjectID, req.Scopes = x.callerID(), p.ProjectID(), p.Scopes()
	}
	return req
}

// foreign reports whether the request's Authorization is the handler's, or the
// upstream's, to judge: nobody was recognised by it, and it is none of ours.
// Where there is a user, Basic may be their password.
func (g *Gateway) foreign(x *exchange) bool {
	a := x.r.Header["Authorization"]
	if len(a) == 0 || x.call == nil && x.principal.Method != auth.MethodNone && x.principal.Method != auth.MethodAPIKey {
		return false
	}
	if x.target.admin != nil {
		if scheme, _, _ := strings.Cut(a[0], " "); strings.EqualFold(scheme, "basic") {
			return false
		}
	}
	return g.options.Auth.Foreign(a[0])
}

// openBothWays lets an answer begin while the request's body still comes, and
// gives both directions the time that the handler has.
func (g *Gateway) openBothWays(x *exchange, deadline time.Time) {
	rc := http.NewResponseController(x.w)
	rc.EnableFullDuplex() // HTTP/2 is; an error says only that
	rc.SetReadDeadline(deadline.Add(slack))
	rc.SetWriteDeadline(deadline.Add(slack))
}

// answer sends a response on.
func (g *Gateway) answer(x *exchange, res *worker.Response, deadline time.Time) error {
	x.started = true
	header := x.w.Header()
	res.CopyHeader(header)
	g.decorate(x, header)
	header["X-Request-Id"] = []string{x.id}
	x.keepSession(header)
	body, whole := res.Whole()
	if whole {
		if len(body) > 2048 { // below that net/http finds it out for itself
			header["Content-Length"] = []string{strconv.Itoa(len(body))}
		}
		x.status = res.Status
		x.w.WriteHeader(res.Status)
		if len(body) > 0 {
			n, _ := x.w.Write(body) // a caller who went away is no failure of ours
			x.sent = int64(n)
		}
		return nil
	}
	defer x.work.end()
	rc := http.NewResponseController(x.w)
	rc.SetWriteDeadline(deadline.Add(slack))
	x.status = res.Status
	x.w.WriteHeader(res.Status)
	return x.stream(res, rc)
}

// stream sends a body on as it arrives, and flushes whatever is there: a
// handler that streams wants each chunk to get through.
func (x *exchange) stream(res *worker.Response, rc *http.ResponseController) error {
	if err := rc.Flush(); err != nil {
		return nil // the caller went away; closing the response tells the handler
	}
	buf := make([]byte, copyBuffer)
	for {
		n, err := res.Read(buf)
		if n > 0 {
			sent, werr := x.w.Write(buf[:n])
			x.sent += int64(sent)
			if werr == nil {
				werr = rc.Flush()
			}
			if werr != nil {
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// asFault says in the gateway's words what went wrong in steps 6 and 7.
func asFault(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if e, ok := errors.AsType[*worker.BodyError](err); ok {
		if errors.Is(e.Err, errTooLarge) {
			return errTooLarge
		}
		return fault.Wrap(err, fault.Invalid, "the body could not be read to its end")
	}
	if e, ok := errors.AsType[*worker.InvocationError](err); ok {
		switch e.Code {
		case "body_malformed":
			return fault.Wrap(err, fault.Invalid, e.Message).WithCode("body_malformed")
		case "worker_crashed":
			return fault.Wrap(err, fault.Unavailable, "the handler ended its worker").WithCode("worker_lost")
		}
		return fault.Wrap(err, fault.Internal, "the handler failed").WithCode("handler_failed")
	}
	switch {
	case errors.Is(err, worker.ErrDeadline), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Timeout, "the handler did not answer in time")
	case errors.Is(err, worker.ErrRefused), errors.Is(err, supervisor.ErrRetired):
		return fault.Wrap(err, fault.Unavailable, "no worker took the call")
	case errors.Is(err, worker.ErrTooLarge):
		return fault.Wrap(err, fault.Invalid, "the request's header is too large for a handler")
	case errors.Is(err, worker.ErrLost):
		return fault.Wrap(err, fault.Unavailable, "the worker ended before it answered").WithCode("worker_lost")
	}
	return err
}
