package cli

import (
	"errors"
	"strings"

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
	if _, takes, _ := strings.Cut(cmd.Use, " "); strings.HasPrefix(takes, "NAME") {
		run := cmd.RunE
		cmd.RunE = func(cmd *cobra.Command, args []string) error { return named(run(cmd, args), args[0]) }
	}
	return cmd
}

// everyPage reads a list whole; page reads the part of it that a token stands for, the
// first one for none, and gives the token of the next.
func everyPage[T any](page func(token string) (part []T, next string, err error)) ([]T, error) {
	all := []T{}
	for token := ""; ; {
		part, next, err := page(token)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
		if token = next; token == "" {
			return all, nil
		}
	}
}

// named says which function is missing where the server, who was told its name,
// says only that it is.
func named(err error, name string) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Code != "function_not_found" {
		return err
	}
	return fault.Wrap(err, fault.NotFound, "there is no function "+quote(name)+" in this project").WithCode(f.Code).WithHint(f.Hint)
}
