package supervisor

import (
	"context"
	"time"

	"postern.dev/postern/internal/worker"
)

// Renewal is a worker of a deployment with another environment, which was
// started beside those that take calls. Commit or Abandon it once; a supervisor
// that stops waits for that.
type Renewal struct {
	p *pool
	l Launch
	w *worker.Worker
}

// Renew starts a worker as a launch of its deployment says, beside those that
// run, and gives it no calls yet. An error, that of Adopt or ErrRetired, says
// that it does not start so; nothing has changed then.
func (s *Supervisor) Renew(ctx context.Context, l Launch) (*Renewal, error) {
	p, err := s.pool(l.DeploymentID)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return nil, errStopping
	}
	s.running.Add(1)
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	w, err := p.startWorker(ctx, l)
	if err != nil {
		s.running.Done()
		if s.ctx.Err() != nil {
			return nil, errStopping
		}
		return nil, err
	}
	return &Renewal{p, l, w}, nil
}

// Commit makes the launch the one by which all workers are started from now on:
// new calls go to the new worker, those in flight finish where they are.
func (r *Renewal) Commit() {
	p := r.p
	defer p.s.running.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil { // the deployment was replaced meanwhile
		p.s.running.Go(func() { p.end(&slot{w: r.w}) })
		return
	}
	p.relaunch(&r.l)
	p.failures, p.lastErr = 0, nil
	if p.s.holds.has(r.l.FunctionID) { // whoever holds it has looked at this pool, and waits for this worker
		p.outdated(r.w, nil)
		return
	}
	p.addLocked(r.w)
}

// Abandon ends the new worker. The others go on as if nothing had been.
func (r *Renewal) Abandon() {
	defer r.p.s.running.Done()
	r.w.Kill("its environment was not taken")
}

// relaunch takes all workers out of the pool and makes l what others are started
// by, or nil: then the launcher is asked. A start that is under way is of no use
// any more. p.mu is held.
func (p *pool) relaunch(l *Launch) {
	p.launch, p.retryAt = l, time.Time{}
	p.epoch++
	p.sendAway()
}

// outdated deals with a worker that was started by a launch which is not in
// force any more; err is why it was not, nil if it was. p.mu is held.
func (p *pool) outdated(w *worker.Worker, err error) {
	if err == nil {
		p.s.running.Go(func() { p.end(&slot{w: w}) })
	}
	p.replace()
	p.keepSpare(time.Now())
}

// Secrets tells which secrets the workers of a deployment were started with, by
// Launch.Secrets. It is not known of one that has no workers yet; settled is
// false while that is being found out.
func (s *Supervisor) Secrets(deploymentID string) (version string, known, settled bool) {
	v, ok := s.pools.Load(deploymentID)
	if !ok {
		return "", false, true
	}
	p := v.(*pool)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ended != nil:
		return "", false, true
	case p.launch == nil:
		return "", false, !p.starting
	}
	return p.launch.Secrets, true, true
}

// Reset has the launcher asked again before the next worker of a deployment is
// started, if there is none now; else it reports false and does nothing.
func (s *Supervisor) Reset(deploymentID string) bool {
	v, ok := s.pools.Load(deploymentID)
	if !ok {
		return true
	}
	p := v.(*pool)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.slots) > 0 {
		return false
	}
	p.relaunch(nil)
	return true
}
