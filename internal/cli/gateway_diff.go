package cli

import (
	"strconv"

	"github.com/spf13/cobra"
)

func newGatewayDiff(std Stdio) *cobra.Command {
	var asJSON bool
	return remote(&cobra.Command{
		Use:   "diff NUMBER NUMBER",
		Short: "Show what one policy says otherwise than another",
		Long:  "Show what the second policy says otherwise than the first, by meaning: comments and\norder are no difference. 0 is no policy at all. The numbers are in:\npostern gateway history",
		Args:  exactly("NUMBER", "NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var numbers [2]int
			for i, text := range args {
				n, err := strconv.Atoi(text)
				if err != nil || n < i { // the second has to be one
					return usageError{quote(clean(text)) + " is no number of a policy", "list them with: postern gateway history"}
				}
				numbers[i] = n
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			d, err := client.GatewayDiff(cmd.Context(), numbers[0], numbers[1])
			if err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(d)
			}
			if len(d.Changes) == 0 {
				out.line("number %d says the same as %d", d.After, d.Before)
				return nil
			}
			printChanges(out, d.Changes)
			return nil
		},
	}, &asJSON)
}
