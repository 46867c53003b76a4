package worker

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// mayHold: a program that sets SO_REUSEADDR can listen at a port that is bound by
// a socket of ours, as long as that does not listen.
const mayHold = true

func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// closeInherited keeps what the server itself was given without close-on-exec
// from workers. An old kernel that cannot do it leaves Go's own guarantee.
func closeInherited() { unix.CloseRange(workerFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) }

// noCore: what a process holds in memory, secrets too, is not for a file.
func noCore(pid int) { unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil) }

// awaitExit waits until a child has ended, and leaves it to be reaped.
func awaitExit(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// hasExited reports whether a child has ended, and leaves it to be reaped.
func hasExited(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
	return err != nil || info.Signo != 0
}

// marked are the processes that have a variable in their environment.
func marked(variable string) (pids []int, err error) {
	entries, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	for _, file := range entries {
		env, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended, or is another user's
		}
		for v := range bytes.SplitSeq(env, []byte{0}) {
			if string(v) == variable {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids, nil
}

// resident is the memory of a process in bytes, 0 where that cannot be known.
func resident(pid int) int64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(data, []byte(" "))
	pages, _, _ := bytes.Cut(rest, []byte(" "))
	n, _ := strconv.ParseInt(string(pages), 10, 64)
	return n * int64(os.Getpagesize())
}
