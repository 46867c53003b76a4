package cli

import (
	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

func newFunctionsRollBack(std Stdio) *cobra.Command {
	var asJSON bool
	var in api.RollBackRequest
	cmd := remote(&cobra.Command{
		Use:   "rollback NAME",
		Short: "End the candidate, or let the version before serve again",
		Long: "End the candidate of a function. Of a function that has none, the version that\n" +
			"served before the active one is deployed again: its code and its variables, with\n" +
			"the values that secrets have now. To roll back twice goes back two versions.\n\n" +
			"The version gets a worker and a smoke test before it gets a call; when it does not\n" +
			"start, nothing has changed.",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkVersion(cmd, "to", in.Version); err != nil {
				return err
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			done, err := client.RollBack(cmd.Context(), args[0], in)
			if err != nil {
				return err
			}
			return printShift(std, done, asJSON)
		},
	}, &asJSON)
	cmd.Flags().IntVar(&in.Version, "to", 0, "number of the version (default: the one before)")
	return cmd
}
