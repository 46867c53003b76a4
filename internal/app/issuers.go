package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/token"
)

// trustedIssuer is one entry of the file of trusted issuers: whose tokens open
// the guarded handlers of a project, beside the project's own.
type trustedIssuer struct {
	Issuer    string `json:"issuer"`    // the iss of its tokens
	JWKSURL   string `json:"jwksUrl"`   // where its keys are
	Audience  string `json:"audience"`  // must be among the aud of its tokens
	ProjectID string `json:"projectId"` // whose handlers they open
	Scope     string `json:"scope"`     // that a token needs; empty: none
}

// readIssuers reads the file of trusted issuers. A file that cannot be
// understood in full is refused: an issuer left out locks people out, and a
// field left out may let people in.
func readIssuers(path string) ([]trustedIssuer, error) {
	if path == "" {
		return nil, nil
	}
	bad := func(text string, args ...any) error {
		return &config.Error{Problems: []config.Problem{{Key: "trusted-issuers", Text: path + ": " + fmt.Sprintf(text, args...),
			Hint: `write it as [{"issuer": "https://…", "jwksUrl": "https://…", "audience": "…", "projectId": "prj_…"}]`}}}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, bad("the file cannot be read: %v", err)
	}
	var list []trustedIssuer
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&list); err != nil {
		return nil, bad("%v", err)
	}
	if dec.More() {
		return nil, bad("there is something after the list")
	}
	seen := map[string]bool{}
	for i, t := range list {
		switch {
		case t.ProjectID == "":
			return nil, bad("entry %d has no projectId", i+1)
		case seen[t.Issuer]:
			return nil, bad("the issuer %s is there twice", t.Issuer)
		}
		seen[t.Issuer] = true
	}
	return list, nil
}

// openAuth makes the authenticator of all doors, with the issuers that it
// trusts besides.
func (s *Server) openAuth() error {
	list, err := readIssuers(s.cfg.TrustedIssuers)
	if err != nil {
		return err
	}
	var trust []auth.Trust
	for _, t := range list {
		if t.Issuer == s.Issuer() {
			return &config.Error{Problems: []config.Problem{{Key: "trusted-issuers", Text: s.cfg.TrustedIssuers + ": " + t.Issuer + " is this server itself", Hint: "leave the entry out: its own tokens are always taken"}}}
		}
		i, err := token.NewIssuer(token.IssuerOptions{Issuer: t.Issuer, JWKSURL: t.JWKSURL, Audience: t.Audience, Log: s.log})
		if err != nil {
			return err
		}
		s.issuers = append(s.issuers, i)
		trust = append(trust, auth.Trust{Foreign: i, Issuer: t.Issuer, ProjectID: t.ProjectID, Scope: t.Scope})
	}
	s.auth = auth.NewAuthenticator(s.Issuer(), trust...)
	return nil
}
