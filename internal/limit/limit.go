// Package limit keeps callers to their rate.
//
// [Rate] is a GCRA: one number, advanced by compare-and-swap, so that checking
// a limit takes no lock and no goroutine. [Book] keeps one for each of many
// callers, in bounded memory. [Take] takes from several rates, or from none.
package limit

import (
	"math"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/platform"
)

// Rate allows so many events in a period, with a burst of as many or of another
// number. The zero value allows none: make one with New, NewBurst or Of. It is
// safe for concurrent use.
type Rate struct {
	interval int64        // nanoseconds between two events at the sustained rate
	burst    int64        // nanoseconds that may be borrowed
	arrival  atomic.Int64 // theoretical arrival time of the next event; or forgotten
}

// New returns a rate of perSecond, which must be positive.
func New(perSecond int) *Rate { return NewBurst(perSecond, perSecond) }

// NewBurst returns a rate of perSecond that lets burst events through at once;
// both must be positive.
func NewBurst(perSecond, burst int) *Rate {
	return newRate(platform.RateLimit{Requests: perSecond, Per: time.Second, Burst: burst})
}

// Of returns the rate of a limit that Check has nothing against.
func Of(l platform.RateLimit) (*Rate, error) {
	if err := l.Check(); err != nil {
		return nil, err
	}
	return newRate(l), nil
}

func newRate(l platform.RateLimit) *Rate {
	i := int64(l.Interval())
	return &Rate{interval: i, burst: i * int64(l.AtOnce()-1)}
}

// like returns a fresh rate that allows the same.
func (r *Rate) like() *Rate { return &Rate{interval: r.interval, burst: r.burst} }

// Allow takes one event at the given time, or says how long to wait.
func (r *Rate) Allow(now time.Time) (wait time.Duration, ok bool) {
	t := now.UnixNano()
	for {
		arrival := r.arrival.Load()
		next := r.next(arrival, t)
		if ahead := next - t - r.burst; ahead > 0 || r.interval == 0 || arrival == forgotten {
			return time.Duration(max(ahead, 1)), false
		}
		if r.arrival.CompareAndSwap(arrival, next+r.interval) {
			return 0, true
		}
	}
}

// give gives back an event that Allow took: what is left is as if it had not
// come, or more than that never.
func (r *Rate) give() {
	for {
		arrival := r.arrival.Load()
		if arrival == forgotten || r.arrival.CompareAndSwap(arrival, arrival-r.interval) {
			return
		}
	}
}

// Take takes one event from each of the rates, or from none: then it returns
// the place of one that refuses, and else a negative place. Peek first: then
// what is given back again was hardly ever missing to somebody.
//
// A rate of a book that was forgotten in the meantime is one to be asked for
// again; the wait is zero then.
func Take(now time.Time, rates []*Rate) (place int, wait time.Duration) {
	for i, r := range rates {
		wait, ok := r.Allow(now)
		if ok {
			continue
		}
		Return(rates[:i])
		if r.arrival.Load() == forgotten {
			wait = 0
		}
		return i, wait
	}
	return -1, 0
}

// Return gives back to each of the rates what Take took.
func Return(rates []*Rate) {
	for _, r := range rates {
		r.give()
	}
}

// next is when an event at the time t is due. No event borrows more than the
// burst, so an arrival that is further ahead is of a clock that was set back:
// waiting for it could take years. The burst is then taken for spent.
func (r *Rate) next(arrival, t int64) int64 {
	if arrival-t > r.burst+r.interval+clockSlack && arrival != forgotten {
		arrival = t + r.burst
	}
	return max(arrival, t)
}

// clockSlack is by how much events at the same time may disagree about it.
const clockSlack = int64(time.Second)

// forgotten is the arrival of a rate that its book no longer has: whoever still
// holds it takes nothing from it, else that would be beside the new one.
const forgotten = math.MinInt64

// forget ends a rate of which all of the burst is there again: making a new one
// is the same.
func (r *Rate) forget(now time.Time) bool {
	arrival := r.arrival.Load()
	return arrival <= now.UnixNano() && r.arrival.CompareAndSwap(arrival, forgotten)
}

// Left is how many events may come at once, and for how long that is the last
// word: until all of the burst is there again, or, where none may come, until
// one may.
func (r *Rate) Left(now time.Time) (left int64, reset time.Duration) {
	t := now.UnixNano()
	ahead := r.next(r.arrival.Load(), t) - t
	if r.interval == 0 || ahead > r.burst {
		return 0, time.Duration(max(ahead-r.burst, 1))
	}
	return (r.burst-ahead)/r.interval + 1, time.Duration(ahead)
}
