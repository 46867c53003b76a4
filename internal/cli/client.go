package cli

import (
	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/config"
)

// connect makes a client of a control plane.
func connect(server, projectID, keyID, secret string) *api.Client {
	return &api.Client{Server: server, ProjectID: projectID, KeyID: keyID, Secret: secret}
}

// signedIn makes a client from the settings, and refuses when there is no
// credential: the server would only say the same.
func signedIn(cmd *cobra.Command) (*api.Client, error) {
	cfg, err := settings(cmd)
	if err != nil {
		return nil, err
	}
	std := Stdio{In: cmd.InOrStdin(), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr()}
	secret, _, err := credential(cmd.Context(), std, cfg)
	if err != nil {
		return nil, err
	}
	if cfg.ProjectID == "" || cfg.KeyID == "" {
		return nil, notSignedIn(cfg)
	}
	return connect(cfg.Server, cfg.ProjectID, cfg.KeyID, secret), nil
}

// fromProfile reports whether the secret that cmd works with is a profile's:
// then no variable of the shell holds it.
func fromProfile(cmd *cobra.Command) bool {
	cfg, err := settings(cmd)
	return err == nil && cfg.KeySecret.Reveal() == ""
}

// remote gives cmd the flags of commands that talk to a server, and --json.
func remote(cmd *cobra.Command, asJSON *bool) *cobra.Command {
	settingFlags(cmd, config.Calling)
	cmd.Flags().BoolVar(asJSON, "json", false, "print JSON; an error is one JSON object on standard error")
	return cmd
}
