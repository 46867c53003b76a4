// Package worker runs one worker process and speaks the wire protocol of
// docs/worker-protocol.md with it.
//
// [Start] starts a process and returns when it has declared its handlers;
// [Worker.Do] runs one invocation. The package starts processes and ends them
// with everything that they started; when to do so is for package supervisor
// to decide. Every end of a worker has a reason ([ExitError]).
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/redact"
)

// Line is one line that a function wrote.
type Line struct {
	At        time.Time
	Level     slog.Level
	RequestID string // empty when no request caused it
	Text      string
}

// Spec says how to start a worker. Argv[0] must be a path.
type Spec struct {
	Argv []string
	Dir  string
	// Env is the whole environment; POSTERN_WORKER_FD is added to it.
	Env []string
	// StartTimeout bounds the time until the worker is ready; 0 means 10 s.
	StartTimeout time.Duration
	// PingEvery and PingTimeout: a worker that has not answered a ping for
	// PingTimeout is killed as blocked. 0 means 5 s and 30 s.
	PingEvery, PingTimeout time.Duration
	// Token makes what the worker's function shows when it calls others: when
	// the worker starts, and each time that it is due again. nil: it may call
	// none. It must not block.
	Token func(now time.Time) (Token, error)
	// HostCall answers what the worker asks of the host; nil: nothing.
	HostCall HostCall
	// Memory is what the process may use, in bytes; 0: as much as there is. One
	// that uses more takes no new calls and ends when those it has are over; one
	// that uses a quarter more than that is killed. Measured every half second,
	// where /proc can tell.
	Memory int64
	// Late is environment that does not matter before the module is loaded.
	Late []string
	// Ahead may have a process that waits for its module; nil, or none: one is
	// started. Boot is what such a process runs in place of the last of Argv.
	Ahead *Ahead
	Boot  string
	// Program is set where the worker is a program that serves HTTP by itself.
	Program *Program
	// Redact is taken out of all that the worker says: its lines before they are
	// split or cut, and its errors. nil: nothing.
	Redact *redact.Set
	// Log is called for each line the worker writes, from several goroutines,
	// and must not block for long; nil drops them.
	Log func(Line)
}

// StartError says why a worker did not become ready.
type StartError struct {
	Code      string   `json:"code"` // as in docs/worker-protocol.md, FAIL; start_timeout; worker_exited; spawn_failed; protocol_error
	Message   string   `json:"message"`
	Stack     string   `json:"stack"`
	LastLines []string `json:"-"` // what it last wrote
}

func (e *StartError) Error() string { return e.Code + ": " + e.Message }

// ExitError says how a worker's process ended.
type ExitError struct {
	Code      int            // exit code; -1 when a signal ended it
	Signal    syscall.Signal // 0 when it exited by itself
	Reason    string         // why the host ended it; empty when it ended by itself
	LastLines []string       // what it last wrote
}

func (e *ExitError) Error() string {
	how := fmt.Sprintf("exited with code %d", e.Code)
	if e.Signal != 0 {
		how = "was ended by " + signalName(e.Signal)
	}
	if e.Reason != "" {
		how += " (" + e.Reason + ")"
	}
	return "the worker " + how
}

// Worker is a ready worker. It is safe for concurrent use.
type Worker struct {
	conn        *conn    // nil of a program
	program     *program // nil of what speaks the wire protocol
	proc        *process
	declaration platform.Declaration
	done        chan struct{} // closed after the process and its group are gone
	exit        *ExitError    // valid after done

	mu      sync.Mutex
	reason  string        // why we ended it; guarded by mu
	readied chan struct{} // closed at READY or FAIL
	started error         // valid after readied
	once    sync.Once
}

// Start starts a worker and waits until it is ready. On an error nothing of it
// is left; the error is a *StartError, or ctx's.
func Start(ctx context.Context, spec Spec) (*Worker, error) {
	if spec.Program != nil {
		return startProgram(ctx, spec)
	}
	w := &Worker{done: make(chan struct{}), readied: make(chan struct{})}
	log := spec.Log
	if log == nil {
		log = func(Line) {}
	}
	proc, nc, err := spec.Ahead.take(spec, log)
	if proc == nil {
		spec.Env = append(spec.Env[:len(spec.Env):len(spec.Env)], spec.Late...)
		proc, nc, err = spawn(spec, log)
	}
	if err != nil {
		return nil, &StartError{Code: "spawn_failed", Message: err.Error()}
	}
	w.proc = proc
	w.conn = newConn(nc, events{ready: w.onReady, token: spec.Token, call: spec.HostCall, redact: spec.Redact, log: func(level slog.Level, id, text string) {
		if level >= slog.LevelWarn {
			proc.last.add(text)
		}
		log(Line{At: time.Now(), Level: level, RequestID: id, Text: text})
	}})
	go w.watch(spec)
	timeout := spec.StartTimeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-w.readied:
		if w.started == nil {
			return w, nil
		}
		err = w.started
	case <-timer.C:
		err = &StartError{Code: "start_timeout", Message: fmt.Sprintf("the worker was not ready within %v (start-timeout): an await at the top of the module, setup or a startup hook has not ended", timeout)}
	case <-ctx.Done():
		err = ctx.Err()
	}
	w.kill("it did not start")
	<-w.done
	if e, ok := errors.AsType[*StartError](err); ok {
		e.LastLines = proc.last.lines()
		return nil, e
	}
	if errors.Is(err, errProtocol) {
		return nil, &StartError{Code: "protocol_error", Message: err.Error(), LastLines: proc.last.lines()}
	}
	return nil, err
}

