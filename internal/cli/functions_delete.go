package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func newFunctionsDelete(std Stdio) *cobra.Command {
	var asJSON, yes bool
	cmd := remote(&cobra.Command{
		Use:   "delete NAME",
		Short: "End a function: its address, its deployments, its own key, its cache and its storage",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			f, err := client.Function(cmd.Context(), name)
			if err != nil {
				return err
			}
			if !yes {
				no := usageError{"not confirmed; nothing was deleted", "type the name when asked, or give --yes"}
				newPrinter(std.Err).line("%s", goes(f))
				if err := confirm(cmd.Context(), std, "Delete the function "+clean(name)+"? Type its name", name, no); err != nil {
					return err
				}
			}
			err = client.DeleteFunction(cmd.Context(), name)
			if err != nil && !(f.Deployment.Number == 0 && fault.KindOf(err) == fault.NotFound) { // of what never came to be, what failed is forgotten
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(map[string]string{"deleted": name})
			}
			out.line("%s is deleted. %s", clean(name), goes(f))
			return nil
		},
	}, &asJSON)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// goes is what ends with a function.
func goes(f api.Function) string {
	if f.Deployment.Number == 0 {
		return "It was never deployed; with it goes what failed last."
	}
	return fmt.Sprintf("With it go %s, its deployments up to %d, its key, its secrets, its cache, its storage, its database and its logs.", clean(where(f)), f.Deployment.Number)
}

// confirm asks a question on standard error, and returns no unless the answer
// is the one wanted. An interrupt ends the waiting, as everywhere.
func confirm(ctx context.Context, std Stdio, question, answer string, no usageError) error {
	if _, ok := std.In.(silent); ok {
		_, give, _ := strings.Cut(no.hint, ", or ")
		return usageError{"it would be asked here whether you mean it, and nothing may be asked (--non-interactive)", give}
	}
	var line string
	if person := terminalOf(std); person != nil {
		var err error
		if line, err = person.line(ctx, question, ""); err != nil {
			return err
		}
	} else {
		out := newPrinter(std.Err)
		out.ask(question + ": ")
		line, _ = bufio.NewReader(std.In).ReadString('\n') // no answer is no consent
		out.line("")
	}
	if strings.TrimSpace(line) != answer {
		return no
	}
	return nil
}
