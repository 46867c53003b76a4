package upstream

import (
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"

	"postern.dev/postern/internal/platform"
)

// Local makes the proxy of a program that this server itself has started, of
// which dial makes connections. The program gets the caller's Host; who waits for
// it, and what follows from its failures, is for its supervisor: here it has as
// many calls as it is given, no second try and no breaker. It takes WebSockets
// from pages that its caller admits.
func Local(name string, dial func(context.Context) (net.Conn, error)) *Proxy {
	return dialled(platform.Upstream{Name: name, MaxInFlight: math.MaxInt, WebSocket: &platform.WebSocketPolicy{}}, dial)
}

// Tunnelled makes the proxy of a server at the other end of a tunnel, through which
// dial makes connections. It is like that of Local, but has most calls at a time,
// and who may open a WebSocket is for the server itself to say.
func Tunnelled(name string, most int, dial func(context.Context) (net.Conn, error)) *Proxy {
	return dialled(platform.Upstream{Name: name, MaxInFlight: most, WebSocket: &platform.WebSocketPolicy{Origins: []string{"*"}}}, dial)
}

// dialled is the proxy of a server that has no address.
func dialled(u platform.Upstream, dial func(context.Context) (net.Conn, error)) *Proxy {
	u.PreserveHost, u.Breaker.Failures = true, math.MaxInt
	p := &Proxy{declared: u, base: &url.URL{Scheme: "http", Host: "localhost"}, line: &line{}}
	p.breaker = newBreaker(&p.declared, nil)
	p.transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			return newSettling(conn), nil
		},
		DisableCompression:     true,
		MaxIdleConns:           idleConns,
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}
	return p
}

// Get asks for a path as nobody's call does, and returns the status.
func (p *Proxy) Get(ctx context.Context, path string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base.String()+path, nil)
	if err != nil {
		return 0, err
	}
	res, err := p.transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	io.CopyN(io.Discard, res.Body, maxHeader) // a program may not like to be cut short
	return res.StatusCode, res.Body.Close()
}

// AdmitLocal is AdmitWebSocket of any program: from pages of the named origins alone.
func AdmitLocal(r *http.Request, origins ...string) error {
	p := Proxy{declared: platform.Upstream{WebSocket: &platform.WebSocketPolicy{}}}
	return p.AdmitWebSocket(r, origins...)
}
