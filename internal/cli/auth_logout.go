package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/keychain"
)

// logoutLine is what `postern auth logout --json` prints.
type logoutLine struct {
	Profile  string   `json:"profile"`
	Removed  bool     `json:"removed"` // false: there was nothing
	KeyID    string   `json:"keyId,omitempty"`
	Warnings []string `json:"warnings"`
}

func newAuthLogout(std Stdio) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "logout",
		Short: "Forget a profile and the secret in the keychain",
		Long: "Forget a profile and remove its secret from the keychain. The access key itself goes\n" +
			"on working; postern keys revoke ends it. Where nobody is signed in, nothing is done.",
		Example: "  postern auth logout\n" +
			"  postern auth logout --profile staging",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			return logout(cmd.Context(), std, cfg, asJSON)
		},
	}
	settingFlagsOf(cmd, "profile", "keychain")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON; an error is one JSON object on standard error")
	return cmd
}

// logout removes the secret first: while that fails the profile stays, so that
// it can be tried again.
func logout(ctx context.Context, std Stdio, cfg *config.Config, asJSON bool) error {
	p, had := cfg.Stored()
	box, err := openKeychain(ctx, std, cfg)
	if err != nil {
		return err
	}
	err = box.Delete(ctx, account(cfg))
	switch {
	case err == nil:
	case errors.Is(err, keychain.ErrNotFound):
	case !had && errors.Is(err, keychain.ErrUnavailable): // nobody put anything there
	default:
		return err
	}
	removed := had || err == nil
	if had {
		if _, err := cfg.RemoveProfile(); err != nil {
			return err
		}
	}
	notes := warnings{std: std, quiet: asJSON, all: []string{}}
	if set := stillSet(cfg); len(set) > 0 {
		notes.add("a key in the environment is still used; to end that: unset %s", strings.Join(set, " "))
	}
	out := newPrinter(std.Out)
	switch {
	case asJSON:
		return out.json(logoutLine{cfg.Profile, removed, p.KeyID, notes.all})
	case !removed:
		out.line("Nobody was signed in under the profile %s.", clean(cfg.Profile))
	default:
		out.line("Signed out: the profile %s and its secret are removed.", clean(cfg.Profile))
		if p.KeyID != "" {
			out.line("The key goes on working; whoever may, ends it with: postern keys revoke %s", clean(p.KeyID))
		}
	}
	return nil
}
