// Package app builds the server from a Config by hand, and knows the order in
// which its parts start and stop.
//
// [New] opens everything and undoes what it did when a step fails; [Server.Run]
// serves until its context ends, then stops part by part, each within a
// deadline. No rule about functions, keys or requests is here.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/account"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/blob"
	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/console"
	"postern.dev/postern/internal/database"
	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/feed"
	"postern.dev/postern/internal/funclog"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/oauth"
	"postern.dev/postern/internal/redact"
	"postern.dev/postern/internal/secret"
	"postern.dev/postern/internal/signature"
	"postern.dev/postern/internal/state"
	"postern.dev/postern/internal/store"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/telemetry"
	"postern.dev/postern/internal/token"
	"postern.dev/postern/internal/traffic"
	"postern.dev/postern/internal/tunnel"
	"postern.dev/postern/internal/usage"
	"postern.dev/postern/internal/worker"
)

// Server is one node: gateway, control plane and workers. Make it with [New]
// and call Run once.
type Server struct {
	cfg     *config.Config
	version string
	log     *slog.Logger
	access  *slog.Logger
	metrics *telemetry.Metrics
	tracer  *telemetry.Tracer // nil: nothing is traced
	tls     *tls.Config
	node    string // path of Node

	dir        *dataDir
	gatewayLn  net.Listener
	controlLn  net.Listener
	callLn     net.Listener // the internal door
	db         *store.DB
	kept       *state.Service // of functions
	databases  *database.Keeper
	artefacts  *blob.Store
	uploads    *blob.Parts
	box        *secret.Box
	live       redact.Live // the values that functions have
	vault      *secret.Vault
	renewer    *renewer
	ring       *oauth.Ring
	auth       *auth.Authenticator
	uses       auth.Uses
	issuers    []*token.Issuer
	book       *funclog.Book
	deployer   *deploy.Deployer
	supervisor *supervisor.Supervisor
	audit      *audit.Recorder
	usage      *usage.Meter
	traffic    *traffic.Book
	feed       *feed.Feed
	callbacks  *signature.Shared
	gateway    *gateway.Gateway
	tunnels    *tunnel.Hub
	accounts   *account.Service
	control    http.Handler
	health     *health

	began    time.Time
	firstKey *Key
	firstSeq int64 // of the change that made it; 0 if another start did
	ready    chan struct{}
	stopping chan struct{}  // closed before the control plane stops
	closers  []func() error // what New opened, in order
}

