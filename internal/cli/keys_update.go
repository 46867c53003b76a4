package cli

import (
	"reflect"
	"time"

	"github.com/spf13/cobra"
)

type updateKeyOptions struct {
	keyFlags
	name   string
	asJSON bool
}

func newKeysUpdate(std Stdio) *cobra.Command {
	o := updateKeyOptions{}
	cmd := remote(&cobra.Command{
		Use:   "update KEY",
		Short: "Change the name, the limits or the notes of an access key",
		Long: "Change an access key, named by ID or display name. What no flag names stays as it\n" +
			"is; an empty list takes the limit away: --group '' opens all groups.",
		Args: exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := o.change(cmd, time.Now())
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("name") {
				change.DisplayName = &o.name
			}
			if reflect.ValueOf(change).IsZero() {
				return usageError{"nothing to change was named", "see postern keys update --help"}
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			k, err := findKey(cmd.Context(), client, args[0])
			if err != nil {
				return err
			}
			if k, err = client.UpdateKey(cmd.Context(), k.AccessKeyID, change); err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if o.asJSON {
				return out.json(k)
			}
			printKey(out, k)
			return nil
		},
	}, &o.asJSON)
	o.register(cmd)
	cmd.Flags().StringVar(&o.name, "name", "", "another display name")
	return cmd
}
