package supervisor

import (
	"context"
	"sync"

	"postern.dev/postern/internal/fault"
)

// holds knows which functions have processes, and which of them may start none.
type holds struct {
	mu        sync.Mutex
	functions map[string]*hold // of those with processes, and those that are held; guarded by mu
}

// hold is what is known of one function; guarded by holds.mu.
type hold struct {
	running int           // processes that run, or are being started
	held    chan struct{} // closed when it is let go; nil: it is not held
	quiet   chan struct{} // of a function that is held: closed when nothing of it runs
}

var errHeld = fault.New(fault.Conflict, "the function's workers are stopped already, for something else").WithCode("function_held")

// Hold ends all workers of a function, calls do when none of its processes is left,
// and only then lets others start, for the calls that wait meanwhile. Calls in flight
// have the drain timeout. Where it does not come to that, do is not called.
func (s *Supervisor) Hold(ctx context.Context, functionID string, do func() error) error {
	quiet, err := s.holds.take(functionID)
	if err != nil {
		return err
	}
	defer s.holds.letGo(functionID)
	s.pools.Range(func(_, v any) bool {
		v.(*pool).sendAwayOf(functionID)
		return true
	})
	select {
	case <-quiet:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return errStopping
	}
	return do()
}

// sendAwayOf takes the workers out of a pool if it is of a function.
func (p *pool) sendAwayOf(functionID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.launch != nil && p.launch.FunctionID == functionID {
		p.sendAway()
	}
}

func (h *holds) of(functionID string) *hold {
	if h.functions == nil {
		h.functions = map[string]*hold{}
	}
	f := h.functions[functionID]
	if f == nil {
		f = &hold{}
		h.functions[functionID] = f
	}
	return f
}

func (h *holds) take(functionID string) (quiet <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.of(functionID)
	if f.held != nil {
		return nil, errHeld
	}
	f.held, f.quiet = make(chan struct{}), make(chan struct{})
	if f.running == 0 {
		close(f.quiet)
	}
	return f.quiet, nil
}

// has reports whether a function is held. One that is not, while its pool is locked,
// is not before whoever holds it has looked at that pool.
func (h *holds) has(functionID string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.functions[functionID]
	return f != nil && f.held != nil
}

func (h *holds) letGo(functionID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.functions[functionID]
	close(f.held)
	f.held, f.quiet = nil, nil
	h.tidy(functionID, f)
}

// enter waits until a process of a function may start, and counts it. Call leave
// when it is gone.
func (h *holds) enter(ctx context.Context, functionID string) error {
	for {
		h.mu.Lock()
		f := h.of(functionID)
		held := f.held
		if held == nil {
			f.running++
		}
		h.mu.Unlock()
		if held == nil {
			return nil
		}
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *holds) leave(functionID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.functions[functionID]
	f.running--
	if f.running == 0 && f.quiet != nil {
		close(f.quiet)
	}
	h.tidy(functionID, f)
}

func (h *holds) tidy(functionID string, f *hold) {
	if f.running == 0 && f.held == nil {
		delete(h.functions, functionID)
	}
}
