package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

type listKeysOptions struct{ all, asJSON bool }

func newKeysList(std Stdio) *cobra.Command {
	o := listKeysOptions{}
	cmd := remote(&cobra.Command{
		Use:   "list",
		Short: "List the access keys of the project",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			return listKeys(cmd.Context(), client, newPrinter(std.Out), o)
		},
	}, &o.asJSON)
	cmd.Flags().BoolVar(&o.all, "all", false, "the keys that functions were given, too")
	return cmd
}

func listKeys(ctx context.Context, client *api.Client, out printer, o listKeysOptions) error {
	all, err := allKeys(ctx, client, o.all)
	if err != nil {
		return err
	}
	if o.asJSON {
		return out.json(all)
	}
	if len(all) == 0 {
		out.line("no keys yet; make one: postern keys create NAME")
		return nil
	}
	var rows [][]string
	for _, k := range all {
		rows = append(rows, []string{k.AccessKeyID, k.DisplayName, strings.Join(k.Scopes, ","), moment(k.CreateTime), orNever(k.LastUsedTime), orNever(k.ExpireTime)})
	}
	out.table([]string{"KEY ID", "DISPLAY NAME", "SCOPES", "CREATED", "LAST USED", "EXPIRES"}, rows)
	return nil
}