func (w *Worker) onReady(d platform.Declaration, err error) {
	w.once.Do(func() {
		w.declaration, w.started = d, err
		close(w.readied)
	})
}

// closing is how long a worker that closed its socket has to end by itself,
// so that its own exit code is what is told.
const closing = 2 * time.Second

// watch owns the worker's goroutines until its process is gone.
func (w *Worker) watch(spec Spec) {
	connected, exited := make(chan error, 1), make(chan struct{})
	go func() {
		err := w.conn.run()
		w.endAfter(err, exited)
		connected <- err
	}()
	stop := make(chan struct{})
	go w.beat(spec, stop)
	state := w.proc.wait()
	close(exited)
	// What it said last may still lie in the socket: the answers of a worker
	// that drained and ended. A child that kept its end open must not keep us.
	unread := time.AfterFunc(closing, func() { w.conn.close(errors.New("its process ended")) })
	err := <-connected
	unread.Stop()
	w.conn.close(errors.New("its process ended"))
	close(stop)
	w.mu.Lock()
	w.exit = &ExitError{Code: state.code, Signal: state.signal, Reason: w.reason, LastLines: w.proc.last.lines()}
	if w.reason == "" && w.proc.last.heapFull() {
		w.exit.Reason = heapFullText(spec.Memory)
	}
	w.mu.Unlock()
	w.onReady(platform.Declaration{}, startErrorOf(err, w.exit))
	close(w.done)
}

// endAfter ends a worker whose connection is over: it serves nobody.
func (w *Worker) endAfter(err error, exited <-chan struct{}) {
	if errors.Is(err, errProtocol) {
		w.kill(err.Error())
		return
	}
	timer := time.NewTimer(closing)
	defer timer.Stop()
	select {
	case <-exited:
	case <-timer.C:
		w.kill("it closed its socket")
	}
}

func startErrorOf(err error, exit *ExitError) error {
	if e, ok := errors.AsType[*StartError](err); ok {
		return e
	}
	if errors.Is(err, errProtocol) {
		return err
	}
	return &StartError{Code: "worker_exited", Message: exit.Error() + " before it was ready"}
}

// beat sweeps deadlines and pings.
func (w *Worker) beat(spec Spec, stop chan struct{}) {
	every, timeout := spec.PingEvery, spec.PingTimeout
	if every == 0 {
		every = 5 * time.Second
	}
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	lastPing := time.Now()
	weighed := lastPing
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			w.conn.sweep(now)
			w.conn.renewToken(now)
			idle := now.Sub(lastPing) >= every
			if idle {
				lastPing = now
			}
			if w.conn.ping(now, idle) > timeout {
				w.kill(fmt.Sprintf("its event loop was blocked for %v", timeout))
			}
			if now.Sub(weighed) >= weighEvery {
				weighed = now
				w.weigh(spec.Memory)
			}
		}
	}
}

// Lag is how long the worker's event loop takes to answer now: the time that
// the last ping took, or that the one which is out has been waiting. While
// calls are in flight it is measured every 50 ms. Of a program nothing is known.
func (w *Worker) Lag() time.Duration {
	if w.program != nil {
		return 0
	}
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	if !w.conn.pingAt.IsZero() {
		return max(w.conn.lag, time.Since(w.conn.pingAt))
	}
	return w.conn.lag
}

// Declaration is what the worker's module declared.
func (w *Worker) Declaration() platform.Declaration { return w.declaration }

// Pid is the process ID of the worker, and the ID of its process group.
func (w *Worker) Pid() int { return w.proc.pid }

// InFlight is the number of invocations that have not ended.
func (w *Worker) InFlight() int {
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	return w.conn.inFlight
}

// Leaving is closed when the worker takes no new call any more: it refused one
// because it drains, or its connection is over.
func (w *Worker) Leaving() <-chan struct{} {
	if w.program != nil {
		return w.program.leaving
	}
	return w.conn.leaving
}

// Done is closed when the worker's process is gone, with all its children.
func (w *Worker) Done() <-chan struct{} { return w.done }

// Exit says how the worker ended; nil while it runs.
func (w *Worker) Exit() *ExitError {
	select {
	case <-w.done:
		return w.exit
	default:
		return nil
	}
}

// Do runs one invocation and returns when its response began. The caller
// closes the response. Errors are ErrRefused (nothing ran), ErrTooLarge,
// ErrDeadline, ErrLost, a *BodyError, an *InvocationError, or ctx's.
func (w *Worker) Do(ctx context.Context, r *Request) (*Response, error) {
	return w.conn.do(ctx, r)
}

// Drain asks the worker to finish what it has and to end, and waits for it.
// When ctx ends first the worker is killed. It returns nil in any case but a
// kill.
func (w *Worker) Drain(ctx context.Context) error {
	if w.program != nil {
		return w.drainProgram(ctx)
	}
	w.conn.enqueue(frameDrain, 0, 0, nil)
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	w.note("it did not drain in time")
	w.proc.signal(syscall.SIGTERM)
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
		w.kill("")
		<-w.done
	}
	return ctx.Err()
}

// Kill ends the worker and its process group at once, and waits.
func (w *Worker) Kill(reason string) {
	w.kill(reason)
	<-w.done
}

func (w *Worker) kill(reason string) {
	w.note(reason)
	w.proc.signal(syscall.SIGKILL)
}

func (w *Worker) note(reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reason == "" {
		w.reason = reason
	}
}
