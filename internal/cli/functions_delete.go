package cli

import (
	"bufio"
	"strings"

	"github.com/spf13/cobra"
)

func newFunctionsDelete(std Stdio) *cobra.Command {
	var asJSON, yes bool
	cmd := remote(&cobra.Command{
		Use:   "delete NAME",
		Short: "End a function: its address, its deployments and its own key",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if !yes && !confirm(std, "Delete the function "+clean(name)+"? Type its name: ", name) {
				return usageError{"not confirmed; nothing was deleted", "type the name when asked, or give --yes"}
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			if err := client.DeleteFunction(cmd.Context(), name); err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(map[string]string{"deleted": name})
			}
			out.line("%s is deleted", clean(name))
			return nil
		},
	}, &asJSON)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// confirm asks a question on standard error and compares the answer.
func confirm(std Stdio, question, answer string) bool {
	newPrinter(std.Err).ask(question)
	line, _ := bufio.NewReader(std.In).ReadString('\n') // no answer is no consent
	return strings.TrimSpace(line) == answer
}
