package upstream

import (
	"crypto/x509"
	"net/netip"
	"time"

	"postern.dev/postern/internal/platform"
)

// Escape writes a path as the upstream gets it.
func Escape(path string) string { return escape(path) }

// Reachable refuses the addresses at which no upstream may be.
func Reachable(addr netip.Addr) error { return reachable(addr) }

// IsOwn reports whether an address is one at which this server listens.
func IsOwn(at netip.AddrPort, own []netip.AddrPort) bool { return isOwn(at, own) }

// Outside is an address of the upstream as callers reach it.
func (p *Proxy) Outside(prefix, location string) string {
	return (&Response{call: &call{proxy: p}, request: &Request{Prefix: prefix}}).outside(location)
}

// InFlight is how many calls wait for the server.
func (p *Proxy) InFlight() int64 { return p.inFlight.Load() }

// NewBreaker makes a breaker alone, and returns its allow.
func NewBreaker(b platform.Breaker, changed func(open bool)) func() (func(error), error) {
	return newBreaker(&platform.Upstream{Breaker: b}, func(_ *platform.Upstream, open bool) { changed(open) }).allow
}

// ErrNoVerdict says nothing of the upstream.
var ErrNoVerdict = errNoVerdict

// Every sets how often both sides of a socket are asked whether they live.
func (s *Socket) Every(d time.Duration) { s.every = d }

// Trust trusts a certificate.
func (p *Proxy) Trust(c *x509.Certificate) {
	pool := x509.NewCertPool()
	pool.AddCert(c)
	p.transport = p.transport.Clone()
	p.transport.TLSClientConfig.RootCAs = pool
}
