package cli

import (
	"github.com/spf13/cobra"
)

func newUsersCodeOff(std Stdio) *cobra.Command {
	var asJSON, yes bool
	cmd := remote(&cobra.Command{
		Use:   "code-off NAME",
		Short: "Let a user who lost their app sign in without a code",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, u, err := namedUser(cmd, args[0])
			if err != nil {
				return err
			}
			if err := askUnlessSure(cmd.Context(), std, yes, "Let "+quote(clean(u.Name))+" sign in with the password alone?", "nothing was changed"); err != nil {
				return err
			}
			if u, err = client.ResetSecondFactor(cmd.Context(), u.UserID); err != nil {
				return err
			}
			return tellUser(newPrinter(std.Out), u, asJSON)
		},
	}, &asJSON)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
