package admin

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// Secrets is the reading of secrets, without their values.
type Secrets interface {
	Secrets(ctx context.Context, ownerID string) ([]platform.Secret, error)
}

// SecretChanges is the changing of secrets, and of what seals them.
// *deploy.Deployer does both.
type SecretChanges interface {
	ChangeSecrets(ctx context.Context, in deploy.SecretsRequest) (deploy.SecretsResult, error)
	RotateKeys(ctx context.Context, projectID string) (owners int, seq int64, err error)
}

// maxSecretsBody is room for all the secrets that an owner can have, each
// character of them written as JSON may write it.
const maxSecretsBody = 4 << 20

// carriesSecrets marks, in an operation's Metadata, one whose body may have the
// values of secrets. Where in it a mistake is, is not told: a place is named after
// what was sent there, which may be a value at the place of a name.
const carriesSecrets = "postern:carriesSecrets"

func (s *service) registerSecrets() {
	const shared, own = "/v1/projects/{projectId}/secrets", "/v1/projects/{projectId}/functions/{name}/secrets"
	const how = "A worker with the new values is started first: where a function does not start with them, nothing is changed. No call fails. Values are never told again, and are in no log."
	register(s, huma.Operation{OperationID: "listSecrets", Method: http.MethodGet, Path: own, Summary: "The secrets of a function, and those that it shares, without their values; its plain settings with them", Errors: []int{404}}, s.listSecrets)
	register(s, huma.Operation{OperationID: "changeSecrets", Method: http.MethodPatch, Path: own, Summary: "Set and remove secrets of a function",
		Description: how, MaxBodyBytes: maxSecretsBody, Metadata: map[string]any{carriesSecrets: true}, Errors: []int{400, 404, 409, 503}}, s.changeSecrets)
	register(s, huma.Operation{OperationID: "listSharedSecrets", Method: http.MethodGet, Path: shared, Summary: "The secrets that functions of the project share, without their values"}, s.listShared)
	register(s, huma.Operation{OperationID: "changeSharedSecrets", Method: http.MethodPatch, Path: shared, Summary: "Set and remove secrets that functions of the project share",
		Description: how + " A function gets those that it declares and has not itself.", MaxBodyBytes: maxSecretsBody, Metadata: map[string]any{carriesSecrets: true}, Errors: []int{400, 409, 503}}, s.changeShared)
	register(s, huma.Operation{OperationID: "rotateKeys", Method: http.MethodPost, Path: shared + "/rotateKeys", Summary: "Seal all secrets of the project under new data keys",
		Description: "Values stay. Ended half-way, some are sealed under the new keys and some under the old, and all of them open; asked again, it does all.", Errors: []int{409, 503}}, s.rotateKeys)
}

func (s *service) listSecrets(ctx context.Context, in *struct {
	FunctionPath
	Variables bool `query:"variables" doc:"Give the plain settings of the active version as well."`
}) (*body[api.Secrets], error) {
	f, d, err := s.serving(ctx, in.FunctionPath)
	if err != nil {
		return nil, err
	}
	out, err := s.secretsFor(ctx, f, d)
	if err == nil && in.Variables {
		out.Variables, err = s.variablesOf(ctx, d)
	}
	return &body[api.Secrets]{out}, err
}

// serving is a function and its active version; none, where it is being replaced.
func (s *service) serving(ctx context.Context, in FunctionPath) (f platform.Function, d platform.Deployment, err error) {
	if f, err = s.o.Store.Function(ctx, in.ProjectID, in.Name); err != nil {
		return f, d, err
	}
	d, err = s.o.Store.Deployment(ctx, f.ActiveDeploymentID)
	return f, d, ignoreNone(err)
}

// secretsFor are the secrets of a function, and those that it shares.
func (s *service) secretsFor(ctx context.Context, f platform.Function, d platform.Deployment) (out api.Secrets, err error) {
	if out.Secrets, err = s.secretsOf(ctx, f.ID, false, nil); err != nil {
		return out, err
	}
	has := func(name string) bool {
		return slices.ContainsFunc(out.Secrets, func(own api.Secret) bool { return own.Name == name })
	}
	out.Secrets, err = s.secretsOf(ctx, f.ProjectID, true, func(name string) bool { return slices.Contains(d.SecretNames, name) && !has(name) }, out.Secrets...)
	for _, name := range d.SecretNames {
		if !has(name) {
			out.Missing = append(out.Missing, name)
		}
	}
	if err != nil {
		return out, err
	}
	return out, nameOf(ctx, s, f.ProjectID, out.Secrets, updatedBy)
}

