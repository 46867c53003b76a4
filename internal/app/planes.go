package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/feed"
	"postern.dev/postern/internal/funclog"
	"postern.dev/postern/internal/gateway"
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
	s.deployer = s.newDeployer(instance)
	s.supervisor = s.newSupervisor()
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
	s.gateway = s.newGateway(sessions)
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

// newDeployer makes what starts workers and moves traffic. It asks for the gateway when
// it needs it: that is made after it.
func (s *Server) newDeployer(instance string) *deploy.Deployer {
	return deploy.New(deploy.Options{
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
}

func (s *Server) newSupervisor() *supervisor.Supervisor {
	idle := s.cfg.IdleTimeout
	if idle == 0 {
		idle = forever
	}
	return supervisor.New(supervisor.Options{
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
}

// newGateway makes the data plane; sessions seals those of functions' own users.
func (s *Server) newGateway(sessions [32]byte) *gateway.Gateway {
	return gateway.New(gateway.Options{
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
