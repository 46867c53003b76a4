// Package limit keeps callers to their rate.
//
// [Rate] is a GCRA: one number, advanced by compare-and-swap, so that checking
// a limit takes no lock and no goroutine. [Book] keeps one for each of many
// callers, in bounded memory.
package limit

import (
	"sync/atomic"
	"time"
)

// Rate allows so many events a second, with a burst of as many or of another
// number. The zero value allows none: make one with New or NewBurst. It is safe for concurrent use.
type Rate struct {
	interval int64        // nanoseconds between two events at the sustained rate
	burst    int64        // nanoseconds that may be borrowed
	arrival  atomic.Int64 // theoretical arrival time of the next event
}

// New returns a rate of perSecond, which must be positive.
func New(perSecond int) *Rate { return NewBurst(perSecond, perSecond) }

// NewBurst returns a rate of perSecond that lets burst events through at once;
// both must be positive.
func NewBurst(perSecond, burst int) *Rate {
	interval := int64(time.Second) / int64(perSecond)
	return &Rate{interval: interval, burst: interval * int64(burst-1)}
}

// Allow takes one event at the given time, or says how long to wait.
func (r *Rate) Allow(now time.Time) (wait time.Duration, ok bool) {
	t := now.UnixNano()
	for {
		arrival := r.arrival.Load()
		next := r.next(arrival, t)
		if ahead := next - t - r.burst; ahead > 0 || r.interval == 0 {
			return time.Duration(max(ahead, 1)), false
		}
		if r.arrival.CompareAndSwap(arrival, next+r.interval) {
			return 0, true
		}
	}
}

// next is when an event at the time t is due. No event borrows more than the
// burst, so an arrival that is further ahead is of a clock that was set back:
// waiting for it could take years. The burst is then taken for spent.
func (r *Rate) next(arrival, t int64) int64 {
	if arrival-t > r.burst+r.interval+clockSlack {
		arrival = t + r.burst
	}
	return max(arrival, t)
}

// clockSlack is by how much events at the same time may disagree about it.
const clockSlack = int64(time.Second)

// idle reports whether all of the burst is there again: forgetting such a rate
// and making a new one is the same.
func (r *Rate) idle(now time.Time) bool { return r.arrival.Load() <= now.UnixNano() }
