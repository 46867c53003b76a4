package config

import (
	"net/netip"
	"strings"
)

// networks is a list of networks and single addresses, separated by commas.
// Networks of IPv4 that are written as IPv6 become what they are.
type networks []netip.Prefix

func (n *networks) Set(s string) error {
	*n = nil
	for text := range strings.SplitSeq(s, ",") {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		p, err := netip.ParsePrefix(text)
		if a, e := netip.ParseAddr(text); e == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return errText("must be networks and addresses such as 10.0.0.0/8,192.0.2.7")
		}
		if a := p.Addr(); a.Is4In6() {
			p = netip.PrefixFrom(a.Unmap(), max(p.Bits()-96, 0))
		}
		if p.Bits() == 0 {
			return errText("may not be everybody")
		}
		*n = append(*n, p.Masked())
	}
	return nil
}

func (n *networks) String() string {
	texts := make([]string, len(*n))
	for i, p := range *n {
		texts[i] = p.String()
	}
	return strings.Join(texts, ",")
}
