package app

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/console"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signin"
)

// phase is where the server stands between start and end.
type phase int32

const (
	starting phase = iota
	serving
	stopping
)

// readiness is the body of /readyz. Ready means that calls are served: a server
// whose store is away serves what it knows, so it is ready and says how old that
// is. What all nodes of an installation would suffer from at the same time makes
// none of them unready, or a load balancer would be left with no node at all.
type readiness struct {
	Ready    bool   `json:"ready"`
	Phase    string `json:"phase"` // starting, serving, stopping
	Snapshot string `json:"snapshot"`
	Sequence int64  `json:"sequence"`
	Store    string `json:"store"`
	// StaleSince is when the snapshot was last known to be current; absent while it is.
	StaleSince *time.Time `json:"staleSince,omitempty"`
	// Degraded are the parts that do not do all that they should, while calls
	// are served all the same; absent while there are none.
	Degraded []trouble `json:"degraded,omitempty"`
}

// trouble is what is wrong with a part. It tells no reason: that is in the log,
// and whoever asks here showed no key.
type trouble struct {
	Part   string     `json:"part"`
	Effect string     `json:"effect"`
	Since  *time.Time `json:"since,omitempty"`
}

// snapshotState is what the gateway says of its snapshot.
type snapshotState struct {
	loaded     bool
	staleSince time.Time // zero: current
	seq        int64
}

// health answers what machines ask of the control listener.
type health struct {
	phase    atomic.Int32
	snapshot func() snapshotState
	ping     func(context.Context) error
	parts    func() []trouble
}

func (h *health) enter(p phase) { h.phase.Store(int32(p)) }

// routes adds the health endpoints to the control plane's mux. None of them
// asks for a key: they tell nothing of functions or callers.
func (h *health) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]bool{"live": true})
	})
	mux.HandleFunc("GET /readyz", h.ready)
	mux.HandleFunc("GET /{$}", index)
}

func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	body := h.look(r.Context())
	status := http.StatusOK
	if !body.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, body)
}

// look finds out how ready the server is.
func (h *health) look(ctx context.Context) readiness {
	p, s := phase(h.phase.Load()), h.snapshot()
	body := readiness{Ready: p == serving && s.loaded, Phase: [...]string{"starting", "serving", "stopping"}[p], Snapshot: "loading", Sequence: s.seq, Store: "reachable"}
	if s.loaded {
		body.Snapshot = "loaded"
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := h.ping(ctx); err != nil {
		body.Store = "away"
		body.Degraded = append(body.Degraded, trouble{Part: "store", Effect: "calls are served from memory; nothing can be changed"})
	}
	if !s.staleSince.IsZero() {
		at := s.staleSince.UTC()
		body.StaleSince = &at
	}
	if len(body.Degraded) > 0 {
		body.Degraded[0].Since = body.StaleSince
	}
	body.Degraded = append(body.Degraded, h.parts()...)
	return body
}

// index leads people to the console, and tells programs what is here.
func index(w http.ResponseWriter, r *http.Request) {
	if signin.Navigates(r.Header) {
		http.Redirect(w, r, console.Dir+"/", http.StatusSeeOther)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("Postern's control plane.\n\n" +
		"/v1/           the API; send an access key with the scope \"control\"\n" +
		"/openapi.json  what it offers\n" +
		"/schemas/postern.json  the schema of manifests, for editors\n" +
		"/oauth2/token  access tokens, for POST with an access key\n" +
		"/livez         200 while the process lives\n" +
		"/readyz        200 while the gateway answers\n" +
		"/metrics       for Prometheus, on this machine\n\n" +
		"Functions are on the other listener.\n"))
}

// loopbackOnly hides h from callers on other machines: both who called and the
// peer of the connection must be on this one, so that neither a proxy here lets
// others in nor a proxy elsewhere says that it speaks for somebody here.
func loopbackOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.RemoteAddr) || !loopback(httpx.Peer(r)) {
			httpx.WriteProblem(w, fault.New(fault.NotFound, "this is answered to callers on this machine only"), httpx.NewRequestID())
			return
		}
		h.ServeHTTP(w, r)
	})
}

func loopback(remote string) bool {
	return platform.CallerAddr(remote).IsLoopback()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
