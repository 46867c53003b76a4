package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"

	coder "github.com/coder/websocket"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/websocket"
)

var (
	errNoUpgrade = fault.New(fault.Invalid, "WebSockets are not taken at this address").WithCode("upgrade_refused")
	errOrigin    = fault.New(fault.Denied, "pages of this origin may not open a WebSocket here").WithCode("origin_not_allowed").WithHint("list the origin under websocket of the upstream")
)

// AdmitWebSocket refuses a handshake that is none, and one from a page of an
// origin that the upstream does not list. own are the origins of the address
// itself. Who sends no Origin is no browser, and nobody's page speaks through it.
func (p *Proxy) AdmitWebSocket(r *http.Request, own ...string) error {
	policy := p.declared.WebSocket
	if policy == nil {
		return errNoUpgrade
	}
	if err := websocket.CheckHandshake(r); err != nil {
		return err
	}
	if !websocket.AllowsOrigin(r.Header, policy.Origins, own...) {
		return errOrigin
	}
	return nil
}

const (
	messageLimit = 1 << 20
	socketIdle   = 10 * time.Minute
)

// Upgrade opens a WebSocket to the upstream, and then answers the caller's
// handshake; who was refused by AdmitWebSocket must not come here. What it
// returns has to be relayed. After an error nothing of an answer has been sent,
// unless wrote.
func (p *Proxy) Upgrade(w http.ResponseWriter, r *http.Request, q *Request) (s *Socket, wrote bool, err error) {
	hops, err := q.hops()
	if err == nil {
		err = p.enter()
	}
	if err != nil {
		return nil, false, &unsentError{err}
	}
	defer func() {
		if err != nil {
			p.leave()
		}
	}()
	done, err := p.breaker.allow()
	if err != nil {
		return nil, false, &unsentError{err}
	}
	var beneath websocket.Connections
	server, err := p.dialSocket(r.Context(), q, hops, &beneath, done)
	if err != nil {
		return nil, false, err
	}
	caller, err := websocket.Accept(w, r, &beneath, server.Subprotocol())
	if err != nil {
		server.CloseNow()
		return nil, true, err
	}
	return newSocket(p, caller, server, beneath, *p.declared.WebSocket), true, nil
}

// dialSocket opens the upstream's end.
func (p *Proxy) dialSocket(ctx context.Context, q *Request, hops int, beneath *websocket.Connections, done func(error)) (*coder.Conn, error) {
	ctx, cancel := context.WithCancelCause(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: settled}))
	defer cancel(nil)
	defer time.AfterFunc(q.Timeout, func() { cancel(errLate) }).Stop()
	header := q.header(hops)
	for name := range header {
		if strings.HasPrefix(name, "Sec-Websocket-") {
			delete(header, name)
		}
	}
	options := &coder.DialOptions{HTTPClient: &http.Client{Transport: websocket.Transport{RoundTripper: p.transport, Beneath: beneath}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		HTTPHeader: header, Subprotocols: websocket.Subprotocols(q.Header)}
	if p.declared.PreserveHost {
		options.Host = q.Host
	}
	conn, res, err := coder.Dial(ctx, p.target(q).String(), options)
	switch {
	case err == nil:
		done(nil)
		return conn, nil
	case res != nil && res.StatusCode != 0:
		done(nil)
		return nil, fault.Wrap(p.named(err), fault.Unavailable, fmt.Sprintf("the upstream did not take the WebSocket; it answered %d", res.StatusCode)).WithCode("upstream_failed")
	}
	err, _ = p.failure(ctx, err, nil, false)
	if fault.KindOf(err) == fault.Internal {
		done(errNoVerdict)
	} else {
		done(err)
	}
	return nil, err
}

// closing is how the end of one side is told to the other: as it said itself, and
// if it said nothing, by a code that says whose end it was.
func closing(err error, vanished coder.StatusCode) (coder.StatusCode, string) {
	if ce, ok := errors.AsType[coder.CloseError](err); ok {
		return ce.Code, ce.Reason
	}
	if errors.Is(err, coder.ErrMessageTooBig) {
		return coder.StatusMessageTooBig, "the message is too large"
	}
	return vanished, ""
}
