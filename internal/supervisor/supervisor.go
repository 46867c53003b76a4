// Package supervisor keeps the workers of deployments running.
//
// [Supervisor] holds a pool of workers for each deployment that is in use. A
// pool goes idle → starting → ready, back to idle after a time without calls,
// to backing off when workers do not start or keep ending, and to retired when
// another deployment has taken over. One worker is started at a time however
// many callers wait; another is added when the event loops of all that run lag.
// A caller gets a [Lease] on a worker; a worker is only asked to end when
// nobody holds one.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/upstream"
	"postern.dev/postern/internal/worker"
)

// ErrRetired says that the deployment was replaced: route again.
var ErrRetired = errors.New("the deployment is retired")

// Options are the limits of all pools. A zero field takes the default that is
// named beside it.
type Options struct {
	Workers      int           // the number of cores: workers of one deployment at most
	MaxInFlight  int           // 256: calls of one worker at a time
	MaxSockets   int           // 10000: WebSockets of one worker at a time
	Queue        int           // 1024: callers that wait for a worker of one deployment
	QueueTimeout time.Duration // 15 s: how long one waits
	StartTimeout time.Duration // 10 s: until a worker is ready
	IdleTimeout  time.Duration // 15 min without calls: back to no workers
	DrainTimeout time.Duration // 10 s: for calls in flight when workers end
	GrowLag      time.Duration // 50 ms: event-loop lag of all workers from which another is started
	PingEvery    time.Duration // 5 s
	PingTimeout  time.Duration // 30 s: a blocked worker is killed
	Backoff      time.Duration // 100 ms: after the first failure, doubled to 30 s
	Circuit      int           // 5 failures in a row: starts are tried only every 30 s
	OnStart      func(functionID string, took time.Duration, err error)
	OnCrash      func() // a worker ended by itself
	// OnGone is told of a deployment some time after it was retired: its last
	// worker has ended, and nobody comes back to its files.
	OnGone func(deploymentID string)
	Log    *slog.Logger
}

func (o Options) withDefaults() Options {
	set := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	wait := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.Workers, runtime.NumCPU())
	set(&o.MaxInFlight, 256)
	set(&o.MaxSockets, 10000)
	set(&o.Queue, 1024)
	set(&o.Circuit, 5)
	wait(&o.QueueTimeout, 15*time.Second)
	wait(&o.StartTimeout, 10*time.Second)
	wait(&o.IdleTimeout, 15*time.Minute)
	wait(&o.DrainTimeout, 10*time.Second)
	wait(&o.GrowLag, 50*time.Millisecond)
	wait(&o.PingEvery, 5*time.Second)
	wait(&o.PingTimeout, 30*time.Second)
	wait(&o.Backoff, 100*time.Millisecond)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnStart == nil {
		o.OnStart = func(string, time.Duration, error) {}
	}
	if o.OnCrash == nil {
		o.OnCrash = func() {}
	}
	if o.OnGone == nil {
		o.OnGone = func(string) {}
	}
	return o
}

// Launch is how to start workers of a deployment.
type Launch struct {
	DeploymentID string
	FunctionID   string
	Spec         worker.Spec // timeouts are set by the supervisor
	// Expect is what the module declared when it was deployed. A worker that
	// declares anything else does not serve. No handlers: not known yet.
	Expect platform.Declaration
	// Workers is the most that run at a time, Spare how many without a call are
	// kept ready within that; 0: as many as Options say, and none.
	Workers, Spare int
	// Secrets is the version of the secrets that are in the environment.
	Secrets string
}

// Launcher prepares the launch of a deployment: its files and environment.
type Launcher interface {
	Launch(ctx context.Context, deploymentID string) (Launch, error)
}

// Supervisor is safe for concurrent use.
type Supervisor struct {
	options  Options
	launcher Launcher
	start    func(context.Context, worker.Spec) (*worker.Worker, error)
	pools    sync.Map // deployment ID → *pool
	holds    holds
	mu       sync.Mutex
	stopping bool // guarded by mu
	// running counts the goroutines that start or end workers.
	running sync.WaitGroup
	ctx     context.Context // of starts; ends when the supervisor drains
	cancel  context.CancelFunc
}

// New makes a supervisor. It starts workers on demand, also before Run; Run
// looks after them.
func New(o Options, l Launcher) *Supervisor {
	ctx, cancel := context.WithCancel(context.Background())
	return &Supervisor{options: o.withDefaults(), launcher: l, start: worker.Start, ctx: ctx, cancel: cancel}
}

// Run scales pools up and to zero until ctx ends, then drains all workers.
func (s *Supervisor) Run(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.drain()
			return nil
		case now := <-tick.C:
			s.pools.Range(func(_, v any) bool {
				v.(*pool).tend(now)
				return true
			})
		}
	}
}

// drain ends all pools and waits until every worker is gone.
func (s *Supervisor) drain() {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.pools.Range(func(_, v any) bool {
		v.(*pool).retire(errStopping)
		return true
	})
	s.cancel() // a start that is under way is of no use
	s.running.Wait()
}

var errStopping = fault.New(fault.Unavailable, "the server is stopping").WithCode("shutting_down")

