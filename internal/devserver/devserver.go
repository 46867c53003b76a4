// Package devserver runs one function for its developer: the gateway, the
// supervisor, the worker and the runtime of production, over a project that is
// built anew whenever it is saved.
//
// [Server] is the type to know. What is not as in production is here and nowhere
// below: the function is at the root of its listener; its state lies beside its
// code; callbacks need no signature unless the manifest says always; and where
// there is no pair of credentials its guarded handlers are open, which [Function]
// tells and whoever shows it must say. Nothing is decided anew of who is let in.
//
// Three doors lead in: the local one, a listener that takes hosts of this machine
// only and has the developer's page below /_postern/; [Server.Outside], for callers
// from elsewhere, to whom there is no such page; and a socket at which the function
// calls itself.
//
// A request that comes after a file was saved is answered by the code that was
// saved, or is told why there is none.
package devserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/oauth"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/state"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/worker"
)

// Options say what to run, and how. The limits are those of production: a zero
// field takes the default of the part that it is for.
type Options struct {
	Dir      string       // of the project
	Listener net.Listener // the local door
	Node     string       // path of Node; empty: found in PATH where it is needed
	// Search is where the function's commands are looked up.
	Search string
	// Home is the home directory of a program; a module has an empty one.
	Home string
	// AnyHost takes requests for hosts that are not this machine's. A page on the
	// web may then reach the function through a name that it lets point here.
	AnyHost bool
	// Settings gives the function its environment; it is asked at each build.
	Settings Resolve
	// Page answers below /_postern/; nil: there is nothing.
	Page func(*Server) http.Handler
	// Inspect is the port of Node's inspector; 0: there is none. With it one
	// worker runs, and no time that a developer takes is held against it.
	Inspect int

	Workers supervisor.Options
	Gateway gateway.Options
	State   state.Options
	// WorkerMemory is what one worker may use where the manifest sets nothing, in
	// bytes; 0: no limit.
	WorkerMemory int64
	// Log is for what concerns the server and not the function.
	Log *slog.Logger
}

// forever is a time limit that does not come.
const forever = 100 * 365 * 24 * time.Hour

// pageDir is where the developer's page is.
const pageDir = "/_postern/"

// Server is one function that is worked on. Make it with New and call Run once.
type Server struct {
	o          Options
	project    *bundle.Project
	runDir     string
	feed       *Feed
	source     *source
	gateway    *gateway.Gateway
	supervisor *supervisor.Supervisor
	kept       *state.Service
	ahead      *worker.Ahead
	watch      *watcher
	calls      *calls
	page       http.Handler
	ready      chan struct{}
	once       sync.Once
	functionID string
	began      time.Time
	ring       *oauth.Ring
	callLn     net.Listener // the internal door
	ownKey     string
	ownSecret  accesskey.Secret
	written    map[string]int // how often a program's build has made a file; of the build loop

	mu       sync.Mutex
	versions map[string]*version // by deployment ID; guarded by mu
	failure  *Failure            // of the last build; nil: it serves; guarded by mu
	current  *version            // that serves; nil: none yet; guarded by mu
	pair     *pair               // guarded by mu
	node     string              // found; guarded by mu
}

// New opens what a project needs. It builds nothing yet: a project that does not
// build can be mended while the server runs.
func New(o Options) (_ *Server, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, feed: newFeed(), ahead: &worker.Ahead{}, ready: make(chan struct{}), versions: map[string]*version{}, functionID: function.NewFunctionID(time.Now())}
	if s.project, err = bundle.OpenProject(o.Dir); err != nil {
		return nil, err
	}
	m, _, err := function.LoadManifest(s.project.Dir())
	if missing(err) {
		return nil, err // there is nothing to mend
	}
	if err == nil && m.Program == nil {
		if s.node, err = worker.FindNode(context.Background(), o.Node); err != nil {
			return nil, err
		}
	}
	if s.runDir, err = newRunDir(); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			return
		}
		if s.watch != nil {
			s.watch.close()
		}
		if s.callLn != nil {
			s.callLn.Close()
		}
		os.RemoveAll(s.runDir)
	}()
	if s.watch, err = newWatcher(s.project.Dir(), s.runDir); err != nil {
		return nil, err
	}
	s.source = newSource(s.functionID)
	s.began = time.Now()
	s.ownKey, s.ownSecret = newOwnKey(s.began)
	if err := s.openInternal(context.Background()); err != nil {
		return nil, err
	}
	s.buildPlanes()
	if o.Page != nil {
		s.page = o.Page(s)
	}
	return s, nil
}

