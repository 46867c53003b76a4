package limit

import (
	"sync"
	"time"

	"postern.dev/postern/internal/platform"
)

// Quota allows so many events in a day or a month of UTC's calendar. It is
// safe for concurrent use; its lock is shared by the requests of one key only.
type Quota struct {
	limit int64
	per   platform.Period

	mu    sync.Mutex
	end   time.Time // of the running period; guarded by mu
	since time.Time // guarded by mu
	used  int64     // guarded by mu
}

// NewQuota returns a quota of which so many have been used since a period
// began. Of a period that is over nothing counts.
func NewQuota(limit int64, per platform.Period, since time.Time, used int64) *Quota {
	q := &Quota{limit: limit, per: per, since: since, used: used}
	if !since.IsZero() {
		q.since, q.end = q.per.Begin(since), q.per.End(since)
	}
	return q
}

// Same reports whether two quotas allow the same.
func (q *Quota) Same(o *Quota) bool { return q.limit == o.limit && q.per == o.per }

// Take takes one event, or says how long to wait: until the period ends.
func (q *Quota) Take(now time.Time) (wait time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.runs(now) {
		q.since, q.end, q.used = q.per.Begin(now), q.per.End(now), 0
	}
	if q.used >= q.limit {
		return q.end.Sub(now), false
	}
	q.used++
	return 0, true
}

// runs reports whether now is in the period that was counted last; q.mu is
// held. One that is to come is of a clock that was set back: its end may be
// years away.
func (q *Quota) runs(now time.Time) bool { return !now.Before(q.since) && now.Before(q.end) }

// Used is how many events were taken since the period began.
func (q *Quota) Used() platform.Usage {
	q.mu.Lock()
	defer q.mu.Unlock()
	return platform.Usage{Since: q.since, Count: q.used}
}

// Return gives back an event that Take took at that time.
func (q *Quota) Return(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.runs(now) && q.used > 0 {
		q.used--
	}
}
