package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/config"
)

// authStatus is what `postern auth status --json` prints.
type authStatus struct {
	SignedIn  bool       `json:"signedIn"` // and the server accepts it
	Profile   fromWhere  `json:"profile"`
	Server    fromWhere  `json:"server"`
	ProjectID fromWhere  `json:"projectId"`
	KeyID     fromWhere  `json:"keyId"`
	SecretIn  string     `json:"secretIn"` // empty where there is none
	Scopes    []string   `json:"scopes"`
	Error     *complaint `json:"error,omitempty"` // why not
}

type fromWhere struct {
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

func newAuthStatus(std Stdio) *cobra.Command {
	var asJSON bool
	return remote(&cobra.Command{
		Use:   "status",
		Short: "Show which key is used and whether the server accepts it",
		Long: "Show which key the commands use, where each part of it comes from, where its secret\n" +
			"lies, and whether the server accepts it. The exit code is 0 if it does, 4 if it does\n" +
			"not or nobody is signed in, and 5 if server or keychain do not answer.",
		Example: "  postern auth status\n" +
			"  postern auth status --profile staging --json",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			return showStatus(cmd.Context(), std, cfg, asJSON)
		},
	}, &asJSON)
}

// showStatus prints what is known and returns why nobody is signed in.
func showStatus(ctx context.Context, std Stdio, cfg *config.Config, asJSON bool) error {
	where := func(key, value string) fromWhere { return fromWhere{value, cfg.Origin(key).String()} }
	s := authStatus{
		Profile:   where("profile", cfg.Profile),
		Server:    where("server", cfg.Server),
		ProjectID: where("project-id", cfg.ProjectID),
		KeyID:     where("key-id", cfg.KeyID),
		Scopes:    []string{},
	}
	secret, place, err := credential(ctx, std, cfg)
	if err == nil && (cfg.KeyID == "" || cfg.ProjectID == "") {
		err = notSignedIn(cfg)
	}
	if err == nil {
		who, refused := connect(cfg.Server, cfg.ProjectID, cfg.KeyID, secret).WhoAmI(ctx)
		s.SecretIn, err = place, refused
		if err == nil {
			s.SignedIn, s.Scopes = true, append(s.Scopes, who.Scopes...)
		}
	}
	if err != nil {
		all, _ := explain(ctx, err)
		s.Error = &all[0]
	}
	out := newPrinter(std.Out)
	if asJSON {
		if e := out.json(s); e != nil {
			return e
		}
		return err
	}
	printStatus(out, s)
	return err
}

func printStatus(out printer, s authStatus) {
	var rows [][]string
	for _, r := range []struct {
		name string
		fromWhere
	}{{"profile", s.Profile}, {"server", s.Server}, {"project", s.ProjectID}, {"key ID", s.KeyID}} {
		if r.Value == "" {
			r.Value, r.Origin = "-", ""
		}
		rows = append(rows, []string{r.name, r.Value, r.Origin})
	}
	accepted, secret := "no", "-"
	if s.SignedIn {
		accepted = "yes, for " + strings.Join(s.Scopes, ", ")
	}
	if s.SecretIn != "" {
		secret = "in " + s.SecretIn
	}
	rows = append(rows, []string{"secret", secret, ""}, []string{"accepted", accepted, ""})
	out.table([]string{"", "VALUE", "FROM"}, rows)
}
