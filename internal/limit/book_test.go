package limit_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/limit"
)

func TestNewBurst(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ perSecond, burst int }{{10, 20}, {10, 10}, {10, 1}, {1, 1}, {1, 5}, {1000, 3}} {
		r, now := limit.NewBurst(tc.perSecond, tc.burst), time.Unix(1000, 0)
		for i := range tc.burst {
			if _, ok := r.Allow(now); !ok {
				t.Fatalf("%+v: event %d of the burst is refused", tc, i)
			}
		}
		wait, ok := r.Allow(now)
		if interval := time.Second / time.Duration(tc.perSecond); ok || wait <= 0 || wait > interval {
			t.Errorf("%+v: after the burst: %v, %v", tc, wait, ok)
		}
		// The rate after the burst is that of the rate, not of the burst.
		later, n := now.Add(10*time.Second), 0
		for at := now.Add(wait); at.Before(later); at = at.Add(time.Millisecond) {
			if _, ok := r.Allow(at); ok {
				n++
			}
		}
		if want := 10 * tc.perSecond; n > want || n < want-tc.perSecond/50-1 {
			t.Errorf("%+v: %d in ten seconds", tc, n)
		}
	}
}

func TestBook_EachNameHasItsOwn(t *testing.T) {
	t.Parallel()
	b, now := limit.NewBook[string](1, 2, 10), time.Unix(1000, 0)
	for _, name := range []string{"a", "a", "b", "b"} {
		if _, ok := b.Allow(name, now); !ok {
			t.Errorf("%s is refused within its burst", name)
		}
	}
	for _, name := range []string{"a", "b"} {
		if wait, ok := b.Allow(name, now); ok || wait != time.Second {
			t.Errorf("%s after its burst: %v, %v", name, wait, ok)
		}
	}
	if _, ok := b.Allow("a", now.Add(time.Second)); !ok {
		t.Error("refused although it waited")
	}
}

// A flood of names takes no more memory, frees nobody from their rate, and
// what it pushes out is only what was idle.
func TestBook_IsBounded(t *testing.T) {
	t.Parallel()
	b, now := limit.NewBook[string](1, 2, 4), time.Unix(1000, 0)
	b.Allow("busy", now)
	b.Allow("busy", now)
	allowed := 0
	for i := range 1000 {
		if _, ok := b.Allow(fmt.Sprint("stranger", i), now); ok {
			allowed++
		}
	}
	if b.Len() != 4 || allowed != 3+2 { // three that fit, and the burst that the others share
		t.Errorf("%d names, %d allowed", b.Len(), allowed)
	}
	if _, ok := b.Allow("busy", now); ok {
		t.Error("a flood gave a busy name a new burst")
	}
	now = now.Add(time.Second) // the three are idle again, "busy" is not quite
	b.Allow("late", now)
	if b.Len() != 2 {
		t.Errorf("%d names, want the busy one and the late one", b.Len())
	}
	if _, ok := b.Allow("busy", now); !ok {
		t.Error("busy waited and is refused")
	}
	if _, ok := b.Allow("busy", now); ok {
		t.Error("looking through the book gave a busy name a new burst")
	}
}

func TestBook_Concurrent(t *testing.T) {
	t.Parallel()
	b, now := limit.NewBook[string](10, 50, 8), time.Unix(1000, 0)
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 400 {
				if _, ok := b.Allow(fmt.Sprint(i%4), now); ok {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if allowed.Load() != 4*50 || b.Len() != 4 {
		t.Errorf("%d allowed, %d names", allowed.Load(), b.Len())
	}
}

func TestBook_Used(t *testing.T) {
	t.Parallel()
	b, now := limit.NewBook[int](1, 2, 100), time.Now()
	for name, events := range map[int]int{1: 1, 2: 2, 3: 5} {
		for range events {
			b.Allow(name, now)
		}
	}
	if names, spent := b.Used(now); names != 3 || spent != 2 {
		t.Errorf("at once: %d names, %d spent", names, spent)
	}
	if names, spent := b.Used(now.Add(time.Minute)); names != 0 || spent != 0 {
		t.Errorf("later: %d names, %d spent", names, spent)
	}
}
