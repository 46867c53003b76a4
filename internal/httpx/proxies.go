package httpx

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"postern.dev/postern/internal/platform"
)

// Proxies are the networks of the proxies in front of this server whose word
// on who called them is taken; those of IPv4 are written as IPv4. Without any, no
// header says anything about addresses.
type Proxies []netip.Prefix

// The bounds within which X-Forwarded-For is read, from its end.
const (
	maxHops    = 20
	maxAddress = 64 // bytes of one entry
)

// has reports whether an address is one of a proxy.
func (p Proxies) has(a netip.Addr) bool {
	for _, network := range p {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// address reads an address with or without port and brackets; the zero value
// is none. One address is always the same value: of IPv4 written as IPv6 the
// IPv4, and without a zone.
func address(text string) netip.Addr {
	if a := platform.CallerAddr(text); a.IsValid() {
		return a
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if text, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(text, ":") {
			return netip.Addr{}
		}
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// client is who called the proxy at peer: the last address of X-Forwarded-For
// that is not a proxy's own. Each proxy adds the address that called it, so
// what stands left of that one is what the caller wrote, and counts for
// nothing. Where the end of the list cannot be read, it is the peer.
func (p Proxies) client(h http.Header, peer string) string {
	hops, found := 0, netip.Addr{}
	for lines := h["X-Forwarded-For"]; len(lines) > 0; lines = lines[:len(lines)-1] {
		for rest, more := lines[len(lines)-1], true; more; {
			var entry string
			if i := strings.LastIndexByte(rest, ','); i >= 0 {
				rest, entry = rest[:i], rest[i+1:]
			} else {
				entry, more = rest, false
			}
			entry = strings.Trim(entry, " \t")
			if hops++; hops > maxHops || len(entry) > maxAddress {
				return peer
			}
			a := address(entry)
			if !a.IsValid() {
				return peer
			}
			if found = a; !p.has(a) {
				return netip.AddrPortFrom(a, 0).String()
			}
		}
	}
	if !found.IsValid() {
		return peer
	}
	return netip.AddrPortFrom(found, 0).String() // a proxy's own call
}

// peer is the other end of a connection.
type peer struct {
	address string
	trusted bool
}

type peerKey struct{}

// know notes once for a connection whether its peer is a proxy.
func (p Proxies) know(ctx context.Context, c net.Conn) context.Context {
	at := c.RemoteAddr().String()
	return context.WithValue(ctx, peerKey{}, &peer{at, p.has(platform.CallerAddr(at))})
}

// believe makes a request's RemoteAddr the address of who called, for everything
// behind it: rules for addresses, limits, logs, and what handlers are told. Its
// port is 0 where a proxy said the address. No other header of a proxy is
// believed, and none of these is passed on to handlers.
func (p Proxies) believe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at, ok := r.Context().Value(peerKey{}).(*peer); ok && at.trusted {
			r.RemoteAddr = p.client(r.Header, r.RemoteAddr)
		}
		next.ServeHTTP(w, r)
	})
}

// Peer is the address of the other end of the connection on which a request
// came, whatever its headers say: a proxy's, where there is one in between.
func Peer(r *http.Request) string {
	if at, ok := r.Context().Value(peerKey{}).(*peer); ok {
		return at.address
	}
	return r.RemoteAddr
}
