package supervisor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/worker"
)

const (
	maxBackoff = 30 * time.Second
	// A worker that lived for so long did start: its end does not count as a
	// failure to start.
	settled = 10 * time.Second
	// A retired pool is remembered for so long, so that a caller who routed just
	// before does not bring it back to life.
	forget = time.Minute
)

// pool is the workers of one deployment.
type pool struct {
	s            *Supervisor
	deploymentID string

	mu       sync.Mutex
	launch   *Launch   // guarded by mu; nil until the launcher was asked
	slots    []*slot   // ready workers that take calls; guarded by mu
	starting bool      // guarded by mu
	waiters  []*waiter // guarded by mu
	ended    error     // why no more calls are taken: ErrRetired or errStopping; guarded by mu
	failures int       // in a row; guarded by mu
	retryAt  time.Time // no start before; guarded by mu
	lastErr  error     // of the last failure; guarded by mu
	usedAt   time.Time // when the last call ended; guarded by mu
}

// slot is one worker and the number of leases on it.
type slot struct {
	w       *worker.Worker
	leases  int           // guarded by pool.mu
	started time.Time     // when it became ready
	free    chan struct{} // closed when leaving and leases is 0; guarded by pool.mu
}

// waiter is a caller that waits for a worker.
type waiter struct {
	got chan struct{} // closed when slot or err is set
	l   Lease
	err error
}

func newPool(s *Supervisor, deploymentID string) *pool {
	return &pool{s: s, deploymentID: deploymentID, usedAt: time.Now()}
}

// acquire is the hot path: one short lock when a worker has room.
func (p *pool) acquire(ctx context.Context) (Lease, error) {
	p.mu.Lock()
	if p.ended != nil {
		defer p.mu.Unlock()
		return Lease{}, p.ended
	}
	if best := p.pick(); best != nil {
		best.leases++
		p.mu.Unlock()
		return Lease{p, best}, nil
	}
	if err := p.demand(time.Now()); err != nil {
		p.mu.Unlock()
		return Lease{}, err
	}
	if len(p.waiters) >= p.s.options.Queue {
		p.mu.Unlock()
		return Lease{}, fault.New(fault.Unavailable, "too many calls wait for a worker of this function").WithCode("queue_full")
	}
	me := &waiter{got: make(chan struct{})}
	p.waiters = append(p.waiters, me)
	p.mu.Unlock()

	timer := time.NewTimer(p.s.options.QueueTimeout)
	defer timer.Stop()
	select {
	case <-me.got:
		return me.l, me.err
	case <-ctx.Done():
		return p.giveUp(me, ctx.Err())
	case <-timer.C:
		return p.giveUp(me, fault.New(fault.Unavailable, fmt.Sprintf("no worker was free within %v", p.s.options.QueueTimeout)).WithCode("queue_full"))
	}
}

// pick is the worker with the fewest leases that has room. p.mu is held.
func (p *pool) pick() *slot {
	var best *slot
	for _, s := range p.slots {
		if s.leases < p.s.options.MaxInFlight && (best == nil || s.leases < best.leases) {
			best = s
		}
	}
	return best
}

// giveUp takes a waiter out of the queue; what it was given meanwhile counts.
func (p *pool) giveUp(me *waiter, err error) (Lease, error) {
	p.mu.Lock()
	if i := slices.Index(p.waiters, me); i >= 0 {
		p.waiters = slices.Delete(p.waiters, i, i+1)
		p.mu.Unlock()
		return Lease{}, err
	}
	p.mu.Unlock()
	<-me.got
	return me.l, me.err
}

func (p *pool) release(s *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.leases--
	if s.free != nil && s.leases == 0 {
		close(s.free)
		s.free = nil
		return
	}
	if len(p.waiters) > 0 {
		p.serve()
		return
	}
	if s.leases == 0 {
		p.usedAt = time.Now()
	}
}

// serve gives room to waiters, first come first served. p.mu is held.
func (p *pool) serve() {
	for len(p.waiters) > 0 {
		best := p.pick()
		if best == nil {
			return
		}
		best.leases++
		me := p.waiters[0]
		p.waiters = p.waiters[1:]
		me.l = Lease{p, best}
		close(me.got)
	}
}

// demand starts a worker if there may be another and none is starting. It
// returns an error when none is running and none may be started now.
// p.mu is held.
func (p *pool) demand(now time.Time) error {
	if p.starting || len(p.slots) >= p.s.options.Workers {
		return nil
	}
	if now.Before(p.retryAt) {
		if len(p.slots) > 0 {
			return nil
		}
		code, text := "start_failed", "the function does not start"
		if p.failures >= p.s.options.Circuit {
			code, text = "circuit_open", "the function keeps failing to start"
		}
		return &retryError{fault.Wrap(p.lastErr, fault.Unavailable, text).WithCode(code), p.retryAt.Sub(now)}
	}
	p.starting = true
	p.s.running.Go(p.start)
	return nil
}

// retryError is a fault that knows when to try again.
type retryError struct {
	fault *fault.Error
	after time.Duration
}

func (e *retryError) Error() string { return e.fault.Error() }

// RetryAfter is how long it makes no sense to try again.
func (e *retryError) RetryAfter() time.Duration { return e.after }

// Unwrap gives the fault.
func (e *retryError) Unwrap() error { return e.fault }

