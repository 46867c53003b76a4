//go:build !unix

package worker

import (
	"errors"
	"os"
	"syscall"

	"postern.dev/postern/internal/fault"
)

// supported says that this system starts no workers. All of the command line that
// talks to a server works.
func supported() error {
	return fault.New(fault.Unavailable, "workers need Linux or macOS; this system starts none").
		WithHint("run the server there (on Windows, in WSL); postern auth login --server URL makes it yours from here")
}

const mayHold = false

var errNoWorkers = errors.New("this system starts no workers")

func ownGroup() *syscall.SysProcAttr                 { return nil }
func signalGroup(int, syscall.Signal)                {}
func endedBy(*os.ProcessState) syscall.Signal        { return 0 }
func signalName(sig syscall.Signal) string           { return sig.String() }
func writeNow(uintptr, []byte) int                   { return 0 }
func pairOfSockets() (fds [2]int, err error)         { return fds, errNoWorkers }
func closeInherited()                                {}
func noCore(int)                                     {}
func awaitExit(int)                                  {}
func hasExited(int) bool                             { return true }
func marked(string) ([]int, error)                   { return nil, nil }
func resident(int) int64                             { return 0 }
func processGroup(int) (group int, err error)        { return 0, errNoWorkers }
func bindLoopback() (fd int, port uint16, err error) { return -1, 0, errNoWorkers }
func closeFD(int)                                    {}

// Alive reports whether there is a process of a number: on this system, that of
// a server that never ran.
func Alive(int) bool { return false }

// Owned reports whether a file is this user's: what lies in a profile's directory
// is, by the access list that it inherits.
func Owned(os.FileInfo) bool { return true }
