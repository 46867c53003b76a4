package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
)

// Typecheck runs the project's own TypeScript over it, where the project has a
// tsconfig.json and TypeScript is installed; skipped says why it did not run.
// Nothing is ever downloaded for it.
func Typecheck(ctx context.Context, dir string) (skipped string, err error) {
	if !isFile(filepath.Join(dir, "tsconfig.json")) {
		return "no tsconfig.json", nil
	}
	tool := installed(dir, filepath.Join("typescript", "bin", "tsc"))
	if tool == "" {
		return "typescript is not installed", nil
	}
	out, skipped, err := tell(ctx, dir, tool, "--noEmit", "--pretty", "false", "-p", "tsconfig.json")
	if err != nil && out != "" {
		err = fault.Wrap(err, fault.Invalid, "the types are wrong\n"+out).WithCode("typecheck_failed").
			WithHint("correct them, or deploy without asking: --no-typecheck")
	}
	return skipped, err
}

// eslintConfigs are the names under which ESLint looks for what it is to check.
var eslintConfigs = []string{"eslint.config.js", "eslint.config.mjs", "eslint.config.cjs", "eslint.config.ts", "eslint.config.mts", ".eslintrc.json", ".eslintrc.js", ".eslintrc.cjs", ".eslintrc.yml", ".eslintrc.yaml"}

// Lint runs the project's own ESLint over it, where it is installed and
// configured; skipped says why it did not run. The scripts of package.json are not
// run: they may do anything.
func Lint(ctx context.Context, dir string) (skipped string, err error) {
	configured := false
	for _, name := range eslintConfigs {
		configured = configured || isFile(filepath.Join(dir, name))
	}
	if !configured {
		return "not configured", nil
	}
	tool := installed(dir, filepath.Join("eslint", "bin", "eslint.js"))
	if tool == "" {
		return "eslint is not installed", nil
	}
	out, skipped, err := tell(ctx, dir, tool, "--no-color", ".")
	if err != nil && out != "" {
		err = fault.Wrap(err, fault.Invalid, "eslint found errors\n"+out).WithCode("lint_failed").
			WithHint("correct them, or deploy all the same: --force")
	}
	return skipped, err
}

// installed finds a file of a package as Node does: in the node_modules of the
// project, or of a directory above.
func installed(dir, file string) string {
	for {
		if path := filepath.Join(dir, "node_modules", file); isFile(path) {
			return path
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// mostLines is how much is shown of what a tool found.
const mostLines = 40

// tell runs a tool of the project's with Node, and returns what it wrote if it
// found something. Where there is no Node it is skipped: a function can be deployed
// from a machine without.
func tell(ctx context.Context, dir, tool string, args ...string) (out, skipped string, err error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return "", "there is no Node here", nil
	}
	cmd := exec.CommandContext(ctx, node, append([]string{tool}, args...)...)
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err = cmd.Run()
	if err == nil {
		return "", "", nil
	}
	if ctx.Err() != nil {
		return "", "", ctx.Err()
	}
	if _, ok := errors.AsType[*exec.ExitError](err); !ok {
		return "", "", fmt.Errorf("run %s: %w", tool, err)
	}
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(text.String(), "\ufffd")), "\n")
	if more := len(lines) - mostLines; more > 0 {
		lines = append(lines[:mostLines], fmt.Sprintf("… and %d lines more", more))
	}
	if out = strings.Join(lines, "\n"); out == "" {
		out = err.Error()
	}
	return out, "", err
}
