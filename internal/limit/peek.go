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

// Peek says what Take would, and takes nothing.
func (q *Quota) Peek(now time.Time) (wait time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.runs(now) && q.used >= q.limit {
		return q.end.Sub(now), false
	}
	return 0, true
}
