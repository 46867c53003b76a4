package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

func newKeys(std Stdio) *cobra.Command {
	return group("keys", "Make, list and end access keys", newKeysCreate(std), newKeysList(std), newKeysRevoke(std))
}

type createKeyOptions struct {
	scopes, from []string
	rate         int
	expires      time.Duration
	asJSON       bool
}

func newKeysCreate(std Stdio) *cobra.Command {
	o := createKeyOptions{}
	cmd := remote(&cobra.Command{
		Use:   "create DISPLAY-NAME",
		Short: "Make an access key and show its secret, once",
		Args:  exactly("DISPLAY-NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			return createKey(cmd.Context(), client, newPrinter(std.Out), args[0], o)
		},
	}, &o.asJSON)
	cmd.Flags().StringSliceVar(&o.scopes, "scope", []string{"invoke"}, "invoke (call functions), control (use the API); may be repeated")
	cmd.Flags().StringSliceVar(&o.from, "from", nil, "address or network from which it may be used; may be repeated")
	cmd.Flags().IntVar(&o.rate, "rate", 0, "most requests a second; 0 sets no limit")
	cmd.Flags().DurationVar(&o.expires, "expires-in", 0, "after how long it ends, such as 720h; 0 is never")
	return cmd
}

func createKey(ctx context.Context, client *api.Client, out printer, name string, o createKeyOptions) error {
	in := api.CreateKeyRequest{DisplayName: name, Scopes: o.scopes, AllowedCIDRs: o.from, RatePerSecond: o.rate}
	if o.expires > 0 {
		in.ExpireTime = time.Now().Add(o.expires).UTC().Format(time.RFC3339)
	}
	made, err := client.CreateKey(ctx, in)
	if err != nil {
		return err
	}
	if o.asJSON {
		return out.json(made)
	}
	out.line("key ID      %s", clean(made.AccessKey.AccessKeyID))
	out.line("key secret  %s", clean(made.Secret))
	out.line("\nThe secret is shown this once. To use the key:")
	out.line("  curl -u %s:%s URL", clean(made.AccessKey.AccessKeyID), clean(made.Secret))
	return nil
}

func newKeysList(std Stdio) *cobra.Command {
	var asJSON bool
	return remote(&cobra.Command{
		Use:   "list",
		Short: "List the access keys of the project",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			return listKeys(cmd.Context(), client, newPrinter(std.Out), asJSON)
		},
	}, &asJSON)
}

func listKeys(ctx context.Context, client *api.Client, out printer, asJSON bool) error {
	all := []api.AccessKey{}
	for token := ""; ; {
		page, err := client.Keys(ctx, token, false)
		if err != nil {
			return err
		}
		all = append(all, page.AccessKeys...)
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	if asJSON {
		return out.json(all)
	}
	var rows [][]string
	for _, k := range all {
		expires := "never"
		if k.ExpireTime != nil {
			expires = moment(*k.ExpireTime)
		}
		rows = append(rows, []string{k.AccessKeyID, k.DisplayName, strings.Join(k.Scopes, ","), moment(k.CreateTime), expires})
	}
	out.table([]string{"KEY ID", "DISPLAY NAME", "SCOPES", "CREATED", "EXPIRES"}, rows)
	return nil
}

func newKeysRevoke(std Stdio) *cobra.Command {
	var asJSON bool
	return remote(&cobra.Command{
		Use:   "revoke KEY-ID",
		Short: "End an access key at once",
		Args:  exactly("KEY-ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			if err := client.RevokeKey(cmd.Context(), args[0]); err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(map[string]string{"revoked": args[0]})
			}
			out.line("%s is revoked", clean(args[0]))
			return nil
		},
	}, &asJSON)
}
