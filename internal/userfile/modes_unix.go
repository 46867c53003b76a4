//go:build unix

package userfile

import "syscall"

// noFollow refuses a symbolic link, and is not held up by a FIFO.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

const hasModes = true
