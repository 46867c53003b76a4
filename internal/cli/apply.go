package cli

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/policy"
)

type applyOptions struct {
	file                string
	expect              int
	dryRun, yes, asJSON bool
}

func newApply(std Stdio) *cobra.Command {
	o := applyOptions{}
	cmd := remote(&cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make a file the gateway policy of the project",
		Long: "Make a file, usually gateway.yaml, the gateway policy of the project: who may call which\n" +
			"function and route, how often and from where, upstreams, and keys by their digests.\n\n" +
			"The file takes the place of all that was applied before. What it changes is shown, and\n" +
			"at a terminal you are asked first. A file that is wrong in any part changes nothing, and\n" +
			"the policy before stays in force.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.file == "" {
				return usageError{"postern apply takes a file", "write: postern apply -f gateway.yaml, or -f - to read standard input"}
			}
			document, err := readPolicy(std.In, o.file)
			if err != nil {
				return err
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			in := api.ApplyPolicyRequest{Document: string(document)}
			if cmd.Flags().Changed("expect") {
				in.ExpectNumber = &o.expect
			}
			return apply(cmd.Context(), std, client, in, o)
		},
	}, &o.asJSON)
	cmd.Flags().StringVarP(&o.file, "file", "f", "", "the file; - is standard input")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "check all of it, show what it would change, and change nothing")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	cmd.Flags().IntVar(&o.expect, "expect", 0, "apply only if the policy of this number is in force (0: none)")
	return cmd
}

// readPolicy reads a file and checks it as far as the text alone can be, so
// that a mistake is told with the file's own name, and a secret in it is not
// sent.
func readPolicy(in io.Reader, file string) ([]byte, error) {
	name := file
	if file == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(file)
		if err != nil {
			return nil, usageError{"cannot read " + quote(clean(file)) + ": " + cause(err), "name the file with -f"}
		}
		defer f.Close()
		in = f
	}
	const most = 1 << 20 // and one byte more, so that what is too large is told so
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, usageError{"cannot read " + quote(clean(file)) + ": " + cause(err), ""}
	}
	_, err = policy.Parse(name, data)
	return data, err
}

// cause is why a file could not be read, without its name again.
func cause(err error) string {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// apply shows what a document changes, asks where somebody can answer, and
// applies it. What was shown is what is done: another policy that came between
// is a conflict.
func apply(ctx context.Context, std Stdio, client *api.Client, in api.ApplyPolicyRequest, o applyOptions) error {
	out := newPrinter(std.Out)
	ask := !o.yes && !o.dryRun && !o.asJSON && o.file != "-" && interactive(std.In)
	if ask {
		would, err := client.ApplyPolicy(ctx, in, true)
		if err != nil {
			return err
		}
		printApplied(out, would)
		if would.Unchanged {
			return nil
		}
		question := "Apply this?"
		if len(would.Opened) > 0 {
			question = "Apply this, and open what is listed first to everyone?"
		}
		if err := confirm(ctx, std, question, "yes", "nothing was changed"); err != nil {
			return err
		}
		shown := would.Number - 1
		in.ExpectNumber = &shown
	}
	done, err := client.ApplyPolicy(ctx, in, o.dryRun)
	if err != nil {
		return err
	}
	switch {
	case o.asJSON:
		return out.json(done)
	case !ask:
		printApplied(out, done)
	}
	if !done.DryRun && !done.Unchanged {
		out.line("applied: number %d is in force", done.Number)
	}
	return nil
}

// printApplied tells what an apply does by meaning, what becomes open to
// everyone first.
func printApplied(out printer, a api.AppliedPolicy) {
	if a.Unchanged {
		out.line("nothing to change: number %d says the same", a.Number)
		return
	}
	if len(a.Opened) > 0 {
		out.line("%s", out.paint(red, "OPEN TO EVERYONE from now on, without any credential:"))
		for _, r := range a.Opened {
			out.line("  %s", out.paint(red, clean(r)))
		}
	}
	if len(a.Closed) > 0 {
		out.line("no longer open to everyone:")
		for _, r := range a.Closed {
			out.line("  %s", clean(r))
		}
	}
	printChanges(out, a.Changes)
	if len(a.Changes) == 0 {
		out.line("the text alone is another: nothing changes in meaning")
	}
	for _, w := range a.Warnings {
		out.line("%s %s", out.paint(yellow, "warning:"), clean(w))
	}
	if a.DryRun {
		out.line("dry run: nothing was changed")
	}
}

// printChanges tells of each thing what is said otherwise of it.
func printChanges(out printer, changes []api.PolicyChange) {
	what := ""
	for _, c := range changes {
		if c.What != what {
			what = c.What
			out.line("%s", clean(what))
		}
		switch {
		case c.Field == "" && c.Before == "":
			out.line("  + new")
		case c.Field == "":
			out.line("  - gone")
		case c.Before == "":
			out.line("  + %s: %s", clean(c.Field), clean(c.After))
		case c.After == "":
			out.line("  - %s: %s", clean(c.Field), clean(c.Before))
		default:
			out.line("  ~ %s: %s → %s", clean(c.Field), clean(c.Before), clean(c.After))
		}
	}
}
