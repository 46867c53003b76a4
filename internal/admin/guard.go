package admin

import (
	"context"
	"errors"
	"fmt"
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
// is for keys of that project and of its parent; another project is answered
// the same whether it exists or not.
func (s *service) guard(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	began := time.Now()
	p, err := s.decide(r, ctx.Param("projectId"), ctx.Param("subprojectId"))
	if err != nil {
		if fault.KindOf(err) == fault.Unauthenticated && !auth.BySession(r.Context()) { // a browser would ask for a password
			w.Header()[auth.ChallengeHeader] = []string{auth.Challenge(err, "")}
		}
		problem := httpx.WriteProblem(w, err, requestID(r.Context()))
		if problem.Status >= 500 {
			s.o.Log.Error("control operation failed", "requestId", requestID(r.Context()), "code", problem.Code, "error", err)
		}
		s.record(r, ctx.Operation().OperationID, p, problem.Status, began)
		s.refused(ctx, p, problem)
		return
	}
	defer func() { s.record(r, ctx.Operation().OperationID, p, w.(*answer).status, began) }() // also of one that panics
	s.act(ctx, p, next)
}

func (s *service) decide(r *http.Request, projectID, subprojectID string) (auth.Principal, error) {
	if err := auth.CheckDuplicates(r.Header); err != nil {
		return auth.Principal{}, err
	}
	p, err := s.recognise(r, s.shown(r))
	if errors.Is(err, auth.ErrNone) { // its text is about handlers
		err = fault.Wrap(err, fault.Unauthenticated, "the control plane needs an access key, and the request shows none")
	}
	if err != nil {
		return p, err
	}
	if err := s.unhurried(p, time.Now()); err != nil {
		return p, err
	}
	err = s.allowed(r, p, projectID+subprojectID) // a path has one of them at most
	if subprojectID != "" && errors.Is(err, auth.ErrProject) {
		err = errNoSubproject
	}
	if err == nil && p.Key != nil {
		s.o.Uses.Mark(p.Key, time.Now())
	}
	return p, err
}

// recognise says who asks: whose session the request's context has, and without
// one who shows credentials. Both at once are refused, as any two are.
func (s *service) recognise(r *http.Request, in *auth.Request) (auth.Principal, error) {
	p, there, err := auth.FromSession(r.Context(), in.Now)
	switch {
	case !there:
		return s.o.Auth.Authenticate(s.o.Directory(), in)
	case len(r.Header["Authorization"]) > 0 || len(r.Header["X-Api-Key"]) > 0:
		return auth.Principal{}, errBeside
	}
	return p, err
}

var errBeside = fault.New(fault.Invalid, "the request shows a credential beside its session").WithCode("conflicting_credentials")

// allowed decides whether a caller may do something in a project; empty: what is
// about the caller.
func (s *service) allowed(r *http.Request, p auth.Principal, projectID string) (err error) {
	need := auth.Need{ProjectID: projectID, Scope: platform.ScopeControl, RemoteAddr: r.RemoteAddr}
	switch need.ProjectID {
	case p.ProjectID():
	case "":
		need.ProjectID = p.ProjectID()
	default:
		if need.ParentID, err = s.parentOf(r.Context(), need.ProjectID); err != nil {
			return err
		}
	}
	return auth.Decide(p, need)
}

// still takes a request that stays, and was let in at a time, through the decision
// again: a credential that has run out, or that is another's now, opens nothing any
// more. The principal is as it is now.
func (s *service) still(r *http.Request, before auth.Principal, projectID string, began time.Time) (auth.Principal, error) {
	shown := s.shown(r)
	shown.Proven, shown.ProvenAt = true, began // of this very request
	p, err := s.recognise(r, shown)
	if err == nil && p.ID() != before.ID() {
		err = auth.ErrProject
	}
	if err == nil {
		err = s.allowed(r, p, projectID)
	}
	return p, err
}

// shown is what the caller's credentials are checked against.
func (s *service) shown(r *http.Request) *auth.Request {
	in := &auth.Request{Header: r.Header, Method: r.Method, Origin: httpx.Origin(r, s.o.Issuer), Path: r.URL.EscapedPath(), Audiences: []string{s.o.Issuer}, Now: time.Now()}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		in.Cert = r.TLS.PeerCertificates[0]
	}
	return in
}

// parentOf is the parent of a project; empty for one that has none and for one
// that is not there, which is so refused like one that is foreign.
func (s *service) parentOf(ctx context.Context, projectID string) (string, error) {
	if !projectPattern.MatchString(projectID) {
		return "", nil
	}
	p, err := s.o.Store.Project(ctx, projectID)
	if fault.KindOf(err) == fault.NotFound {
		return "", nil
	}
	return p.ParentID, err
}

// unhurried refuses a key that shows its bare secret too often. That is for
// trying things out: each such call carries a credential that does not expire.
func (s *service) unhurried(p auth.Principal, now time.Time) error {
	if p.Method != auth.MethodBasic && p.Method != auth.MethodAPIKey {
		return nil
	}
	wait, ok := s.bare.Allow(p.ID(), now)
	if ok {
		return nil
	}
	return httpx.Later(fault.New(fault.TooMany, fmt.Sprintf("calls that show a bare secret are limited to %d a second; get a token at POST /oauth2/token, whose calls are not", s.o.BasicRate)).WithCode("basic_limited"), wait)
}

// record writes down who asked for what, and what became of it.
func (s *service) record(r *http.Request, operation string, p auth.Principal, status int, began time.Time) {
	if status == 0 { // it panicked before it answered
		status = http.StatusInternalServerError
	}
	attrs := []slog.Attr{slog.String("requestId", requestID(r.Context())), slog.String("operation", operation), slog.String("path", r.URL.Path),
		slog.Int("status", status), slog.Duration("took", time.Since(began)), slog.String("remote", r.RemoteAddr)}
	if p.User != nil {
		attrs = append(attrs, slog.String("userId", p.User.ID))
	} else if id := p.ID(); id != "" {
		attrs = append(attrs, slog.String("keyId", id))
	}
	s.o.Log.LogAttrs(r.Context(), slog.LevelInfo, "control", attrs...)
}
