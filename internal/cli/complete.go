package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completionTime is how long a name may take to be found: somebody waits with a
// finger on the tab key.
const completionTime = time.Second

// completeNames offers the functions of the project wherever a command takes the
// NAME of one.
func completeNames(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		completeNames(c)
		if _, takes, _ := strings.Cut(c.Use, " "); strings.HasPrefix(takes, "NAME") && c.Name() != "init" && c.ValidArgsFunction == nil {
			c.ValidArgsFunction = functionNames
		}
	}
}

// functionNames asks the server, if it can be asked with what the environment
// gives: a keychain may want to be unlocked, and a tab must ask nobody anything.
func functionNames(cmd *cobra.Command, args []string, begun string) (names []string, _ cobra.ShellCompDirective) {
	const done = cobra.ShellCompDirectiveNoFileComp
	cfg, err := settings(cmd)
	if err != nil || len(args) > 0 || cfg.KeySecret.Reveal() == "" {
		return nil, done
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	client, err := signedIn(cmd)
	if err != nil {
		return nil, done
	}
	for page := ""; ; {
		list, err := client.Functions(ctx, page)
		if err != nil {
			break
		}
		for _, f := range list.Functions {
			if name := clean(f.Name); strings.HasPrefix(name, begun) {
				names = append(names, name)
			}
		}
		if page = list.NextPageToken; page == "" {
			break
		}
	}
	slices.Sort(names)
	return names, done
}
