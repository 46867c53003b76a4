package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

type listKeysOptions struct {
	query, state string
	all, asJSON  bool
}

func newKeysList(std Stdio) *cobra.Command {
	o := listKeysOptions{}
	cmd := remote(&cobra.Command{
		Use:   "list",
		Short: "List the access keys of the project",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains([]string{"", "live", "expiring", "expired", "revoked"}, o.state) {
				return usageError{fmt.Sprintf("--state %q is no state of a key", o.state), "write live, expiring, expired or revoked"}
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			return listKeys(cmd.Context(), client, newPrinter(std.Out), o)
		},
	}, &o.asJSON)
	cmd.Flags().StringVar(&o.query, "query", "", "only those with this text in the display name, or at the beginning of the ID")
	cmd.Flags().StringVar(&o.state, "state", "", "live, expiring (within 30 days), expired or revoked (default all but revoked)")
	cmd.Flags().BoolVar(&o.all, "all", false, "the keys that functions were given, too")
	return cmd
}

func listKeys(ctx context.Context, client *api.Client, out printer, o listKeysOptions) error {
	all, err := allKeys(ctx, client, api.KeyQuery{Query: o.query, State: o.state, Functions: o.all})
	if err != nil {
		return err
	}
	if o.asJSON {
		return out.json(all)
	}
	switch {
	case len(all) == 0 && (o.query != "" || o.state != ""):
		out.line("no keys are like that; see all: postern keys list")
		return nil
	case len(all) == 0:
		out.line("no keys yet; make one: postern keys create NAME")
		return nil
	}
	var rows [][]string
	for _, k := range all {
		rows = append(rows, []string{k.AccessKeyID, k.DisplayName, strings.Join(k.Scopes, ","), moment(k.CreateTime), orNever(k.LastUsedTime), orNever(k.ExpireTime), k.State})
	}
	out.table([]string{"KEY ID", "DISPLAY NAME", "SCOPES", "CREATED", "LAST USED", "EXPIRES", "STATE"}, rows)
	return nil
}
