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
	maxBackoff = 30 * time.Second // also between tries while the circuit is open
	// A worker that lived for so long did start: its end does not count as a
	// failure to start.
	settled = 10 * time.Second
	// A retired pool is remembered for so long after its workers must have
	// ended, so that a caller who routed just before does not bring it back to
	// life.
	forget = time.Minute
)

// pool is the workers of one deployment.
type pool struct {
	s            *Supervisor
	deploymentID string

	mu       sync.Mutex
	launch   *Launch   // guarded by mu; nil until the launcher was asked
	slots    []*slot   // ready workers that take calls; guarded by mu
	epoch    int       // counts what launch has been; guarded by mu
	starting bool      // guarded by mu
	retrying bool      // a timer will try the next start; guarded by mu
	waiters  []*waiter // guarded by mu
	sockets  int       // those of them that wait for a WebSocket; guarded by mu
	ended    error     // why no more calls are taken: ErrRetired or errStopping; guarded by mu
	failures int       // in a row; guarded by mu
	retryAt  time.Time // no start before; guarded by mu
	lastErr  error     // of the last failure; guarded by mu
	usedAt   time.Time // when the last call ended; guarded by mu
}

// slot is one worker and the number of leases on it.
type slot struct {
	w       *worker.Worker
	leases  int           // of calls; guarded by pool.mu
	sockets int           // of WebSockets; guarded by pool.mu
	started time.Time     // when it became ready
	free    chan struct{} // closed when sent away and nobody holds a lease; guarded by pool.mu
	left    bool          // it left of itself; guarded by pool.mu
}

// waiter is a caller that waits for a worker.
type waiter struct {
	got    chan struct{} // closed when slot or err is set
	socket bool
	l      Lease
	err    error
}

func newPool(s *Supervisor, deploymentID string) *pool {
	return &pool{s: s, deploymentID: deploymentID, usedAt: time.Now()}
}

// acquire is the hot path: one short lock when a worker has room.
func (p *pool) acquire(ctx context.Context, socket bool) (Lease, error) {
	p.mu.Lock()
	if p.ended != nil {
		defer p.mu.Unlock()
		return Lease{}, p.ended
	}
	if best := p.pick(socket); best != nil {
		l := p.take(best, socket)
		p.mu.Unlock()
		return l, nil
	}
	if p.full(socket) {
		p.mu.Unlock()
		return Lease{}, errSockets
	}
	if err := p.demand(time.Now()); err != nil {
		p.mu.Unlock()
		return Lease{}, err
	}
	if len(p.waiters) >= p.s.options.Queue {
		p.mu.Unlock()
		return Lease{}, fault.New(fault.Unavailable, "too many calls wait for a worker of this function").WithCode("queue_full")
	}
	me, began, cold := &waiter{got: make(chan struct{}), socket: socket}, time.Now(), len(p.slots) == 0
	p.waiters = append(p.waiters, me)
	if socket {
		p.sockets++
	}
	p.mu.Unlock()
	l, err := p.await(ctx, me)
	l.waited, l.cold = time.Since(began), cold
	return l, err
}

// await waits until a waiter is given a worker or an error, within limits.
func (p *pool) await(ctx context.Context, me *waiter) (Lease, error) {
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

// pick is the worker with the fewest leases of a kind that has room. p.mu is held.
func (p *pool) pick(socket bool) (best *slot) {
	fewest := 0
	for _, s := range p.slots {
		if n, most := s.held(socket, &p.s.options); n < most && (best == nil || n < fewest) {
			best, fewest = s, n
		}
	}
	return best
}

// giveUp takes a waiter out of the queue; what it was given meanwhile counts.
func (p *pool) giveUp(me *waiter, err error) (Lease, error) {
	p.mu.Lock()
	if i := slices.Index(p.waiters, me); i >= 0 {
		p.unqueue(i)
		p.mu.Unlock()
		return Lease{}, err
	}
	p.mu.Unlock()
	<-me.got
	return me.l, me.err
}

func (p *pool) release(s *slot, socket bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if socket {
		s.sockets--
	} else {
		s.leases--
	}
	if s.free != nil && s.busy() == 0 {
		close(s.free)
		s.free = nil
		return
	}
	if len(p.waiters) > 0 {
		p.serve()
		return
	}
	if s.busy() == 0 {
		p.usedAt = time.Now()
	}
}

// serve gives room to waiters, first come first served. p.mu is held.
func (p *pool) serve() {
	for i := 0; i < len(p.waiters); {
		me := p.waiters[i]
		best := p.pick(me.socket)
		if best == nil {
			if p.sockets == 0 {
				return
			}
			i++ // one of the other kind may find room
			continue
		}
		p.unqueue(i)
		me.l = p.take(best, me.socket)
		close(me.got)
	}
}

func (p *pool) status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := Status{State: "idle", Workers: len(p.slots), Waiting: len(p.waiters), Failures: p.failures}
	for _, s := range p.slots {
		st.InFlight += s.leases
		st.Sockets += s.sockets
	}
	switch {
	case p.ended != nil:
		st.State = "retired"
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
