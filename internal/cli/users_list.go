package cli

import (
	"github.com/spf13/cobra"
)

func newUsersList(std Stdio) *cobra.Command {
	var asJSON bool
	return remote(&cobra.Command{
		Use:   "list",
		Short: "List who may sign in to the console",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			all, err := allUsers(cmd.Context(), client)
			if err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(all)
			}
			if len(all) == 0 {
				out.line("no users yet; add one: postern users add NAME")
				return nil
			}
			var rows [][]string
			for _, u := range all {
				code, last := signsIn(u)
				rows = append(rows, []string{u.Name, u.UserID, code, last, moment(u.CreateTime)})
			}
			out.table([]string{"NAME", "USER ID", "SECOND FACTOR", "SIGNED IN", "CREATED"}, rows)
			return nil
		},
	}, &asJSON)
}
