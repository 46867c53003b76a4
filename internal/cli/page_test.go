package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "rewrite docs/cli.md")

const pageHead = `# The command line

Written by ` + "`go test ./internal/cli -update`" + ` from the commands themselves. ` + "`postern man DIR`" + ` writes the same as manual pages, ` + "`postern completion SHELL`" + ` a script for bash, zsh, fish or PowerShell.

## Exit codes
Every command ends with one of these, and tells what was wrong as ` + "`postern: error: …` and `postern: hint: …`" + ` on standard error; with ` + "`--json`" + ` as one JSON object on one line there, ` + "`{\"code\", \"error\", \"hint\"}`" + `. Standard output has results only.

| code | what it says | such as |
|---|---|---|
`

const pageRest = `
## In a pipeline
No terminal, no keychain and no home directory are needed. Four variables say who asks and where, and win over a profile:

    export POSTERN_SERVER=https://control.example.com
    export POSTERN_PROJECT_ID=prj_… POSTERN_KEY_ID=pak_…
    export POSTERN_KEY_SECRET=…        # from the pipeline's own store of secrets
    export POSTERN_NON_INTERACTIVE=1   # or --non-interactive
    postern functions deploy --json

Questions are asked at a terminal only. Where one would be asked and there is none, or with ` + "`--non-interactive`" + ` or ` + "`POSTERN_NON_INTERACTIVE`" + `, the command ends with code 2 and names the flag or variable that answers it. Variables of the environment never come from a flag where they are secrets: others can read a command line.
` + "`429` and `503`" + ` of a server are code 5, after which it makes sense to try again; codes 1 to 4 will be the same.

## Other systems
The command line runs on Linux, macOS and Windows (amd64, arm64). ` + "`serve`, `demo` and `functions dev`" + ` start workers, which Linux and macOS do; on Windows they end with code 5.
On macOS there is no signal that ends a worker with its server: a worker ends when its socket does, and what a killed server left behind is ended at the next start, by its mark in the environment. Where a program listens beside the address it was given is not seen there.
Files that hold anything private are 0600, or 0700 for directories, on Linux and macOS. Windows has no such modes: there they lie in the user's own profile, and the access list that they inherit from it is what keeps others out.

## Commands
`

// exit is a code in words.
type exit struct {
	code           int
	what, instance string
}

// exits are all codes; the story exit_codes of cmd/postern tries each.
var exits = []exit{
	{exitOK, "it is done", ""},
	{exitFailed, "it failed", "a deploy whose function does not start; a conflict"},
	{exitUsage, "the command line or the settings are wrong", "an unknown flag; a question that nobody can be asked"},
	{exitNotFound, "there is no such thing", "a function of another name"},
	{exitDenied, "not signed in, or not allowed", "a wrong secret; a key without the scope"},
	{exitUnavailable, "a part that is needed is away, or asks to wait", "no server; a locked keychain; too many calls; no Node"},
	{exitInterrupted, "interrupted", "Ctrl-C"},
}

func page() string {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, e := range exits {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", e.code, e.what, e.instance)
	}
	b.WriteString(pageRest)
	top := root(Stdio{})
	fmt.Fprintf(&b, "Every command takes `--help`, and:\n\n%s", flagRows(top.PersistentFlags()))
	commandPage(&b, top)
	return b.String()
}

func commandPage(b *strings.Builder, cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		if c.HasAvailableSubCommands() {
			commandPage(b, c)
			continue
		}
		fmt.Fprintf(b, "\n### %s\n`%s`\n\n%s.\n", c.CommandPath(), c.UseLine(), strings.TrimSuffix(c.Short, "."))
		if rows := flagRows(c.LocalNonPersistentFlags()); rows != "" {
			b.WriteString("\n" + rows)
		}
	}
}

func flagRows(flags *pflag.FlagSet) string {
	var b strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		word, usage := pflag.UnquoteUsage(f)
		if word != "" {
			name += " " + word
		}
		if !slices.Contains([]string{"", "0", "false", "[]", "0s"}, f.DefValue) {
			usage += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		fmt.Fprintf(&b, "- `%s`: %s\n", name, usage)
	})
	return b.String()
}

// docs/cli.md has every command and flag that there is, and no other.
func TestPage(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "cli.md")
	want := page()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("docs/cli.md differs from the commands (err %v): go test ./internal/cli -run TestPage -update", err)
	}
	for kind, code := range kindExit {
		if !slices.ContainsFunc(exits, func(e exit) bool { return e.code == code }) {
			t.Errorf("the page has no exit code %d, which is that of %v", code, kind)
		}
	}
}

// The manual has a page of each command that people are told of.
func TestMan(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man")
	var out strings.Builder
	cmd := root(Stdio{In: strings.NewReader(""), Out: &out, Err: &out})
	cmd.SetArgs([]string{"man", dir})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	pages, err := os.ReadDir(dir)
	if err != nil || len(pages) < 30 {
		t.Fatalf("%d pages, %v: %s", len(pages), err, out.String())
	}
	text, err := os.ReadFile(filepath.Join(dir, "postern-functions-deploy.1"))
	if err != nil || !strings.Contains(string(text), `.TH "POSTERN" "1"`) || !strings.Contains(string(text), "--force") {
		t.Errorf("%v: %.500s", err, text)
	}
	if !strings.Contains(out.String(), fmt.Sprint(len(pages), " pages")) {
		t.Errorf("%s, and there are %d", out.String(), len(pages))
	}
}
