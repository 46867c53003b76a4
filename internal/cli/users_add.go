package cli

import (
	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

func newUsersAdd(std Stdio) *cobra.Command {
	var asJSON bool
	return remote(&cobra.Command{
		Use:   "add NAME",
		Short: "Add a user who may sign in to the console",
		Long: "Add a user who may sign in to the console, and may then do in the project and its\n" +
			"subprojects what a key without limits can; so only such a key may add one. The\n" +
			"password is asked for twice, and not shown; or it is read from standard input, of which\n" +
			"one newline at the end is dropped.",
		Example: "  postern users add ann@example.com\n" +
			"  pass show console/ann | postern users add ann@example.com",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			password, err := newPassword(cmd.Context(), std, args[0])
			if err != nil {
				return err
			}
			u, err := client.CreateUser(cmd.Context(), api.CreateUserRequest{Name: args[0], Password: password})
			if err != nil {
				return err
			}
			return tellUser(newPrinter(std.Out), u, asJSON)
		},
	}, &asJSON)
}
