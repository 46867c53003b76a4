package tunnel

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"postern.dev/postern/internal/httpx"
)

// far is the address of who calls through a tunnel, until the gateway's word on it
// is read: the dummy address of RFC 7600 §4.8, which is no caller's, and not this
// machine's either, whom more may be open to.
var far = netip.MustParseAddr("192.0.0.8")

// gateways are believed about who called them.
var gateways = httpx.Proxies{netip.PrefixFrom(far, 32)}

// entries is a listener whose connections are the streams of one session after
// another.
type entries struct {
	next chan net.Conn
	done chan struct{}
	once sync.Once
}

func newEntries() *entries { return &entries{next: make(chan net.Conn), done: make(chan struct{})} }

// put waits until the connection is taken.
func (e *entries) put(c net.Conn) {
	select {
	case e.next <- entry{c}:
	case <-e.done:
		c.Close()
	}
}

// Accept waits for a connection.
func (e *entries) Accept() (net.Conn, error) {
	select {
	case c := <-e.next:
		return c, nil
	case <-e.done:
		return nil, net.ErrClosed
	}
}

// Close ends the listener.
func (e *entries) Close() error {
	e.once.Do(func() { close(e.done) })
	return nil
}

// Addr is no address.
func (e *entries) Addr() net.Addr { return farAddr }

var farAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(far, 0))

// entry is a stream as a connection from afar.
type entry struct{ net.Conn }

// LocalAddr is no address of this machine.
func (entry) LocalAddr() net.Addr { return farAddr }

// RemoteAddr is that of nobody yet.
func (entry) RemoteAddr() net.Addr { return farAddr }

type throughKey struct{}

// Through reports whether a request came through a tunnel: from anybody who knows
// its name, whatever its Host and Origin say.
func Through(r *http.Request) bool { return r.Context().Value(throughKey{}) != nil }

// marked is a handler whose requests Through knows. Those that came to the gateway
// over TLS look so here: the scheme of their address is told by it.
func marked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(context.WithValue(r.Context(), throughKey{}, true))
		if p := r.Header["X-Forwarded-Proto"]; len(p) == 1 && p[0] == "https" {
			r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true}
		}
		next.ServeHTTP(w, r)
	})
}
