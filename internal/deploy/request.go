package deploy

import (
	"context"
	"maps"
	"slices"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// Request is one deploy that is asked for.
type Request struct {
	ProjectID, Name string
	Artefact        string // hex SHA-256 of what was uploaded
	// Force deploys again what is active already.
	Force bool
	// Variables win over those of the manifest.
	Variables map[string]string
	// Secrets are set in the same transaction; those that are left out stay.
	Secrets Values
	// Declares names the secrets that the function needs beside those that its
	// manifest names.
	Declares []string
	// Percent of the calls go to it beside the active one; 0: all.
	Percent int
	// Attempt is what the caller calls this deploy, to ask for it again when the
	// answer was lost; empty: each request is another.
	Attempt string
	// By is the access key that asks.
	By string
	// restores is the number of the version that it is again; 0: it is new.
	restores int
}

// variables are the plain settings of a deployment: the manifest's, and over
// them those that were sent with the deploy.
func (r Request) variables(manifest map[string]string) map[string]string {
	if len(r.Variables) == 0 {
		return manifest
	}
	all := maps.Clone(manifest)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, r.Variables)
	return all
}

// changes reports whether a deploy of the active artefact would change anything.
func (d *Deployer) changes(ctx context.Context, active platform.Deployment, in Request, m function.Manifest) (bool, error) {
	if in.Percent > 0 && in.Percent < 100 || !maps.Equal(active.Variables, in.variables(m.Variables)) || !slices.Equal(active.SecretNames, declared(m, in)) {
		return true, nil
	}
	held, err := d.holds(ctx, active.FunctionID, in.Secrets)
	return !held, err
}

// beside is the part of the calls that a deploy gets beside the active version; 0:
// it becomes the active one.
func (r Request) beside(f platform.Function) (percent int, warnings []string) {
	switch {
	case r.Percent >= 100:
		return 0, nil
	case r.Percent > 0 && f.ActiveDeploymentID == "":
		return 0, []string{"it is the first version, with none beside it: it gets all calls"}
	}
	return r.Percent, nil
}
