package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

type rotateKeyOptions struct {
	grace  time.Duration
	asJSON bool
}

func newKeysRotate(std Stdio) *cobra.Command {
	o := rotateKeyOptions{}
	cmd := remote(&cobra.Command{
		Use:   "rotate KEY",
		Short: "Give an access key a new secret and show it, once",
		Long: "Give an access key, named by ID or display name, a new secret. The secret of now\n" +
			"ends at once, or with --grace after that time; so its users can change over one by\n" +
			"one. A secret from an earlier rotation, still in its grace, ends at once.",
		Args: exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.grace < 0 || o.grace > 30*24*time.Hour || o.grace%time.Second != 0 {
				return usageError{"--grace must be whole seconds, from 0 to 720h", "write it as 15m or 24h"}
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			return rotateKey(cmd.Context(), client, newPrinter(std.Out), args[0], fromProfile(cmd), o)
		},
	}, &o.asJSON)
	cmd.Flags().DurationVar(&o.grace, "grace", 0, "for how long the secret of now stays good, such as 24h")
	return cmd
}

func rotateKey(ctx context.Context, client *api.Client, out printer, nameOrID string, stored bool, o rotateKeyOptions) error {
	k, err := findKey(ctx, client, nameOrID)
	if err != nil {
		return err
	}
	r, err := client.RotateKey(ctx, k.AccessKeyID, api.RotateKeyRequest{GracePeriod: int(o.grace / time.Second)})
	if err != nil {
		return err
	}
	if o.asJSON {
		return out.json(r)
	}
	printSecret(out, r.AccessKey, r.Secret)
	if until := r.AccessKey.PreviousSecretExpireTime; until != nil {
		out.line("\nThe secret before it is good until %s.", moment(*until))
	} else {
		out.line("\nThe secret before it has ended.")
	}
	if r.EndedOlderSecret {
		out.line("One from an earlier rotation was still good, and has ended as well.")
	}
	if r.AccessKey.AccessKeyID == client.KeyID {
		next := "read -rs POSTERN_KEY_SECRET && export POSTERN_KEY_SECRET"
		if stored {
			next = "postern auth login"
		}
		out.line("\nThis is the key that this command works with. Before the next one:\n  %s", next)
	}
	return nil
}
