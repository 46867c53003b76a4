package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

type createKeyOptions struct {
	keyFlags
	plan   string
	asJSON bool
}

func newKeysCreate(std Stdio) *cobra.Command {
	o := createKeyOptions{}
	cmd := remote(&cobra.Command{
		Use:   "create DISPLAY-NAME",
		Short: "Make an access key and show its secret, once",
		Args:  exactly("DISPLAY-NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := o.change(cmd, time.Now())
			if err != nil {
				return err
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			return createKey(cmd.Context(), client, newPrinter(std.Out), asked(args[0], change, o.plan), o.asJSON)
		},
	}, &o.asJSON)
	o.register(cmd)
	cmd.Flags().StringVar(&o.plan, "service-plan", "", "make the secret the API token of this SMS service plan")
	return cmd
}

// asked is a change as a request for a new key.
func asked(name string, c api.UpdateKeyRequest, plan string) api.CreateKeyRequest {
	return api.CreateKeyRequest{DisplayName: name, Scopes: c.Scopes, Groups: c.Groups, AllowedCIDRs: c.AllowedCIDRs, RatePerSecond: value(c.RatePerSecond), Quota: c.Quota,
		Binding: value(c.Binding), CertThumbprint: value(c.CertThumbprint), Metadata: c.Metadata, ExpireTime: value(c.ExpireTime), ServicePlanID: plan}
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func createKey(ctx context.Context, client *api.Client, out printer, in api.CreateKeyRequest, asJSON bool) error {
	made, err := client.CreateKey(ctx, in)
	if err != nil {
		return err
	}
	if asJSON {
		return out.json(made)
	}
	printSecret(out, made.AccessKey, made.Secret)
	return nil
}
