package supervisor

import (
	"context"
	"slices"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/worker"
)

// closing is what a worker has at least to close its WebSockets and to run its
// shutdown hooks, also where its calls have used up the drain timeout.
const closing = 5 * time.Second

var errSockets = fault.New(fault.Unavailable, "this function has as many WebSockets as it may have").WithCode("queue_full").WithHint("try again later, or raise max-sockets or the number of workers")

// AcquireSocket is Acquire for a WebSocket. Those have a limit of their own, so
// that they take no place from calls. Where a worker could still be started it
// waits for that; where every one is full it does not wait for a WebSocket to end.
func (s *Supervisor) AcquireSocket(ctx context.Context, deploymentID string) (Lease, error) {
	p, err := s.pool(deploymentID)
	if err != nil {
		return Lease{}, err
	}
	return p.acquire(ctx, true)
}

// Open gives the worker a WebSocket: see worker.Worker.Open. A worker that is
// ending is taken out of the pool, as by Do.
func (l Lease) Open(ctx context.Context, r *worker.Request, notify func()) (*worker.Socket, error) {
	s, err := l.slot.w.Open(ctx, r, notify)
	l.left(err)
	return s, err
}

// held is how much of a kind a worker has, and may have.
func (s *slot) held(socket bool, o *Options) (n, most int) {
	if socket {
		return s.sockets, o.MaxSockets
	}
	return s.leases, o.MaxInFlight
}

// take counts a lease. p.mu is held.
func (p *pool) take(s *slot, socket bool) Lease {
	if socket {
		s.sockets++
	} else {
		s.leases++
	}
	return Lease{pool: p, slot: s, socket: socket}
}

// unqueue takes a waiter out of the queue. p.mu is held.
func (p *pool) unqueue(i int) {
	if p.waiters[i].socket {
		p.sockets--
	}
	if i == 0 {
		p.waiters = p.waiters[1:]
		return
	}
	p.waiters = slices.Delete(p.waiters, i, i+1)
}

// full reports whether another WebSocket would wait for one to end. p.mu is held.
func (p *pool) full(socket bool) bool {
	return socket && len(p.slots) >= p.most() && p.pick(true) == nil
}

// busy is how much a worker has in all. pool.mu is held.
func (s *slot) busy() int { return s.leases + s.sockets }