// Adopt starts the first worker of a new deployment and keeps it: the smoke
// test of a deploy. It returns what the module declares. On an error nothing of
// the deployment is left.
func (s *Supervisor) Adopt(ctx context.Context, l Launch) (platform.Declaration, error) {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return platform.Declaration{}, errStopping
	}
	s.running.Add(1)
	s.mu.Unlock()
	defer s.running.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	p := newPool(s, l.DeploymentID)
	w, err := p.startWorker(ctx, l)
	if s.ctx.Err() != nil && err != nil {
		return platform.Declaration{}, errStopping
	}
	if err != nil {
		return platform.Declaration{}, err
	}
	l.Expect = w.Declaration()
	p.launch = &l
	if err := s.keep(p, w); err != nil {
		w.Kill("it was started in vain")
		return platform.Declaration{}, err
	}
	return l.Expect, nil
}

// keep publishes the pool of a worker that was just started.
func (s *Supervisor) keep(p *pool, w *worker.Worker) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return errStopping
	}
	if _, taken := s.pools.Load(p.deploymentID); taken {
		return fault.New(fault.Conflict, "the deployment runs already")
	}
	p.add(w)
	s.pools.Store(p.deploymentID, p)
	return nil
}

// Acquire returns a lease on a ready worker of a deployment, and waits for one
// within limits. Errors are ErrRetired, ctx's, or a fault with the code
// queue_full, start_failed, circuit_open or shutting_down.
func (s *Supervisor) Acquire(ctx context.Context, deploymentID string) (Lease, error) {
	p, err := s.pool(deploymentID)
	if err != nil {
		return Lease{}, err
	}
	return p.acquire(ctx, false)
}

// pool is the pool of a deployment, which is made when there is none.
func (s *Supervisor) pool(deploymentID string) (*pool, error) {
	v, ok := s.pools.Load(deploymentID)
	if !ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.stopping {
			return nil, errStopping
		}
		v, _ = s.pools.LoadOrStore(deploymentID, newPool(s, deploymentID))
	}
	return v.(*pool), nil
}

// Retire ends a deployment: callers from now on get ErrRetired, calls in
// flight finish, then its workers end. It returns at once.
func (s *Supervisor) Retire(deploymentID string) {
	s.mu.Lock()
	v, _ := s.pools.LoadOrStore(deploymentID, newPool(s, deploymentID))
	s.mu.Unlock()
	v.(*pool).retire(ErrRetired)
}

// Listens reports whether a worker that takes calls listens at a TCP address.
func (s *Supervisor) Listens(at netip.AddrPort) (found bool) {
	s.pools.Range(func(_, v any) bool {
		p := v.(*pool)
		p.mu.Lock()
		defer p.mu.Unlock()
		found = slices.ContainsFunc(p.slots, func(s *slot) bool { return s.w.Listens(at) })
		return !found
	})
	return found
}

// Status tells how a deployment is doing.
type Status struct {
	State    string // idle, starting, ready, backing off, circuit open, retired
	Workers  int
	InFlight int
	Sockets  int
	Waiting  int
	Failures int // in a row
	LastErr  string
}

// Status returns the status of a deployment; one without a pool is idle.
func (s *Supervisor) Status(deploymentID string) Status {
	if v, ok := s.pools.Load(deploymentID); ok {
		return v.(*pool).status()
	}
	return Status{State: "idle"}
}

// Lease is the right to run one invocation on a worker, or to have one WebSocket
// there. Release it once.
type Lease struct {
	pool   *pool
	slot   *slot
	socket bool
	waited time.Duration
	cold   bool
}

// Waited is how long Acquire waited for it, or in vain.
func (l Lease) Waited() time.Duration { return l.waited }

// Cold reports whether Acquire waited with no worker running: one was started.
func (l Lease) Cold() bool { return l.cold }

// Memory is what the worker uses at this moment, in bytes; 0: not known, or there
// is no worker.
func (l Lease) Memory() int64 {
	if l.slot == nil || l.slot.w == nil {
		return 0
	}
	return l.slot.w.Memory()
}

// Do runs the invocation: see worker.Worker.Do. When it fails because its worker
// is ending, that worker is out of the pool when Do returns, so that the next
// Acquire does not find it again.
func (l Lease) Do(ctx context.Context, r *worker.Request) (*worker.Response, error) {
	res, err := l.slot.w.Do(ctx, r)
	l.left(err)
	return res, err
}

// left takes the worker out of the pool if it failed because it is ending.
func (l Lease) left(err error) {
	if err != nil {
		select {
		case <-l.slot.w.Leaving():
			l.pool.leave(l.slot)
		default:
		}
	}
}

// Proxy sends requests to a worker that is a program; nil of any other.
func (l Lease) Proxy() *upstream.Proxy { return l.slot.w.Proxy() }

// Refused takes a program that takes no connections out of the pool, so that the
// next Acquire does not find it again.
func (l Lease) Refused() {
	l.slot.w.Refuse()
	l.pool.leave(l.slot)
}

// Release gives the worker back. The response, or the WebSocket, must have been
// closed.
func (l Lease) Release() { l.pool.release(l.slot, l.socket) }

func startFault(err error, functionID string) error {
	if e, ok := errors.AsType[*worker.StartError](err); ok {
		return fault.Wrap(e, fault.Unavailable, "the function does not start").WithCode("start_failed")
	}
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind == fault.Unavailable {
		return err
	}
	return fault.Wrap(fmt.Errorf("start function %s: %w", functionID, err), fault.Unavailable, "the function does not start").WithCode("start_failed")
}
