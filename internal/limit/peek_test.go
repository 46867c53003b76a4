package limit_test

import (
	"testing"
	"time"

	"postern.dev/postern/internal/limit"
)

// Peek says beforehand what Allow and Take will say, and takes nothing.
func TestPeek(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC)
	r, q := limit.New(3), limit.NewQuota(3, "day", time.Time{}, 0)
	for i := range 40 {
		for range 5 {
			r.Peek(now)
			q.Peek(now)
		}
		wait, ok := r.Peek(now)
		if w, allowed := r.Allow(now); w != wait || allowed != ok {
			t.Errorf("rate, call %d: Peek says %v %v, Allow %v %v", i, wait, ok, w, allowed)
		}
		wait, ok = q.Peek(now)
		if w, allowed := q.Take(now); w != wait || allowed != ok {
			t.Errorf("quota, call %d: Peek says %v %v, Take %v %v", i, wait, ok, w, allowed)
		}
		now = now.Add(100 * time.Millisecond) // into another day
	}
}
