package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/keychain"
)

func newSecrets(std Stdio) *cobra.Command {
	return group("secrets", "Keep the secrets of functions, here and on the platform",
		newSecretsAdd(std),
		newSecretsList(std),
		newSecretsGet(std),
		newSecretsDelete(std),
		newSecretsClear(std),
		newSecretsPush(std),
		newSecretsRotateKeys(std),
	)
}

// drawer is where one function's secrets are at its developer's: in the keychain,
// in the index of their names, and as keys in the .env file beside the manifest.
type drawer struct {
	*keychain.Keychain
	cfg      *config.Config
	function string
	// manifest and dotenv are those of the current directory; the zero values where
	// the function was named and another is here.
	manifest function.Manifest
	dotenv   environ.Dotenv
	here     bool
}

// functionFlag gives cmd the flag that names a function.
func functionFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "function", "", "whose secrets they are (default: the function in this directory)")
}

// openDrawer finds out whose secrets are meant, and where they are.
func openDrawer(ctx context.Context, std Stdio, cfg *config.Config, named string) (*drawer, error) {
	d := &drawer{cfg: cfg, function: named}
	m, _, err := function.LoadManifest(".")
	switch {
	case named != "" && function.ValidName(named) != nil:
		return nil, function.ValidName(named)
	case named != "" && (err != nil || m.Name != named):
	case err != nil:
		if codeOf(err) == "manifest_missing" {
			err = errNoFunction
		}
		return nil, err
	default:
		d.manifest, d.function, d.here = m, m.Name, true
		if d.dotenv, err = environ.ReadDotenv("."); err != nil {
			return nil, err
		}
	}
	d.Keychain, err = openKeychain(ctx, std, cfg)
	return d, err
}

func (d *drawer) account(key string) string { return environ.Account(d.function, key) }

// entry is the line of .env for a key, if there is one.
func (d *drawer) entry(key string) (e environ.Entry, ok bool) {
	i := slices.IndexFunc(d.dotenv.Entries, func(e environ.Entry) bool { return e.Name == key })
	if i < 0 {
		return e, false
	}
	return d.dotenv.Entries[i], true
}

// declared says where a key is declared as a secret.
func (d *drawer) declared(key string) (places []string) {
	if slices.Contains(d.manifest.Secrets, key) {
		places = append(places, d.manifest.Source)
	}
	if e, ok := d.entry(key); ok && (e.Value.Reveal() == "" || len(places) > 0 || function.LooksSecret(key)) {
		places = append(places, fmt.Sprintf("%s:%d", environ.DotenvFile, e.Line))
	}
	return places
}

// names are those of all secrets that the function declares, or that the keychain
// is known to hold for it, sorted.
func (d *drawer) names() ([]string, error) {
	known, err := d.cfg.SecretNames(d.function)
	names := append(slices.Clone(known), d.manifest.Secrets...)
	for _, e := range d.dotenv.Entries {
		if !d.manifest.PlatformName(e.Name) && d.declared(e.Name) != nil {
			names = append(names, e.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// held reports whether the keychain holds a secret, and puts the index right where
// a command that was cut off has left it wrong.
func (d *drawer) held(ctx context.Context, key string) (bool, error) {
	known, err := d.cfg.SecretNames(d.function)
	if err != nil {
		return false, err
	}
	_, err = d.Get(ctx, d.account(key))
	there := err == nil
	if err != nil && !errors.Is(err, keychain.ErrNotFound) {
		return false, err
	}
	switch noted := slices.Contains(known, key); {
	case there && !noted:
		return true, d.cfg.NoteSecrets(d.function, []string{key}, nil)
	case !there && noted:
		return false, d.cfg.NoteSecrets(d.function, nil, []string{key})
	}
	return there, nil
}

// checkKey says what is wrong with the name of a secret that somebody typed.
func checkKey(key string) error {
	if err := function.CheckName(key); err != nil {
		hint := "a name is upper-case letters, digits and underscores: STRIPE_SECRET_KEY"
		if up := strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(key)); function.CheckName(up) == nil && len(key) < 32 {
			hint = "did you mean " + quote(up) + "?"
		}
		if strings.Contains(key, "=") { // and its value is not shown once more
			return usageError{"the name of a secret has no =", "give the name alone, and type the value when it is asked for: postern secrets add NAME"}
		}
		return usageError{fmt.Sprintf("%.64q is no name of a secret", clean(key)), hint}
	}
	if function.PlatformName(key) {
		hint := "give the secret another name"
		if strings.HasPrefix(key, "PROJECT_ID") {
			hint = "for functions that run here it is that of: postern auth login"
		}
		return usageError{key + " is given to each function by the platform", hint}
	}
	return nil
}
