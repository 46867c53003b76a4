package cli

import "github.com/spf13/cobra"

func newKeysShow(std Stdio) *cobra.Command {
	var asJSON bool
	return remote(&cobra.Command{
		Use:   "show KEY",
		Short: "Show one access key, named by ID or display name",
		Args:  exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			k, err := findKey(cmd.Context(), client, args[0])
			if err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(k)
			}
			printKey(out, k)
			return nil
		},
	}, &asJSON)
}