// buildPlanes makes the parts that answer requests.
func (s *Server) buildPlanes() {
	workers := s.o.Workers
	workers.IdleTimeout = forever
	workers.Log, workers.OnGone = s.o.Log, s.gone
	g := s.o.Gateway
	if s.o.Inspect > 0 {
		workers.Workers, workers.PingTimeout, workers.StartTimeout, workers.DrainTimeout, g.Timeout = 1, forever, time.Hour, time.Second, time.Hour
	}
	s.supervisor = supervisor.New(workers, s)
	s.calls = newCalls(s)
	g.BaseDomain, g.URL = "localhost", s.URL()
	g.Only, g.Problem, g.Files, g.Open = s.functionID, s.problem, s, s.opens
	g.URLs = func(string) []string { return []string{s.URL()} }
	g.Auth = auth.NewAuthenticator(issuer)
	g.AccessLog, g.Access = gateway.AccessLogAll, slog.New(s.calls)
	g.Log = s.o.Log
	s.gateway = gateway.New(g, s.supervisor)
	kept := s.o.State
	objects := &objects{dir: filepath.Join(s.project.Dir(), storageDir)}
	kept.Cache, kept.Index, kept.Blobs, kept.Registry, kept.Log = &state.Memory{}, objects, objects, s.source, s.o.Log
	kept.CacheEntries, kept.CacheBytes = cmp.Or(kept.CacheEntries, 100_000), cmp.Or(kept.CacheBytes, 64<<20)
	kept.ObjectBytes, kept.StorageObjects, kept.StorageBytes = cmp.Or(kept.ObjectBytes, 100<<20), cmp.Or(kept.StorageObjects, 100_000), cmp.Or(kept.StorageBytes, 1<<30)
	s.kept = state.New(kept)
}

// URL is where the function answers.
func (s *Server) URL() string {
	a, ok := s.o.Listener.Addr().(*net.TCPAddr)
	if !ok {
		return "http://" + s.o.Listener.Addr().String()
	}
	host := a.IP.String()
	if a.IP.IsLoopback() || a.IP.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(a.Port))
}

// Dir is where the project lies, without links.
func (s *Server) Dir() string { return s.project.Dir() }

// Feed is what happens.
func (s *Server) Feed() *Feed { return s.feed }

// Ready is closed when the first build is over, whether it serves or not, and
// the local door answers.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Function is the function as it serves; nil: no version has yet.
func (s *Server) Function() *Function {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return nil
	}
	return s.current.told
}

// Skipped reports whether guarded handlers are open, for want of credentials. It
// holds as well while nothing is known.
func (s *Server) Skipped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current == nil || s.current.skipped
}

// Authorize makes a request one of the holder of the pair; false: there is none.
func (s *Server) Authorize(h http.Header) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pair == nil {
		return false
	}
	h.Set("Authorization", s.pair.basic)
	return true
}

