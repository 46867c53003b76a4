package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/keychain"
)

// credential returns the secret that goes with the server and the key ID of
// the settings, and says where it lay. A secret from the keychain belongs to
// one key of one server, those of its profile: it is sent with no other key
// ID, and to no other server, whatever else the settings name.
func credential(ctx context.Context, std Stdio, cfg *config.Config) (secret, place string, err error) {
	if s := cfg.KeySecret.Reveal(); s != "" {
		return s, cfg.Origin("key-secret").String(), nil
	}
	p, ok := cfg.Stored()
	if !ok {
		return "", "", notSignedIn(cfg)
	}
	if p.KeyID != cfg.KeyID {
		return "", "", fault.New(fault.Unauthenticated, fmt.Sprintf("not signed in with %s (%s): the profile %s has the secret of another key, %s", cfg.KeyID, cfg.Origin("key-id"), cfg.Profile, p.KeyID)).
			WithCode("not_signed_in").WithHint("set POSTERN_KEY_SECRET as well, or leave the key ID to the profile")
	}
	if trimURL(p.Server) != trimURL(cfg.Server) {
		return "", "", fault.New(fault.Unauthenticated, fmt.Sprintf("not signed in to %s (%s): the profile %s is of %s, and its secret is sent nowhere else", cfg.Server, cfg.Origin("server"), cfg.Profile, p.Server)).
			WithCode("not_signed_in").WithHint("sign in there under another name: postern auth login --profile NAME --server " + cfg.Server)
	}
	box, err := openKeychain(ctx, std, cfg)
	if err != nil {
		return "", "", err
	}
	secret, err = box.Get(ctx, account(cfg))
	if errors.Is(err, keychain.ErrNotFound) {
		err = fault.New(fault.Unauthenticated, fmt.Sprintf("the secret of the profile %s is not in %s", cfg.Profile, box)).
			WithCode("not_signed_in").WithHint("sign in again: postern auth login --profile " + cfg.Profile)
	}
	return secret, box.String(), err
}

// notSignedIn tells what is missing to one who set some variables, and the way
// in to one who set none.
func notSignedIn(cfg *config.Config) error {
	text := "not signed in: there is no profile " + quote(cfg.Profile)
	if cfg.KeyID != "" || cfg.KeySecret.Reveal() != "" {
		for _, need := range []struct{ value, variable string }{
			{cfg.ProjectID, "POSTERN_PROJECT_ID"},
			{cfg.KeyID, "POSTERN_KEY_ID"},
			{cfg.KeySecret.Reveal(), "POSTERN_KEY_SECRET"},
		} {
			if need.value == "" {
				text = "not signed in: " + need.variable + " is not set"
				break
			}
		}
	}
	return fault.New(fault.Unauthenticated, text).WithCode("not_signed_in").
		WithHint("postern auth login; in a pipeline set POSTERN_PROJECT_ID, POSTERN_KEY_ID and POSTERN_KEY_SECRET")
}

// account is the name of a profile's secret in the keychain.
func account(cfg *config.Config) string { return "auth/" + cfg.Profile }

// openKeychain returns the keychain that the settings choose.
func openKeychain(ctx context.Context, std Stdio, cfg *config.Config) (*keychain.Keychain, error) {
	if cfg.Keychain != "file" {
		return keychain.System(), nil
	}
	path := cfg.KeychainFile()
	if path == "" {
		return nil, fault.New(fault.Unavailable, "there is no directory for the keychain's file").WithHint("set HOME or XDG_CONFIG_HOME")
	}
	return keychain.File(path, func(fresh bool) (string, error) {
		if p := cfg.KeychainPassphrase.Reveal(); p != "" {
			return p, nil
		}
		return askPassphrase(ctx, std, path, fresh)
	}), nil
}

// askPassphrase asks for the passphrase of a file, and for a new one twice.
func askPassphrase(ctx context.Context, std Stdio, path string, fresh bool) (string, error) {
	person := terminalOf(std)
	if person == nil {
		return "", fault.New(fault.Unavailable, "the keychain "+path+" needs its passphrase, and there is no terminal to ask at").
			WithCode("passphrase_missing").WithHint("set POSTERN_KEYCHAIN_PASSPHRASE")
	}
	question := "Passphrase of " + path
	if fresh {
		question = "New passphrase for " + path
	}
	passphrase, err := person.secret(ctx, question)
	if err != nil || !fresh {
		return passphrase, err
	}
	again, err := person.secret(ctx, "The same once more")
	if err == nil && again != passphrase {
		err = usageError{"the two passphrases differ; nothing was stored", "try again"}
	}
	return passphrase, err
}

func trimURL(s string) string { return strings.TrimRight(s, "/") }
