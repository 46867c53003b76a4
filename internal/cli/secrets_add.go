package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/keychain"
	"postern.dev/postern/internal/redact"
)

// maxValue is more than any environment takes.
const maxValue = 64 << 10

type addSecretOptions struct {
	function              string
	stdin, shared, asJSON bool
}

// addSecretLine is what `postern secrets add --json` prints.
type addSecretLine struct {
	Function string   `json:"function,omitempty"`
	Name     string   `json:"name"`
	Replaced bool     `json:"replaced"`
	In       string   `json:"in"`
	Dotenv   bool     `json:"dotenv"` // a line was added to .env
	Warnings []string `json:"warnings"`
}

func newSecretsAdd(std Stdio) *cobra.Command {
	o := addSecretOptions{}
	cmd := &cobra.Command{
		Use:   "add KEY",
		Short: "Put a secret's value into the keychain",
		Long: "Put the value of a secret of the function in this directory into the keychain, in the\n" +
			"place of the one before, and KEY= into .env where there is one. Nothing is sent: a\n" +
			"deployed function gets it with postern functions deploy, or postern secrets push.\n\n" +
			"The value is asked for, and not shown; or it is read from standard input, of which one\n" +
			"newline at the end is dropped. It may be given as KEY VALUE too, where other users of\n" +
			"the machine and the shell's history can read it.\n\n" +
			"With --shared it is set on the platform, for the functions of the project that declare\n" +
			"it and have none of their own, and the keychain is left alone.",
		Example: "  postern secrets add STRIPE_SECRET_KEY\n" +
			"  postern secrets add TLS_KEY < key.pem\n" +
			"  pass show stripe | postern secrets add STRIPE_SECRET_KEY --function shop",
		Args: keyAndValue,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkKey(args[0]); err != nil {
				return err
			}
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			if o.shared {
				client, err := signedIn(cmd)
				if err != nil {
					return err
				}
				return addShared(cmd.Context(), std, client, args, o)
			}
			return addSecret(cmd.Context(), std, cfg, args, o)
		},
	}
	settingFlags(cmd, config.Calling)
	functionFlag(cmd, &o.function)
	cmd.Flags().BoolVar(&o.stdin, "stdin", false, "read the value from standard input")
	sharedFlag(cmd, &o.shared)
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON; an error is one JSON object on standard error")
	return cmd
}

// sharedFlag gives cmd the flag for the secrets that a project's functions share,
// under both its names.
func sharedFlag(cmd *cobra.Command, shared *bool) {
	cmd.Flags().BoolVar(shared, "shared", false, "of the project instead of one function, on the platform")
	cmd.Flags().BoolVar(shared, "workspace", false, "the same as --shared")
	_ = cmd.Flags().MarkHidden("workspace") // fails only for a flag that is not there
}

func keyAndValue(cmd *cobra.Command, args []string) error {
	if len(args) == 1 || len(args) == 2 {
		return nil
	}
	return usageError{cmd.CommandPath() + " takes KEY, and at most its VALUE", "a value with spaces goes between quotation marks; see " + cmd.CommandPath() + " --help"}
}

// readValue returns the value that goes with a key.
func readValue(ctx context.Context, std Stdio, args []string, stdin bool, notes *warnings) (value string, err error) {
	key, person := args[0], terminalOf(std)
	switch {
	case len(args) == 2 && stdin:
		return "", usageError{"the value was given twice: on the command line, and with --stdin", "leave it out of the command line"}
	case len(args) == 2:
		value = args[1]
		notes.add("other users of this machine can read a command line, and the shell may remember it; next time leave the value out, and type it when it is asked for")
	case person != nil && !stdin:
		value, err = person.secret(ctx, "Value of "+key+" (not shown)")
	default:
		var data []byte
		data, err = io.ReadAll(io.LimitReader(std.In, maxValue+2))
		value = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	}
	if err != nil {
		return "", err
	}
	return value, checkValue(key, value, notes)
}

