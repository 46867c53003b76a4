package worker

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// InstanceVariable marks the processes of one installation in their environment.
const InstanceVariable = "POSTERN_INSTANCE"

// ReapOrphans kills every process that carries the installation's mark: what a
// server left behind that was itself killed. Call it before any worker is
// started.
func ReapOrphans(instanceID string) (killed int, err error) {
	if instanceID == "" {
		return 0, errors.New("reap orphans: no instance is named")
	}
	pids, err := marked(InstanceVariable + "=" + instanceID)
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, pid := range pids {
		if pid == os.Getpid() {
			continue
		}
		if p, err := os.FindProcess(pid); err == nil && p.Signal(syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed, nil
}
