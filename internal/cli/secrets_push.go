package cli

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/keychain"
)

type pushSecretsOptions struct {
	function              string
	stdin, shared, asJSON bool
}

// pushedLine is what `postern secrets push --json` prints.
type pushedLine struct {
	Function  string   `json:"function,omitempty"`
	Shared    bool     `json:"shared,omitempty"`
	Set       []string `json:"set"`
	Restarted []string `json:"restarted"`
	Warnings  []string `json:"warnings"`
}

func newSecretsPush(std Stdio) *cobra.Command {
	o := pushSecretsOptions{}
	cmd := remote(&cobra.Command{
		Use:   "push [KEY…]",
		Short: "Set secrets of the deployed function to the values that are here",
		Long: "Set secrets of the deployed function to the values that the keychain and .env have:\n" +
			"those named, or all that it declares and that have a value here. It starts new workers\n" +
			"with them, and ends the old ones when their calls are answered; if it does not start\n" +
			"with the new values, nothing changes.\n\n" +
			"With --stdin the value of one KEY is read from standard input, for pipelines without a\n" +
			"keychain. With --shared the secrets become the project's, for each of its functions\n" +
			"that declares them and has none of its own.",
		Example: "  postern secrets push\n" +
			"  postern secrets push STRIPE_SECRET_KEY\n" +
			"  vault read -field=key stripe | postern secrets push STRIPE_KEY --function shop --stdin",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, key := range args {
				if err := checkKey(key); err != nil {
					return err
				}
			}
			if o.stdin && len(args) != 1 {
				return usageError{"--stdin is for one secret", "name it: postern secrets push KEY --stdin"}
			}
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			return push(cmd, std, cfg, args, o)
		},
	}, &o.asJSON)
	functionFlag(cmd, &o.function)
	cmd.Flags().BoolVar(&o.stdin, "stdin", false, "read the value of the one KEY from standard input")
	sharedFlag(cmd, &o.shared)
	return cmd
}

func push(cmd *cobra.Command, std Stdio, cfg *config.Config, keys []string, o pushSecretsOptions) error {
	ctx, notes := cmd.Context(), warnings{std: std, quiet: o.asJSON, all: []string{}}
	var values map[string]string
	name := o.function
	if o.stdin && (o.shared || name != "") { // no directory and no keychain is needed
		value, err := readValue(ctx, std, keys, true, &notes)
		if err != nil {
			return err
		}
		values = map[string]string{keys[0]: value}
	} else {
		d, err := openDrawer(ctx, std, cfg, o.function)
		if err != nil {
			return err
		}
		name = d.function
		if o.stdin {
			value, err := readValue(ctx, std, keys, true, &notes)
			if err != nil {
				return err
			}
			values = map[string]string{keys[0]: value}
		} else if values, err = d.values(ctx, keys, &notes); err != nil {
			return err
		}
	}
	client, err := signedIn(cmd)
	if err != nil {
		return err
	}
	if o.shared {
		name = ""
	}
	return pushSecrets(ctx, std, client, name, values, &notes, o.asJSON)
}

// values are those of the secrets that are named, or of all that the function
// declares and that have one here: as a deploy would send them.
func (d *drawer) values(ctx context.Context, keys []string, notes *warnings) (map[string]string, error) {
	all := map[string]string{}
	if d.here {
		known, err := d.cfg.SecretNames(d.function)
		if err != nil {
			return nil, err
		}
		r, err := environ.Resolve(ctx, environ.Input{Manifest: d.manifest, Dotenv: d.dotenv, Keychain: d.Keychain, Known: known})
		if err != nil {
			return nil, err
		}
		all = r.Secrets()
		if len(keys) == 0 && r.Unasked != "" {
			if len(all) == 0 {
				return nil, fault.New(fault.Unavailable, "the keychain was not asked for "+strings.Join(r.Missing, ", ")+": "+r.Unasked).WithCode("keychain_unavailable")
			}
			notes.add("the keychain was not asked for %s: %s", strings.Join(r.Missing, ", "), r.Unasked)
		}
	}
	if len(keys) == 0 && !d.here {
		var err error
		if keys, err = d.names(); err != nil {
			return nil, err
		}
	}
	if len(keys) == 0 {
		if len(all) == 0 {
			return nil, fault.New(fault.NotFound, "no secret of "+d.function+" has a value here").WithCode("secret_not_found").
				WithHint("store one: postern secrets add KEY; postern secrets list shows which there are")
		}
		return all, nil
	}
	values := map[string]string{}
	for _, key := range keys {
		value, ok := all[key]
		if !ok {
			var err error
			if value, err = d.Get(ctx, d.account(key)); err != nil {
				return nil, missing(err, key)
			}
		}
		values[key] = value
	}
	return values, nil
}

// missing adds to what the keychain says what is to be typed.
func missing(err error, key string) error {
	if errors.Is(err, keychain.ErrNotFound) {
		return fault.New(fault.NotFound, "the keychain has no "+key).WithCode("secret_not_found").WithHint("postern secrets add " + key)
	}
	return err
}

// pushSecrets sets secrets of a function, or with an empty name of the project.
func pushSecrets(ctx context.Context, std Stdio, client *api.Client, name string, values map[string]string, notes *warnings, asJSON bool) error {
	done, err := client.ChangeSecrets(ctx, name, api.ChangeSecretsRequest{Set: values})
	if err != nil {
		return err
	}
	for _, w := range done.Warnings {
		notes.add("%s", w)
	}
	line := pushedLine{name, name == "", slices.Sorted(maps.Keys(values)), append([]string{}, done.Restarted...), notes.all}
	out := newPrinter(std.Out)
	if asJSON {
		return out.json(line)
	}
	whose := name
	if name == "" {
		whose = "the project, shared by its functions"
	}
	out.line("Set on the platform: %s, of %s.", strings.Join(line.Set, ", "), clean(whose))
	tellRestarted(out, line.Restarted)
	return nil
}

func tellRestarted(out printer, names []string) {
	switch len(names) {
	case 0:
		out.line("No worker had to be replaced.")
	default:
		out.line("New workers run of: %s.", clean(strings.Join(names, ", ")))
	}
}
