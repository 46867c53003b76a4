package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/worker"
)

// demand starts a worker if there may be another and none is starting. While
// the pool backs off, callers wait for the next try; with the circuit open and
// no worker running it returns an error instead. p.mu is held.
func (p *pool) demand(now time.Time) error {
	if p.starting || len(p.slots) >= p.most() {
		return nil
	}
	wait := p.retryAt.Sub(now)
	switch {
	case wait <= 0:
		p.starting = true
		p.s.running.Go(p.start)
	case len(p.slots) > 0: // those that run will have room again
	case p.failures >= p.s.options.Circuit:
		return &retryError{fault.Wrap(p.lastErr, fault.Unavailable, "the function keeps failing to start").WithCode("circuit_open"), wait}
	case !p.retrying:
		p.retrying = true
		time.AfterFunc(wait, p.retry)
	}
	return nil
}

// retry starts a worker for those who waited while the pool backed off.
func (p *pool) retry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retrying = false
	if p.ended == nil {
		p.replace()
	}
}

// replace starts a worker if somebody waits for one and none is left.
// p.mu is held.
func (p *pool) replace() {
	if len(p.waiters) == 0 || len(p.slots) > 0 {
		return
	}
	if err := p.demand(time.Now()); err != nil {
		p.refuse(err)
	}
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
	launch, epoch := p.launch, p.epoch
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
	if errors.Is(err, ErrRetired) && p.ended == nil { // the launcher knows before we are told
		p.ended, p.usedAt = ErrRetired, time.Now()
		p.refuse(ErrRetired)
		p.sendAway()
		return
	}
	if (epoch != p.epoch || err == nil && p.s.holds.has(launch.FunctionID)) && p.ended == nil {
		p.outdated(w, err)
		return
	}
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
	if err := p.s.holds.enter(ctx, l.FunctionID); err != nil {
		return nil, err
	}
	w, err := p.s.start(ctx, l.Spec)
	if err != nil {
		p.s.holds.leave(l.FunctionID)
		return nil, err
	}
	p.s.running.Go(func() { <-w.Done(); p.s.holds.leave(l.FunctionID) })
	if l.Expect.Known() && !w.Declaration().Equal(l.Expect) {
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

// failed notes a start that failed and answers the waiters if no worker is
// left: they would only wait for the same. p.mu is held.
func (p *pool) failed(err error) {
	p.backOff(err)
	if len(p.slots) == 0 {
		p.refuse(err)
	}
}

// backOff counts a failure and sets the time of the next try. p.mu is held.
func (p *pool) backOff(err error) {
	p.failures++
	p.lastErr = err
	wait := min(p.s.options.Backoff<<min(p.failures-1, 16), maxBackoff)
	if p.failures >= p.s.options.Circuit {
		wait = maxBackoff
	}
	p.retryAt = time.Now().Add(wait)
}

// refuse answers all waiters with an error. p.mu is held.
func (p *pool) refuse(err error) {
	for _, me := range p.waiters {
		me.err = err
		close(me.got)
	}
	p.waiters, p.sockets = nil, 0
}

// watch takes a worker out of the pool when it takes no more calls, and tells
// of its end.
func (p *pool) watch(s *slot) {
	<-s.w.Leaving()
	p.leave(s)
	<-s.w.Done()
	exit := s.w.Exit()
	p.mu.Lock()
	if !s.left { // it was sent away
		p.mu.Unlock()
		return
	}
	if p.failures > 0 {
		p.lastErr = endFault(exit)
	}
	launch := p.launch
	p.mu.Unlock()
	p.s.options.OnCrash()
	p.s.options.Log.Warn("a worker ended", "deployment", p.deploymentID, "pid", s.w.Pid(), "error", exit)
	if launch != nil && launch.Spec.Log != nil { // its developer reads that log, and not the server's
		launch.Spec.Log(worker.Line{At: time.Now(), Level: slog.LevelError, Text: "[postern] " + exit.Error()})
	}
}

// leave takes a worker out of the pool that ended, or refuses calls: one whose
// handler called process.exit refuses while others finish on it. One that did
// not live for long counts as a failure to start. Callers who wait go on
// waiting, for its replacement.
func (p *pool) leave(s *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.slots, s)
	if i < 0 {
		return // it was taken out already
	}
	p.slots = slices.Delete(p.slots, i, i+1)
	s.left = true
	if s.busy() > 0 {
		s.free = make(chan struct{})
	}
	p.s.running.Go(func() { p.end(s) })
	if time.Since(s.started) < settled {
		p.backOff(endFault(errors.New("its connection ended")))
	} else {
		p.failures = 0
	}
	p.replace()
	p.keepSpare(time.Now())
}

func endFault(why error) error {
	return fault.Wrap(why, fault.Unavailable, "the function's worker ended").WithCode("start_failed")
}

// tend grows a pool whose workers lag, and takes the workers of one that
// nobody used for long.
func (p *pool) tend(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil && now.Sub(p.usedAt) > forget+p.s.options.DrainTimeout && p.s.pools.CompareAndDelete(p.deploymentID, p) && errors.Is(p.ended, ErrRetired) {
		p.s.running.Go(func() { p.s.options.OnGone(p.deploymentID) })
	}
	p.keepSpare(now)
	if p.ended != nil || len(p.slots) == 0 {
		return
	}
	if p.failures > 0 && now.Sub(p.slots[0].started) > settled {
		p.failures = 0
	}
	busy, lagging := 0, true
	for _, s := range p.slots {
		busy += s.busy()
		lagging = lagging && s.busy() > 1 && s.w.Lag() > p.s.options.GrowLag
	}
	if lagging {
		p.demand(now) // an error only says that it is not yet time
	}
	if busy == 0 && now.Sub(p.usedAt) > p.s.options.IdleTimeout && p.spare() == 0 {
		p.sendAway()
	}
}

// sendAway takes all workers out of the pool and lets them end when nobody
// holds a lease. p.mu is held.
func (p *pool) sendAway() {
	for _, s := range p.slots {
		p.s.running.Go(func() { p.end(s) })
		if s.busy() > 0 {
			s.free = make(chan struct{})
		}
	}
	p.slots = nil
}

// end waits for the leases on a worker that was taken out of the pool, then
// drains it; both within the drain timeout, but for calls of a deployment that was
// replaced, and for what it needs to close WebSockets that stayed and to run its
// hooks.
func (p *pool) end(s *slot) {
	until := time.Now().Add(p.s.options.DrainTimeout)
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	p.mu.Lock()
	free := s.free
	p.mu.Unlock()
	if free != nil {
		select {
		case <-free:
		case <-ctx.Done():
			p.finish(s, free)
		case <-s.w.Done():
		}
	}
	if least := time.Now().Add(min(closing, p.s.options.DrainTimeout)); least.After(until) {
		until = least
	}
	ctx, cancel = context.WithDeadline(context.Background(), until)
	defer cancel()
	if err := s.w.Drain(ctx); err != nil {
		p.s.options.Log.Warn("a worker did not drain in time", "deployment", p.deploymentID, "pid", s.w.Pid())
	}
}

// finish waits on, for half a minute, for the calls of a worker whose deployment was
// replaced: each has a time of its own, and a deploy is no reason to cut it off.
// WebSockets have none, and are not waited for; nor is anything when the server stops,
// or the function is held.
func (p *pool) finish(s *slot, free <-chan struct{}) {
	tick, enough := time.NewTicker(50*time.Millisecond), time.NewTimer(forget/2) // while its files are there for certain
	defer tick.Stop()
	defer enough.Stop()
	for p.finishing(s) {
		select {
		case <-tick.C:
		case <-enough.C:
			return
		case <-free:
			return
		case <-s.w.Done():
			return
		case <-p.s.ctx.Done():
			return
		}
	}
}

func (p *pool) finishing(s *slot) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Is(p.ended, ErrRetired) && s.leases > 0 && !(p.launch != nil && p.s.holds.has(p.launch.FunctionID))
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
