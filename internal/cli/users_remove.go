package cli

import (
	"github.com/spf13/cobra"
)

func newUsersRemove(std Stdio) *cobra.Command {
	var asJSON, yes bool
	cmd := remote(&cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a user, named by name or ID; their sessions end",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, u, err := namedUser(cmd, args[0])
			if err != nil {
				return err
			}
			if err := askUnlessSure(cmd.Context(), std, yes, "Remove the user "+quote(clean(u.Name))+" ("+clean(u.UserID)+") for good?", "nobody was removed"); err != nil {
				return err
			}
			if err := client.DeleteUser(cmd.Context(), u.UserID); err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(map[string]string{"removed": u.UserID})
			}
			out.line("%s (%s) is removed, and signed out everywhere", clean(u.UserID), clean(u.Name))
			return nil
		},
	}, &asJSON)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
