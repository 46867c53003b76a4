package upstream

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/field"
)

// IsWebSocket reports whether a request asks for a WebSocket (RFC 6455 §4.1). Any
// other upgrade may be passed over (RFC 9110 §7.8).
func IsWebSocket(h http.Header) bool {
	return field.Listed(h["Connection"], "upgrade") && field.Listed(h["Upgrade"], "websocket")
}

var (
	errNoUpgrade = fault.New(fault.Invalid, "WebSockets are not taken at this address").WithCode("upgrade_refused")
	errHandshake = fault.New(fault.Invalid, "the request is no WebSocket handshake of version 13 (RFC 6455 §4.1), sent by HTTP/1.1").WithCode("upgrade_refused")
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
	key := r.Header["Sec-Websocket-Key"]
	if r.Method != http.MethodGet || r.ProtoMajor != 1 || !r.ProtoAtLeast(1, 1) || r.ContentLength != 0 || len(key) != 1 || !slices.Equal(r.Header["Sec-Websocket-Version"], []string{"13"}) {
		return errHandshake
	}
	if nonce, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key[0])); err != nil || len(nonce) != 16 {
		return errHandshake
	}
	origin := r.Header["Origin"]
	if len(origin) == 0 {
		return nil
	}
	if len(origin) == 1 && (slices.Contains(policy.Origins, "*") || isOrigin(origin[0]) && (hasOrigin(own, origin[0]) || hasOrigin(policy.Origins, origin[0]))) {
		return nil
	}
	return errOrigin
}

// isOrigin reports whether a text is one origin and nothing else; "null" is none.
func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && u.User == nil && u.Path == "" && !strings.ContainsAny(s, "?#")
}

// hasOrigin reports whether an origin is listed. Scheme and host do not
// distinguish case.
func hasOrigin(list []string, origin string) bool {
	return slices.ContainsFunc(list, func(o string) bool { return strings.EqualFold(o, origin) })
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
	var beneath connections
	server, err := p.dialSocket(r.Context(), q, hops, &beneath, done)
	if err != nil {
		return nil, false, err
	}
	options := &websocket.AcceptOptions{InsecureSkipVerify: true} // AdmitWebSocket did
	if chosen := server.Subprotocol(); chosen != "" {
		options.Subprotocols = []string{chosen}
	}
	caller, err := websocket.Accept(hijackable{w, &beneath}, r, options)
	if err != nil {
		server.CloseNow()
		return nil, true, fmt.Errorf("accept a WebSocket: %w", err)
	}
	return newSocket(p, caller, server, beneath, *p.declared.WebSocket), true, nil
}

// dialSocket opens the upstream's end.
func (p *Proxy) dialSocket(ctx context.Context, q *Request, hops int, beneath *connections, done func(error)) (*websocket.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer time.AfterFunc(q.Timeout, func() { cancel(errLate) }).Stop()
	header := q.header(hops)
	for name := range header {
		if strings.HasPrefix(name, "Sec-Websocket-") {
			delete(header, name)
		}
	}
	options := &websocket.DialOptions{HTTPClient: &http.Client{Transport: steadyTransport{p.transport, beneath}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		HTTPHeader: header, Subprotocols: subprotocols(q.Header)}
	if p.declared.PreserveHost {
		options.Host = q.Host
	}
	conn, res, err := websocket.Dial(ctx, p.target(q).String(), options)
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

// subprotocols are those that the caller offers.
func subprotocols(h http.Header) (list []string) {
	for _, line := range h["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(line, ",") {
			if p = strings.TrimSpace(p); p != "" {
				list = append(list, p)
			}
		}
	}
	return list
}

// closing is how the end of one side is told to the other: as it said itself, and
// if it said nothing, by a code that says whose end it was.
func closing(err error, vanished websocket.StatusCode) (websocket.StatusCode, string) {
	if ce, ok := errors.AsType[websocket.CloseError](err); ok {
		return ce.Code, ce.Reason
	}
	if errors.Is(err, websocket.ErrMessageTooBig) {
		return websocket.StatusMessageTooBig, "the message is too large"
	}
	return vanished, ""
}
