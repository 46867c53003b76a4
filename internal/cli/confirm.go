package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

// yesFlag gives cmd the flag of who is sure of what cannot be undone, under the name
// as well that commands like it have elsewhere.
func yesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVar(yes, "yes", false, "do not ask")
	cmd.Flags().BoolVarP(yes, "force", "f", false, "the same as --yes")
	_ = cmd.Flags().MarkHidden("force") // fails only for a flag that is not there
}

// askUnlessSure asks a person, if one is there; a script that runs the command means it.
// What takes functions or what they keep away asks with confirm, which fails where
// nobody can be asked.
func askUnlessSure(ctx context.Context, std Stdio, yes bool, question, kept string) error {
	if yes || !interactive(std.In) {
		return nil
	}
	return confirm(ctx, std, question, "yes", kept)
}

// confirm asks a person a question on standard error, and fails unless the answer
// is the one wanted; kept is what stays as it is then. Where nobody can be asked it
// fails without a look at standard input, which may never end. An interrupt ends the
// waiting, as everywhere.
func confirm(ctx context.Context, std Stdio, question, answer, kept string) error {
	person := terminalOf(std)
	if person == nil {
		return usageError{"not confirmed, and there is nobody to ask; " + kept, "give --yes"}
	}
	line, err := person.line(ctx, question+" Type "+answer, "")
	if err != nil {
		return err
	}
	if strings.TrimSpace(line) != answer {
		return usageError{"not confirmed; " + kept, "type " + quote(answer) + " when asked, or give --yes"}
	}
	return nil
}
