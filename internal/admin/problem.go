package admin

import (
	"context"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
)

// problem is an error that huma answers with as it stands.
type problem struct{ httpx.Problem }

func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) Error() string             { return p.Problem.Error() }
func (p *problem) ContentType(string) string { return httpx.ContentType }

// tell turns an operation's error into its answer. What is internal goes to
// the log, once, and not to the caller.
func (s *service) tell(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	p := &problem{httpx.ProblemOf(err, requestID(ctx))}
	noteCode(ctx, p.Code)
	if p.Status >= 500 {
		s.o.Log.Error("control operation failed", "requestId", requestID(ctx), "code", p.Code, "error", err)
	}
	if after := httpx.AfterOf(err, p.Status); after != nil {
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": after})
	}
	return p
}

// problemOf gives huma's own errors, such as those of validation, our shape.
func problemOf(ctx huma.Context, status string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	f := fault.New(fault.Invalid, model.Detail)
	switch {
	case model.Status == http.StatusRequestEntityTooLarge:
		f = f.WithCode("body_too_large").WithHint("send less")
	case model.Status == http.StatusRequestTimeout:
		f = f.WithHint("send the body faster")
	case model.Status >= 500:
		f.Kind = fault.Internal
	}
	quiet := ctx.Operation().Metadata[carriesSecrets] != nil
	for _, d := range model.Errors {
		f.Text += "; " + d.Message
		if d.Location != "" && !quiet {
			f.Text += " (" + d.Location + ")"
		}
	}
	f.Text = string(accesskey.Redact([]byte(f.Text))) // it names what was sent
	p := httpx.ProblemOf(f, requestID(ctx.Context()))
	noteCode(ctx.Context(), p.Code)
	p.Status, _ = strconv.Atoi(status)
	return &problem{p}, nil
}

// documentErrors gives the document the shape in which each operation tells of
// errors; huma would describe its own.
func documentErrors(doc *huma.OpenAPI) {
	content := func(contentType string, of any) map[string]*huma.MediaType {
		t := reflect.TypeOf(of)
		return map[string]*huma.MediaType{contentType: {Schema: doc.Components.Schemas.Schema(t, true, t.Name())}}
	}
	for path, item := range doc.Paths {
		errors := content(httpx.ContentType, httpx.Problem{})
		rpc := takesRPCErrors(path)
		if rpc {
			errors = content("application/json", RPCError{})
		}
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete, item.Head, item.Patch} {
			if op == nil {
				continue
			}
			for status, res := range op.Responses {
				if status >= "400" {
					res.Content = errors
				}
			}
			if malformed := op.Responses["422"]; rpc && malformed != nil {
				delete(op.Responses, "422")
				op.Responses["400"] = malformed
				malformed.Description = http.StatusText(http.StatusBadRequest)
			}
		}
	}
}

// register registers an operation with its common parts.
func register[In, Out any](s *service, op huma.Operation, f func(context.Context, *In) (*Out, error)) {
	op.Errors = append(op.Errors, 401, 403, 429)
	op.Tags = []string{tagOf(op.Path)}
	op.MaxBodyBytes = max(op.MaxBodyBytes, 64<<10)
	huma.Register(s.api, op, func(ctx context.Context, in *In) (*Out, error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, s.tell(ctx, err)
		}
		return out, nil
	})
}
