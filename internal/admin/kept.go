package admin

import (
	"context"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/platform"
)

// Databases keeps the functions' own databases. *database.Keeper is one.
type Databases interface {
	Snapshot(ctx context.Context, functionID string) (from io.ReadCloser, size int64, err error)
	Replace(ctx context.Context, functionID string, from io.Reader, quietly func(func() error) error) (size int64, err error)
}

// Storage keeps what functions store. *state.Service is one.
type Storage interface {
	Objects(ctx context.Context, functionID, prefix, after string, limit int) ([]platform.StoredObject, error)
	OpenObject(ctx context.Context, functionID, key string) (platform.StoredObject, io.ReadCloser, error)
	PutObject(ctx context.Context, functionID, key string, from io.Reader) (size int64, err error)
	DeleteObject(ctx context.Context, functionID, key string) error
}

// binary is the body of an upload, for the document; one for each, which huma
// writes into.
func binary() *huma.RequestBody {
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}
}

func (s *service) registerKept() {
	const one = "/v1/projects/{projectId}/functions/{name}"
	register(s, huma.Operation{OperationID: "downloadDatabase", Method: http.MethodGet, Path: one + "/database", Summary: "A copy of a function's own database",
		Description: "As one reader sees it at one moment, while the function goes on writing.", Errors: []int{404, 503}}, s.downloadDatabase)
	register(s, huma.Operation{OperationID: "uploadDatabase", Method: http.MethodPut, Path: one + "/database", Summary: "Replace a function's own database",
		Description: "The body is a SQLite database. It is checked, then the function's workers are stopped while it takes the place of the one before; calls wait meanwhile.", Errors: []int{400, 404, 409, 413}, RequestBody: binary()}, s.uploadDatabase)
	register(s, huma.Operation{OperationID: "listObjects", Method: http.MethodGet, Path: one + "/storage", Summary: "What a function has stored, by key", Errors: []int{400, 404}}, s.listObjects)
	register(s, huma.Operation{OperationID: "downloadObject", Method: http.MethodGet, Path: one + "/storage/object", Summary: "An object of a function's storage", Errors: []int{400, 404}}, s.downloadObject)
	register(s, huma.Operation{OperationID: "uploadObject", Method: http.MethodPut, Path: one + "/storage/object", Summary: "Store an object, in place of the one before",
		Description: "The body is the object. The limits are those of the function itself.", Errors: []int{400, 404, 413, 429}, RequestBody: binary()}, s.uploadObject)
	register(s, huma.Operation{OperationID: "deleteObject", Method: http.MethodDelete, Path: one + "/storage/object", Summary: "Remove an object of a function's storage", DefaultStatus: 204, Errors: []int{400, 404}}, s.deleteObject)
}

func (s *service) downloadDatabase(ctx context.Context, in *FunctionPath) (*huma.StreamResponse, error) {
	f, err := s.o.Store.Function(ctx, in.ProjectID, in.Name)
	if err != nil {
		return nil, err
	}
	from, size, err := s.o.Databases.Snapshot(ctx, f.ID)
	if err != nil {
		return nil, err
	}
	return bytesOf(s, from, size), nil
}

func (s *service) uploadDatabase(ctx context.Context, in *struct {
	FunctionPath
	Arriving
}) (*body[api.Uploaded], error) {
	f, err := s.o.Store.Function(ctx, in.ProjectID, in.Name)
	if err != nil {
		return nil, err
	}
	size, err := s.o.Databases.Replace(ctx, f.ID, &in.Arriving, func(swap func() error) error {
		in.answered()
		return s.o.Deployer.Still(ctx, f, swap)
	})
	if err != nil {
		return nil, in.fault(err)
	}
	return &body[api.Uploaded]{api.Uploaded{Bytes: size}}, nil
}

// ObjectPath names an object of a function's storage. Its key is no part of the
// path: it has slashes, and a path would be cleaned.
type ObjectPath struct {
	FunctionPath
	Key string `query:"key" required:"true" maxLength:"1024"`
}

func (s *service) listObjects(ctx context.Context, in *struct {
	FunctionPath
	Prefix    string `query:"prefix" maxLength:"1024"`
	PageSize  int    `query:"pageSize" minimum:"1" maximum:"1000" default:"100"`
	PageToken string `query:"pageToken" maxLength:"1024" doc:"nextPageToken of the page before."`
}) (*body[api.Objects], error) {
	f, err := s.o.Store.Function(ctx, in.ProjectID, in.Name)
	if err != nil {
		return nil, err
	}
	list, err := s.o.Storage.Objects(ctx, f.ID, in.Prefix, in.PageToken, in.PageSize+1)
	if err != nil {
		return nil, err
	}
	out := api.Objects{Objects: []api.Object{}}
	list, out.NextPageToken = pageOf(list, in.PageSize, func(o platform.StoredObject) string { return o.Key })
	for _, o := range list {
		out.Objects = append(out.Objects, api.Object{Key: o.Key, Bytes: o.Size, UpdateTime: o.At.UTC()})
	}
	return &body[api.Objects]{out}, nil
}

func (s *service) downloadObject(ctx context.Context, in *ObjectPath) (*huma.StreamResponse, error) {
	f, err := s.o.Store.Function(ctx, in.ProjectID, in.Name)
	if err != nil {
		return nil, err
	}
	o, from, err := s.o.Storage.OpenObject(ctx, f.ID, in.Key)
	if err != nil {
		return nil, err
	}
	return bytesOf(s, from, o.Size), nil
}

func (s *service) uploadObject(ctx context.Context, in *struct {
	ObjectPath
	Arriving
}) (*body[api.Uploaded], error) {
	f, err := s.o.Store.Function(ctx, in.ProjectID, in.Name)
	if err != nil {
		return nil, err
	}
	noteDetail(ctx, "key", in.Key)
	size, err := s.o.Storage.PutObject(ctx, f.ID, in.Key, &in.Arriving)
	if err != nil {
		return nil, in.fault(err)
	}
	return &body[api.Uploaded]{api.Uploaded{Bytes: size}}, nil
}

func (s *service) deleteObject(ctx context.Context, in *ObjectPath) (*struct{}, error) {
	f, err := s.o.Store.Function(ctx, in.ProjectID, in.Name)
	if err != nil {
		return nil, err
	}
	noteDetail(ctx, "key", in.Key)
	return nil, s.o.Storage.DeleteObject(ctx, f.ID, in.Key)
}
