package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Shifter moves the calls of a function between its versions, and stops all of them
// for a moment. *deploy.Deployer is one.
type Shifter interface {
	Still(ctx context.Context, f platform.Function, do func() error) error
	Promote(ctx context.Context, in deploy.Shift) (deploy.Result, error)
	RollBack(ctx context.Context, in deploy.Shift) (deploy.Result, error)
}

func (s *service) registerVersions() {
	const one = "/v1/projects/{projectId}/functions/{name}"
	register(s, huma.Operation{OperationID: "listDeployments", Method: http.MethodGet, Path: one + "/deployments", Summary: "The versions of a function, newest first", Errors: []int{404}}, s.listDeployments)
	register(s, huma.Operation{OperationID: "promote", Method: http.MethodPost, Path: one + "/promote", Summary: "Give a version a part of the calls",
		Description: "Moves the candidate's part of the calls, makes it the active version, or ends it. An earlier version is deployed again first, as in a roll-back.", Errors: []int{404, 409, 422, 503}}, s.promote)
	register(s, huma.Operation{OperationID: "rollBack", Method: http.MethodPost, Path: one + "/rollback", Summary: "Let an earlier version serve again",
		Description: "Deploys the artefact, the variables and the names of secrets of an earlier version again, with the values that the secrets have now. Where there is a candidate and no version is named, it is ended instead.", Errors: []int{404, 409, 422, 503}}, s.rollBack)
}

func (s *service) listDeployments(ctx context.Context, in *struct {
	FunctionPath
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}) (*body[api.Versions], error) {
	f, err := s.o.Store.Function(ctx, in.ProjectID, in.Name)
	if err != nil {
		return nil, err
	}
	ds, err := s.o.Store.Deployments(ctx, f.ID, in.Limit)
	if err != nil {
		return nil, err
	}
	for _, id := range []string{f.CandidateID, f.ActiveDeploymentID} { // what serves is told of, however old it is
		if ds, err = s.among(ctx, ds, id); err != nil {
			return nil, err
		}
	}
	out := api.Versions{Versions: make([]api.Version, 0, len(ds))}
	for _, d := range ds {
		out.Versions = append(out.Versions, versionOf(f, d))
	}
	return &body[api.Versions]{out}, nil
}

// among adds a deployment to older ones of a list if it is not in it.
func (s *service) among(ctx context.Context, ds []platform.Deployment, id string) ([]platform.Deployment, error) {
	for _, d := range ds {
		if d.ID == id || id == "" {
			return ds, nil
		}
	}
	d, err := s.o.Store.Deployment(ctx, id)
	if fault.KindOf(err) == fault.NotFound {
		return ds, nil // it was ended since the function was read
	}
	return append(ds, d), err
}

// versionOf is a deployment with its part of the calls.
func versionOf(f platform.Function, d platform.Deployment) api.Version {
	v := api.Version{Deployment: describeDeployment(d), State: "old", RestoredFrom: d.RestoredFrom, EndedBecause: d.EndedBecause}
	switch d.ID {
	case f.ActiveDeploymentID:
		v.State, v.Percent = "active", 100-f.CandidatePercent
	case f.CandidateID:
		v.State, v.Percent = "candidate", f.CandidatePercent
	}
	return v
}

func describeDeployment(d platform.Deployment) api.Deployment {
	return api.Deployment{ID: d.ID, Number: d.Number, Artefact: d.Artefact, Runtime: d.Runtime, CreateTime: d.CreatedAt.UTC()}
}

func (s *service) promote(ctx context.Context, in *struct {
	FunctionPath
	Body api.PromoteRequest
}) (*body[api.DeployResponse], error) {
	noteDetail(ctx, "percent", fmt.Sprint(in.Body.Percent))
	return s.shifted(ctx, s.o.Deployer.Promote, deploy.Shift{ProjectID: in.ProjectID, Name: in.Name, Version: in.Body.Version, Percent: in.Body.Percent, By: principal(ctx).ID()})
}

func (s *service) rollBack(ctx context.Context, in *struct {
	FunctionPath
	Body api.RollBackRequest
}) (*body[api.DeployResponse], error) {
	return s.shifted(ctx, s.o.Deployer.RollBack, deploy.Shift{ProjectID: in.ProjectID, Name: in.Name, Version: in.Body.Version, By: principal(ctx).ID()})
}

// shifted moves calls, and tells of it as of a deploy.
func (s *service) shifted(ctx context.Context, do func(context.Context, deploy.Shift) (deploy.Result, error), in deploy.Shift) (*body[api.DeployResponse], error) {
	r, err := do(ctx, in)
	if err != nil {
		return nil, err
	}
	for name, text := range guardDetail(r.Deployment.Handlers) {
		noteDetail(ctx, name, text)
	}
	noteDetail(ctx, "version", fmt.Sprint(r.Deployment.Number))
	if r.Ended > 0 {
		noteDetail(ctx, "ended", fmt.Sprint(r.Ended))
	}
	p, err := s.inForce(ctx, in.ProjectID)
	if err != nil {
		return nil, err
	}
	f := s.describe(r.Function, r.Deployment, p)
	if err := s.beside(ctx, &f, r.Function); err != nil {
		return nil, err
	}
	return &body[api.DeployResponse]{api.DeployResponse{Function: f, Routes: f.Routes, Warnings: append([]string{}, r.Warnings...), Ended: r.Ended, RestoredFrom: r.Deployment.RestoredFrom}}, nil
}

// judgedFor is how long the end of a candidate by the platform is told of.
const judgedFor = 24 * time.Hour

// beside adds to a function its candidate, and the one that the platform ended, if
// that was the last of its versions.
func (s *service) beside(ctx context.Context, out *api.Function, f platform.Function) error {
	if f.CandidateID != "" {
		d, err := s.o.Store.Deployment(ctx, f.CandidateID)
		if err != nil {
			return ignoreNone(err)
		}
		v := versionOf(f, d)
		out.Candidate = &v
		return nil
	}
	if time.Since(f.UpdatedAt) >= judgedFor {
		return nil
	}
	ds, err := s.o.Store.Deployments(ctx, f.ID, 1)
	if err == nil && len(ds) == 1 && ds[0].EndedBecause != "" {
		v := versionOf(f, ds[0])
		out.Candidate = &v
	}
	return err
}

func ignoreNone(err error) error {
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return err
}
