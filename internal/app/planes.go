package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/feed"
	"postern.dev/postern/internal/funclog"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/oauth"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/worker"
)

// forever is an idle timeout that does not come.
const forever = 100 * 365 * 24 * time.Hour

// How many callbacks are remembered: about 20 MB of this process's memory when
// it is full, and 200 MB of the store.
const (
	nearCallbacks   = 1 << 18
	storedCallbacks = 1 << 20
)

// instance marks the workers of this data directory. A database may be shared
// by several nodes, of which none may end the workers of another; so the
// directory is part of it.
func (s *Server) instance(ctx context.Context) (string, error) {
	database, err := s.db.InstanceID(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(database + "\n" + s.dir.path))
	return hex.EncodeToString(sum[:16]), nil
}

// buildPlanes makes the parts that answer requests, from the inside out.
func (s *Server) buildPlanes(ctx context.Context) error {
	instance, err := s.instance(ctx)
	if err != nil {
		return err
	}
	s.deployer = deploy.New(deploy.Options{
		Store:        s.db,
		Artefacts:    s.artefacts,
		Sealer:       s.box,
		Secrets:      s.vault,
		Node:         func(context.Context) (string, error) { return s.node, nil },
		Applied:      func(ctx context.Context, seq int64) error { return s.gateway.WaitApplied(ctx, seq) },
		RunDir:       s.dir.join("run"),
		Database:     s.databases.Path,
		Token:        s.callToken,
		HostCall:     s.hostCall,
		Forget:       s.forget,
		Told:         func(projectID, name string) { s.feed.Tell(projectID, feed.Functions, name) },
		InstanceID:   instance,
		WorkerMemory: int64(s.cfg.WorkerMemory) << 20,
		Live:         &s.live,
		Log:          s.functionLine,
	})
	idle := s.cfg.IdleTimeout
	if idle == 0 {
		idle = forever
	}
	s.supervisor = supervisor.New(supervisor.Options{
		Workers:      s.cfg.Workers,
		MaxInFlight:  s.cfg.MaxInFlight,
		MaxSockets:   s.cfg.MaxSockets,
		Queue:        s.cfg.Queue,
		QueueTimeout: s.cfg.QueueTimeout,
		StartTimeout: s.cfg.StartTimeout,
		IdleTimeout:  idle,
		DrainTimeout: s.cfg.DrainTimeout,
		OnStart:      s.workerStarted,
		OnCrash:      s.metrics.Crashes.Inc,
		OnGone:       s.deployer.Gone,
		Log:          s.log,
	}, s.deployer)
	s.deployer.Use(s.supervisor)
	s.renewer = newRenewer(s.deployer.Refresh, s.log)
	if err := s.openAuth(); err != nil {
		return err
	}
	sessions, err := s.box.Derive("sign-in")
	if err != nil {
		return err
	}
	s.audit = s.newRecorder()
	s.callbacks = signature.NewShared(s.db, nearCallbacks, storedCallbacks, s.log)
	s.gateway = gateway.New(gateway.Options{
		BaseDomain: s.cfg.BaseDomain,
		Timeout:    s.cfg.Timeout,
		Message:    int64(s.cfg.SocketMessage),
		Ping:       s.cfg.SocketPing,
		AccessLog:  gateway.AccessLog(s.cfg.AccessLog),
		Access:     s.access,
		Log:        s.log,
		Metrics:    s.metrics,
		Tracer:     s.tracer,
		Live:       &s.live,
		Audit:      s.audit,
		Auth:       s.auth,
		Uses:       &s.uses,
		Quotas:     s.db,
		Usage:      s.usage,
		Traffic:    s.traffic,
		Feed:       s.feed,
		Logs:       s.book,
		Files:      s.deployer,

		RefusalsPerAddress: s.cfg.RefusalsPerAddress,
		Callbacks:          s.callbacks,
		Secrets:            s.vault,
		Changed:            s.renewer.enqueue,
		URL:                s.GatewayURL(),
		Public:             s.cfg.PublicURL != "",
		Issuer:             s.Issuer(),
		Own:                s.own(),
		Taken:              s.supervisor.Listens,
		URLs:               s.urls,
		SignInKey:          sessions,
		EndSession:         s.endSession,
		Tunnel:             gateway.TunnelLimits{Timeout: s.cfg.TunnelTimeout, BodyLimit: int64(s.cfg.TunnelBody) << 20},
	}, s.supervisor)
	if err := s.buildTunnels(); err != nil {
		return err
	}
	if err := s.openAccounts(); err != nil {
		return err
	}
	s.metrics.Watch(s.levels)
	s.health = &health{snapshot: s.snapshotState, ping: s.db.Ping, parts: s.troubles}
	s.control = s.controlPlane()
	return nil
}

// endSession puts a session that somebody signed out of into the list of what
// was ended one by one, which all nodes follow.
func (s *Server) endSession(ctx context.Context, session platform.RevokedToken) error {
	_, err := s.db.RevokeToken(ctx, session, time.Now().UTC())
	return err
}

// own are the addresses at which this server listens.
func (s *Server) own() (list []netip.AddrPort) {
	for _, ln := range []net.Listener{s.gatewayLn, s.controlLn} {
		if a, ok := ln.Addr().(*net.TCPAddr); ok {
			list = append(list, a.AddrPort())
		}
	}
	return list
}

