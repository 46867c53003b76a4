package limit

import "time"

// Peek says what Allow would, and takes nothing.
func (r *Rate) Peek(now time.Time) (wait time.Duration, ok bool) {
	t := now.UnixNano()
	if ahead := r.next(r.arrival.Load(), t) - t - r.burst; ahead > 0 || r.interval == 0 {
		return time.Duration(max(ahead, 1)), false
	}
	return 0, true
}

// Peek says what Take would of rates, and takes nothing: of several that refuse
// it is the one that asks for the longest wait.
func Peek(now time.Time, rates []*Rate) (place int, wait time.Duration) {
	place = -1
	for i, r := range rates {
		if w, ok := r.Peek(now); !ok && w > wait {
			place, wait = i, w
		}
	}
	return place, wait
}

// Peek says what Take would, and takes nothing.
func (q *Quota) Peek(now time.Time) (wait time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.runs(now) && q.spare == 0 && q.taken >= q.limit {
		return q.end.Sub(now), false
	}
	return 0, true
}

// Limit is how many events the quota allows in its period, and how long that is.
func (q *Quota) Limit(now time.Time) (limit int64, period time.Duration) {
	return q.limit, q.per.End(now).Sub(q.per.Begin(now))
}

// Left is how many events the quota still allows, and how long it takes until
// all are there again.
func (q *Quota) Left(now time.Time) (left int64, reset time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.runs(now) {
		return q.limit, q.per.End(now).Sub(now)
	}
	return max(q.limit-q.taken, 0) + q.spare, q.end.Sub(now)
}
