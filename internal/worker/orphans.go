package worker

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// InstanceVariable marks the processes of one installation in their environment.
const InstanceVariable = "POSTERN_INSTANCE"

// ReapOrphans kills every process that carries the installation's mark: what a
// server left behind that was itself killed. Call it before any worker is
// started. It looks at /proc, and finds nothing on systems without one.
func ReapOrphans(instanceID string) (killed int, err error) {
	if instanceID == "" {
		return 0, errors.New("reap orphans: no instance is named")
	}
	mark := []byte(InstanceVariable + "=" + instanceID)
	entries, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, file := range entries {
		env, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended, or is another user's
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if pid == os.Getpid() {
			continue
		}
		for v := range bytes.SplitSeq(env, []byte{0}) {
			if bytes.Equal(v, mark) && syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
				break
			}
		}
	}
	return killed, nil
}

// Alive reports whether there is a process of a number.
func Alive(pid int) bool {
	return pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// Owned reports whether a file is this user's.
func Owned(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}
