package worker

import (
	"bufio"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// heldPort is a port of 127.0.0.1 that nobody else is given: a socket of ours is
// bound to it and does not listen. A program that sets SO_REUSEADDR, as nearly all
// do, can listen there all the same.
type heldPort struct {
	addr netip.AddrPort
	fd   int // -1: it is not held any more
}

// holdPort takes a free port. Without hold it lets go of it at once, for a program
// that cannot listen beside us, and so does a system where none can: then another
// may be faster.
func holdPort(hold bool) (*heldPort, error) {
	fd, port, err := bindLoopback()
	if err != nil {
		return nil, err
	}
	p := &heldPort{fd: fd, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)}
	if !hold || !mayHold {
		p.release()
	}
	return p, nil
}

func (p *heldPort) release() {
	if p.fd >= 0 {
		closeFD(p.fd)
		p.fd = -1
	}
}

// listeners are the TCP addresses at which the processes of a group listen; ok is
// false on a system that does not tell.
func listeners(group int) (list []netip.AddrPort, ok bool) {
	sockets := map[string]bool{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		dir := filepath.Dir(stat)
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if of, err := processGroup(pid); err != nil || of != group {
			continue
		}
		fds, _ := filepath.Glob(dir + "/fd/*")
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil {
				if inode, is := strings.CutPrefix(to, "socket:["); is {
					sockets[strings.TrimSuffix(inode, "]")] = true
				}
			}
		}
	}
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open("/proc/self/net/" + table)
		if err != nil {
			continue
		}
		ok = true
		lines := bufio.NewScanner(f)
		for lines.Scan() { // sl local_address rem_address st … uid timeout inode
			if w := strings.Fields(lines.Text()); len(w) > 9 && w[3] == "0A" && sockets[w[9]] {
				if addr, is := tableAddr(w[1]); is {
					list = append(list, addr)
				}
			}
		}
		f.Close()
	}
	return list, ok
}

// tableAddr reads an address of /proc/net/tcp: words of four bytes, each in the
// machine's order, which is taken for little-endian, and the port.
func tableAddr(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(host)
	n, bad := strconv.ParseUint(port, 16, 16)
	if err != nil || bad != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	addr, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr, uint16(n)), ok
}