// functionLine keeps what a function wrote, its stacks as its developer reads them.
func (s *Server) functionLine(functionID, deploymentID string, l worker.Line) {
	if strings.Contains(l.Text, "\n    at ") {
		l.Text = deploy.OwnFrames(l.Text)
	}
	s.book.Append(functionID, funclog.Entry{At: l.At, Level: l.Level, RequestID: l.RequestID, DeploymentID: deploymentID, Text: l.Text})
}

// controlPlane is everything that the control listener answers.
func (s *Server) controlPlane() http.Handler {
	mux := http.NewServeMux()
	s.health.routes(mux)
	metrics := promhttp.HandlerFor(s.metrics.Registry, promhttp.HandlerOpts{})
	if s.cfg.Metrics == "loopback" {
		metrics = loopbackOnly(metrics)
	}
	mux.Handle("GET /metrics", metrics)
	mux.Handle("GET /debug/pprof", loopbackOnly(http.HandlerFunc(pprof.Index))) // what cleaned makes of it with a slash
	for path, h := range map[string]http.HandlerFunc{"": pprof.Index, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace} {
		mux.Handle("GET /debug/pprof/"+path, loopbackOnly(h))
	}
	api, _ := admin.New(admin.Options{
		Version:   s.version,
		Store:     s.db,
		Deployer:  tracedDeployer{s.deployer},
		Artefacts: s.artefacts,
		Uploads:   s.uploads,
		Databases: s.databases,
		Storage:   s.kept,
		Logs:      s.book,
		Traffic:   s.traffic,
		Feed:      s.feed,
		Stopping:  s.stopping,
		Auth:      s.auth,
		Issuer:    s.Issuer(),
		Uses:      &s.uses,
		Directory: s.gateway.Keys,
		Applied:   s.gateway.WaitApplied,
		Status:    s.supervisor.Status,
		URLs:      s.urls,
		Audit:     s.audit,
		Explainer: s.gateway,
		Server:    s.describe,
		Ring:      s.ring,
		BasicRate: s.cfg.BasicRate, BasicBurst: s.cfg.BasicBurst,
		Accounts: s.accounts,
		Doors:    s.doors(),
		Tunnels:  s.tunnels,
		Log:      s.log,
	})
	mux.Handle("/", api)
	s.consoleAt(mux, api)
	tokens := oauth.New(oauth.Options{
		Issuer:    s.Issuer(),
		Gateway:   s.GatewayURL(),
		Function:  s.functionAt,
		Ring:      s.ring,
		Lifetime:  s.cfg.TokenLifetime,
		Store:     s.db,
		Auth:      s.auth,
		Directory: s.gateway.Keys,
		Applied:   s.gateway.WaitApplied,
		Log:       s.log,
		Record:    func(d oauth.Decision) { s.countToken(d); s.recordToken(d) },
	})
	for _, path := range oauth.Paths() {
		mux.Handle(path, tokens)
	}
	return cleaned(s.tracedControl(mux))
}

// countToken counts what became of a call of the token endpoint.
func (s *Server) countToken(d oauth.Decision) {
	if d.Endpoint != oauth.TokenPath {
		return
	}
	switch {
	case d.Repeated:
		s.metrics.TokenRequested("repeated")
	case d.Code == "":
		s.metrics.TokenRequested("granted")
	default:
		s.metrics.TokenRequested(d.Code)
	}
}

// cleaned takes doubled and trailing slashes out of a path, inside: a client
// whose host was configured with a slash at its end asks for //oauth2/token,
// and http.ServeMux would send its credentials round by a redirect.
func cleaned(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		for strings.Contains(path, "//") {
			path = strings.ReplaceAll(path, "//", "/")
		}
		if len(path) > 1 {
			path = strings.TrimRight(path, "/")
		}
		if path != r.URL.Path {
			clone := *r
			u := *r.URL
			u.Path, u.RawPath = path, ""
			clone.URL = &u
			r = &clone
		}
		next.ServeHTTP(w, r)
	})
}

// label reports whether s can be a function's slug or ID.
func label(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// functionAt is the address of a function in the form in which the gateway
// takes it as the audience of a token; empty: it is no such address.
func (s *Server) functionAt(address string) string {
	if slug, ok := strings.CutPrefix(address, s.GatewayURL()+"/fn/"); ok && label(slug) {
		return address
	}
	u, err := url.Parse(address)
	if err != nil || u.Path != "" {
		return ""
	}
	slug, _, _ := strings.Cut(u.Host, ".")
	if urls := s.urls(slug); label(slug) && address == urls[len(urls)-1] {
		return address
	}
	return ""
}

// urls are the addresses of a function, the one that needs no DNS first.
func (s *Server) urls(slug string) []string {
	scheme, usual := "http", "80"
	if s.tls != nil {
		scheme, usual = "https", "443"
	}
	host := slug + "." + s.cfg.BaseDomain
	_, port, _ := net.SplitHostPort(s.gatewayLn.Addr().String())
	if u, err := url.Parse(s.cfg.PublicURL); err == nil && u.Host != "" {
		scheme, port = u.Scheme, u.Port()
	} else if port == usual {
		port = ""
	}
	if port != "" {
		host += ":" + port
	}
	return []string{s.GatewayURL() + "/fn/" + slug, scheme + "://" + host}
}
