//go:build !windows

package cli

import (
	"context"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/app"
	"postern.dev/postern/internal/config"
)

func newServe(std Stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway and the control plane",
		Long: "Run the gateway and the control plane in one process, until interrupted.\n\n" +
			"The first start makes a project and an administrator's access key, and prints the\n" +
			"secret once, on standard output. Logs go to standard error. When that secret is lost,\n" +
			"start once with --new-admin-key NAME, which makes and prints another one.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), std, cfg)
		},
	}
	settingFlags(cmd, config.Serving)
	return cmd
}

func serve(ctx context.Context, std Stdio, cfg *config.Config) error {
	server, err := app.New(ctx, cfg, readVersion().Version, std.Err)
	if err != nil {
		return err
	}
	if key := server.FirstKey(); key != nil {
		printFirstKey(newPrinter(std.Out), server, key)
	}
	return server.Run(ctx)
}

// printFirstKey shows the administrator's secret, once, as lines to type.
func printFirstKey(out printer, server *app.Server, key *app.Key) {
	out.line("# An administrator's access key was made, for the project %s.", key.ProjectID)
	out.line("# The secret is shown this once. To use the key, type:")
	out.line("export POSTERN_SERVER=%s", server.ControlURL())
	out.line("export POSTERN_PROJECT_ID=%s", key.ProjectID)
	out.line("export POSTERN_KEY_ID=%s", key.ID)
	out.line("export POSTERN_KEY_SECRET=%s", key.Secret.Reveal())
	out.line("# To keep them in the keychain instead: postern auth login")
	out.line("# With a browser, and the same ID and secret: %s", server.ConsoleURL())
}
