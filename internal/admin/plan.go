package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func (s *service) registerPlan() {
	register(s, huma.Operation{OperationID: "planDeploy", Method: http.MethodPost, Path: "/v1/projects/{projectId}/functions/{name}/plan", Summary: "What a deploy would change",
		Description: "Compares plain settings with those of the active deployment. No value is told, and secrets are not compared at all: their answer would be a way to guess them.",
		Metadata:    map[string]any{readsOnly: true}}, s.planDeploy)
}

// planDeploy tells of each variable what a deploy would do with it.
func (s *service) planDeploy(ctx context.Context, in *struct {
	FunctionPath
	Body api.PlanRequest
}) (*body[api.PlanResponse], error) {
	out := api.PlanResponse{Variables: map[string]string{}}
	before := map[string]string{}
	f, err := s.o.Store.Function(ctx, in.ProjectID, in.Name)
	if err == nil {
		d, err := s.o.Store.Deployment(ctx, f.ActiveDeploymentID)
		if err != nil {
			return nil, err
		}
		before = d.Variables
	} else if fault.KindOf(err) != fault.NotFound {
		return nil, err
	}
	for name, value := range in.Body.Variables {
		was, ok := before[name]
		switch {
		case !ok:
			out.Variables[name] = "new"
		case was != value:
			out.Variables[name] = "changed"
		default:
			out.Variables[name] = "same"
		}
	}
	for name := range before {
		if _, ok := in.Body.Variables[name]; !ok {
			out.Variables[name] = "gone"
		}
	}
	return &body[api.PlanResponse]{out}, nil
}
