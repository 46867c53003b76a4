package cli

import (
	"github.com/spf13/cobra"
)

func newUsersPassword(std Stdio) *cobra.Command {
	var asJSON bool
	return remote(&cobra.Command{
		Use:   "password NAME",
		Short: "Give a user another password; their sessions end",
		Long: "Give a user, named by name or ID, another password. All their sessions end. The\n" +
			"password is asked for twice, and not shown; or it is read from standard input, of which\n" +
			"one newline at the end is dropped.",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, u, err := namedUser(cmd, args[0])
			if err != nil {
				return err
			}
			password, err := newPassword(cmd.Context(), std, u.Name)
			if err != nil {
				return err
			}
			if u, err = client.SetPassword(cmd.Context(), u.UserID, password); err != nil {
				return err
			}
			return tellUser(newPrinter(std.Out), u, asJSON)
		},
	}, &asJSON)
}
