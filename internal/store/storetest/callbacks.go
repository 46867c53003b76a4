package storetest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/store"
)

func testMarks(t *testing.T, db *store.DB) {
	take := func(mark byte, now, until time.Duration) bool {
		t.Helper()
		fresh, err := db.TakeMark(t.Context(), [16]byte{mark}, at.Add(now), at.Add(until))
		if err != nil {
			t.Fatal(err)
		}
		return fresh
	}
	for _, tc := range []struct {
		name       string
		mark       byte
		now, until time.Duration
		want       bool
	}{
		{"new", 1, 0, time.Minute, true},
		{"again", 1, 0, time.Minute, false},
		{"again, for longer", 1, 0, time.Hour, false},
		{"another", 2, 0, time.Minute, true},
		{"at the end of its time", 1, time.Minute, 2 * time.Minute, false},
		{"when its time is over", 1, time.Minute + time.Microsecond, 2 * time.Minute, true},
		{"again after that", 1, time.Minute + time.Microsecond, 2 * time.Minute, false},
		{"the time of the first is not that of the second", 1, 90 * time.Second, 2 * time.Minute, false},
	} {
		if got := take(tc.mark, tc.now, tc.until); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
	if err := db.ForgetMark(t.Context(), [16]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := db.ForgetMark(t.Context(), [16]byte{9}); err != nil {
		t.Errorf("forget what was never taken: %v", err)
	}
	if !take(1, time.Minute, time.Hour) || take(2, time.Second, time.Hour) {
		t.Error("what was forgotten is not new, or another was forgotten with it")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if fresh, err := db.TakeMark(ctx, [16]byte{3}, at, at.Add(time.Minute)); err == nil || fresh {
		t.Errorf("a cancelled take: %v, %v", fresh, err)
	}
}

// Of many who take one callback at once, one has it.
func testMarksAtOnce(t *testing.T, db *store.DB) {
	var taken [5]atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range taken {
				fresh, err := db.TakeMark(t.Context(), [16]byte{byte(i)}, at, at.Add(time.Minute))
				if err != nil {
					t.Error(err)
				}
				if fresh {
					taken[i].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for i := range taken {
		if n := taken[i].Load(); n != 1 {
			t.Errorf("callback %d was taken %d times", i, n)
		}
	}
}

// Marks go some time after their end, because a node's clock may be behind.
func testMarksPruned(t *testing.T, db *store.DB) {
	for i := range 6 {
		if _, err := db.TakeMark(t.Context(), [16]byte{byte(i)}, at, at.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		after time.Duration
		left  int
	}{{0, 6}, {10 * time.Minute, 6}, {12 * time.Minute, 4}, {time.Hour, 0}, {time.Hour, 0}} {
		if left, err := db.PruneMarks(t.Context(), at.Add(tc.after)); err != nil || left != tc.left {
			t.Errorf("after %v %d are left, %v; want %d", tc.after, left, err, tc.left)
		}
	}
	if fresh, err := db.TakeMark(t.Context(), [16]byte{5}, at, at.Add(time.Minute)); err != nil || !fresh {
		t.Errorf("a mark that was pruned: %v, %v", fresh, err)
	}
}
