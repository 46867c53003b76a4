package cli

import "github.com/spf13/cobra"

func newSecretsRotateKeys(std Stdio) *cobra.Command {
	var asJSON bool
	return remote(&cobra.Command{
		Use:   "rotate-keys",
		Short: "Seal all secrets of the project under new data keys",
		Long: "Seal all secrets of the project, and of its functions, under new data keys. Values and\n" +
			"versions stay, no worker is replaced, and it may be done again at any time. The key\n" +
			"that seals the data keys themselves is a setting of the server: secrets-key.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			done, err := client.RotateKeys(cmd.Context())
			if err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(done)
			}
			out.line("%s replaced. Values and versions are as they were.", plural(done.Keys, "data key"))
			return nil
		},
	}, &asJSON)
}
