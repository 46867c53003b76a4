package admin

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"strconv"
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

// challenge asks for credentials; the name is in lower case on purpose (see
// package gateway).
const challenge = `Basic realm="postern", charset="UTF-8"`

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
			w.Header()["www-authenticate"] = []string{challenge}
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
	p, err := auth.Authenticate(s.o.Directory(), r.Header, time.Now())
	if err != nil {
		return p, err
	}
	if projectID == "" { // the operation is about the caller
		projectID = p.Key.ProjectID
	}
	return p, auth.Decide(p, auth.Need{ProjectID: projectID, Scope: platform.ScopeControl, RemoteAddr: r.RemoteAddr})
}

// record writes down who asked for what, and what became of it.
func (s *service) record(r *http.Request, operation string, p auth.Principal, status int, began time.Time) {
	if status == 0 { // it panicked before it answered
		status = http.StatusInternalServerError
	}
	attrs := []slog.Attr{slog.String("requestId", requestID(r.Context())), slog.String("operation", operation), slog.String("path", r.URL.Path),
		slog.Int("status", status), slog.Duration("took", time.Since(began)), slog.String("remote", r.RemoteAddr)}
	if p.Key != nil {
		attrs = append(attrs, slog.String("keyId", p.Key.ID))
	}
	s.o.Log.LogAttrs(r.Context(), slog.LevelInfo, "control", attrs...)
}

// front gives each request its ID and answers what no operation takes.
type front struct {
	mux *http.ServeMux
	log *slog.Logger
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := httpx.NewRequestID()
	w.Header()["X-Request-Id"] = []string{id}
	r = r.WithContext(context.WithValue(r.Context(), requestIDKey, id))
	sent := &started{ResponseWriter: w}
	defer f.recovered(sent, r, id)
	w = sent
	h, pattern := f.mux.Handler(r)
	// The mux would send a path that is not clean elsewhere: nobody needs that here.
	if pattern != "" && path.Clean(r.URL.Path) == r.URL.Path {
		f.mux.ServeHTTP(w, r)
		return
	}
	// The mux would answer in plain text: take its status and say it our way.
	probe := &statusOnly{header: http.Header{}}
	h.ServeHTTP(probe, r)
	err := fault.New(fault.NotFound, "the control plane has nothing at this path").WithHint("GET /openapi.json lists the operations")
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.header.Get("Allow"))
		err = fault.New(fault.Invalid, "this path takes other methods").WithCode("method_not_allowed").WithHint("see the Allow header")
	}
	httpx.WriteProblem(w, err, id)
}

// recovered answers for an operation that panicked; a half-sent answer is cut
// off, so that nobody takes it for a whole one.
func (f *front) recovered(w *started, r *http.Request, id string) {
	failed := recover()
	if failed == nil {
		return
	}
	if r.Context().Err() == nil { // else the caller is gone, and the write failed
		f.log.Error("control operation panicked", "requestId", id, "panic", failed, "stack", string(debug.Stack()))
	}
	if w.yes {
		panic(http.ErrAbortHandler)
	}
	httpx.WriteProblem(w, fault.New(fault.Internal, "an operation panicked"), id)
}

// started knows whether an answer has begun.
type started struct {
	http.ResponseWriter
	yes bool
}

func (s *started) WriteHeader(status int) {
	s.yes = true
	s.ResponseWriter.WriteHeader(status)
}

func (s *started) Write(p []byte) (int, error) {
	s.yes = true
	return s.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController set deadlines.
func (s *started) Unwrap() http.ResponseWriter { return s.ResponseWriter }

type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }

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
	if p.Status >= 500 {
		s.o.Log.Error("control operation failed", "requestId", requestID(ctx), "code", p.Code, "error", err)
	}
	if p.Status == http.StatusServiceUnavailable {
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {"1"}})
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
	for _, d := range model.Errors {
		f.Text += "; " + d.Message
		if d.Location != "" {
			f.Text += " (" + d.Location + ")"
		}
	}
	p := httpx.ProblemOf(f, requestID(ctx.Context()))
	p.Status, _ = strconv.Atoi(status)
	return &problem{p}, nil
}

// register registers an operation with its common parts.
func register[In, Out any](s *service, op huma.Operation, f func(context.Context, *In) (*Out, error)) {
	op.Errors = append(op.Errors, 401, 403)
	op.MaxBodyBytes = max(op.MaxBodyBytes, 64<<10)
	huma.Register(s.api, op, func(ctx context.Context, in *In) (*Out, error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, s.tell(ctx, err)
		}
		return out, nil
	})
}