// New opens everything that cfg asks for. version is what the API's document
// says, and logs is where logs go. When it fails
// nothing is left open, and no key was made that nobody has seen: the first
// project and its key are the last step.
func New(ctx context.Context, cfg *config.Config, version string, logs io.Writer) (_ *Server, err error) {
	s := &Server{cfg: cfg, version: version, began: time.Now(), traffic: traffic.NewBook(0), feed: feed.New(), ready: make(chan struct{}), stopping: make(chan struct{})}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	for _, step := range []func(context.Context) error{
		s.openTLS,
		s.findNode,
		s.openDataDir,
		s.listen,
		func(context.Context) error { return s.openTelemetry(logs) },
		s.openStore,
		s.openKept,
		s.openDatabases,
		s.openFiles,
		s.openSecrets,
		s.openRing,
		s.reapOrphans,
		s.listenForCalls,
		s.buildPlanes,
		s.loadGateway,
		s.openCallbacks,
		s.bootstrap,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) openTLS(context.Context) (err error) {
	s.tls, err = certificate(s.cfg)
	return err
}

func (s *Server) findNode(ctx context.Context) (err error) {
	s.node, err = worker.FindNode(ctx, s.cfg.Node)
	return err
}

func (s *Server) openDataDir(context.Context) (err error) {
	if s.dir, err = openDataDir(s.cfg.Data); err != nil {
		return err
	}
	s.opened(s.dir.close)
	return nil
}

// listen takes both addresses, before anything is written or announced. Who
// connects from now on waits until Run serves.
func (s *Server) listen(ctx context.Context) (err error) {
	if s.gatewayLn, err = httpx.Listen(ctx, s.cfg.Listen, "--listen"); err != nil {
		return err
	}
	s.opened(closeListener(s.gatewayLn))
	if s.controlLn, err = httpx.Listen(ctx, s.cfg.ControlListen, "--control-listen"); err != nil {
		return err
	}
	s.opened(closeListener(s.controlLn))
	return nil
}

func (s *Server) openTelemetry(logs io.Writer) error {
	logs = &lineWriter{w: logs, live: &s.live}
	s.log = telemetry.NewLogger(logs, s.cfg.LogFormat, s.cfg.LogLevel)
	buffer := telemetry.NewBuffer(logs)
	s.access = telemetry.NewLogger(buffer, s.cfg.LogFormat, slog.LevelInfo)
	s.metrics = telemetry.NewMetrics()
	s.metrics.Built(s.version)
	s.opened(buffer.Close)
	return s.openTracer()
}

func (s *Server) openStore(ctx context.Context) (err error) {
	if s.db, err = store.Open(ctx, s.cfg.Database); err != nil {
		return err
	}
	s.opened(s.db.Close)
	return nil
}

func (s *Server) openFiles(context.Context) (err error) {
	if s.box, err = secret.OpenBox(s.dir.join("sealing.key")); err != nil {
		return err
	}
	if s.artefacts, err = blob.Open(s.dir.join("artefacts")); err != nil {
		return err
	}
	s.opened(s.artefacts.Close)
	if s.uploads, err = blob.OpenParts(s.dir.join("uploads"), s.artefacts); err != nil {
		return err
	}
	if s.book, err = funclog.Open(s.dir.join("logs")); err != nil {
		return err
	}
	s.opened(func() error { s.book.Close(); return nil })
	s.usage, err = usage.Open(usage.Options{Dir: s.dir.join("usage"), Memory: s.cfg.UsageMemory, Retention: s.cfg.UsageRetention, Log: s.log}, s.db)
	return err
}

func (s *Server) openRing(ctx context.Context) (err error) {
	s.ring, err = oauth.OpenRing(ctx, oauth.RingOptions{Store: s.db, Sealer: s.box, Algorithm: token.Algorithm(s.cfg.SigningAlgorithm), Every: s.cfg.SigningKeyLifetime, Tokens: s.cfg.TokenLifetime, Log: s.log})
	return err
}

// reapOrphans ends workers that a killed server left behind, then clears what
// they ran from. The lock is ours, so no other server of this directory runs.
func (s *Server) reapOrphans(ctx context.Context) error {
	instance, err := s.instance(ctx)
	if err != nil {
		return err
	}
	killed, err := worker.ReapOrphans(instance)
	if err != nil {
		return fmt.Errorf("end the workers of a killed server: %w", err)
	}
	if killed > 0 {
		s.log.Warn("ended workers that a killed server had left", "processes", killed)
	}
	if err := os.RemoveAll(s.dir.join("run")); err != nil {
		return fmt.Errorf("clear the run directory: %w", err)
	}
	return nil
}

func (s *Server) loadGateway(ctx context.Context) error { return s.gateway.Load(ctx, s.db) }

func (s *Server) bootstrap(ctx context.Context) (err error) {
	now := time.Now().UTC()
	s.firstKey, s.firstSeq, err = bootstrap(ctx, s.db, now)
	if err == nil && s.firstKey == nil && s.cfg.NewAdminKey != "" {
		s.firstKey, s.firstSeq, err = another(ctx, s.db, s.cfg.NewAdminKey, now)
	}
	return err
}

// FirstKey is the administrator's key if this start made one, else nil. Its
// secret is nowhere else: show it.
func (s *Server) FirstKey() *Key { return s.firstKey }

// Ready is closed once both listeners answer, and know the first key.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// GatewayURL is where functions are called: the public URL if there is one.
func (s *Server) GatewayURL() string {
	if s.cfg.PublicURL != "" {
		return strings.TrimRight(s.cfg.PublicURL, "/")
	}
	return urlOf(s.gatewayLn, s.tls != nil)
}

// ControlURL is where the control plane is reached from this machine.
func (s *Server) ControlURL() string { return urlOf(s.controlLn, s.controlTLS() != nil) }

// ConsoleURL is where people find the console with a browser on this machine.
func (s *Server) ConsoleURL() string { return s.ControlURL() + console.Dir }

// Issuer is the name that the server gives itself in its tokens.
func (s *Server) Issuer() string {
	if s.cfg.Issuer != "" {
		return strings.TrimRight(s.cfg.Issuer, "/")
	}
	return s.ControlURL()
}

// controlTLS is the control listener's TLS: none on loopback, where the names
// in a certificate would only be in the way.
func (s *Server) controlTLS() *tls.Config {
	if onLoopback(s.controlLn) {
		return nil
	}
	return s.tls
}

func (s *Server) opened(closer func() error) { s.closers = append(s.closers, closer) }

// close undoes New, last thing first.
func (s *Server) close() error {
	var errs []error
	for _, c := range slices.Backward(s.closers) {
		errs = append(errs, c())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// closeListener closes a listener that may have been closed by its server.
func closeListener(ln net.Listener) func() error {
	return func() error {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// lineWriter lets the log and the access log share a writer: each writes whole
// lines, and one waits for the other. No secret passes it, of the platform or of
// a function: callers put them into paths and names, which the log has to tell.
type lineWriter struct {
	live *redact.Live
	mu   sync.Mutex
	w    io.Writer // guarded by mu
}

func (l *lineWriter) Write(p []byte) (int, error) {
	line := l.live.Set().Bytes(accesskey.Redact(p))
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.w.Write(line); err != nil {
		return 0, err
	}
	return len(p), nil
}
