// Package gateway is the data plane: it admits or refuses each request and
// runs the handler of those that it admits.
//
// [Gateway] is an http.Handler; serve.go lists the eight steps of a request.
// Steps 1 to 5 read one immutable snapshot of keys and functions and touch
// memory only, but for the body and the mark of a signed callback and the next
// block of a key's quota; follow.go keeps the snapshot in step with the store.
// A request that is refused never reaches a worker. When in doubt the answer is
// no.
package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/feed"
	"postern.dev/postern/internal/funclog"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/redact"
	"postern.dev/postern/internal/signature"
	"postern.dev/postern/internal/signin"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/telemetry"
	"postern.dev/postern/internal/traffic"
	"postern.dev/postern/internal/usage"
	"postern.dev/postern/internal/websocket"
)

// Invoker runs deployments. *supervisor.Supervisor is one.
type Invoker interface {
	// Acquire gives a lease on a worker of a deployment, or
	// supervisor.ErrRetired when another deployment has taken over.
	Acquire(ctx context.Context, deploymentID string) (supervisor.Lease, error)
	// AcquireSocket does so for a WebSocket.
	AcquireSocket(ctx context.Context, deploymentID string) (supervisor.Lease, error)
	// Retire ends a deployment that no request will be routed to any more.
	Retire(deploymentID string)
}

// Files opens the files that deployments serve. *deploy.Deployer is one.
type Files interface {
	// OpenFile opens the file of a name, "public/logo.png", as it was deployed.
	OpenFile(ctx context.Context, d platform.Deployment, name string) (*os.File, error)
}

// AccessLog says which requests get a line.
type AccessLog string

// The access-log settings.
const (
	AccessLogAll    AccessLog = "all"
	AccessLogErrors AccessLog = "errors" // status 400 and up
	AccessLogOff    AccessLog = "off"
)

// Options are the gateway's settings. A zero field takes the default that is
// named beside it.
type Options struct {
	BaseDomain string        // "localhost": functions answer at <slug>.<BaseDomain>
	Timeout    time.Duration // 30 s: of an invocation, where its handler sets none
	BodyLimit  int64         // 6 MiB: of a request, where its handler sets none
	// Message is the longest message that a handler's WebSocket takes, and Ping
	// how long its caller may be silent before it is asked whether it is there.
	Message   int64         // 1 MiB
	Ping      time.Duration // 30 s
	AccessLog AccessLog     // AccessLogAll
	// Access is where access lines go; nil discards them. Log is for the rest.
	Access  *slog.Logger
	Log     *slog.Logger
	Metrics *telemetry.Metrics
	// Tracer exports what requests did; nil traces none.
	Tracer *telemetry.Tracer
	// Live is the values that functions have, which are not written into an access
	// line; nil: none are known.
	Live *redact.Live
	// Auth recognises callers; nil knows no tokens. Uses is told which keys
	// were used.
	Auth *auth.Authenticator
	Uses *auth.Uses
	// Quotas is where the quotas of keys are shared; nil counts them here alone.
	Quotas Quotas
	// URL is where callers reach the gateway (Public: it was set, so another
	// host in a request is a proxy's), Issuer who makes their tokens,
	// and URLs the addresses of a function with a slug, that below URL first.
	URL    string
	Public bool
	Issuer string
	URLs   func(slug string) []string
	// Only is the ID of a function that answers at every host and path, also if
	// it is private; empty: functions answer at their addresses.
	Only string
	// Open is asked about each request from outside that nothing guards, with the
	// name of its handler and the pattern of its route, where there are such; an error
	// refuses it. nil: all are let in.
	Open func(r *http.Request, handler, pattern string) error
	// Problem answers with a refusal or a failure and returns what it said; nil:
	// httpx.WriteProblem.
	Problem func(w http.ResponseWriter, r *http.Request, err error, requestID string) httpx.Problem
	// Secrets is asked for what callbacks are verified with, and users sign in
	// with, before the variables of the deployment; nil knows nothing. Changed is
	// told of functions whose secrets may be others now; nil: nobody is. Callbacks
	// remembers callbacks; nil is a memory of this process.
	Secrets   Secrets
	Changed   func(functionIDs ...string)
	Callbacks signature.Memory
	// SignInKey makes the keys of functions' own users; zero: one that ends with
	// this process. EndSession ends a session on every node; nil: here only.
	SignInKey  signin.Key
	EndSession func(ctx context.Context, session platform.RevokedToken) error
	// RefusalsPerAddress is how many refusals a second an address gets at once;
	// more of them wait. 0: none does.
	RefusalsPerAddress int
	// Audit takes refusals; nil keeps none.
	Audit *audit.Recorder
	// Own are the addresses at which the server listens: no upstream may be there.
	Own []netip.AddrPort
	// Files opens what functions serve as files; nil: there are none.
	Files Files
	// Taken reports whether a worker listens at an address: likewise. nil: none.
	Taken func(netip.AddrPort) bool
	// Logs takes what became of calls, while somebody looks; nil takes nothing.
	Logs *funclog.Book
	// Usage counts what ran; nil counts nothing.
	Usage *usage.Meter
	// Traffic is told of each call; nil: nobody is.
	Traffic *traffic.Book
	// Feed is told of what has changed, once it is in the snapshot; nil: nobody is.
	Feed *feed.Feed
	// Tunnel bounds calls through tunnels.
	Tunnel TunnelLimits
}

