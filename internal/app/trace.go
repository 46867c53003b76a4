package app

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/telemetry"
)

func (s *Server) openTracer() (err error) {
	if s.cfg.TraceEndpoint == "" {
		return nil
	}
	s.tracer, err = telemetry.NewTracer(telemetry.TraceOptions{Endpoint: s.cfg.TraceEndpoint, Ratio: s.cfg.TraceSample, Parent: telemetry.ParentPolicy(s.cfg.TraceParent),
		Version: s.version, Lost: func(n int) { s.metrics.SpansLost.Add(float64(n)) }, Log: s.log,
		Redact: func(text string) string { return s.live.Set().String(text) }})
	if err == nil {
		s.opened(s.tracer.Close)
	}
	return err
}

// workerStarted counts and traces the start of a worker: each of them, for they
// are few, and the callers that wait for one are many.
func (s *Server) workerStarted(functionID string, took time.Duration, err error) {
	s.metrics.Started(took, err)
	now := time.Now()
	r := telemetry.Record{Name: "start worker", Began: now.Add(-took), Ended: now, Attrs: []slog.Attr{slog.String("postern.function_id", functionID)}}
	if err != nil {
		r.Failure = "start_failed"
	}
	s.tracer.Tell(new(telemetry.Place), r)
}

// tracedControl traces what changes something on the control plane, unless it
// was refused: nobody unknown can make a trace.
func (s *Server) tracedControl(next http.Handler) http.Handler {
	if s.tracer == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead || !strings.HasPrefix(r.URL.Path, "/v1/") {
			next.ServeHTTP(w, r)
			return
		}
		began, done := time.Now(), new(deeds)
		r = r.WithContext(context.WithValue(r.Context(), deedsKey{}, done))
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		if seen.status >= 400 && seen.status < 500 && len(done.list) == 0 {
			return
		}
		out := telemetry.Record{Name: "control plane", Began: began, Ended: time.Now(), Server: true, Steps: done.list,
			Attrs: []slog.Attr{slog.String("http.request.method", r.Method), slog.Int("http.response.status_code", seen.status), slog.String("postern.request_id", w.Header().Get("X-Request-Id"))}}
		if r.Pattern != "" && r.Pattern != "/" {
			out.Name = r.Pattern // the method and the path with its parameters' names
		}
		if seen.status >= http.StatusInternalServerError {
			out.Failure = http.StatusText(seen.status)
		}
		place := s.tracer.Always()
		s.tracer.Tell(&place, out)
	})
}

// statusWriter notes the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what is below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// deeds are the parts of a request of the control plane that took their time.
type deeds struct {
	mu   sync.Mutex
	list []telemetry.Record // guarded by mu
}

type deedsKey struct{}

// note adds what was done to the request that ctx is of.
func note(ctx context.Context, r telemetry.Record, err error) {
	d, ok := ctx.Value(deedsKey{}).(*deeds)
	if !ok {
		return
	}
	if r.Ended = time.Now(); err != nil {
		r.Failure = httpx.CodeOf(err).Code
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, r)
}

// tracedDeployer notes deploys.
type tracedDeployer struct{ *deploy.Deployer }

// Deploy deploys.
func (d tracedDeployer) Deploy(ctx context.Context, in deploy.Request) (deploy.Result, error) {
	began := time.Now()
	result, err := d.Deployer.Deploy(ctx, in)
	r := telemetry.Record{Name: "deploy", Began: began}
	if err == nil {
		r.Attrs = []slog.Attr{slog.String("postern.function", result.Function.Slug), slog.String("postern.deployment", result.Deployment.ID)}
	}
	note(ctx, r, err)
	return result, err
}

// Promote promotes.
func (d tracedDeployer) Promote(ctx context.Context, in deploy.Shift) (deploy.Result, error) {
	return shifted(ctx, "promote", in, d.Deployer.Promote)
}

// RollBack rolls back.
func (d tracedDeployer) RollBack(ctx context.Context, in deploy.Shift) (deploy.Result, error) {
	return shifted(ctx, "roll back", in, d.Deployer.RollBack)
}

func shifted(ctx context.Context, name string, in deploy.Shift, do func(context.Context, deploy.Shift) (deploy.Result, error)) (deploy.Result, error) {
	began := time.Now()
	result, err := do(ctx, in)
	r := telemetry.Record{Name: name, Began: began}
	if err == nil {
		r.Attrs = []slog.Attr{slog.String("postern.function", result.Function.Slug), slog.String("postern.deployment", result.Deployment.ID)}
	}
	note(ctx, r, err)
	return result, err
}

// Delete deletes.
func (d tracedDeployer) Delete(ctx context.Context, projectID, name string) (platform.Function, error) {
	began := time.Now()
	f, err := d.Deployer.Delete(ctx, projectID, name)
	note(ctx, telemetry.Record{Name: "delete", Began: began, Attrs: []slog.Attr{slog.String("postern.function", f.Slug)}}, err)
	return f, err
}
