package worker

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ListenerAt is the process that listens at a TCP port of this machine, and its
// name. It is 0 where nobody does, it is another user's, or the system does not tell.
func ListenerAt(port uint16) (pid int, name string) {
	inodes := map[string]bool{}
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open("/proc/self/net/" + table)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if w := strings.Fields(lines.Text()); len(w) > 9 && w[3] == "0A" {
				if at, ok := tableAddr(w[1]); ok && at.Port() == port {
					inodes["socket:["+w[9]+"]"] = true
				}
			}
		}
		f.Close()
	}
	if len(inodes) == 0 {
		return 0, ""
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && inodes[to] {
			dir := filepath.Dir(filepath.Dir(fd))
			text, _ := os.ReadFile(dir + "/comm")
			pid, _ = strconv.Atoi(filepath.Base(dir))
			return pid, strings.TrimSpace(string(text))
		}
	}
	return 0, ""
}
