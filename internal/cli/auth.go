package cli

import (
	"net"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/config"
)

func newAuth(std Stdio) *cobra.Command {
	return group("auth", "Sign in to a server, and out", newAuthLogin(std), newAuthStatus(std), newAuthLogout(std))
}

// stillSet lists the variables that win over a profile.
func stillSet(cfg *config.Config) (names []string) {
	for _, key := range []string{"server", "project-id", "key-id", "key-secret"} {
		if o := cfg.Origin(key); o.Source == config.FromEnvironment {
			names = append(names, o.Name)
		}
	}
	return names
}

// inTheClear reports whether what is sent to the server can be read on the way.
func inTheClear(server string) bool {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}

// completeSettings offers the values of flags that have few.
func completeSettings(cmd *cobra.Command) {
	offer := map[string]cobra.CompletionFunc{
		"keychain": cobra.FixedCompletions([]string{"system", "file"}, cobra.ShellCompDirectiveNoFileComp),
		"profile": func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			cfg, err := settings(cmd)
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			names := cfg.ProfileNames()
			slices.Sort(names)
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	for key, f := range offer {
		if cmd.Flags().Lookup(key) != nil {
			_ = cmd.RegisterFlagCompletionFunc(key, f) // fails only for a flag that is not there
		}
	}
}
