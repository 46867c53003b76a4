package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
)

type contextKey int

const (
	requestIDKey contextKey = iota
	principalKey
)

func requestID(ctx context.Context) string { s, _ := ctx.Value(requestIDKey).(string); return s }

func principal(ctx context.Context) auth.Principal {
	p, _ := ctx.Value(principalKey).(auth.Principal)
	return p
}

// guard stands before every operation: it recognises the caller, decides, and
// records, before any input is read. An operation with a project in its path
// is for keys of that project; another project is answered the same whether it
// exists or not.
func (s *service) guard(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	began := time.Now()
	p, err := s.decide(r, ctx.Param("projectId"))
	if err != nil {
		if fault.KindOf(err) == fault.Unauthenticated {
			w.Header()[auth.ChallengeHeader] = []string{auth.Challenge(err, "")}
		}
		problem := httpx.WriteProblem(w, err, requestID(r.Context()))
		s.record(r, ctx.Operation().OperationID, p, problem.Status, began)
		return
	}
	defer func() { s.record(r, ctx.Operation().OperationID, p, ctx.Status(), began) }() // also of one that panics
	next(huma.WithValue(ctx, principalKey, p))
}

func (s *service) decide(r *http.Request, projectID string) (auth.Principal, error) {
	if err := auth.CheckDuplicates(r.Header); err != nil {
		return auth.Principal{}, err
	}
	p, err := s.o.Auth.Authenticate(s.o.Directory(), s.shown(r))
	if errors.Is(err, auth.ErrNone) { // its text is about handlers
		err = fault.Wrap(err, fault.Unauthenticated, "the control plane needs an access key, and the request shows none")
	}
	if err != nil {
		return p, err
	}
	if projectID == "" { // the operation is about the caller
		projectID = p.ProjectID()
	}
	return p, auth.Decide(p, auth.Need{ProjectID: projectID, Scope: platform.ScopeControl, RemoteAddr: r.RemoteAddr})
}

// shown is what the caller's credentials are checked against.
func (s *service) shown(r *http.Request) *auth.Request {
	in := &auth.Request{Header: r.Header, Method: r.Method, Origin: s.o.Issuer, Path: r.URL.EscapedPath(), Audiences: []string{s.o.Issuer}, Now: time.Now()}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		in.Cert = r.TLS.PeerCertificates[0]
	}
	return in
}

// record writes down who asked for what, and what became of it.
func (s *service) record(r *http.Request, operation string, p auth.Principal, status int, began time.Time) {
	if status == 0 { // it panicked before it answered
		status = http.StatusInternalServerError
	}
	attrs := []slog.Attr{slog.String("requestId", requestID(r.Context())), slog.String("operation", operation), slog.String("path", r.URL.Path),
		slog.Int("status", status), slog.Duration("took", time.Since(began)), slog.String("remote", r.RemoteAddr)}
	if id := p.ID(); id != "" {
		attrs = append(attrs, slog.String("keyId", id))
	}
	s.o.Log.LogAttrs(r.Context(), slog.LevelInfo, "control", attrs...)
}
