package admin

import (
	"context"
	"maps"
	"slices"
	"strings"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/platform"
)

// lookedBack is in how many versions it is looked since when a variable has its value.
const lookedBack = 50

// variablesOf are the plain settings of a version, each with where it is from and
// since which version it has its value; none of a version that is none.
func (s *service) variablesOf(ctx context.Context, d platform.Deployment) ([]api.Variable, error) {
	if d.ID == "" {
		return nil, nil
	}
	declared, err := s.manifestVariables(ctx, d)
	if err != nil {
		return nil, err
	}
	before, err := s.o.Store.Deployments(ctx, d.FunctionID, lookedBack)
	if err != nil {
		return nil, err
	}
	before = slices.DeleteFunc(before, func(o platform.Deployment) bool { return o.Number >= d.Number })
	var out []api.Variable
	for name, value := range d.Variables {
		since := d
		for _, o := range before { // newest first
			if old, has := o.Variables[name]; !has || old != value {
				break
			}
			since = o
		}
		from := "deploy"
		if written, has := declared[name]; has && written == value {
			from = "manifest"
		}
		out = append(out, api.Variable{Name: name, Value: s.o.Doors.hide(value), From: from, Version: since.Number, UpdateTime: since.CreatedAt.UTC()})
	}
	for name, value := range deploy.Own(d) {
		out = append(out, api.Variable{Name: name, Value: value, From: "platform", Version: d.Number, UpdateTime: d.CreatedAt.UTC()})
	}
	slices.SortFunc(out, func(a, b api.Variable) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// manifestVariables are those that the manifest of a version has.
func (s *service) manifestVariables(ctx context.Context, d platform.Deployment) (map[string]string, error) {
	if len(d.Variables) == 0 {
		return nil, nil
	}
	archive, err := s.archive(ctx, d)
	if err != nil {
		return nil, err
	}
	return maps.Clone(archive.Manifest().Variables), nil
}
