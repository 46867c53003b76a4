package admin

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
)

// front gives each request its ID and answers what no operation takes.
type front struct {
	mux *http.ServeMux
	log *slog.Logger
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, given := httpx.NewRequestID(), r
	w.Header()["X-Request-Id"] = []string{id}
	r = r.WithContext(context.WithValue(r.Context(), requestIDKey, id))
	sent := &answer{ResponseWriter: w, rpc: takesRPCErrors(r.URL.EscapedPath())}
	defer sent.finish()
	defer f.recovered(sent, r, id)
	w = sent
	h, pattern := f.mux.Handler(r)
	if pattern != "" && path.Clean(r.URL.Path) == r.URL.Path {
		given.Pattern = pattern // as the mux does, for those who wrap this handler
		f.mux.ServeHTTP(w, r)
		return
	}
	err := fault.New(fault.NotFound, "the control plane has nothing at this path").WithHint("GET /openapi.json lists the operations")
	// The mux would send a path that is not clean elsewhere, which nobody needs
	// here; and h may be an operation, found by a path whose dots were encoded:
	// it must not run. Without a pattern the mux would answer in plain text:
	// take its status and say it our way.
	if pattern == "" {
		probe := &statusOnly{header: http.Header{}}
		if h.ServeHTTP(probe, r); probe.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", probe.header.Get("Allow"))
			err = fault.New(fault.Invalid, "this path takes other methods").WithCode("method_not_allowed").WithHint("see the Allow header")
		}
	}
	httpx.WriteProblem(w, err, id)
}

// recovered answers for an operation that panicked; a half-sent answer is cut
// off, so that nobody takes it for a whole one.
func (f *front) recovered(w *answer, r *http.Request, id string) {
	failed := recover()
	if failed == nil {
		return
	}
	if r.Context().Err() == nil { // else the caller is gone, and the write failed
		f.log.Error("control operation panicked", "requestId", id, "panic", failed, "stack", string(debug.Stack()))
	}
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	httpx.WriteProblem(w, fault.New(fault.Internal, "an operation panicked"), id)
}

type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
