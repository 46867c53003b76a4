package worker

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
)

// OldestNode is the oldest major version of Node that runs functions.
const OldestNode = 20

// FindNode returns the absolute path of the Node to run functions with: the
// given one, or the first on PATH. One that is missing or too old is a fault
// with the code node_missing.
func FindNode(ctx context.Context, path string) (string, error) {
	name := path
	if name == "" {
		name = "node"
	}
	found, err := exec.LookPath(name)
	if err == nil {
		found, err = filepath.Abs(found)
	}
	if err != nil {
		return "", missing(err, fmt.Sprintf("Node was not found (looked for %s)", name))
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, found, "--version").Output()
	if err != nil {
		return "", missing(err, found+" does not run")
	}
	version := strings.TrimSpace(string(out))
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < OldestNode {
		return "", missing(errors.New("too old"), fmt.Sprintf("%s is Node %.40s; functions need Node %d or newer", found, version, OldestNode))
	}
	return found, nil
}

func missing(err error, text string) error {
	return fault.Wrap(err, fault.Unavailable, text).WithCode("node_missing").
		WithHint(fmt.Sprintf("install Node %d or newer on the server, or name it: postern serve --node /path/to/node", OldestNode))
}
