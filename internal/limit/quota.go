package limit

import (
	"errors"
	"sync"
	"time"

	"postern.dev/postern/internal/platform"
)

// Quota allows so many events in a day or a month of UTC's calendar. Nodes may
// share one: then each takes blocks of it from a store, and uses up what it has.
// It is safe for concurrent use; its lock is shared by the requests of one key only.
type Quota struct {
	limit int64
	per   platform.Period

	mu    sync.Mutex
	end   time.Time // of the running period; guarded by mu
	since time.Time // guarded by mu
	taken int64     // of the limit, by all nodes as far as is known; guarded by mu
	spare int64     // of that, what this node has not used yet; guarded by mu
	again time.Time // when to ask the store again that did not answer; guarded by mu
}

// Reserve takes up to n events of a quota in a period. It returns how many it
// got, and how many are taken now by all.
type Reserve func(since, end time.Time, limit, n int64) (got, taken int64, err error)

// The size of a block is a hundredth of the quota, so that little is lost with
// a node, within bounds: a small quota is taken one by one, and a large one
// costs the store one write in a thousand events.
const (
	blocksOfQuota = 100
	largestBlock  = 1000
)

var errAway = errors.New("the store of quotas did not answer a moment ago")

// askAgain is for how long a store that did not answer is not asked.
const askAgain = time.Second

// NewQuota returns a quota of which so many have been used since a period
// began. Of a period that is over nothing counts.
func NewQuota(limit int64, per platform.Period, since time.Time, used int64) *Quota {
	q := &Quota{limit: limit, per: per, since: since, taken: used}
	if !since.IsZero() {
		q.since, q.end = q.per.Begin(since), q.per.End(since)
	}
	return q
}

// Same reports whether two quotas allow the same.
func (q *Quota) Same(o *Quota) bool { return q.limit == o.limit && q.per == o.per }

// Take takes one event, or says how long to wait: until the period ends. It
// counts what this process has seen.
func (q *Quota) Take(now time.Time) (wait time.Duration, ok bool) {
	wait, ok, _ = q.TakeShared(now, func(_, _ time.Time, limit, n int64) (int64, int64, error) {
		n = max(min(n, limit-q.taken), 0)
		return n, q.taken + n, nil
	})
	return wait, ok
}

// TakeShared takes one event of what this node has, which it gets by blocks.
// The requests of the key wait while the store is asked; with an error nothing
// was taken, and for a moment the store is not asked again.
func (q *Quota) TakeShared(now time.Time, reserve Reserve) (wait time.Duration, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.runs(now) {
		q.since, q.end, q.taken, q.spare = q.per.Begin(now), q.per.End(now), 0, 0
	}
	if q.spare == 0 {
		switch {
		case q.taken >= q.limit:
			return q.end.Sub(now), false, nil
		case now.Before(q.again):
			return q.again.Sub(now), false, errAway
		}
		got, taken, err := reserve(q.since, q.end, q.limit, min(max(q.limit/blocksOfQuota, 1), largestBlock))
		if err != nil {
			q.again = now.Add(askAgain)
			return askAgain, false, err
		}
		if q.taken, q.spare = taken, got; got == 0 {
			q.taken = q.limit
			return q.end.Sub(now), false, nil
		}
	}
	q.spare--
	return 0, true, nil
}

// runs reports whether now is in the period that was counted last; q.mu is
// held. One that is to come is of a clock that was set back: its end may be
// years away.
func (q *Quota) runs(now time.Time) bool { return !now.Before(q.since) && now.Before(q.end) }

// Used is how many events were taken since the period began, by this node and
// the others as far as it knows.
func (q *Quota) Used() platform.Usage {
	q.mu.Lock()
	defer q.mu.Unlock()
	return platform.Usage{Since: q.since, Count: q.taken - q.spare}
}

// Return gives back an event that was taken at that time.
func (q *Quota) Return(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.runs(now) && q.spare < q.taken {
		q.spare++
	}
}

// Drain gives up what this node has taken and not used, for it to be given back
// to the store.
func (q *Quota) Drain() (since time.Time, spare int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	since, spare = q.since, q.spare
	q.taken, q.spare = q.taken-spare, 0
	return since, spare
}
