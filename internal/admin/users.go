package admin

import (
	"context"
	"net/http"
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Users is the reading and the removing of users.
type Users interface {
	User(ctx context.Context, projectID, id string) (platform.User, error)
	Users(ctx context.Context, projectID, after string, limit int) ([]platform.User, error)
	DeleteUser(ctx context.Context, projectID, id string, at time.Time) error
}

// Accounts makes users and what they sign in with. *account.Service is one.
type Accounts interface {
	Create(ctx context.Context, projectID, name, password string, first bool) (platform.User, error)
	Reset(ctx context.Context, projectID, id, password string) (platform.User, error)
	ResetTOTP(ctx context.Context, projectID, id string) (platform.User, error)
}

// UserPath names a user of a project.
type UserPath struct {
	ProjectPath
	ID string `path:"userId" maxLength:"64"`
}

var (
	errNoUser   = fault.New(fault.NotFound, "this project has no such user").WithHint("list the users with: postern users list")
	userPattern = regexp.MustCompile(`^usr_[0-7][0-9a-hjkmnp-tv-z]{25}$`)
)

func (p *UserPath) known() error {
	if !userPattern.MatchString(p.ID) {
		return errNoUser
	}
	return nil
}

// noUser says of a user who is not there what can be done.
func noUser(err error) error {
	if fault.KindOf(err) == fault.NotFound {
		return errNoUser
	}
	return err
}

func (s *service) registerUsers() {
	const all = "/v1/projects/{projectId}/users"
	const one = all + "/{userId}"
	secret := map[string]any{carriesSecrets: true}
	register(s, huma.Operation{OperationID: "listUsers", Method: http.MethodGet, Path: all, Summary: "List who may sign in to the console", Errors: []int{400}}, s.listUsers)
	register(s, huma.Operation{OperationID: "createUser", Method: http.MethodPost, Path: all, Summary: "Make a user",
		Description: "They may do in the project and its subprojects what a key without limits could, with a browser. Only a key that is such a one may make them.", Metadata: secret, Errors: []int{400, 409, 503}}, s.createUser)
	register(s, huma.Operation{OperationID: "getUser", Method: http.MethodGet, Path: one, Summary: "One user", Errors: []int{404}}, s.getUser)
	register(s, huma.Operation{OperationID: "deleteUser", Method: http.MethodDelete, Path: one, Summary: "Remove a user",
		Description: "Their sessions end.", DefaultStatus: 204, Errors: []int{404}}, s.deleteUser)
	register(s, huma.Operation{OperationID: "setPassword", Method: http.MethodPost, Path: one + "/password", Summary: "Give a user another password",
		Description: "Their sessions end.", Metadata: secret, Errors: []int{400, 404, 503}}, s.setPassword)
	register(s, huma.Operation{OperationID: "resetSecondFactor", Method: http.MethodDelete, Path: one + "/totp", Summary: "Let a user sign in without a code",
		Description: "For who lost both the app and the recovery codes.", DefaultStatus: 200, Errors: []int{404}}, s.resetSecondFactor)
}

// mayMakeUsers refuses who could get more by a user than they have: a user is an
// administrator's key without limits, for whoever knows the password.
func (s *service) mayMakeUsers(ctx context.Context) error {
	caller, err := s.caller(ctx)
	if err != nil {
		return err
	}
	err = mayGrant(caller, nil, platform.AccessKey{Scopes: []platform.Scope{platform.ScopeInvoke, platform.ScopeControl}})
	if err != nil {
		return fault.Wrap(err, fault.Denied, "a user can do whatever a key without limits can, which the key that asks is not").WithCode("cannot_grant").
			WithHint("ask with a key that has the scopes invoke and control, and neither groups, networks, rate, quota, expiry nor binding")
	}
	return nil
}

func (s *service) listUsers(ctx context.Context, in *struct {
	ProjectPath
	Page
}) (*body[api.Users], error) {
	if in.PageToken != "" && !userPattern.MatchString(in.PageToken) {
		return nil, errPageToken
	}
	list, err := s.o.Store.Users(ctx, in.ProjectID, in.PageToken, in.PageSize+1)
	if err != nil {
		return nil, err
	}
	out := api.Users{Users: []api.User{}}
	list, out.NextPageToken = pageOf(list, in.PageSize, func(u platform.User) string { return u.ID })
	for _, u := range list {
		out.Users = append(out.Users, describeUser(u))
	}
	return &body[api.Users]{out}, nil
}

func (s *service) getUser(ctx context.Context, in *UserPath) (*body[api.User], error) {
	if err := in.known(); err != nil {
		return nil, err
	}
	u, err := s.o.Store.User(ctx, in.ProjectID, in.ID)
	return toldUser(u, err)
}

// toldUser is a user for the API, or why there is none.
func toldUser(u platform.User, err error) (*body[api.User], error) {
	if err != nil {
		return nil, noUser(err)
	}
	return &body[api.User]{describeUser(u)}, nil
}

func describeUser(u platform.User) api.User {
	return api.User{UserID: u.ID, Name: u.Name, ProjectID: u.ProjectID, SecondFactor: len(u.TOTP) > 0, CreateTime: u.CreatedAt.UTC(), UpdateTime: u.UpdatedAt.UTC(), SignInTime: when(u.SignedInAt)}
}

func (s *service) createUser(ctx context.Context, in *struct {
	ProjectPath
	Body api.CreateUserRequest
}) (*body[api.User], error) {
	if err := s.mayMakeUsers(ctx); err != nil {
		return nil, err
	}
	u, err := s.o.Accounts.Create(ctx, in.ProjectID, in.Body.Name, in.Body.Password, in.Body.First)
	if err != nil {
		return nil, err
	}
	noteDetail(ctx, "user", u.ID)
	noteDetail(ctx, "name", u.Name)
	return toldUser(u, nil)
}

func (s *service) deleteUser(ctx context.Context, in *UserPath) (*struct{}, error) {
	if err := in.known(); err != nil {
		return nil, err
	}
	return nil, noUser(s.o.Store.DeleteUser(ctx, in.ProjectID, in.ID, time.Now()))
}

func (s *service) setPassword(ctx context.Context, in *struct {
	UserPath
	Body api.SetPasswordRequest
}) (*body[api.User], error) {
	if err := in.known(); err != nil {
		return nil, err
	}
	if err := s.mayMakeUsers(ctx); err != nil {
		return nil, err
	}
	u, err := s.o.Accounts.Reset(ctx, in.ProjectID, in.ID, in.Body.Password)
	return toldUser(u, err)
}

func (s *service) resetSecondFactor(ctx context.Context, in *UserPath) (*body[api.User], error) {
	if err := in.known(); err != nil {
		return nil, err
	}
	if err := s.mayMakeUsers(ctx); err != nil {
		return nil, err
	}
	u, err := s.o.Accounts.ResetTOTP(ctx, in.ProjectID, in.ID)
	return toldUser(u, err)
}
