package httpx

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ArrivedAt reports whether a host is the very address at which the request's
// connection came in.
func ArrivedAt(r *http.Request, host string) bool {
	at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return false
	}
	if name, port, err := net.SplitHostPort(host); err == nil {
		if port != strconv.Itoa(at.Port) {
			return false
		}
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return at.IP.IsLoopback()
	}
	return at.IP.Equal(net.ParseIP(strings.Trim(host, "[]")))
}

// Origin is the scheme and host of a request's URL, for comparing what its
// caller claims to have called: those of public, the URL under which the
// server is known. Only where that is an address within this machine, as it is
// while nobody has set another, may it be the one that the request names, if
// the connection came in there: a host is not ours because somebody says so.
func Origin(r *http.Request, public string) string {
	u, err := url.Parse(public)
	if err != nil {
		return public
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && addr.IsLoopback() && ArrivedAt(r, r.Host) {
		return u.Scheme + "://" + r.Host
	}
	return public
}

// PeerIP is the address in a "host:port" as net/http gives it, without its
// port and brackets.
func PeerIP(remote string) string {
	for i := len(remote) - 1; i > 0; i-- {
		if remote[i] == ':' {
			if remote[0] == '[' {
				return remote[1 : i-1]
			}
			return remote[:i]
		}
	}
	return remote
}
