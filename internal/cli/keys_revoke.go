package cli

import "github.com/spf13/cobra"

type revokeKeyOptions struct{ yes, asJSON bool }

func newKeysRevoke(std Stdio) *cobra.Command {
	o := revokeKeyOptions{}
	cmd := remote(&cobra.Command{
		Use:   "revoke KEY",
		Short: "End an access key and its tokens at once",
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
			if !o.yes && interactive(std.In) {
				if err := confirm(cmd.Context(), std, "End the key "+quote(clean(k.DisplayName))+" ("+clean(k.AccessKeyID)+") for good?", "yes", "nothing was revoked"); err != nil {
					return err
				}
			}
			if err := client.RevokeKey(cmd.Context(), k.AccessKeyID); err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if o.asJSON {
				return out.json(map[string]string{"revoked": k.AccessKeyID})
			}
			out.line("%s (%s) is revoked", clean(k.AccessKeyID), clean(k.DisplayName))
			return nil
		},
	}, &o.asJSON)
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	return cmd
}
