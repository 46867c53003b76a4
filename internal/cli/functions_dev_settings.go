//go:build !windows

package cli

import (
	"context"
	"errors"
	"fmt"

	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/devserver"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/keychain"
)

// The platform's own names that make a pair.
const (
	pairProject = "PROJECT_ID"
	pairKey     = "PROJECT_ID_API_KEY"
	pairSecret  = "PROJECT_ID_API_SECRET"
)

// devSettings finds out the settings of a function that is run here. It asks the
// keychain once for each thing, until .env or the manifest is saved: an answer may
// take a second, and a person.
type devSettings struct {
	std      Stdio
	cfg      *config.Config
	process  []string
	unpaired bool                  // no pair is looked for
	known    map[string]remembered // what the keychain said, by account
	profiled bool                  // the profile was asked
	pair     *devserver.Pair       // of the profile; nil: nobody is signed in
}

type remembered struct {
	value string
	err   error
}

// Get implements environ.Keychain.
func (s *devSettings) Get(ctx context.Context, account string) (string, error) {
	if r, ok := s.known[account]; ok {
		return r.value, r.err
	}
	box, err := openKeychain(ctx, s.std, s.cfg)
	if err != nil {
		return "", err
	}
	value, err := box.Get(ctx, account)
	if err == nil || errors.Is(err, keychain.ErrNotFound) {
		s.known[account] = remembered{value, err}
	}
	return value, err
}

// resolve is a devserver.Resolve.
func (s *devSettings) resolve(ctx context.Context, dir string, m function.Manifest, fresh bool) (devserver.Settings, error) {
	if fresh || s.known == nil {
		s.known = map[string]remembered{}
	}
	dotenv, err := environ.ReadDotenv(dir)
	if err != nil {
		return devserver.Settings{}, err
	}
	known, err := s.cfg.SecretNames(m.Name)
	if err != nil {
		return devserver.Settings{}, err
	}
	r, err := environ.Resolve(ctx, environ.Input{Manifest: m, Dotenv: dotenv, Keychain: s, Known: known, Process: s.process})
	if err != nil {
		return devserver.Settings{}, err
	}
	if r.Unasked != "" {
		r.Warnings = append(r.Warnings, "the keychain was not asked for secrets: "+r.Unasked)
	}
	out := devserver.Settings{Resolved: r}
	base := map[string]environ.Setting{}
	for _, b := range r.Base {
		base[b.Name] = b
	}
	key, secret := base[pairKey], base[pairSecret]
	switch {
	case s.unpaired: // guarded handlers are to be open, whoever is signed in
		out.ProjectID = s.cfg.ProjectID
	case key.Value.Reveal() != "" && secret.Value.Reveal() != "":
		out.Pair = &devserver.Pair{KeyID: key.Value.Reveal(), Secret: secret.Value, From: secret.Place()}
	case key.Value.Reveal() != "" || secret.Value.Reveal() != "":
		one, other := pairKey, pairSecret
		if key.Value.Reveal() == "" {
			one, other = other, one
		}
		return out, fault.New(fault.Invalid, fmt.Sprintf("%s is set, and %s is not: together they open guarded handlers", one, other)).WithCode("setting_invalid").
			WithHint("set both, or neither: then the key of postern auth login is used, or guarded handlers are open")
	default:
		if out.Pair, err = s.profilePair(ctx); err != nil {
			return out, err
		}
		if out.Pair != nil {
			out.ProjectID = s.cfg.ProjectID
		}
	}
	if p := base[pairProject].Value.Reveal(); p != "" {
		out.ProjectID = p
	}
	return out, nil
}

// profilePair is the pair of the signed-in profile; nil: nobody is signed in. Who
// is signed in and whose secret cannot be read is not taken for nobody: their
// guarded handlers would be open.
func (s *devSettings) profilePair(ctx context.Context) (*devserver.Pair, error) {
	if s.profiled {
		return s.pair, nil
	}
	if s.cfg.KeyID == "" && s.cfg.KeySecret.Reveal() == "" {
		s.profiled = true
		return nil, nil
	}
	secret, place, err := credential(ctx, s.std, s.cfg)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return nil, fault.Wrap(err, f.Kind, "the key that opens guarded handlers cannot be read: "+f.Text).WithCode(f.Code).
			WithHint("give it as PROJECT_ID_API_KEY and PROJECT_ID_API_SECRET; or, to work without: postern auth logout")
	}
	if err != nil {
		return nil, err
	}
	s.profiled, s.pair = true, &devserver.Pair{KeyID: s.cfg.KeyID, Secret: environ.NewValue(secret), From: place}
	return s.pair, nil
}