// Gateway is safe for concurrent use. It refuses everything until it is loaded.
type Gateway struct {
	options  Options
	invoker  Invoker
	access   *slog.Logger
	log      *slog.Logger
	metrics  *telemetry.Metrics
	snapshot atomic.Pointer[snapshot]
	pool     sync.Pool // of *exchange
	passed   memory    // the last requests that were let through
	refused  memory    // and the last that were not
	slow     *slow
	limits   limits
	blocks   sync.Map // of a key's ID to the *limit.Quota of which a block was taken
	proxies  proxies
	tunnels  sync.Map // of a name to the *target of a tunnel
	sessions sessions
	watch    websocket.Watch // of handlers' WebSockets
	fields   fields
	decided  *decided
	desk     *signin.Desk
	sealed   atomic.Bool // a secret did not open

	mu         sync.Mutex
	loaded     bool          // guarded by mu
	changed    chan struct{} // closed at each new snapshot; guarded by mu
	staleSince time.Time     // guarded by mu
	readAt     time.Time     // when the changes were last read to their end; guarded by mu
}

// New makes a gateway.
func New(o Options, invoker Invoker) *Gateway {
	if o.BaseDomain == "" {
		o.BaseDomain = "localhost"
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.BodyLimit == 0 {
		o.BodyLimit = 6 << 20
	}
	if o.Message == 0 {
		o.Message = 1 << 20
	}
	if o.Access == nil || o.AccessLog == "" {
		o.AccessLog = AccessLogAll
	}
	if o.Access == nil {
		o.AccessLog = AccessLogOff
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = telemetry.NewMetrics()
	}
	if o.Auth == nil {
		o.Auth = auth.NewAuthenticator("")
	}
	if o.Uses == nil {
		o.Uses = new(auth.Uses)
	}
	if o.Callbacks == nil {
		o.Callbacks = signature.NewReplays(rememberedCallbacks)
	}
	if o.URLs == nil {
		o.URLs = func(slug string) []string { return []string{o.URL + "/fn/" + slug} }
	}
	if o.Problem == nil {
		o.Problem = func(w http.ResponseWriter, _ *http.Request, err error, requestID string) httpx.Problem {
			return httpx.WriteProblem(w, err, requestID)
		}
	}
	if o.SignInKey == (signin.Key{}) {
		o.SignInKey = signin.RandomKey()
	}
	g := &Gateway{options: o, slow: newSlow(o.RefusalsPerAddress), desk: signin.NewDesk(), invoker: invoker, access: o.Access, log: o.Log, metrics: o.Metrics, decided: newDecided(o.Metrics), changed: make(chan struct{})}
	g.watch.Every = o.Ping
	g.pool.New = func() any { return &exchange{body: make([]byte, 0, 4096)} }
	g.snapshot.Store(emptySnapshot())
	return g
}
