package admin

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// ProjectPath names a project. It and the other common parameters are exported
// because the binding of parameters passes over embedded fields that are not.
type ProjectPath struct {
	ProjectID string `path:"projectId" maxLength:"64"`
}

// FunctionPath names a function of a project.
type FunctionPath struct {
	ProjectPath
	Name string `path:"name" maxLength:"64"`
}

type body[T any] struct{ Body T }

func (s *service) registerFunctions() {
	const one = "/v1/projects/{projectId}/functions/{name}"
	register(s, huma.Operation{OperationID: "whoAmI", Method: http.MethodGet, Path: "/v1/whoami", Summary: "Whose credential this is"}, s.whoAmI)
	register(s, huma.Operation{OperationID: "listFunctions", Method: http.MethodGet, Path: "/v1/projects/{projectId}/functions", Summary: "List functions"}, s.listFunctions)
	register(s, huma.Operation{OperationID: "getFunction", Method: http.MethodGet, Path: one, Summary: "One function", Errors: []int{404}}, s.getFunction)
	register(s, huma.Operation{OperationID: "deleteFunction", Method: http.MethodDelete, Path: one, Summary: "End a function", DefaultStatus: 204, Errors: []int{404}}, s.deleteFunction)
	register(s, huma.Operation{OperationID: "deploy", Method: http.MethodPost, Path: one + "/deployments", Summary: "Make an uploaded artefact the active deployment",
		Description: "Starts a worker of the artefact, decides how each handler is guarded, and moves traffic. When it fails nothing has changed.", MaxBodyBytes: maxSecretsBody, Metadata: map[string]any{carriesSecrets: true}, Errors: []int{400, 404, 409, 422, 503}}, s.deploy)
}

func (s *service) whoAmI(ctx context.Context, _ *struct{}) (*body[api.WhoAmI], error) {
	p := principal(ctx)
	return &body[api.WhoAmI]{api.WhoAmI{ProjectID: p.ProjectID(), KeyID: p.ID(), Scopes: strings.Fields(p.Scopes())}}, nil
}

func (s *service) listFunctions(ctx context.Context, in *struct {
	ProjectPath
	Page
	Search
}) (*body[api.Functions], error) {
	fs, err := s.o.Store.FindFunctions(ctx, in.ProjectID, in.Query, in.PageToken, in.PageSize+1)
	if err != nil {
		return nil, err
	}
	p, err := s.inForce(ctx, in.ProjectID)
	if err != nil {
		return nil, err
	}
	out := api.Functions{Functions: []api.Function{}}
	fs, out.NextPageToken = pageOf(fs, in.PageSize, func(f platform.ListedFunction) string { return f.Function.Name })
	for _, f := range fs {
		one := s.describe(f.Function, f.Deployment, p)
		if f.Candidate != nil {
			v := versionOf(f.Function, *f.Candidate)
			one.Candidate = &v
		} else if f.Newest != f.Deployment.Number { // of most there is nothing beside
			if err := s.beside(ctx, &one, f.Function); err != nil {
				return nil, err
			}
		}
		out.Functions = append(out.Functions, one)
	}
	more, err := s.attempted(ctx, in.ProjectID, in.Query)
	if err != nil {
		return nil, err
	}
	if out.NextPageToken == "" {
		out.Functions = append(out.Functions, more...)
	}
	if in.WithTotal {
		n, err := s.o.Store.CountFunctions(ctx, in.ProjectID, in.Query, countedTo+1)
		if err != nil {
			return nil, err
		}
		out.Total = totalOf(n + len(more))
	}
	return &body[api.Functions]{out}, nil
}

func (s *service) getFunction(ctx context.Context, in *FunctionPath) (*body[api.Function], error) {
	f, err := s.function(ctx, in.ProjectID, in.Name)
	if err != nil {
		return nil, err
	}
	return &body[api.Function]{f}, nil
}

