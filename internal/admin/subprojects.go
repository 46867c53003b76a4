package admin

import (
	"context"
	"net/http"
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// SubprojectPath names a subproject.
type SubprojectPath struct {
	ID string `path:"subprojectId" maxLength:"64"`
}

// errNoSubproject answers for a subproject that is not there and for one of
// somebody else.
var errNoSubproject = fault.New(fault.NotFound, "this project has no such subproject").WithHint("list the subprojects with: postern subprojects list")

var projectPattern = regexp.MustCompile(`^prj_[0-7][0-9a-hjkmnp-tv-z]{25}$`)

const (
	maxSubprojectName = 255
	maxLabels         = 255
)

func (s *service) registerSubprojects() {
	const all, one = "/v1/projects/{projectId}/subprojects", "/v1/subprojects/{subprojectId}"
	register(s, huma.Operation{OperationID: "listSubprojects", Method: http.MethodGet, Path: all, Summary: "List subprojects", Errors: []int{400}}, s.listSubprojects)
	register(s, huma.Operation{OperationID: "createSubproject", Method: http.MethodPost, Path: all, Summary: "Make a subproject",
		Description: "The keys of the project act on it as on their own. It can have no subprojects itself.", Errors: []int{400}}, s.createSubproject)
	register(s, huma.Operation{OperationID: "getSubproject", Method: http.MethodGet, Path: one, Summary: "One subproject", Errors: []int{404}}, s.getSubproject)
	register(s, huma.Operation{OperationID: "updateSubproject", Method: http.MethodPatch, Path: one, Summary: "Change a subproject",
		Description: "What is absent stays as it is. Only a key of the parent may.", Errors: []int{400, 404}}, s.updateSubproject)
	register(s, huma.Operation{OperationID: "deleteSubproject", Method: http.MethodDelete, Path: one, Summary: "End a subproject and its keys",
		Description: "One that has functions is not ended. Only a key of the parent may.", DefaultStatus: 200, Errors: []int{400, 404}}, s.deleteSubproject)
}

func (s *service) listSubprojects(ctx context.Context, in *struct {
	ProjectPath
	Page
	Deleted bool `query:"showDeleted" doc:"Those that were ended, too."`
}) (*body[api.Subprojects], error) {
	if in.PageToken != "" && !projectPattern.MatchString(in.PageToken) {
		return nil, errPageToken
	}
	ps, err := s.o.Store.Subprojects(ctx, in.ProjectID, in.PageToken, in.PageSize+1, in.Deleted)
	if err != nil {
		return nil, err
	}
	out := api.Subprojects{Subprojects: []api.Subproject{}}
	ps, out.NextPageToken = pageOf(ps, in.PageSize, func(p platform.Project) string { return p.ID })
	for _, p := range ps {
		out.Subprojects = append(out.Subprojects, describeSubproject(p))
	}
	return &body[api.Subprojects]{out}, nil
}

func (s *service) createSubproject(ctx context.Context, in *struct {
	ProjectPath
	Body api.CreateSubprojectRequest
}) (*body[api.Subproject], error) {
	now := time.Now().UTC().Truncate(time.Microsecond) // as it will be read back
	p := platform.Project{ID: function.NewProjectID(now), ParentID: in.ProjectID, CreatedAt: now, UpdatedAt: now}
	if err := alterSubproject(&p, api.UpdateSubprojectRequest{DisplayName: &in.Body.DisplayName, Labels: in.Body.Labels}); err != nil {
		return nil, err
	}
	if err := s.o.Store.CreateProject(ctx, p); err != nil {
		return nil, err
	}
	return &body[api.Subproject]{describeSubproject(p)}, nil
}

func (s *service) getSubproject(ctx context.Context, in *SubprojectPath) (*body[api.Subproject], error) {
	p, err := s.o.Store.Project(ctx, in.ID)
	if fault.KindOf(err) == fault.NotFound || err == nil && p.ParentID == "" {
		err = errNoSubproject
	}
	if err != nil {
		return nil, err
	}
	return &body[api.Subproject]{describeSubproject(p)}, nil
}

func (s *service) updateSubproject(ctx context.Context, in *struct {
	SubprojectPath
	Body api.UpdateSubprojectRequest
}) (*body[api.Subproject], error) {
	if err := byParent(ctx, in.ID); err != nil {
		return nil, err
	}
	p, err := s.o.Store.UpdateProject(ctx, in.ID, time.Now(), func(p *platform.Project) error { return alterSubproject(p, in.Body) })
	if err != nil {
		return nil, err
	}
	return &body[api.Subproject]{describeSubproject(p)}, nil
}

func (s *service) deleteSubproject(ctx context.Context, in *SubprojectPath) (*struct{}, error) {
	if err := byParent(ctx, in.ID); err != nil {
		return nil, err
	}
	seq, err := s.o.Store.DeleteSubproject(ctx, in.ID, time.Now())
	if err != nil {
		return nil, err
	}
	return nil, s.enforced(ctx, seq)
}

// byParent refuses what a project's own keys may not do to it. The guard has
// let in keys of the project in the path and of its parent, none else.
func byParent(ctx context.Context, id string) error {
	if principal(ctx).ProjectID() == id {
		return fault.New(fault.Denied, "no project is changed or ended with a key of its own").WithHint("use a key of the parent project with the scope control")
	}
	return nil
}

func alterSubproject(p *platform.Project, in api.UpdateSubprojectRequest) (err error) {
	if in.DisplayName != nil {
		p.Name, err = displayName(*in.DisplayName, maxSubprojectName)
	}
	if err == nil && in.Labels != nil {
		p.Labels, err = pairs("labels", in.Labels, maxLabels)
	}
	return err
}

func describeSubproject(p platform.Project) api.Subproject {
	out := api.Subproject{SubprojectID: p.ID, DisplayName: p.Name, ParentProjectID: p.ParentID, Labels: p.Labels, CreateTime: p.CreatedAt.UTC(), UpdateTime: p.UpdatedAt.UTC(), Deleted: !p.DeletedAt.IsZero()}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	return out
}
