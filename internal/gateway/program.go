package gateway

import (
	"errors"
	"fmt"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/upstream"
	"postern.dev/postern/internal/websocket"
	"postern.dev/postern/internal/worker"
)

// program reports whether a function is a program that serves HTTP by itself.
func (t *target) program() bool { return t.deployment.Runtime == function.RuntimeHTTP }

// runProgram is steps 6 and 7 of a program: a worker, and the request as an
// upstream gets it, over the worker's socket. supervisor.ErrRetired and
// worker.ErrRefused say that nothing of it has gone anywhere.
func (g *Gateway) runProgram(x *exchange) error {
	socket := websocket.Asked(x.r.Header)
	if socket {
		if err := upstream.AdmitLocal(x.r, g.programOrigins(x)...); err != nil {
			return err
		}
	}
	if err := g.acquire(x); err != nil {
		return err
	}
	defer x.held.Release()
	proxy := x.held.Proxy()
	if proxy == nil {
		return fault.New(fault.Internal, "the worker is no program")
	}
	x.work.begin()
	defer x.work.end()
	if socket {
		return g.programFault(x, g.relay(x, proxy))
	}
	return g.programFault(x, g.ask(x, proxy))
}

// programOrigins are the origins whose pages may open a WebSocket: that of the
// address itself, and those that the route's cors lists.
func (g *Gateway) programOrigins(x *exchange) []string {
	own := g.origins(x)
	if c := x.match.Handler.CORS; c != nil {
		own = append(own, c.Origins...)
	}
	return own
}

// programFault says of a failure what is said of workers. The text of an upstream
// would name a thing that there is not. A program that takes no connections is out
// of the pool then, and what it was not sent goes to another worker.
func (g *Gateway) programFault(x *exchange, err error) error {
	if err == nil {
		return nil
	}
	f, _ := errors.AsType[*fault.Error](err)
	switch {
	case f == nil:
		return err
	case f.Kind == fault.Timeout:
		return g.late(x, fmt.Errorf("%w: %v", worker.ErrDeadline, err))
	case f.Code == "upstream_unreachable" && !x.ran && (x.rest == nil || x.rest.taken.Load() == 0):
		if worker.Away(err) {
			x.held.Refused()
		}
		x.started = false
		return fmt.Errorf("%w: %v", worker.ErrRefused, err)
	case f.Code == "upstream_unreachable":
		return fault.Wrap(err, fault.Unavailable, "the program hung up before it answered, or ended").WithCode("worker_lost")
	case f.Code == "upstream_failed":
		return fault.Wrap(err, fault.Unavailable, "the program sent what is no answer of HTTP").WithCode("worker_lost")
	}
	return err
}

// continues reports whether a call that goes on may go on, now that its function is
// as t says. An answer of a version that was replaced comes to its end, within the
// time that its worker has; a WebSocket has none, and its caller opens another.
func (t *target) continues(before *target, socket bool) bool {
	if t.upstream != nil || before.upstream != nil {
		return t.upstream != nil && t.upstream.Shares(before.upstream)
	}
	return !socket || t.deployment.ID == before.deployment.ID
}
