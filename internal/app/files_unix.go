//go:build unix

package app

import "syscall"

// openFiles is how many files, sockets among them, the process may have open;
// the Go runtime has raised that to the most that it is allowed. 0: not known.
func openFiles() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30))
}
