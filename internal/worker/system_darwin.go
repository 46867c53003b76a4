package worker

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mayHold: two sockets are not bound to one port here, not even for a moment.
const mayHold = false

// dieWithParent does nothing: there is no such signal. A worker ends with its
// socket, and what is left of a killed server is ended at the next start.
func dieWithParent(*syscall.SysProcAttr) {}

// closeInherited keeps what the server itself was given without close-on-exec
// from workers.
func closeInherited() {
	open, err := os.ReadDir("/dev/fd")
	if err != nil {
		return
	}
	for _, e := range open {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= workerFD {
			syscall.CloseOnExec(fd)
		}
	}
}

// noCore does nothing: launchd's limit, which is inherited, is that none is written.
func noCore(int) {}

const pidType = 1 // P_PID

// waitID is waitid(2) of a child that is left to be reaped; signo is not 0 when it
// has ended.
func waitID(pid, options int) (signo int32, err syscall.Errno) {
	var info [16]uint64 // a siginfo_t, which begins with its signal, has 104 bytes
	_, _, err = syscall.Syscall6(syscall.SYS_WAITID, pidType, uintptr(pid), uintptr(unsafe.Pointer(&info[0])), uintptr(options), 0, 0)
	return int32(info[0]), err
}

// awaitExit waits until a child has ended, and leaves it to be reaped.
func awaitExit(pid int) {
	for {
		if _, err := waitID(pid, syscall.WEXITED|syscall.WNOWAIT); err != syscall.EINTR {
			return
		}
	}
}

// hasExited reports whether a child has ended, and leaves it to be reaped.
func hasExited(pid int) bool {
	signo, err := waitID(pid, syscall.WEXITED|syscall.WNOWAIT|syscall.WNOHANG)
	return err != 0 || signo != 0
}

// marked are the processes of this user that have a variable in their environment.
func marked(variable string) (pids []int, err error) {
	all, err := unix.SysctlKinfoProcSlice("kern.proc.uid", os.Getuid())
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		// The number of arguments, the path, the arguments and the environment, each
		// with a zero behind it.
		block, err := unix.SysctlRaw("kern.procargs2", int(p.Proc.P_pid))
		if err == nil && bytes.Contains(block, []byte("\x00"+variable+"\x00")) {
			pids = append(pids, int(p.Proc.P_pid))
		}
	}
	return pids, nil
}

const (
	sysProcInfo  = 336 // proc_info(2)
	callPidInfo  = 2   // PROC_INFO_CALL_PIDINFO
	pidTaskInfo  = 4   // PROC_PIDTASKINFO
	taskInfoSize = 96  // struct proc_taskinfo: virtual size, resident size, …
)

// resident is the memory of a process in bytes, 0 where that cannot be known.
func resident(pid int) int64 {
	var info [taskInfoSize / 8]uint64
	n, _, err := syscall.Syscall6(sysProcInfo, callPidInfo, uintptr(pid), pidTaskInfo, 0, uintptr(unsafe.Pointer(&info[0])), taskInfoSize)
	if err != 0 || n != taskInfoSize {
		return 0
	}
	return int64(info[1])
}
