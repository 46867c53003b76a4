package admin

import (
	"context"
	"errors"
	"fmt"
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
	Read(ctx context.Context, projectID, hash string) ([]byte, error)
}

func (s *service) registerArtefacts() {
	const one = "/v1/projects/{projectId}/artefacts/{hash}"
	register(s, huma.Operation{OperationID: "hasArtefact", Method: http.MethodHead, Path: one, Summary: "Whether an artefact was uploaded", DefaultStatus: 204, Errors: []int{404}}, s.hasArtefact)
	register(s, huma.Operation{OperationID: "putArtefact", Method: http.MethodPut, Path: one, Summary: "Upload an artefact",
		Description: "The body is the artefact; its SHA-256 must be the hash in the path.", DefaultStatus: 204, Errors: []int{400, 413},
		RequestBody: binary()}, s.putArtefact)
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

// Upload is an artefact on its way. Its body is read by the operation itself:
// the store keeps one copy of it in memory, and there need be no other.
type Upload struct {
	ArtefactPath
	from *incoming
}

// uploadTimeout is how long the bytes of an artefact may take to come.
const uploadTimeout = time.Minute

// Resolve takes the body; huma calls it before the operation.
func (u *Upload) Resolve(ctx huma.Context) []error {
	u.from = &incoming{Reader: ctx.BodyReader()}
	if err := ctx.SetReadDeadline(time.Now().Add(uploadTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return []error{err}
	}
	return nil
}

// incoming remembers why reading ended, which is the caller's doing and not
// the store's.
type incoming struct {
	io.Reader
	err error
}

func (r *incoming) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

func (s *service) putArtefact(ctx context.Context, in *Upload) (*struct{}, error) {
	err := s.o.Artefacts.Put(ctx, in.ProjectID, in.Hash, in.from, bundle.MaxArchive)
	return nil, uploadFault(err, in.from.err)
}

// uploadFault tells the caller what is wrong with the bytes that came; cut is why
// reading them ended before their end.
func uploadFault(err, cut error) error {
	switch {
	case err == nil:
		return nil
	case cut != nil:
		return fault.Wrap(cut, fault.Invalid, "the artefact was cut off on the way, or came too slowly").WithCode("body_malformed").WithHint("upload it again")
	case errors.Is(err, blob.ErrHashMismatch):
		return fault.Wrap(err, fault.Invalid, "the bytes that came are not those of this hash").WithCode("artefact_invalid").WithHint("upload it again: it was damaged on the way")
	case errors.Is(err, blob.ErrTooLarge):
		return fault.Wrap(err, fault.Invalid, fmt.Sprintf("the artefact is larger than %d MiB", bundle.MaxArchive>>20)).WithCode("body_too_large").WithHint("deploy less: leave out what the function does not import")
	}
	return err
}