func (s *service) listShared(ctx context.Context, in *ProjectPath) (*body[api.Secrets], error) {
	out, err := s.secretsOf(ctx, in.ProjectID, true, nil)
	if err == nil {
		err = nameOf(ctx, s, in.ProjectID, out, updatedBy)
	}
	return &body[api.Secrets]{api.Secrets{Secrets: out}}, err
}

func updatedBy(x *api.Secret) (id string, name *string) { return x.UpdatedBy, &x.UpdatedByName }

// secretsOf lists the secrets of an owner that pass a filter beside others, by
// name.
func (s *service) secretsOf(ctx context.Context, ownerID string, shared bool, filter func(name string) bool, beside ...api.Secret) ([]api.Secret, error) {
	list, err := s.o.Store.Secrets(ctx, ownerID)
	if err != nil {
		return nil, err
	}
	out := append([]api.Secret{}, beside...)
	for _, x := range list {
		if filter == nil || filter(x.Name) {
			out = append(out, api.Secret{Name: x.Name, Version: x.Version, Shared: shared, CreateTime: x.CreatedAt, UpdateTime: x.UpdatedAt, UpdatedBy: x.UpdatedBy})
		}
	}
	slices.SortFunc(out, func(a, b api.Secret) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (s *service) changeSecrets(ctx context.Context, in *struct {
	FunctionPath
	Body api.ChangeSecretsRequest
}) (*body[api.ChangeSecretsResponse], error) {
	out, err := s.change(ctx, in.ProjectID, in.Name, in.Body)
	if err != nil {
		return nil, err
	}
	f, d, err := s.serving(ctx, in.FunctionPath)
	if err != nil {
		return nil, err
	}
	list, err := s.secretsFor(ctx, f, d)
	if err != nil {
		return nil, err
	}
	out.Secrets = list.Secrets
	return &body[api.ChangeSecretsResponse]{out}, nil
}

func (s *service) changeShared(ctx context.Context, in *struct {
	ProjectPath
	Body api.ChangeSecretsRequest
}) (*body[api.ChangeSecretsResponse], error) {
	out, err := s.change(ctx, in.ProjectID, "", in.Body)
	if err != nil {
		return nil, err
	}
	list, err := s.listShared(ctx, &in.ProjectPath)
	if err != nil {
		return nil, err
	}
	out.Secrets = list.Body.Secrets
	return &body[api.ChangeSecretsResponse]{out}, nil
}

// change records which secrets were meant, by their names alone.
func (s *service) change(ctx context.Context, projectID, name string, in api.ChangeSecretsRequest) (out api.ChangeSecretsResponse, err error) {
	r, err := s.o.Deployer.ChangeSecrets(ctx, deploy.SecretsRequest{ProjectID: projectID, Name: name, Set: in.Set, Remove: in.Remove, By: principal(ctx).ID()})
	if err != nil {
		return out, err
	}
	noteNames(ctx, "set", slices.Sorted(maps.Keys(in.Set)))
	noteNames(ctx, "removed", in.Remove)
	return api.ChangeSecretsResponse{Restarted: append([]string{}, r.Restarted...), Warnings: append([]string{}, r.Warnings...)}, nil
}

// noteNames adds names to the audit event. A long list is cut, its number not.
// What is no name is left out: it may be a value at the place of one.
func noteNames(ctx context.Context, what string, names []string) {
	if len(names) > 0 {
		known := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return function.CheckName(name) != nil })
		noteDetail(ctx, what, strconv.Itoa(len(names))+": "+strings.Join(known, ", "))
	}
}

func (s *service) rotateKeys(ctx context.Context, in *ProjectPath) (*body[api.RotateKeysResponse], error) {
	owners, seq, err := s.o.Deployer.RotateKeys(ctx, in.ProjectID)
	if err != nil {
		return nil, err
	}
	noteDetail(ctx, "keys", strconv.Itoa(owners))
	wait, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s.o.Applied(wait, seq) // the values are what they were: who is late has no other
	return &body[api.RotateKeysResponse]{api.RotateKeysResponse{Keys: owners}}, nil
}
