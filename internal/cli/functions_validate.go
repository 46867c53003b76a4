package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

// finding is one thing that validate has to say. Line and column are from 1; 0
// means the whole file.
type finding struct {
	File     string `json:"file"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Severity string `json:"severity"` // error or warning
	Text     string `json:"text"`
	Hint     string `json:"hint,omitempty"`
}

const (
	severe = "error"
	mild   = "warning"
)

func (f finding) place() string {
	place := f.File
	for _, n := range []int{f.Line, f.Column} {
		if n > 0 {
			place += ":" + strconv.Itoa(n)
		}
	}
	return place
}

func newFunctionsValidate(std Stdio) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "validate [DIR]",
		Short: "Check a function without deploying it",
		Long: "Check the function in DIR (default: here) without deploying it: the manifest, .env, what\n" +
			"is a variable in one place and a secret in another, the entry file, the handlers that\n" +
			"the manifest names, and the sizes. All that is wrong is told at once, with file, line\n" +
			"and column. Nothing of the function is run, and no server is asked.",
		Args: optional("directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			found, err := validate(cmd.Context(), cfg, dir)
			if err != nil {
				return err
			}
			return tellFindings(newPrinter(std.Out), dir, found, asJSON)
		},
	}
	settingFlagsOf(cmd, "profile", "keychain")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON; an error is one JSON object on standard error")
	return cmd
}

// validate looks at all that a deploy would stumble over. What later checks need
// and earlier ones found wrong is not looked at twice.
func validate(ctx context.Context, cfg *config.Config, dir string) ([]finding, error) {
	source, data, warned, err := function.ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	found := []finding{}
	add := func(f finding) { found = append(found, f) }
	m := function.CheckManifest(source, data)
	for _, w := range append(warned, m.Warnings...) {
		add(finding{File: source, Severity: mild, Text: strings.TrimPrefix(w, source+": ")})
	}
	for _, f := range m.Flaws {
		add(finding{source, f.Line, f.Column, severe, f.Text, f.Hint})
	}
	found = append(found, validateSettings(ctx, cfg, dir, m.Manifest)...)
	if len(m.Flaws) > 0 {
		return found, nil
	}
	return append(found, validateCode(ctx, dir, source, m)...), nil
}

// validateSettings looks at .env, and at what it and the keychain's index have in
// common with the manifest. No keychain is asked.
func validateSettings(ctx context.Context, cfg *config.Config, dir string, m function.Manifest) (found []finding) {
	dotenv, flaws, err := environ.CheckDotenv(dir)
	if err != nil {
		return findings(environ.DotenvFile, err)
	}
	for _, f := range flaws {
		found = append(found, finding{environ.DotenvFile, f.Line, f.Column, severe, f.Text, f.Hint})
	}
	if flaws != nil {
		return found
	}
	known, err := cfg.SecretNames(m.Name)
	if err != nil {
		return findings(environ.DotenvFile, err)
	}
	in := environ.Input{Manifest: m, Dotenv: dotenv, Known: known}
	both := environ.Conflicts(in)
	for _, c := range both {
		f := finding{File: m.Source, Severity: severe, Text: c.String(), Hint: c.Hint()}
		if c.Line > 0 {
			f.File, f.Line, f.Column = environ.DotenvFile, c.Line, 1
		}
		found = append(found, f)
	}
	if both != nil {
		return found
	}
	r, err := environ.Resolve(ctx, in)
	if err != nil {
		return findings(environ.DotenvFile, err)
	}
	for _, w := range r.Warnings {
		f := finding{File: m.Source, Severity: mild, Text: w}
		if at := located.FindStringSubmatch(w); at != nil {
			f = locate(at, mild, "")
		}
		found = append(found, f)
	}
	return found
}

// validateCode bundles what would be deployed. A program's own build is not run.
func validateCode(ctx context.Context, dir, source string, m function.Checked) (found []finding) {
	if p := m.Manifest.Program; p != nil && p.Build != nil {
		return nil
	}
	artefact, err := bundle.Build(ctx, dir)
	if err != nil {
		file := "function.ts"
		if m.Manifest.Program != nil {
			file = source
		}
		return findings(file, err)
	}
	for _, w := range artefact.Warnings {
		if f := (finding{File: filepath.Base(dir), Severity: mild, Text: w}); !slices.Contains(m.Warnings, w) {
			if at := located.FindStringSubmatch(w); at != nil {
				f = locate(at, mild, "")
			}
			found = append(found, f)
		}
	}
	if m.Manifest.Program != nil {
		return found
	}
	return append(found, validateHandlers(dir, source, m)...)
}

// validateHandlers looks for handlers that the manifest names and the module does
// not export. Where there is a default object only the deploy can tell.
func validateHandlers(dir, source string, m function.Checked) (found []finding) {
	exports, whole, err := bundle.Exports(dir)
	if err != nil || !whole {
		return nil
	}
	for _, n := range m.Handlers {
		if slices.Contains(exports, n.Handler) {
			continue
		}
		f := finding{source, n.Line, n.Column, severe, fmt.Sprintf("function.ts exports no %.64q", n.Handler), "it exports: " + strings.Join(exports, ", ")}
		if near := function.Nearest(n.Handler, exports); near != "" {
			f.Hint = "did you mean " + quote(near) + "?"
		}
		found = append(found, f)
	}
	return found
}

var located = regexp.MustCompile(`(?s)^([^\s:]+):(\d+)(?::(\d+))?: (.*)$`)

func locate(at []string, severity, hint string) finding {
	f := finding{File: at[1], Severity: severity, Text: at[4], Hint: hint}
	f.Line, _ = strconv.Atoi(at[2])
	f.Column, _ = strconv.Atoi(at[3])
	return f
}

// findings are what a failure says, line by line: a line that begins with a place is
// one, and what follows it without a place belongs to it. Where the first has none,
// file is its.
func findings(file string, err error) (found []finding) {
	text, hint := err.Error(), ""
	if f, ok := errors.AsType[*fault.Error](err); ok {
		hint = f.Hint
		if f.Code != "" {
			text = f.Text
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		at := located.FindStringSubmatch(line)
		switch {
		case at != nil:
			found = append(found, locate(at, severe, ""))
		case len(found) == 0:
			found = append(found, finding{File: file, Severity: severe, Text: line})
		default:
			found[len(found)-1].Text += "\n" + line
		}
	}
	found[0].Hint = hint
	return found
}

func tellFindings(out printer, dir string, found []finding, asJSON bool) error {
	count := map[string]int{}
	for _, f := range found {
		count[f.Severity]++
	}
	if asJSON {
		if err := out.json(map[string]any{"valid": count[severe] == 0, "findings": found}); err != nil {
			return err
		}
	} else {
		for _, f := range found {
			colour := red
			if f.Severity == mild {
				colour = yellow
			}
			out.line("%s: %s %s", clean(f.place()), out.paint(colour, f.Severity+":"), indent(clean(f.Text)))
			if f.Hint != "" {
				out.line("  %s %s", out.paint(cyan, "hint:"), indent(clean(f.Hint)))
			}
		}
	}
	place, again := clean(dir), "postern functions validate "+clean(dir)
	if dir == "." {
		place, again = "the function in this directory", "postern functions validate"
	}
	switch n := count[severe]; {
	case n > 0:
		return fault.New(fault.Invalid, fmt.Sprintf("%s is not valid: %s", place, plural(n, "error"))).WithCode("function_invalid").WithHint("correct what is named, and check again: " + again)
	case !asJSON:
		out.line("%s is valid", place)
	}
	return nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
