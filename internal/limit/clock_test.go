package limit_test

import (
	"testing"
	"time"

	"postern.dev/postern/internal/limit"
	"postern.dev/postern/internal/platform"
)

// A clock that ran ahead and was set back locks nobody out for as long as it
// was wrong, and gives nobody another burst.
func TestRate_ClockSetBack(t *testing.T) {
	t.Parallel()
	ahead, now := time.Unix(1_000_000, 0), time.Unix(1000, 0)
	r := limit.New(10)
	r.Allow(ahead)
	if _, ok := r.Peek(now); !ok {
		t.Error("Peek: refused because of a time to come")
	}
	allowed := 0
	for i := range 20 { // two seconds
		if _, ok := r.Allow(now.Add(time.Duration(i) * 100 * time.Millisecond)); ok {
			allowed++
		}
	}
	if allowed != 20 {
		t.Errorf("%d of 20 allowed at the rate itself", allowed)
	}
	r = limit.New(10)
	r.Allow(ahead)
	r.Allow(now)
	if _, ok := r.Allow(now); ok {
		t.Error("a clock that was set back gives another burst")
	}
}

// Callers at one moment do not agree about it to the millisecond: that is no
// clock that was set back.
func TestRate_LateCallersBorrowNothing(t *testing.T) {
	t.Parallel()
	r, now := limit.New(10), time.Unix(1000, 0)
	for range 10 {
		r.Allow(now)
	}
	for _, late := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 900 * time.Millisecond} {
		if _, ok := r.Allow(now.Add(-late)); ok {
			t.Errorf("%v late: allowed over the burst", late)
		}
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name  string
		per   platform.Period
		since time.Time
		used  int64
		now   time.Time
		left  int
		wait  time.Duration
	}{
		{"fresh", platform.PerDay, time.Time{}, 0, noon, 3, 12 * time.Hour},
		{"used before", platform.PerDay, noon.Add(-time.Hour), 2, noon, 1, 12 * time.Hour},
		{"used up", platform.PerDay, noon.Add(-time.Hour), 3, noon, 0, 12 * time.Hour},
		{"used yesterday", platform.PerDay, noon.Add(-24 * time.Hour), 3, noon, 3, 12 * time.Hour},
		{"used this month", platform.PerMonth, noon.AddDate(0, 0, -30), 2, noon, 1, 12 * time.Hour},
		{"used last month", platform.PerMonth, noon.AddDate(0, 0, -31), 3, noon, 3, 12 * time.Hour},
		{"used in a time to come", platform.PerDay, noon.AddDate(10, 0, 0), 3, noon, 3, 12 * time.Hour},
	} {
		q := limit.NewQuota(3, tc.per, tc.since, tc.used)
		if _, ok := q.Peek(tc.now); ok != (tc.left > 0) {
			t.Errorf("%s: Peek says %v", tc.name, ok)
		}
		for i := range tc.left {
			if _, ok := q.Take(tc.now); !ok {
				t.Errorf("%s: event %d is refused", tc.name, i+1)
			}
		}
		if wait, ok := q.Take(tc.now); ok || wait != tc.wait {
			t.Errorf("%s: over the quota: %v, %v; want a wait of %v", tc.name, wait, ok, tc.wait)
		}
		if u := q.Used(); u.Count != 3 || !u.Since.Equal(tc.per.Begin(tc.now)) {
			t.Errorf("%s: Used = %+v", tc.name, u)
		}
	}
}
