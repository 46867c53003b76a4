package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/blob"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
)

// Artefacts keeps the artefacts of projects by their hash. *blob.Store is one.
type Artefacts interface {
	Has(ctx context.Context, projectID, hash string) (bool, error)
	Put(ctx context.Context, projectID, hash string, data io.Reader, limit int64) error
}

func (s *service) registerArtefacts() {
	const one = "/v1/projects/{projectId}/artefacts/{hash}"
	register(s, huma.Operation{OperationID: "hasArtefact", Method: http.MethodHead, Path: one, Summary: "Whether an artefact was uploaded", DefaultStatus: 204, Errors: []int{404}}, s.hasArtefact)
	// The limit is one byte over: huma refuses a body that reaches it.
	register(s, huma.Operation{OperationID: "putArtefact", Method: http.MethodPut, Path: one, Summary: "Upload an artefact",
		Description: "The body is the artefact; its SHA-256 must be the hash in the path.", DefaultStatus: 204, Errors: []int{400, 413},
		MaxBodyBytes: bundle.MaxBytes + 1, BodyReadTimeout: time.Minute}, s.putArtefact)
}

// ArtefactPath names an artefact.
type ArtefactPath struct {
	ProjectPath
	Hash string `path:"hash" pattern:"^[0-9a-f]{64}$"`
}

func (s *service) hasArtefact(ctx context.Context, in *ArtefactPath) (*struct{}, error) {
	ok, err := s.o.Artefacts.Has(ctx, in.ProjectID, in.Hash)
	if err == nil && !ok {
		err = fault.New(fault.NotFound, "there is no such artefact").WithCode("artefact_missing")
	}
	return nil, err
}

func (s *service) putArtefact(ctx context.Context, in *struct {
	ArtefactPath
	RawBody []byte `contentType:"application/octet-stream"`
}) (*struct{}, error) {
	err := s.o.Artefacts.Put(ctx, in.ProjectID, in.Hash, bytes.NewReader(in.RawBody), bundle.MaxBytes)
	switch {
	case errors.Is(err, blob.ErrHashMismatch):
		return nil, fault.Wrap(err, fault.Invalid, "the bytes that came are not those of this hash").WithCode("artefact_invalid").WithHint("upload it again: it was damaged or cut off on the way")
	case errors.Is(err, blob.ErrTooLarge):
		return nil, fault.Wrap(err, fault.Invalid, "the artefact is too large").WithCode("body_too_large").WithHint("send less")
	}
	return nil, err
}
