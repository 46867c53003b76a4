package deploy

import (
	"errors"
	"strings"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/worker"
)

// smokeTestFault tells the developer why the new version did not start: the
// stack and the last lines are of their own code.
func smokeTestFault(err error) error {
	e, ok := errors.AsType[*worker.StartError](err)
	if !ok {
		return err
	}
	code := "smoke_test_failed"
	switch e.Code {
	case "spawn_failed": // before any of their code ran
		return fault.Wrap(err, fault.Unavailable, "the server could not start a process for the function").WithCode("start_failed").WithHint("the server's log has the reason")
	case "module_failed", "setup_failed", "auth_malformed", "no_handlers":
		code = e.Code
	}
	text := e.Message
	if e.Stack != "" && (code == "module_failed" || code == "setup_failed") {
		text = OwnFrames(e.Stack)
	}
	if len(e.LastLines) > 0 {
		text += "\nIts last lines:\n  " + strings.Join(e.LastLines, "\n  ")
	}
	return fault.Wrap(err, fault.Invalid, text).WithCode(code)
}

// OwnFrames is a text in which stacks are without the frames of the runtime and
// of the bundle around the developer's code, and have the paths as the
// developer knows them.
func OwnFrames(stack string) string {
	var kept []string
	for line := range strings.SplitSeq(strings.TrimRight(stack, "\n"), "\n") {
		frame := strings.HasPrefix(strings.TrimSpace(line), "at ")
		if frame && (strings.Contains(line, bundle.Entry) || strings.Contains(line, "postern:") || strings.Contains(line, "postern-runtime") || strings.Contains(line, "(node:")) {
			continue
		}
		if before, file, ok := strings.Cut(line, "/artefacts/"); frame && ok {
			if first, below, ok := strings.Cut(file, "/"); ok && blobName(first) {
				file = below
			}
			line = before[:pathAt(before)] + file
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "\n")
}

// pathAt is where the path begins in a frame that was cut off within it:
// "at name (path", or "at path" and "at async path" of code without a name.
func pathAt(frame string) int {
	for _, mark := range []string{"(", "at async ", "at "} {
		if i := strings.Index(frame, mark); i >= 0 {
			return i + len(mark)
		}
	}
	return len(frame)
}

// blobName reports whether a path segment is an artefact's hash.
func blobName(s string) bool { return len(s) == 64 && !strings.ContainsAny(s, ".:") }
