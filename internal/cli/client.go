package cli

import (
	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/fault"
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
	for _, need := range []struct{ value, variable string }{
		{cfg.ProjectID, "POSTERN_PROJECT_ID"},
		{cfg.KeyID, "POSTERN_KEY_ID"},
		{cfg.KeySecret.Reveal(), "POSTERN_KEY_SECRET"},
	} {
		if need.value == "" {
			return nil, fault.New(fault.Unauthenticated, "not signed in: "+need.variable+" is not set").WithCode("not_signed_in").
				WithHint("type the four export lines that the first start of `postern serve` printed")
		}
	}
	return connect(cfg.Server, cfg.ProjectID, cfg.KeyID, cfg.KeySecret.Reveal()), nil
}

// remote gives cmd the flags of commands that talk to a server, and --json.
func remote(cmd *cobra.Command, asJSON *bool) *cobra.Command {
	settingFlags(cmd, config.Calling)
	cmd.Flags().BoolVar(asJSON, "json", false, "print JSON; an error is one JSON object on standard error")
	return cmd
}
