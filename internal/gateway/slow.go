package gateway

import (
	"net/http"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/limit"
)

// slow makes an address wait that is refused so often that it takes the
// processors from callers who are let in. It guards nothing: who is refused was
// refused before, and who is let in never waits, whatever their address.
type slow struct {
	book    *limit.Book[[16]byte] // nil: nobody waits
	waiting atomic.Int64
}

const (
	// refusalWait is how long a refusal waits: long against the time in which an
	// answer can be asked for again on the same connection, short for a person.
	refusalWait = time.Second
	// refusalsWaiting bounds how many wait at a time, of about 20 KB each. Those
	// beyond are cut off without an answer.
	refusalsWaiting = 10_000
	// slowNames is how many addresses are told apart.
	slowNames = 1 << 14
)

func newSlow(perSecond int) *slow {
	s := new(slow)
	if perSecond > 0 {
		s.book = limit.NewBook[[16]byte](perSecond, perSecond, slowNames)
	}
	return s
}

// down waits before a refusal is written, where its address had too many. What
// is of ours, such as a full queue, is nobody's flood.
func (s *slow) down(x *exchange, c httpx.Code) {
	if s.book == nil || x.call != nil || x.ran || x.started || c.Status >= http.StatusInternalServerError || c.Status == statusClientClosed {
		return
	}
	if _, ok := s.book.Allow(network(x), x.began); ok {
		return
	}
	if s.waiting.Add(1) > refusalsWaiting {
		s.waiting.Add(-1)
		x.status, x.code = c.Status, c.Code // as it is told of, though not to the caller
		panic(http.ErrAbortHandler)
	}
	defer s.waiting.Add(-1)
	timer := time.NewTimer(refusalWait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.r.Context().Done():
	}
}
