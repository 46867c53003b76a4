package devserver

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// local reports whether a Host value is a name of this machine for itself. A
// page on the web can let its own name point here, and not this one.
func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// sameOrigin reports whether a request was made by a page of this very origin,
// or by no page at all.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return false
	}
	origin := r.Header.Get("Origin")
	return origin == "" || origin == "http://"+r.Host
}

// opens refuses the pages of other sites what they could not call where the
// function is deployed, for want of a credential or a signature: any page that the
// developer looks at could, and needs no permission of CORS to send a form here.
func (s *Server) opens(r *http.Request, handler, pattern string) error {
	s.mu.Lock()
	closed := s.current != nil && s.current.closed[cmp.Or(pattern, handler)]
	s.mu.Unlock()
	if closed && !fromOutside(r) && ofOtherSite(r) {
		return errOtherSite
	}
	return nil
}

// ofOtherSite reports whether a page made a request that is not of this machine.
func ofOtherSite(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return r.Header.Get("Sec-Fetch-Site") == "cross-site"
	}
	u, err := url.Parse(origin)
	return err != nil || !local(u.Host) && !strings.EqualFold(u.Host, r.Host)
}