func checkValue(key, value string, notes *warnings) error {
	switch {
	case value == "":
		return usageError{"the value of " + key + " is empty", "type it at a terminal, or pipe it in: … | postern secrets add " + key + "; to take the secret away: postern secrets delete " + key}
	case len(value) > maxValue:
		return usageError{fmt.Sprintf("the value of %s has more than %d bytes", key, maxValue), "keep what is larger in a file of the function, or in its storage"}
	case strings.ContainsRune(value, 0):
		return usageError{"the value of " + key + " has a NUL character, which no environment takes", "encode it, for instance as base64"}
	case len(value) < redact.MinLength:
		notes.add("%s has fewer than %d bytes: that is too short to be taken out of what functions write", key, redact.MinLength)
	}
	if strings.TrimSpace(value) != value {
		notes.add("%s begins or ends with a space or a newline, which is kept", key)
	}
	return nil
}

// addSecret declares the name first and stores the value last: cut off at any
// moment it leaves what it found, or a secret that is declared and missing.
func addSecret(ctx context.Context, std Stdio, cfg *config.Config, args []string, o addSecretOptions) error {
	notes := warnings{std: std, quiet: o.asJSON, all: []string{}}
	key := args[0]
	d, err := openDrawer(ctx, std, cfg, o.function)
	if err != nil {
		return err
	}
	if _, both := d.manifest.Variables[key]; both {
		return fault.New(fault.Conflict, fmt.Sprintf("%s is a variable in %s, and cannot be a secret too", key, d.manifest.Source)).WithCode("setting_twice").
			WithHint("take it out of variables there first")
	}
	value, err := readValue(ctx, std, args, o.stdin, &notes)
	if err != nil {
		return err
	}
	unlock, err := cfg.LockSecrets()
	if err != nil {
		return err
	}
	defer unlock()
	// Also to learn that no keychain answers before anything is written.
	before, err := d.Get(ctx, d.account(key))
	if err != nil && !errors.Is(err, keychain.ErrNotFound) {
		return err
	}
	added, err := d.store(ctx, key, value, before)
	if err != nil {
		return err
	}
	if e, ok := d.entry(key); ok && e.Value.Reveal() != "" {
		notes.add("%s:%d has a value for %s, which wins over the keychain: leave %s= there alone", environ.DotenvFile, e.Line, key, key)
	}
	if d.here && !added && d.declared(key) == nil {
		notes.add(`nothing declares %s: add it to the manifest, "secrets": [%q], or no deploy sends it`, key, key)
	}
	done := addSecretLine{d.function, key, before != "", d.String(), added, notes.all}
	return tellAdded(newPrinter(std.Out), done, o.asJSON)
}

// store writes .env, the index and the keychain, and reports whether .env has a new
// line. Where the keychain refuses, that line alone is new: it says that the secret
// is needed, and has no value.
func (d *drawer) store(ctx context.Context, key, value, before string) (added bool, err error) {
	if d.here {
		keys, err := environ.AddKeys(".", []string{key}, "")
		if err != nil {
			return false, err
		}
		added = keys != nil
	}
	if err = d.cfg.NoteSecrets(d.function, []string{key}, nil); err == nil {
		err = d.Set(ctx, d.account(key), value)
	}
	if err != nil && before == "" {
		return added, errors.Join(err, d.cfg.NoteSecrets(d.function, nil, []string{key}))
	}
	return added, err
}

func tellAdded(out printer, done addSecretLine, asJSON bool) error {
	if asJSON {
		return out.json(done)
	}
	verb := "is in"
	if done.Replaced {
		verb = "is replaced in"
	}
	out.line("%s of %s %s %s.", done.Name, clean(done.Function), verb, clean(done.In))
	if done.Dotenv {
		out.line("%s= is new in %s; its value is not there.", done.Name, environ.DotenvFile)
	}
	out.line("\nA deployed function gets it with:\n  postern secrets push %s", done.Name)
	return nil
}

// addShared sets a secret of the project.
func addShared(ctx context.Context, std Stdio, client *api.Client, args []string, o addSecretOptions) error {
	if o.function != "" {
		return usageError{"a secret is of one function, or shared by the project's", "give --function or --shared"}
	}
	notes := warnings{std: std, quiet: o.asJSON, all: []string{}}
	value, err := readValue(ctx, std, args, o.stdin, &notes)
	if err != nil {
		return err
	}
	return pushSecrets(ctx, std, client, "", map[string]string{args[0]: value}, &notes, o.asJSON)
}
