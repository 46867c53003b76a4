//go:build unix

package app

import (
	"os"
	"syscall"
)

// openFiles is how many files, sockets among them, the process may have open;
// the Go runtime has raised that to the most that it is allowed. 0: not known.
func openFiles() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30))
}

// errLocked is that another process has the lock.
const errLocked = syscall.EWOULDBLOCK

// lockFile takes a file's lock, or errLocked. It ends with the process.
func lockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// ownerOf is the user to whom a file belongs, where files belong to one.
func ownerOf(info os.FileInfo) (uid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}
