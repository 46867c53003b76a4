package cli

import (
	"context"

	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/function"
)

// resolve puts together what the function in dir, of which m is the manifest,
// runs with. process is the environment where it is run here, and nil where it is
// deployed.
func resolve(ctx context.Context, std Stdio, cfg *config.Config, dir string, m function.Manifest, process []string) (environ.Resolved, error) {
	dotenv, err := environ.ReadDotenv(dir)
	if err != nil {
		return environ.Resolved{}, err
	}
	known, err := cfg.SecretNames(m.Name)
	if err != nil {
		return environ.Resolved{}, err
	}
	box, err := openKeychain(ctx, std, cfg)
	if err != nil {
		return environ.Resolved{}, err
	}
	return environ.Resolve(ctx, environ.Input{Manifest: m, Dotenv: dotenv, Keychain: box, Known: known, Process: process})
}