// function is one function as the API shows it, or the attempt to deploy it first.
func (s *service) function(ctx context.Context, projectID, name string) (api.Function, error) {
	a, attempted := s.o.Deployer.Attempts(projectID)[name] // before it is read: one that ends meanwhile is read as it is then
	f, err := s.o.Store.Function(ctx, projectID, name)
	if attempted && fault.KindOf(err) == fault.NotFound {
		return unborn(projectID, name, a), nil
	}
	if err != nil {
		return api.Function{}, err
	}
	d, err := s.o.Store.Deployment(ctx, f.ActiveDeploymentID)
	if err != nil {
		return api.Function{}, err
	}
	p, err := s.inForce(ctx, projectID)
	if err != nil {
		return api.Function{}, err
	}
	out := s.describe(f, d, p)
	return out, s.beside(ctx, &out, f)
}

func (s *service) deleteFunction(ctx context.Context, in *FunctionPath) (*struct{}, error) {
	f, err := s.o.Deployer.Delete(ctx, in.ProjectID, in.Name)
	if err != nil {
		return nil, err
	}
	s.o.Logs.Remove(f.ID)
	return nil, nil
}

func (s *service) deploy(ctx context.Context, in *struct {
	FunctionPath
	Body api.DeployRequest
}) (*body[api.DeployResponse], error) {
	req := deploy.Request{ProjectID: in.ProjectID, Name: in.Name, Artefact: in.Body.Artefact, Force: in.Body.Force, Variables: in.Body.Variables, Secrets: in.Body.Secrets,
		Declares: in.Body.Declares, Percent: in.Body.Percent, Attempt: in.Body.Attempt, By: principal(ctx).ID()}
	noteNames(ctx, "secrets", slices.Sorted(maps.Keys(in.Body.Secrets)))
	if in.Body.NoWait {
		return s.start(ctx, req)
	}
	r, err := s.o.Deployer.Deploy(ctx, req)
	if err != nil {
		return nil, err
	}
	for name, text := range guardDetail(r.Deployment.Handlers) {
		noteDetail(ctx, name, text)
	}
	p, err := s.inForce(ctx, in.ProjectID)
	if err != nil {
		return nil, err
	}
	f := s.describe(r.Function, r.Deployment, p)
	if err := s.beside(ctx, &f, r.Function); err != nil {
		return nil, err
	}
	return &body[api.DeployResponse]{api.DeployResponse{Function: f, Routes: f.Routes, Warnings: append([]string{}, r.Warnings...), Reused: r.Reused}}, nil
}

// describe is a function as the API shows it, its routes under the policy in
// force; one that does not fit is shut, and has none.
func (s *service) describe(f platform.Function, d platform.Deployment, p *platform.Policy) api.Function {
	st := s.o.Status(d.ID)
	out := api.Function{ID: f.ID, Name: f.Name, Slug: f.Slug, ProjectID: f.ProjectID, URLs: s.o.URLs(f.Slug), CreateTime: f.CreatedAt, UpdateTime: f.UpdatedAt,
		Deployment: describeDeployment(d),
		Status:     api.Status{State: st.State, Workers: st.Workers, InFlight: st.InFlight, Waiting: st.Waiting, Failures: st.Failures, LastErr: st.LastErr}}
	out.State = stateOf(out.Status)
	if a, ok := s.o.Deployer.Attempts(f.ProjectID)[f.Name]; ok {
		out.Attempt = attemptOf(a)
	}
	if function.VisibilityOf(d, function.PolicyOf(p, f.Name)) != platform.Public {
		out.URLs, out.Visibility = []string{}, string(platform.Private)
	}
	hs := d.Handlers
	if p != nil {
		var err error
		if hs, err = function.Govern(hs, function.PolicyOf(p, f.Name), p.Groups); err != nil || p.Number == 0 {
			out.Routes = []api.Route{}
			out.State = stateStopped
			return out
		}
	}
	for _, r := range function.Describe(hs) {
		out.Routes = append(out.Routes, api.Route{Path: r.Path, Handler: r.Handler, Guard: r.Guard, Method: r.Method, Group: r.Group, Asks: r.Asks})
	}
	return out
}
