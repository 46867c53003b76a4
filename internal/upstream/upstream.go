// Package upstream sends requests that were admitted on to HTTP servers which
// are no functions, and relays WebSockets to them.
//
// [Proxy] is one upstream as it was declared. Do sends a request and returns the
// answer as it arrives; Upgrade opens a WebSocket. The request is made anew from
// what the gateway knows (its canonical path, the recognised caller, the header
// fields that may go past it), so nothing of the caller's framing, of its
// connection or of its claims about itself gets through.
//
// The package decides nothing about who may call. Its errors are faults whose
// text may be shown to callers: addresses are in their causes alone.
package upstream

import (
	"cmp"
	"crypto/tls"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/websocket"
)

// Options are what all upstreams of a server share.
type Options struct {
	// Own are the addresses at which this server listens. An upstream there
	// would be a loop, or a way past the control plane's own door.
	Own []netip.AddrPort
	// Taken reports whether a program that this server has started listens at an
	// address: an upstream there would be a way past its door. nil: none does.
	Taken func(netip.AddrPort) bool
	// Changed is told when a breaker opens or closes; nil: nobody. It must not block.
	Changed func(u *platform.Upstream, open bool)
}

// The defaults of what a declaration leaves open, and what it cannot move.
const (
	connectTimeout = 5 * time.Second
	maxInFlight    = 1000
	maxRetries     = 5
	maxHeader      = 64 << 10 // bytes of an answer's header
	// idleTimeout is less than the five seconds after which Node's servers, of
	// those in wide use the most impatient, hang up on a connection without requests.
	idleTimeout = 4 * time.Second
	idleConns   = 256
)

// Proxy sends requests to one upstream. It is safe for concurrent use.
type Proxy struct {
	declared platform.Upstream
	base     *url.URL // without a slash at the end of its path
	options  Options
	breaker  *breaker
	*line
}

// line is what stays while an upstream keeps its URL: the connections and who
// waits for them.
type line struct {
	transport *http.Transport
	connect   atomic.Int64 // a time.Duration
	inFlight  atomic.Int64
}

var (
	errURL     = fault.New(fault.Invalid, "the URL of an upstream is http:// or https:// with a host and perhaps a path, such as http://10.0.0.5:9000/base")
	errNumber  = fault.New(fault.Invalid, "the numbers and times of an upstream are not negative, and it has at most 5 retries")
	errOrigins = fault.New(fault.Invalid, "an origin of a WebSocket is a scheme and a host, such as https://shop.example, or *")
)

// Check refuses a declaration that cannot be served. What its host's name stands
// for is only looked at when a connection is made.
func Check(u platform.Upstream) error {
	_, err := parse(u)
	return err
}

func parse(u platform.Upstream) (*url.URL, error) {
	base, err := url.Parse(u.URL)
	switch {
	case err != nil, base.Scheme != "http" && base.Scheme != "https", base.Hostname() == "", base.User != nil, base.ForceQuery, base.RawQuery != "", base.Opaque != "",
		strings.Contains(u.URL, "#"), base.Port() == "" && strings.HasSuffix(base.Host, ":"), !plain(base.Path):
		return nil, errURL
	case u.ConnectTimeout < 0, u.Retries < 0, u.Retries > maxRetries, u.MaxInFlight < 0, u.Breaker.Failures < 0, u.Breaker.Open < 0, u.WebSocket != nil && (u.WebSocket.MessageLimit < 0 || u.WebSocket.Idle < 0):
		return nil, errNumber
	case u.WebSocket != nil && slices.ContainsFunc(u.WebSocket.Origins, func(o string) bool { return o != "*" && !websocket.IsOrigin(o) }):
		return nil, errOrigins
	}
	if port := base.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errURL
		}
	}
	if addr, err := netip.ParseAddr(base.Hostname()); err == nil {
		if err := reachable(addr); err != nil {
			return nil, err
		}
	}
	base.Path, base.RawPath = strings.TrimRight(base.Path, "/"), ""
	return base, nil
}

// plain reports whether a path can be read in one way.
func plain(path string) bool {
	return !strings.ContainsAny(path, "\\;") && !strings.Contains(path, "//") &&
		!slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." })
}

// New makes the proxy of an upstream.
func New(u platform.Upstream, o Options) (*Proxy, error) {
	base, err := parse(u)
	if err != nil {
		return nil, err
	}
	p := &Proxy{declared: u, base: base, options: o, line: &line{}}
	p.connect.Store(int64(cmp.Or(u.ConnectTimeout, connectTimeout)))
	p.breaker = newBreaker(&p.declared, o.Changed)
	p.transport = &http.Transport{
		// Proxy is nil: what the environment says of proxies is not for us.
		DialContext:            p.line.dial(o),
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // an answer is passed on as it is
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}
	return p, nil
}

// With returns the proxy of an upstream that is declared anew. While the URL
// stays it keeps connections, and the breaker if that is declared as it was; the
// calls that wait for the server count for both. If the URL is another, retire
// the old one.
func (p *Proxy) With(u platform.Upstream) (*Proxy, error) {
	if u.URL != p.declared.URL {
		return New(u, p.options)
	}
	base, err := parse(u)
	if err != nil {
		return nil, err
	}
	next := &Proxy{declared: u, base: base, options: p.options, line: p.line, breaker: p.breaker}
	if u.Breaker != p.declared.Breaker {
		next.breaker = newBreaker(&next.declared, p.options.Changed)
	}
	next.connect.Store(int64(cmp.Or(u.ConnectTimeout, connectTimeout)))
	return next, nil
}

// Shares reports whether two proxies have their connections in common.
func (p *Proxy) Shares(other *Proxy) bool { return other != nil && p.line == other.line }

// Retire lets go of the connections that nothing waits for. Calls that are under
// way end as they would have.
func (p *Proxy) Retire() { p.transport.CloseIdleConnections() }

var errFull = fault.New(fault.Unavailable, "too many calls wait for the upstream").WithCode("queue_full").WithHint("try again later, or raise maxInFlight of the upstream")

// enter takes one of the places of those who wait for the server.
func (p *Proxy) enter() error {
	if p.inFlight.Add(1) > int64(cmp.Or(p.declared.MaxInFlight, maxInFlight)) {
		p.leave()
		return errFull
	}
	return nil
}

func (p *Proxy) leave() { p.inFlight.Add(-1) }
