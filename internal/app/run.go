package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/httpx"
)

// controlLimits leave time for a deploy: an upload, a bundle of 25 MiB, and
// the smoke test of a worker.
var controlLimits = httpx.Limits{Read: 2 * time.Minute, Write: 3 * time.Minute}

// Run serves until ctx ends or a part fails, then stops in order: not ready,
// gateway, control plane, internal door, workers, audit log, usage and traces, followers, logs, store and lock. It
// returns nil after an ordinary end.
func (s *Server) Run(ctx context.Context) error {
	// Each stage ends when the one before it is done, and not with ctx: what is
	// in flight still needs the workers, and these the store.
	behind := context.WithoutCancel(ctx)
	doors, parts := newStage(behind), newStage(behind)
	control, calls, workers, recording := newStage(behind), newStage(behind), newStage(behind), newStage(behind)

	parts.start("store", s.db.Run)
	parts.start("what functions keep", s.kept.Run)
	parts.start("functions' databases", s.databases.Run) // behind the workers: what they wrote last is copied too
	recording.start("audit log", s.audit.Run)
	recording.start("usage", s.usage.Run)
	recording.start("traces", s.tracer.Run)
	parts.start("signing keys", s.ring.Run)
	parts.start("secrets", s.vault.Run)
	parts.start("callbacks", s.callbacks.Run)
	parts.start("candidates", s.judge)
	parts.start("use of keys", s.recordUse)
	parts.start("news of traffic", s.tellTraffic)
	for _, i := range s.issuers {
		parts.start("trusted issuer", i.Run)
	}
	parts.start("gateway's snapshot", func(ctx context.Context) error { return s.gateway.Follow(ctx, s.db, s.db.Bell()) })
	// Whoever is shown the first key may use it at once. When ctx ends first,
	// so does all that follows.
	s.gateway.WaitApplied(ctx, s.firstSeq)
	workers.start("supervisor", s.supervisor.Run)
	workers.start("renewal of workers", s.renewer.run)
	control.start("deploys", s.deployer.Run)
	calls.start("internal door", s.internalListener().Serve)
	doors.start("gateway", s.listener("gateway", httpx.Server{Listener: s.gatewayLn, Handler: s.gateway, TLS: s.tls}).Serve)
	doors.start("sockets", s.drainSockets)
	control.start("control plane", s.listener("control", httpx.Server{Listener: s.controlLn, Handler: s.control, TLS: s.controlTLS(), Limits: controlLimits}).Serve)
	control.start("tunnels", s.tunnels.Run)
	s.health.enter(serving)
	s.announce()
	close(s.ready)

	select {
	case <-ctx.Done():
		s.log.Info("stopping", "drain", s.cfg.DrainTimeout)
	case <-doors.failed():
	case <-control.failed():
	case <-calls.failed():
	case <-workers.failed():
	case <-parts.failed():
	}
	s.health.enter(stopping)
	err := errors.Join(doors.stop(), s.endStreams(), control.stop(), calls.stop(), workers.stop(), recording.stop(), parts.stop(), s.close())
	if err == nil {
		s.log.Info("stopped")
	}
	return err
}

// endStreams lets go of those who follow a log: the control plane waits for
// everybody else.
func (s *Server) endStreams() error {
	close(s.stopping)
	return nil
}

// drainSockets ends what a listener that stops does not wait for.
func (s *Server) drainSockets(ctx context.Context) error {
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.DrainTimeout)
	defer cancel()
	if err := s.gateway.Drain(ctx); err != nil {
		s.log.Warn("some WebSockets were cut off", "error", err)
	}
	return nil
}

// listener sets what all listeners have.
func (s *Server) listener(name string, l httpx.Server) *httpx.Server {
	l.MaxConnections, l.MaxPerAddress, l.Proxies = s.connections(), s.cfg.MaxPerAddress, s.cfg.TrustedProxies
	l.Counter, l.Drain, l.Log = s.metrics.Listener(name), s.cfg.DrainTimeout, s.log
	return &l
}

// connections is the most that a listener takes. A fifth of what the process
// may open stays for the store, the workers and the logs: a server that has
// taken its last file for a caller cannot answer one.
func (s *Server) connections() int {
	files := openFiles()
	if most := files - files/5; files > 0 && most < s.cfg.MaxConnections {
		if s.cfg.Origin("max-connections").Source != config.FromDefault {
			s.log.Warn("fewer connections are taken than set: the process may not open as many files", "max-connections", most, "files", files)
		}
		return most
	}
	return s.cfg.MaxConnections
}

// recordUse writes down which keys were used, now and then and at the end.
func (s *Server) recordUse(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-tick.C:
		}
		write, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		if used := s.uses.Take(); len(used) > 0 {
			if err := s.db.RecordUse(write, used); err != nil {
				s.log.Warn("the use of keys was not written down", "keys", len(used), "error", err)
			}
		}
		if done {
			if err := s.gateway.ReturnQuotas(write); err != nil {
				s.log.Warn("what was reserved of quotas was not given back", "error", err)
			}
		}
		cancel()
	}
	return nil
}

// announce says that the server is ready, and what an operator should know.
func (s *Server) announce() {
	if !onLoopback(s.controlLn) && s.tls == nil {
		s.log.Warn("the control plane is reachable from other machines without TLS; keys cross the network in clear", "flag", "--tls-cert")
	}
	s.log.Info("ready", "gateway", s.GatewayURL(), "control", s.ControlURL(), "data", s.dir.path, "node", s.node)
}

// stage is a set of parts that end together.
type stage struct {
	group  *errgroup.Group
	ctx    context.Context // ends when a part fails, or at stop
	cancel context.CancelFunc
}

func newStage(ctx context.Context) *stage {
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	return &stage{group, ctx, cancel}
}

// start runs a part until the stage stops.
func (s *stage) start(name string, run func(context.Context) error) {
	s.group.Go(func() error {
		if err := run(s.ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// failed is closed when a part of the stage has failed.
func (s *stage) failed() <-chan struct{} { return s.ctx.Done() }

// stop ends the parts and waits for them.
func (s *stage) stop() error {
	s.cancel()
	return s.group.Wait()
}
