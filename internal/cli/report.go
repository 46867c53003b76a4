package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/fault"
)

// The exit codes. Scripts depend on them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitUnavailable = 5
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

// kindExit is the one table from kind to exit code. What is not in it failed.
var kindExit = map[fault.Kind]int{
	fault.NotFound:        exitNotFound,
	fault.Unauthenticated: exitDenied,
	fault.Denied:          exitDenied,
	fault.TooMany:         exitUnavailable,
	fault.Unavailable:     exitUnavailable,
	fault.Timeout:         exitUnavailable,
}

// usageError is a command line that makes no sense.
type usageError struct{ text, hint string }

func (e usageError) Error() string { return e.text }

// complaint is one error as people and programs are told of it.
type complaint struct {
	Code  string `json:"code"`
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// report tells err and returns the exit code.
func report(ctx context.Context, std Stdio, err error, asJSON bool) int {
	complaints, code := explain(ctx, err)
	out := printer{w: std.Err, colour: isTerminal(std.Err)}
	for _, c := range complaints {
		if asJSON {
			out.json(c) // strings alone: cannot fail
			continue
		}
		fmt.Fprintf(std.Err, "postern: %s %s\n", out.paint(red, "error:"), indent(clean(c.Error)))
		if c.Hint != "" {
			fmt.Fprintf(std.Err, "postern: %s %s\n", out.paint(cyan, "hint:"), indent(clean(c.Hint)))
		}
	}
	return code
}

// warnings are what a command says beside its result: at once on standard
// error, or, where the result is JSON, within it.
type warnings struct {
	std    Stdio
	quiet  bool
	all    []string
	before func() // makes room for one, if set
}

func (w *warnings) add(format string, args ...any) {
	text := clean(fmt.Sprintf(format, args...))
	w.all = append(w.all, text)
	if !w.quiet {
		if w.before != nil {
			w.before()
		}
		out := printer{w: w.std.Err, colour: isTerminal(w.std.Err)}
		out.line("postern: %s %s", out.paint(yellow, "warning:"), indent(text))
	}
}

func explain(ctx context.Context, err error) ([]complaint, int) {
	if e, ok := errors.AsType[*config.Error](err); ok {
		var all []complaint
		for _, p := range e.Problems {
			all = append(all, complaint{"config_invalid", p.Text, p.Hint})
		}
		return all, exitUsage
	}
	if e, ok := errors.AsType[usageError](err); ok {
		return []complaint{{"usage", e.text, e.hint}}, exitUsage
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return []complaint{{"interrupted", "interrupted", ""}}, exitInterrupted
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		text := e.Error()
		if e.Code != "" {
			text = e.Text // a known situation: its cause adds nothing for the reader
		}
		code, ok := kindExit[e.Kind]
		if !ok {
			code = exitFailed
		}
		return []complaint{{cmp.Or(e.Code, "failed"), text, hintOf(e)}}, code
	}
	// What cobra refuses by itself: an unknown command, mostly.
	if text := err.Error(); strings.HasPrefix(text, "unknown ") {
		first, _, _ := strings.Cut(text, "\n")
		return []complaint{{"usage", first, "see postern --help"}}, exitUsage
	}
	return []complaint{{"failed", err.Error(), ""}}, exitFailed
}

// hintOf is what to type next. The server speaks to any caller of its API;
// somebody at a terminal has commands and variables instead.
func hintOf(e *fault.Error) string {
	switch {
	case e.Code == "unauthenticated" || e.Code == "token_invalid" || e.Code == "token_expired":
		return "check key ID and secret, and whether the key has ended; postern auth status shows which is used and where it is from"
	case e.Code == "token_required" || e.Code == "invalid_dpop_proof":
		return "the command line proves no possession: use a key that is not bound, made with: postern keys create NAME --scope control"
	case e.Code == "not_allowed":
		return "use a key with the scope control, of the project that is asked for: postern auth status shows both"
	case e.Code == "not_found" && strings.Contains(e.Text, "access key"):
		return "list the keys with: postern keys list"
	case e.Code == "module_failed" || e.Code == "smoke_test_failed":
		return "correct the code and deploy again"
	}
	return e.Hint
}

// indent keeps the lines of a text of several below one another.
func indent(s string) string {
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  ")
}

// codeOf is the code of a fault; empty of any other error.
func codeOf(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Code
	}
	return ""
}
