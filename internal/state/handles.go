package state

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
)

const (
	maxHandles = 64              // of one function: objects that are read or written in parts
	handleIdle = 2 * time.Minute // after which one that nobody uses is let go
)

// held is what a handle stands for.
type held interface{ release() }

// handles are the objects that are read and written in parts, over several
// calls. One ends with its last part, with the worker that began it, and when
// it is not used for a while. Its zero value is ready.
type handles struct {
	mu   sync.Mutex
	all  map[string]*handle // guarded by mu
	many map[string]int     // by function; guarded by mu
}

type handle struct {
	functionID string
	mu         sync.Mutex // one call at a time
	held       held       // nil: let go; guarded by mu
	used       time.Time  // guarded by handles.mu
	forget     func() bool
}

// keep makes a handle. ctx is that of the worker, which the handle does not outlive.
func (hs *handles) keep(ctx context.Context, functionID string, what held, now time.Time) (string, error) {
	name := rand.Text()
	h := &handle{functionID: functionID, held: what, used: now}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.many[functionID] >= maxHandles {
		return "", fault.New(fault.TooMany, fmt.Sprintf("the function reads and writes %d large objects at once; no more", maxHandles)).WithCode("storage_busy")
	}
	if hs.all == nil {
		hs.all, hs.many = map[string]*handle{}, map[string]int{}
	}
	hs.all[name] = h
	hs.many[functionID]++
	h.forget = context.AfterFunc(ctx, func() { hs.drop(name, h) })
	return name, nil
}

// take gives what a handle stands for to one call. done gives it back, and lets
// it go if it is over.
func (hs *handles) take(functionID string, name []byte) (_ held, done func(over bool, now time.Time), err error) {
	hs.mu.Lock()
	h := hs.all[string(name)]
	hs.mu.Unlock()
	gone := fault.New(fault.NotFound, "what was being read or written is over: it failed, or waited too long").WithCode("storage_handle_gone")
	if h == nil || h.functionID != functionID {
		return nil, nil, gone
	}
	h.mu.Lock()
	if h.held == nil {
		h.mu.Unlock()
		return nil, nil, gone
	}
	return h.held, func(over bool, now time.Time) {
		h.mu.Unlock()
		if over {
			hs.drop(string(name), h)
			return
		}
		hs.mu.Lock()
		defer hs.mu.Unlock()
		h.used = now
	}, nil
}

// drop ends a handle, after the call that has it.
func (hs *handles) drop(name string, h *handle) {
	hs.mu.Lock()
	if hs.all[name] == h {
		delete(hs.all, name)
		if hs.many[h.functionID]--; hs.many[h.functionID] == 0 {
			delete(hs.many, h.functionID)
		}
	}
	hs.mu.Unlock()
	h.forget()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held != nil {
		h.held.release()
		h.held = nil
	}
}

// sweep lets go of what nobody has used for a while.
func (hs *handles) sweep(now time.Time) {
	hs.mu.Lock()
	idle := map[string]*handle{}
	for name, h := range hs.all {
		if now.Sub(h.used) > handleIdle && h.mu.TryLock() { // else a call has it
			h.mu.Unlock()
			idle[name] = h
		}
	}
	hs.mu.Unlock()
	for name, h := range idle {
		hs.drop(name, h)
	}
}

// close lets go of all.
func (hs *handles) close() {
	hs.mu.Lock()
	all := maps.Clone(hs.all)
	hs.mu.Unlock()
	for name, h := range all {
		hs.drop(name, h)
	}
}

// count is how many there are.
func (hs *handles) count() int {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return len(hs.all)
}
