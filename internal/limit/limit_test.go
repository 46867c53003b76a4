package limit_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern.dev/postern/internal/limit"
)

func TestRate_BurstThenSustained(t *testing.T) {
	t.Parallel()
	r := limit.New(10)
	now := time.Unix(1000, 0)
	for i := range 10 {
		if _, ok := r.Allow(now); !ok {
			t.Fatalf("event %d of the burst is refused", i)
		}
	}
	wait, ok := r.Allow(now)
	if ok || wait <= 0 || wait > 100*time.Millisecond {
		t.Errorf("after the burst: %v, %v", wait, ok)
	}
	if _, ok := r.Allow(now.Add(wait)); !ok {
		t.Error("refused although it waited as long as it was told")
	}
	if _, ok := r.Allow(now.Add(wait)); ok {
		t.Error("two for one wait")
	}
	if _, ok := new(limit.Rate).Allow(now); ok {
		t.Error("the zero value allows")
	}
}

// In no window of a second may there be more than the burst and the rate.
func TestRate_NeverMoreThanAllowed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		perSecond := rapid.IntRange(1, 50).Draw(t, "rate")
		r := limit.New(perSecond)
		now := time.Unix(1000, 0)
		var allowed []time.Time
		for range rapid.IntRange(1, 300).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(200*time.Millisecond)).Draw(t, "gap")))
			if _, ok := r.Allow(now); ok {
				allowed = append(allowed, now)
			}
		}
		for i := range allowed {
			n := 0
			for _, a := range allowed[i:] {
				if a.Sub(allowed[i]) < time.Second {
					n++
				}
			}
			if n > 2*perSecond {
				t.Fatalf("%d events in a second at a rate of %d", n, perSecond)
			}
		}
	})
}

func TestRate_Concurrent(t *testing.T) {
	t.Parallel()
	r := limit.New(100)
	now := time.Unix(1000, 0)
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if _, ok := r.Allow(now); ok {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if allowed.Load() != 100 {
		t.Errorf("%d allowed at one instant, want 100", allowed.Load())
	}
}