// Run serves until ctx ends, then ends everything: calls in flight have a moment.
func (s *Server) Run(ctx context.Context) error {
	defer os.RemoveAll(s.runDir)
	defer s.project.Close()
	if err := s.gateway.Load(ctx, s.source); err != nil {
		return errors.Join(err, s.watch.close())
	}
	behind, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var parts errgroup.Group
	parts.Go(func() error { return s.gateway.Follow(behind, s.source, s.source.bell) })
	parts.Go(func() error { return s.kept.Run(behind) })
	parts.Go(func() error { return s.ring.Run(behind) })
	inner := httpx.Server{Listener: s.callLn, Handler: s.internal(), Limits: callLimits, Drain: drain, Log: s.o.Log}
	parts.Go(func() error { return inner.Serve(behind) })
	workers := make(chan error, 1)
	inside, stopWorkers := context.WithCancel(behind)
	defer stopWorkers()
	go func() { workers <- s.supervisor.Run(inside) }()
	doors, doorCtx := errgroup.WithContext(ctx)
	doors.Go(func() error { return s.watch.run(doorCtx) })
	doors.Go(func() error { return s.buildLoop(doorCtx) })
	doors.Go(func() error {
		door := httpx.Server{Listener: s.o.Listener, Handler: s.Local(), Drain: drain, Log: s.o.Log}
		return door.Serve(doorCtx)
	})
	doors.Go(func() error { <-doorCtx.Done(); s.drainSockets(); return nil })
	err := doors.Wait()
	s.ahead.Close()
	stopWorkers()
	err = errors.Join(err, <-workers)
	cancel()
	return errors.Join(err, parts.Wait(), s.watch.close())
}

// drain is how long calls in flight may go on when the server stops: somebody
// waits at the terminal.
const drain = time.Second

func (s *Server) drainSockets() {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	s.gateway.Drain(ctx)
}

// notice tells of something that the developer should know.
func (s *Server) notice(level slog.Level, format string, args ...any) {
	s.feed.add(Event{Notice: &Notice{level, fmt.Sprintf(format, args...)}})
}

// runDirPrefix is of directories for what only runs; the process that has one is
// in its name, so that the next one can clear up after a process that was killed.
const runDirPrefix = "postern-dev-"

func newRunDir() (string, error) {
	clearRunDirs()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", runDirPrefix, os.Getpid()))
	if err != nil {
		return "", fmt.Errorf("make a directory to run in: %w", err)
	}
	return dir, nil
}

// clearRunDirs ends what killed servers have left of processes, and removes what
// they left on disk.
func clearRunDirs() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), runDirPrefix+"*"))
	for _, dir := range left {
		var pid int
		if _, err := fmt.Sscanf(strings.TrimPrefix(filepath.Base(dir), runDirPrefix), "%d-", &pid); err != nil || worker.Alive(pid) {
			continue
		}
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() || !worker.Owned(info) {
			continue
		}
		worker.ReapOrphans(filepath.Base(dir))
		os.RemoveAll(dir)
	}
}

// pair is what opens guarded handlers: a key of this process, and what is shown
// in its place where the developer's own is not of our form.
type pair struct {
	key       platform.AccessKey
	id        string
	secret    accesskey.Secret // of key
	basic     string           // as a header has it
	user, pwd string           // as they are configured
}

// newPair makes the pair of a key ID and a secret, whatever form they have.
func newPair(projectID, id, secret string) *pair {
	p := &pair{user: id, pwd: secret, id: id}
	parsed, err := accesskey.ParseSecret(secret)
	if err != nil || !accesskey.ValidID(id) {
		parsed, p.id = accesskey.NewSecret(), accesskey.NewID(time.Now())
	}
	p.secret = parsed
	p.basic = basicOf(p.id, parsed.Reveal())
	p.key = platform.AccessKey{ID: p.id, ProjectID: projectID, DisplayName: "development", SecretHash: parsed.Hash(), Generation: 1,
		Scopes: []platform.Scope{platform.ScopeInvoke}, CreatedAt: time.Now()}
	return p
}

// Instance names this server: its processes carry it, and its directory.
func (s *Server) Instance() string { return filepath.Base(s.runDir) }