// start starts one worker and gives it to the waiters.
func (p *pool) start() {
	ctx := p.s.ctx
	began := time.Now()
	p.mu.Lock()
	launch := p.launch
	p.mu.Unlock()
	var w *worker.Worker
	var err error
	if launch == nil {
		var l Launch
		if l, err = p.s.launcher.Launch(ctx, p.deploymentID); err == nil {
			launch = &l
		}
	}
	if err == nil {
		w, err = p.startWorker(ctx, *launch)
		p.s.options.OnStart(launch.FunctionID, time.Since(began), err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting = false
	if err != nil {
		functionID := ""
		if launch != nil {
			functionID = launch.FunctionID
		}
		p.s.options.Log.Warn("a worker did not start", "deployment", p.deploymentID, "function", functionID, "error", err)
		p.failed(startFault(err, functionID))
		return
	}
	p.launch = launch
	if p.ended != nil {
		p.s.running.Go(func() { p.end(&slot{w: w}) })
		return
	}
	p.addLocked(w)
}

// startWorker starts a worker and checks that it declares what was recorded.
func (p *pool) startWorker(ctx context.Context, l Launch) (*worker.Worker, error) {
	l.Spec.StartTimeout, l.Spec.PingEvery, l.Spec.PingTimeout = p.s.options.StartTimeout, p.s.options.PingEvery, p.s.options.PingTimeout
	w, err := worker.Start(ctx, l.Spec)
	if err != nil {
		return nil, err
	}
	if len(l.Expect.Handlers) > 0 && !w.Declaration().Equal(l.Expect) {
		w.Kill("it declares other handlers, or another auth, than when it was deployed")
		return nil, &worker.StartError{Code: "declaration_changed", Message: "the module declares other handlers, or another auth, than when it was deployed"}
	}
	return w, nil
}

func (p *pool) add(w *worker.Worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addLocked(w)
}

func (p *pool) addLocked(w *worker.Worker) {
	s := &slot{w: w, started: time.Now()}
	p.slots = append(p.slots, s)
	p.usedAt = s.started
	p.retryAt = time.Time{}
	p.s.running.Go(func() { p.watch(s) })
	p.serve()
}

// failed notes a failure, sets the time of the next try, and answers the
// waiters if no worker is left. p.mu is held.
func (p *pool) failed(err error) {
	p.failures++
	p.lastErr = err
	wait := min(p.s.options.Backoff<<min(p.failures-1, 16), maxBackoff)
	if p.failures >= p.s.options.Circuit {
		wait = maxBackoff
	}
	p.retryAt = time.Now().Add(wait)
	if len(p.slots) == 0 {
		p.refuse(err)
	}
}

// refuse answers all waiters with an error. p.mu is held.
func (p *pool) refuse(err error) {
	for _, me := range p.waiters {
		me.err = err
		close(me.got)
	}
	p.waiters = nil
}

// watch waits for the end of a worker and takes it out of the pool.
func (p *pool) watch(s *slot) {
	<-s.w.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.slots, s)
	if i < 0 {
		return // it was sent away
	}
	p.slots = slices.Delete(p.slots, i, i+1)
	exit := s.w.Exit()
	p.s.options.Log.Warn("a worker ended", "deployment", p.deploymentID, "pid", s.w.Pid(), "error", exit)
	if time.Since(s.started) < settled {
		p.failed(fault.Wrap(exit, fault.Unavailable, "the function's worker ended").WithCode("start_failed"))
	} else {
		p.failures = 0
	}
	if len(p.waiters) > 0 {
		if err := p.demand(time.Now()); err != nil && len(p.slots) == 0 {
			p.refuse(err)
		}
	}
}

// tend grows a pool whose workers lag, and takes the workers of one that
// nobody used for long.
func (p *pool) tend(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil && now.Sub(p.usedAt) > forget {
		p.s.pools.CompareAndDelete(p.deploymentID, p)
	}
	if p.ended != nil || len(p.slots) == 0 {
		return
	}
	if p.failures > 0 && now.Sub(p.slots[0].started) > settled {
		p.failures = 0
	}
	busy, lagging := 0, true
	for _, s := range p.slots {
		busy += s.leases
		lagging = lagging && s.leases > 1 && s.w.Lag() > p.s.options.GrowLag
	}
	if lagging {
		p.demand(now) // an error only says that it is not yet time
	}
	if busy == 0 && now.Sub(p.usedAt) > p.s.options.IdleTimeout {
		p.sendAway()
	}
}

// sendAway takes all workers out of the pool and lets them end when nobody
// holds a lease. p.mu is held.
func (p *pool) sendAway() {
	for _, s := range p.slots {
		p.s.running.Go(func() { p.end(s) })
		if s.leases > 0 {
			s.free = make(chan struct{})
		}
	}
	p.slots = nil
}

// end waits for the leases on a worker that was taken out of the pool, then
// drains it; both within the drain timeout.
func (p *pool) end(s *slot) {
	ctx, cancel := context.WithTimeout(context.Background(), p.s.options.DrainTimeout)
	defer cancel()
	p.mu.Lock()
	free := s.free
	p.mu.Unlock()
	if free != nil {
		select {
		case <-free:
		case <-ctx.Done():
		case <-s.w.Done():
		}
	}
	if err := s.w.Drain(ctx); err != nil {
		p.s.options.Log.Warn("a worker did not drain in time", "deployment", p.deploymentID, "pid", s.w.Pid())
	}
}

// retire ends the pool. It returns at once.
func (p *pool) retire(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil {
		return
	}
	p.ended, p.usedAt = why, time.Now()
	p.refuse(why)
	p.sendAway()
}

func (p *pool) status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := Status{State: "idle", Workers: len(p.slots), Waiting: len(p.waiters), Failures: p.failures}
	for _, s := range p.slots {
		st.InFlight += s.leases
	}
	switch {
	case len(p.slots) > 0:
		st.State = "ready"
	case p.starting:
		st.State = "starting"
	case p.failures >= p.s.options.Circuit:
		st.State = "circuit open"
	case p.failures > 0:
		st.State = "backing off"
	}
	if p.lastErr != nil && p.failures > 0 {
		st.LastErr = p.lastErr.Error()
	}
	return st
}
