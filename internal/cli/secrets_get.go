package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/environ"
)

type getSecretOptions struct {
	function     string
	show, asJSON bool
}

// masked stands for every value alike: how long one is says something of it.
const masked = "********"

func newSecretsGet(std Stdio) *cobra.Command {
	o := getSecretOptions{}
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Tell whether the keychain has a secret; with --show its value",
		Long: "Tell whether the keychain has a secret of the function in this directory. Its value is\n" +
			"masked, and printed as it is with --show. What the platform has is shown to nobody.",
		Args: exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkKey(args[0]); err != nil {
				return err
			}
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			return getSecret(cmd.Context(), std, cfg, args[0], o)
		},
	}
	settingFlagsOf(cmd, "profile", "keychain")
	functionFlag(cmd, &o.function)
	cmd.Flags().BoolVar(&o.show, "show", false, "print the value")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON; an error is one JSON object on standard error")
	return cmd
}

func getSecret(ctx context.Context, std Stdio, cfg *config.Config, key string, o getSecretOptions) error {
	d, err := openDrawer(ctx, std, cfg, o.function)
	if err != nil {
		return err
	}
	value, err := d.Get(ctx, d.account(key))
	if err != nil {
		return missing(err, key)
	}
	notes := warnings{std: std}
	if e, _ := d.entry(key); e.Value.Reveal() != "" {
		notes.add("%s:%d has another value for %s, which wins over the keychain", environ.DotenvFile, e.Line, key)
	}
	out := newPrinter(std.Out)
	switch {
	case o.asJSON && o.show:
		return out.json(map[string]string{"name": key, "value": value})
	case o.asJSON:
		return out.json(map[string]string{"name": key, "value": masked})
	case !o.show:
		out.line("%s  %s  in %s; --show prints it", key, masked, clean(d.String()))
	case isTerminal(std.Out): // which would obey what stands in it
		out.line("%s", clean(value))
	default:
		fmt.Fprintln(std.Out, value)
	}
	return nil
}
