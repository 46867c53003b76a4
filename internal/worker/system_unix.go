//go:build unix

package worker

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownGroup is how a process gets a group of its own.
func ownGroup() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(attr)
	return attr
}

// signalGroup sends a signal to all processes of a group.
func signalGroup(pid int, sig syscall.Signal) { syscall.Kill(-pid, sig) }

// endedBy is the signal that ended a process; 0: none did.
func endedBy(state *os.ProcessState) syscall.Signal {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return ws.Signal()
	}
	return 0
}

func signalName(sig syscall.Signal) string { return unix.SignalName(sig) }

// writeNow writes what a descriptor takes at once.
func writeNow(fd uintptr, b []byte) int {
	n, _ := syscall.Write(int(fd), b) // an error is the writer's to find
	return n
}

// pairOfSockets makes two ends of a socket that no other process inherits.
func pairOfSockets() (fds [2]int, err error) {
	syscall.ForkLock.RLock() // not every system can do it in one step
	defer syscall.ForkLock.RUnlock()
	if fds, err = syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0); err != nil {
		return fds, err
	}
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
		if err == nil {
			err = syscall.SetNonblock(fd, true)
		}
	}
	if err != nil {
		syscall.Close(fds[0])
		syscall.Close(fds[1])
	}
	return fds, err
}

// Alive reports whether there is a process of a number.
func Alive(pid int) bool {
	return pid > 0 && syscall.Kill(pid, 0) != syscall.ESRCH
}

// Owned reports whether a file is this user's.
func Owned(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}

func processGroup(pid int) (group int, err error) { return syscall.Getpgid(pid) }

// bindLoopback binds a socket to a free port of 127.0.0.1.
func bindLoopback() (fd int, port uint16, err error) {
	syscall.ForkLock.RLock()
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, 0, os.NewSyscallError("socket", err)
	}
	err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var at syscall.Sockaddr
	if err == nil {
		at, err = syscall.Getsockname(fd)
	}
	if err != nil {
		syscall.Close(fd)
		return -1, 0, os.NewSyscallError("bind", err)
	}
	return fd, uint16(at.(*syscall.SockaddrInet4).Port), nil
}

func closeFD(fd int) { syscall.Close(fd) }
