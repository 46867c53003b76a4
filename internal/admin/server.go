package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func (s *service) registerServer() {
	register(s, huma.Operation{OperationID: "getServer", Method: http.MethodGet, Path: "/v1/server", Summary: "How the server is set up, and how it does",
		Description: "Of the node that is asked; secrets are redacted. It is for keys of a project that is below no other: whose a subproject is does not run the server."}, s.getServer)
}

var errNotTheirs = fault.New(fault.Denied, "what is the whole server's is not for keys of a subproject").WithHint("ask whoever runs the server")

// theirs refuses the keys of a subproject what is the whole installation's.
func (s *service) theirs(ctx context.Context) error {
	p, err := s.o.Store.Project(ctx, principal(ctx).ProjectID())
	if err == nil && p.ParentID != "" {
		err = errNotTheirs
	}
	return err
}

// getServer tells of the installation to those to whom it belongs. A subproject
// is a tenant's: addresses, paths and settings of the server are not theirs to know.
func (s *service) getServer(ctx context.Context, _ *struct{}) (*body[api.ServerInfo], error) {
	if err := s.theirs(ctx); err != nil {
		return nil, err
	}
	return &body[api.ServerInfo]{s.o.Server(ctx)}, nil
}
