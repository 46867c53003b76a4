package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

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
				if err := confirm(cmd.Context(), std, usedFor(cmd.Context(), client, k)+"End the key "+quote(clean(k.DisplayName))+" ("+clean(k.AccessKeyID)+") for good?", "yes", "nothing was revoked"); err != nil {
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

// calledNamed is how many functions a question names.
const calledNamed = 5

// usedFor says what would stop working without a key; nothing, where the server
// cannot tell: that is no reason not to end it.
func usedFor(ctx context.Context, client *api.Client, k api.AccessKey) string {
	reach, err := client.KeyReach(ctx, k.AccessKeyID, "")
	if err != nil {
		return ""
	}
	used := "It was never used"
	if reach.LastUsedTime != nil {
		used = "It was used last at " + moment(*reach.LastUsedTime)
	}
	routes := fmt.Sprintf("%d routes", reach.RouteCount)
	switch reach.RouteCount {
	case 0:
		routes = "no route"
	case 1:
		routes = "1 route"
	}
	var names []string
	for _, c := range reach.Called[:min(len(reach.Called), calledNamed)] {
		names = append(names, fmt.Sprintf("%s (%d)", clean(c.Function), c.Invocations))
	}
	if len(reach.Called) > calledNamed {
		names = append(names, "others")
	}
	if len(names) == 0 {
		return used + ", and opens " + routes + ".\n"
	}
	return used + ", opens " + routes + ", and called since " + clean(reach.Since) + ": " + strings.Join(names, ", ") + ".\n"
}
