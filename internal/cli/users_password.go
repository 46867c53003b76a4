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
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			u, err := findUser(cmd.Context(), client, args[0])
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

func newUsersCodeOff(std Stdio) *cobra.Command {
	var asJSON, yes bool
	cmd := remote(&cobra.Command{
		Use:   "code-off NAME",
		Short: "Let a user who lost their app sign in without a code",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			u, err := findUser(cmd.Context(), client, args[0])
			if err != nil {
				return err
			}
			if !yes && interactive(std.In) {
				if err := confirm(cmd.Context(), std, "Let "+quote(clean(u.Name))+" sign in with the password alone?", "yes", "nothing was changed"); err != nil {
					return err
				}
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
