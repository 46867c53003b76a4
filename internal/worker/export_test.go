package worker

import "net/netip"

// HoldPort takes a port as a program's is taken.
func HoldPort() (addr netip.AddrPort, release func(), err error) {
	p, err := holdPort(true)
	if err != nil {
		return addr, nil, err
	}
	return p.addr, p.release, nil
}
