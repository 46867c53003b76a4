//go:build windows

package cli

import (
	"context"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Here the program is a client: workers, and with them a server, need Linux or
// macOS. The commands that start some are there to say so.

func newServe(Stdio) *cobra.Command {
	return elsewhere("serve", "Run the gateway and the control plane")
}

func newDemo(Stdio) *cobra.Command {
	return elsewhere("demo", "Run everything on a throw-away data directory, with an example")
}

func newFunctionsDev(Stdio) *cobra.Command {
	return elsewhere("dev", "Run a function here, and anew whenever it is saved")
}

// elsewhere is a command that works on other systems. It takes any flag: what
// is wrong is not that.
func elsewhere(use, short string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short + " (on Linux and macOS)", DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error { return errNoWorkers() }}
}

func declaration(context.Context, *api.Client, *bundle.Archive, environ.Resolved) (platform.Declaration, error) {
	return platform.Declaration{}, errNoWorkers()
}

func errNoWorkers() error {
	return fault.New(fault.Unavailable, "workers need Linux or macOS; this system starts none").
		WithHint("run it there, or in the Windows Subsystem for Linux; commands that talk to a server work here")
}
