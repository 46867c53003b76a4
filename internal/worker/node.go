package worker

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
)

// OldestNode is the oldest major version of Node that the runtime works with.
const OldestNode = 20

// FindNode looks up Node, by path or by name in PATH ("node" when name is
// empty), asks it for its version,
// and returns its absolute path. A Node that is missing, silent or too old is a
// fault with the code node_missing.
func FindNode(ctx context.Context, name string) (path string, err error) {
	if name == "" {
		name = "node"
	}
	path, err = exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", nodeFault(err, fmt.Sprintf("Node was not found as %s", name))
	}
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(limited, path, "--version")
	cmd.Env = []string{}        // what it is asked must not depend on NODE_OPTIONS
	cmd.WaitDelay = time.Second // a child of a wrapper script may keep the pipe open
	out, err := cmd.Output()
	version := strings.TrimSpace(string(out))
	if ctx.Err() != nil {
		return "", fmt.Errorf("ask %s for its version: %w", path, ctx.Err())
	}
	if err != nil {
		return "", nodeFault(err, fmt.Sprintf("%s does not tell its version", path))
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	n, err := strconv.Atoi(major)
	if err != nil || !strings.HasPrefix(version, "v") {
		return "", nodeFault(err, fmt.Sprintf("%s is no Node: it gives its version as %.40q", path, version))
	}
	if n < OldestNode {
		return "", nodeFault(nil, fmt.Sprintf("%s is Node %s, and functions need %d or newer", path, version, OldestNode))
	}
	return path, nil
}

func nodeFault(cause error, text string) error {
	return fault.Wrap(cause, fault.Unavailable, text).WithCode("node_missing").
		WithHint("install Node 20 or newer, or name it: --node /path/to/node")
}
