package upstream

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"postern.dev/postern/internal/fault"
)

// forbidden are addresses at which clouds tell a machine its own credentials,
// and such as name no single server.
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),     // link-local, with nearly every cloud's 169.254.169.254
	netip.MustParsePrefix("fe80::/10"),          // link-local
	netip.MustParsePrefix("fd00:ec2::254/128"),  // AWS
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("224.0.0.0/3"), // multicast, reserved, broadcast
	netip.MustParsePrefix("ff00::/8"),
}

// nat64 stands before an IPv4 address in an IPv6 one (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// addressError says that an upstream is not at an address that may be one.
type addressError struct{ addr netip.Addr }

func (e *addressError) Error() string { return "no upstream may be at " + e.addr.String() }

// Unwrap gives the fault.
func (e *addressError) Unwrap() error { return errAddress }

var errAddress = fault.New(fault.Invalid, "an upstream is not at a link-local, metadata, multicast or unspecified address, nor at one of this server's own listeners")

// reachable refuses the addresses at which no upstream may be.
func reachable(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	if slices.ContainsFunc(forbidden, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return &addressError{addr}
	}
	return nil
}

// dial makes connections to addresses that may be those of an upstream. They are
// looked at when a name has been resolved and the socket is there: a name that
// stands for something else by then does not help.
func (l *line) dial(o Options) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := net.Dialer{Timeout: time.Duration(l.connect.Load()), Control: func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("address of an upstream: %w", err)
			}
			if isOwn(at, o.Own) || o.Taken != nil && o.Taken(netip.AddrPortFrom(at.Addr().Unmap(), at.Port())) {
				return &addressError{at.Addr()}
			}
			return reachable(at.Addr())
		}}
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return newSettling(conn), nil
	}
}

// isOwn reports whether an address is one at which this server listens. A
// listener without an address is at all of the machine's.
func isOwn(at netip.AddrPort, own []netip.AddrPort) bool {
	addr := at.Addr().Unmap().WithZone("")
	for _, o := range own {
		listens := o.Addr().Unmap().WithZone("")
		if o.Port() == at.Port() && (listens == addr || !listens.IsValid() || listens.IsUnspecified() && isLocal(addr)) {
			return true
		}
	}
	return false
}

// isLocal reports whether an address is one of this machine's. In doubt it is.
func isLocal(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	here, err := net.InterfaceAddrs()
	return err != nil || slices.ContainsFunc(here, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr().Unmap() == addr
	})
}
