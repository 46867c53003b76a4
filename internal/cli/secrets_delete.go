package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/keychain"
)

type deleteSecretOptions struct {
	function                    string
	yes, remote, shared, asJSON bool
}

// deletedLine is what `postern secrets delete --json` and clear print.
type deletedLine struct {
	Function  string   `json:"function,omitempty"`
	Deleted   []string `json:"deleted"`
	From      string   `json:"from"` // keychain or platform
	Restarted []string `json:"restarted,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
}

func newSecretsDelete(std Stdio) *cobra.Command {
	o := deleteSecretOptions{}
	cmd := &cobra.Command{
		Use:     "delete KEY",
		Aliases: []string{"rm", "remove"},
		Short:   "Remove a secret from the keychain, or from the platform",
		Long: "Remove a secret of the function in this directory from the keychain. The platform keeps\n" +
			"its own, and .env its line. With --remote it is removed from the platform instead, and\n" +
			"workers are started anew without it.",
		Args: exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkKey(args[0]); err != nil {
				return err
			}
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			if !o.remote && !o.shared {
				return deleteSecret(cmd.Context(), std, cfg, args[0], o)
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			return deleteRemote(cmd.Context(), std, cfg, client, args[0], o)
		},
	}
	settingFlags(cmd, config.Calling)
	functionFlag(cmd, &o.function)
	yesFlag(cmd, &o.yes)
	cmd.Flags().BoolVar(&o.remote, "remote", false, "from the platform instead of the keychain")
	sharedFlag(cmd, &o.shared)
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON; an error is one JSON object on standard error")
	return cmd
}

func newSecretsClear(std Stdio) *cobra.Command {
	o := deleteSecretOptions{}
	cmd := &cobra.Command{
		Use:   "clear",
		Short: "Remove all secrets of a function from the keychain",
		Long: "Remove all secrets of the function in this directory from the keychain. The platform\n" +
			"keeps its own, and .env its lines.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			return clearSecrets(cmd.Context(), std, cfg, o)
		},
	}
	settingFlagsOf(cmd, "profile", "keychain")
	functionFlag(cmd, &o.function)
	yesFlag(cmd, &o.yes)
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON; an error is one JSON object on standard error")
	return cmd
}

// sure asks before secrets are removed.
func (o deleteSecretOptions) sure(ctx context.Context, std Stdio, question string) error {
	if o.yes {
		return nil
	}
	return confirm(ctx, std, question, "yes", "nothing was removed")
}

func deleteSecret(ctx context.Context, std Stdio, cfg *config.Config, key string, o deleteSecretOptions) error {
	d, err := openDrawer(ctx, std, cfg, o.function)
	if err != nil {
		return err
	}
	if there, err := d.held(ctx, key); err != nil || !there {
		if err == nil {
			err = fault.New(fault.NotFound, "the keychain has no "+key+" of "+d.function).WithCode("secret_not_found").WithHint("see which there are: postern secrets list")
		}
		return err
	}
	if err := o.sure(ctx, std, fmt.Sprintf("Remove %s of %s from %s?", key, d.function, d)); err != nil {
		return err
	}
	if err := d.remove(ctx, key); err != nil {
		return err
	}
	return tellDeleted(newPrinter(std.Out), deletedLine{Function: d.function, Deleted: []string{key}, From: inKeychain}, o.asJSON)
}

// remove takes a secret out of the keychain, and then its name out of the index:
// cut off between them it leaves a name, which the next look at it takes away.
func (d *drawer) remove(ctx context.Context, key string) error {
	unlock, err := d.cfg.LockSecrets()
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.Delete(ctx, d.account(key)); err != nil && !errors.Is(err, keychain.ErrNotFound) {
		return err
	}
	return d.cfg.NoteSecrets(d.function, nil, []string{key})
}

func clearSecrets(ctx context.Context, std Stdio, cfg *config.Config, o deleteSecretOptions) error {
	d, err := openDrawer(ctx, std, cfg, o.function)
	if err != nil {
		return err
	}
	names, err := d.names()
	if err != nil {
		return err
	}
	done := deletedLine{Function: d.function, Deleted: []string{}, From: inKeychain}
	for _, name := range names {
		there, err := d.held(ctx, name)
		if err != nil {
			return err
		}
		if there {
			done.Deleted = append(done.Deleted, name)
		}
	}
	if len(done.Deleted) > 0 {
		if err := o.sure(ctx, std, fmt.Sprintf("Remove %s of %s from %s?", strings.Join(done.Deleted, ", "), d.function, d)); err != nil {
			return err
		}
	}
	for _, name := range done.Deleted {
		if err := d.remove(ctx, name); err != nil {
			return err
		}
	}
	return tellDeleted(newPrinter(std.Out), done, o.asJSON)
}

func tellDeleted(out printer, done deletedLine, asJSON bool) error {
	switch {
	case asJSON:
		return out.json(done)
	case len(done.Deleted) == 0:
		out.line("The keychain has no secrets of %s.", clean(done.Function))
	case done.From == inKeychain:
		out.line("Removed from the keychain: %s, of %s. What the platform has stays there.", strings.Join(done.Deleted, ", "), clean(done.Function))
	default:
		whose := done.Function
		if whose == "" {
			whose = "the project"
		}
		out.line("Removed from the platform: %s, of %s.", strings.Join(done.Deleted, ", "), clean(whose))
		tellRestarted(out, done.Restarted)
	}
	return nil
}

// deleteRemote removes a secret from the platform.
func deleteRemote(ctx context.Context, std Stdio, cfg *config.Config, client *api.Client, key string, o deleteSecretOptions) error {
	name, whose := o.function, "the project, which its functions share"
	if o.shared {
		name = ""
	} else {
		if name == "" {
			d, err := openDrawer(ctx, std, cfg, "")
			if err != nil {
				return err
			}
			name = d.function
		}
		whose = name
	}
	if err := o.sure(ctx, std, fmt.Sprintf("Remove %s of %s from the platform?", key, whose)); err != nil {
		return err
	}
	done, err := client.ChangeSecrets(ctx, name, api.ChangeSecretsRequest{Remove: []string{key}})
	if err != nil {
		return err
	}
	notes := warnings{std: std, quiet: o.asJSON}
	for _, w := range done.Warnings {
		notes.add("%s", w)
	}
	return tellDeleted(newPrinter(std.Out), deletedLine{name, []string{key}, "platform", done.Restarted, notes.all}, o.asJSON)
}
