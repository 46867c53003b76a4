package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/blob"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
)

// Uploads keeps artefacts that come in pieces. *blob.Parts is one.
type Uploads interface {
	Offset(ctx context.Context, projectID, hash string) (at int64, whole bool, err error)
	Append(ctx context.Context, projectID, hash string, offset, length int64, piece []byte) (at int64, whole bool, err error)
}

// maxPiece is the most that one request adds to an upload.
const maxPiece = 8 << 20

func (s *service) registerUploads() {
	const one = "/v1/projects/{projectId}/artefacts/{hash}/upload"
	register(s, huma.Operation{OperationID: "getUpload", Method: http.MethodGet, Path: one, Summary: "How much of an artefact was uploaded"}, s.getUpload)
	register(s, huma.Operation{OperationID: "continueUpload", Method: http.MethodPatch, Path: one, Summary: "Upload an artefact in pieces",
		Description: fmt.Sprintf("The body is the next piece, of %d MiB at most. It must begin where the one before ended; where that is, getUpload tells, and the answer to each piece. Of a piece that is cut off, what came is kept. What nobody goes on with is forgotten after a day.", maxPiece>>20),
		Errors:      []int{400, 409, 413}, Metadata: map[string]any{readsOnly: true}, // of a deploy nothing yet: each piece is not worth an event
		RequestBody: binary()}, s.continueUpload)
}

func (s *service) getUpload(ctx context.Context, in *ArtefactPath) (*body[api.Upload], error) {
	at, whole, err := s.o.Uploads.Offset(ctx, in.ProjectID, in.Hash)
	return &body[api.Upload]{api.Upload{Offset: at, Complete: whole}}, err
}

// Piece is a part of an artefact on its way.
type Piece struct {
	Upload
	Offset int64 `query:"offset" required:"true" minimum:"0" doc:"Of the piece's first byte."`
	Length int64 `query:"length" required:"true" minimum:"1" doc:"Of the whole artefact."`
}

func (s *service) continueUpload(ctx context.Context, in *Piece) (*body[api.Upload], error) {
	var piece bytes.Buffer
	_, cut := piece.ReadFrom(io.LimitReader(in.from, maxPiece+1))
	if in.Length > bundle.MaxArchive || piece.Len() > maxPiece {
		return nil, uploadFault(blob.ErrTooLarge, nil)
	}
	if cut != nil { // the caller is gone and comes back for the rest
		ctx = context.WithoutCancel(ctx)
	}
	at, whole, err := s.o.Uploads.Append(ctx, in.ProjectID, in.Hash, in.Offset, in.Length, piece.Bytes())
	if moved, ok := errors.AsType[*blob.OffsetError](err); ok {
		return nil, fault.Wrap(err, fault.Conflict, moved.Error()).WithCode("upload_moved")
	}
	if err = uploadFault(err, nil); err == nil && cut != nil {
		err = uploadFault(cut, cut)
	}
	return &body[api.Upload]{api.Upload{Offset: at, Complete: whole}}, err
}
