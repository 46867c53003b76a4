//go:build unix

package upstream

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// arrived reads what has come on a connection already; 0 and no error: nothing, or
// its end.
func arrived(c net.Conn, p []byte) (n int, err error) {
	of, ok := c.(syscall.Conn)
	if !ok || len(p) == 0 {
		return 0, nil
	}
	raw, err := of.SyscallConn()
	if err != nil {
		return 0, nil // the ordinary read says why
	}
	raw.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), p) // the socket does not block
		return true
	})
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) {
		return 0, nil
	}
	return max(n, 0), os.NewSyscallError("read", err) // which is told only once
}
