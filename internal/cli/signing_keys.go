package cli

import (
	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

func newSigningKeys(std Stdio) *cobra.Command {
	return group("signing-keys", "List and rotate the keys that sign access tokens",
		newSigningKeysList(std),
		newSigningKeysRotate(std),
	)
}

func newSigningKeysList(std Stdio) *cobra.Command {
	var asJSON bool
	return remote(&cobra.Command{
		Use:   "list",
		Short: "List the keys that sign access tokens",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			keys, err := client.SigningKeys(cmd.Context())
			if err != nil {
				return err
			}
			return printSigningKeys(newPrinter(std.Out), keys, asJSON)
		},
	}, &asJSON)
}

func newSigningKeysRotate(std Stdio) *cobra.Command {
	var asJSON bool
	return remote(&cobra.Command{
		Use:   "rotate",
		Short: "Make the next key that signs access tokens",
		Long: "Make the next key that signs access tokens. It is published at once and used ten\n" +
			"minutes later; the one of now verifies until the last of its tokens has ended, so\n" +
			"no token ends. Keys are replaced by themselves every 30 days.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			keys, err := client.RotateSigningKey(cmd.Context())
			if err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if !keys.Rotated && !asJSON {
				out.line("nothing was done: the newest key is not used yet\n")
			}
			return printSigningKeys(out, keys, asJSON)
		},
	}, &asJSON)
}

func printSigningKeys(out printer, keys api.SigningKeys, asJSON bool) error {
	if asJSON {
		return out.json(keys)
	}
	var rows [][]string
	for _, k := range keys.SigningKeys {
		rows = append(rows, []string{k.KID, k.Algorithm, k.State, moment(k.ActiveTime), orNever(k.ExpireTime)})
	}
	out.table([]string{"KID", "ALGORITHM", "STATE", "USED FROM", "VERIFIES UNTIL"}, rows)
	out.line("\nThe public keys are at %s", clean(keys.JWKSURI))
	return nil
}
