package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

func newEnv(std Stdio) *cobra.Command {
	return group("env", "The .env file beside a function's manifest", newEnvInit(std))
}

type envInitOptions struct{ force, asJSON bool }

// envLine is what `postern env init --json` prints.
type envLine struct {
	File     string   `json:"file"`
	Created  bool     `json:"created"`
	Added    []string `json:"added"`
	Warnings []string `json:"warnings"`
}

func newEnvInit(std Stdio) *cobra.Command {
	o := envInitOptions{}
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write .env with the keys that a function needs, and no values",
		Long: "Write .env beside the manifest in DIR (default: here) with the keys that the function\n" +
			"needs: those that every function gets, and the secrets that the manifest names. No\n" +
			"value is written. Where there is a .env it is left alone; with --force the keys that it\n" +
			"does not have are added at its end, and no line of it is changed.",
		Args: optional("directory"),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return envInit(std, dir, o)
		},
	}
	cmd.Flags().BoolVarP(&o.force, "force", "f", false, "add what is missing to a .env that is there")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON; an error is one JSON object on standard error")
	return cmd
}

func envInit(std Stdio, dir string, o envInitOptions) error {
	m, _, err := function.LoadManifest(dir)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, environ.DotenvFile)
	notes := warnings{std: std, quiet: o.asJSON, all: []string{}}
	done := envLine{File: path, Added: []string{}}
	keys := append(environ.BaseKeys(), m.Secrets...)
	switch d, err := environ.ReadDotenv(dir); {
	case err != nil:
		return err
	case !d.Present:
		if err := environ.CreateDotenv(dir, environ.NewText(m.Name, m.Secrets)); err != nil {
			return err
		}
		done.Created, done.Added = true, keys
	case !o.force:
		return fault.New(fault.Conflict, path+" is there already; nothing was written").WithCode("file_exists").
			WithHint("to add the keys that it does not have, and change nothing else: postern env init --force")
	default:
		added, err := environ.AddKeys(dir, keys, "Added by postern env init")
		if err != nil {
			return err
		}
		done.Added = append(done.Added, added...)
	}
	if !ignored(dir) {
		notes.add("no .gitignore here names %s, and it is for values that are not committed: echo %s >> %s", environ.DotenvFile, environ.DotenvFile, filepath.Join(dir, ".gitignore"))
	}
	done.Warnings = notes.all
	out := newPrinter(std.Out)
	switch {
	case o.asJSON:
		return out.json(done)
	case len(done.Added) == 0:
		out.line("%s has all keys already.", clean(path))
	default:
		out.line("%s has now: %s", clean(path), strings.Join(done.Added, ", "))
	}
	return nil
}

// ignored reports whether the directory's own .gitignore names .env, in one of the
// ways in which people write that.
func ignored(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, ".gitignore"))
	return err == nil && slices.ContainsFunc(strings.Split(string(text), "\n"), func(line string) bool {
		return slices.Contains([]string{".env", "/.env", ".env*", "/.env*", "*.env", ".*"}, strings.TrimRight(line, " \r"))
	})
}
