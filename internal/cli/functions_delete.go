package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func newFunctionsDelete(std Stdio) *cobra.Command {
	var asJSON, yes bool
	cmd := remote(&cobra.Command{
		Use:   "delete NAME",
		Short: "End a function, with its versions, its secrets and what it keeps",
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
				newPrinter(std.Err).line("%s", goes(f))
				if err := confirm(cmd.Context(), std, "Delete the function "+clean(name)+"?", name, "nothing was deleted"); err != nil {
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
	yesFlag(cmd, &yes)
	return cmd
}

// goes is what ends with a function.
func goes(f api.Function) string {
	if f.Deployment.Number == 0 {
		return "It was never deployed; with it goes what failed last."
	}
	return fmt.Sprintf("With it go %s, its versions up to %d, its key, its secrets, its cache, its storage, its database and its logs.", clean(where(f)), f.Deployment.Number)
}
