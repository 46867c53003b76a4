package lane

import (
	"context"
	"sync"
	"time"
)

// tick is how often requests are looked at. One that is seen twice is watched:
// its context ends when its caller goes. Most are over before, also where so many
// come that each has to wait its turn: a server that is full gets no more to do.
const tick = 100 * time.Millisecond

// restful is for how many ticks a connection without requests is looked at still.
const restful = 10

// watch is how a connection is watched while a handler runs.
type watch struct {
	mu      sync.Mutex
	stopped bool // guarded by mu
	over    chan struct{}
	got     [1]byte // of the next request
	n       int     // of got
}

// Watch watches over requests until ctx ends.
func (s *Server) Watch(ctx context.Context) {
	for {
		select {
		case <-s.rouse:
		case <-ctx.Done():
			return
		}
		ticker := time.NewTicker(tick)
		for s.look() {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				ticker.Stop()
				return
			}
		}
		ticker.Stop()
	}
}

// list has a connection looked at.
func (s *Server) list(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.listed.Load() {
		return
	}
	c.listed.Store(true)
	c.quiet = 0
	s.lively = append(s.lively, c)
	if s.asleep.CompareAndSwap(true, false) {
		s.rouse <- struct{}{}
	}
}

// look looks once at the connections that had a request lately, and reports
// whether there are any.
func (s *Server) look() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := s.lively[:0]
	for _, c := range s.lively {
		if s.lookAt(c) {
			rest = append(rest, c)
		}
	}
	clear(s.lively[len(rest):])
	s.lively = rest
	if len(rest) == 0 {
		s.lively = nil
		s.asleep.Store(true)
	}
	return len(rest) > 0
}

// lookAt reports whether a connection is to be looked at again. s.mu is held.
func (s *Server) lookAt(c *conn) bool {
	now := c.phase.Load()
	if now != c.seen {
		c.seen, c.quiet = now, 0
		return now%phases != over
	}
	switch now % phases {
	case over:
		return false
	case running:
		c.watch.begin() // nobody else has it before the phase says so
		if c.phase.CompareAndSwap(now, now-running+watched) {
			go c.look()
		}
	case waiting:
		if c.quiet++; c.quiet > restful {
			c.listed.Store(false)
			if c.phase.Load() == now {
				return false
			}
			c.listed.Store(true) // a request came that may have seen that it is listed
		}
	}
	return true
}

// begin makes ready to watch.
func (w *watch) begin() {
	w.over, w.stopped, w.n = make(chan struct{}), false, 0
}

// look reads on a connection while its handler runs, and ends the request's
// context when the connection ends.
func (c *conn) look() {
	w := &c.watch
	defer close(w.over)
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return
	}
	c.raw.SetReadDeadline(time.Time{})
	w.mu.Unlock()
	n, err := c.raw.Read(w.got[:])
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n = n; n == 0 && err != nil && !w.stopped {
		c.current.cancel()
	}
}

// unwatch ends the watch when a handler is done, if there was one, and makes
// ready for the next request.
func (c *conn) unwatch() {
	for {
		now := c.phase.Load()
		if word := now % phases; word == watched {
			c.phase.Store(now - watched + waiting)
			break
		} else if word == over || c.phase.CompareAndSwap(now, now-word+waiting) {
			return
		}
	}
	w := &c.watch
	w.mu.Lock()
	w.stopped = true
	c.raw.SetReadDeadline(time.Unix(1, 0))
	w.mu.Unlock()
	<-w.over
	c.readBy = time.Time{}
	if w.n > 0 {
		b := &c.current.body
		b.mu.Lock() // who was given the body may be reading it still
		defer b.mu.Unlock()
		c.makeRoom(len(c.buf) + 1)
		c.buf[c.w] = w.got[0]
		c.w++
	}
}

// bodyCame says that the whole body of a request has come: from now on the
// connection can be watched.
func (c *conn) bodyCame() {
	if now := c.phase.Load(); now%phases == reading {
		c.phase.CompareAndSwap(now, now-reading+running)
	}
}

// enter takes up a connection, unless the server stops.
func (s *Server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// Shutdown closes the connections on which no handler runs, and waits until the
// others have had their answers. When ctx ends before, it closes those as well,
// and returns its error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping.Store(true)
	empty := make(chan struct{})
	if s.empty = empty; len(s.conns) == 0 {
		close(empty)
		s.empty = nil
	}
	for c := range s.conns {
		if now := c.phase.Load(); now%phases == waiting && c.phase.CompareAndSwap(now, now+over) {
			c.nc.Close()
		}
	}
	s.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.nc.Close()
	}
	return ctx.Err()
}
