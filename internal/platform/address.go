package platform

import (
	"errors"
	"fmt"
	"net/netip"
)

// CallerAddr is the address in an "ip:port", as net/http gives it, in the one
// form in which callers are compared: ::ffff:10.0.0.1 is 10.0.0.1, and there is
// no zone. Of a text that is none it is invalid, and so in no network.
func CallerAddr(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// CallerBlock is what counts as one caller's address: of IPv6 the first of the
// network of 64 bits, because whoever has one address there has them all.
func CallerBlock(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, _ := a.WithZone("").Prefix(64) // of which there is one without a zone
	return p.Addr()
}

// ParseNetwork reads a network, or one address.
func ParseNetwork(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, bad := netip.ParseAddr(text)
		if bad != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%.64q is no address and no network", text)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	return p, CheckNetwork(p)
}

// CheckNetwork says what is wrong with a network: it must be written as it is
// compared, or somebody takes it for another.
func CheckNetwork(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return errors.New("there is a network that is none")
	case p.Addr().Is4In6():
		return fmt.Errorf("%s is written as IPv6: write it as IPv4", p)
	case p != p.Masked():
		return fmt.Errorf("%s names an address within the network: write %s for all of it", p, p.Masked())
	}
	return nil
}
