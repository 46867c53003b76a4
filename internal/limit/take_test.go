package limit_test

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/limit"
	"postern.dev/postern/internal/platform"
)

func of(t testing.TB, requests int, per time.Duration, burst int) *limit.Rate {
	t.Helper()
	r, err := limit.Of(platform.RateLimit{Requests: requests, Per: per, Burst: burst, By: platform.LimitByRoute})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// To the nanosecond: what is refused one before the wait is over is let through
// when it is.
func TestRate_Edges(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		requests int
		per      time.Duration
		burst    int
		interval time.Duration
	}{
		{10, time.Hour, 0, 6 * time.Minute}, {1, 24 * time.Hour, 0, 24 * time.Hour}, {100, time.Second, 200, 10 * time.Millisecond}, {3, time.Second, 1, 333333334},
		{1_000_000, time.Second, 1, time.Microsecond}, {7, time.Minute, 3, 8571428572}, {1, 31 * 24 * time.Hour, 11, 31 * 24 * time.Hour},
	} {
		r, now := of(t, tc.requests, tc.per, tc.burst), time.Unix(1_700_000_000, 1)
		burst := tc.burst
		if burst == 0 {
			burst = tc.requests
		}
		for i := range min(burst, 1000) {
			if left, _ := r.Left(now); left != int64(burst-i) {
				t.Errorf("%+v: %d left after %d", tc, left, i)
			}
			if _, ok := r.Allow(now); !ok {
				t.Errorf("%+v: event %d of the burst is refused", tc, i)
			}
		}
		for i := range 3 {
			left, reset := r.Left(now)
			wait, ok := r.Allow(now)
			if ok || wait != tc.interval || left != 0 || reset != wait {
				t.Errorf("%+v: after the burst, round %d: %v, wait %v, want %v; left %d until %v", tc, i, ok, wait, tc.interval, left, reset)
			}
			if _, ok := r.Allow(now.Add(wait - 1)); ok {
				t.Errorf("%+v: let through a nanosecond early", tc)
			}
			now = now.Add(wait)
			if _, ok := r.Allow(now); !ok {
				t.Errorf("%+v: refused at the moment that was named", tc)
			}
		}
	}
}

func TestOf_Refuses(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]platform.RateLimit{
		"nothing":                    {Requests: 0, Per: time.Second},
		"less than nothing":          {Requests: -1, Per: time.Second},
		"no period":                  {Requests: 1},
		"a negative period":          {Requests: 1, Per: -time.Second},
		"under a second":             {Requests: 1, Per: time.Second - 1},
		"over a month":               {Requests: 1, Per: 31*24*time.Hour + 1},
		"more than one a nanosecond": {Requests: int(time.Second) + 1, Per: time.Second},
		"a negative burst":           {Requests: 1, Per: time.Second, Burst: -1},
		"a burst of a year":          {Requests: 1, Per: 24 * time.Hour, Burst: 367},
		"a burst that overflows":     {Requests: 1, Per: time.Hour, Burst: math.MaxInt},
		"requests that overflow":     {Requests: math.MaxInt, Per: 31 * 24 * time.Hour},
	} {
		l.By = platform.LimitByRoute
		if r, err := limit.Of(l); err == nil || r != nil {
			t.Errorf("%s: %+v is a limit", name, l)
		}
		if b, err := limit.BookOf[string](l, 10, nil); err == nil || b != nil {
			t.Errorf("%s: %+v makes a book", name, l)
		}
	}
	if _, err := limit.Of(platform.RateLimit{Requests: 1, Per: time.Second, By: "moon"}); err == nil {
		t.Error("a limit by the moon")
	}
}

// One that refuses takes from none of the others.
func TestTake_AllOrNone(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	wide, narrow, last := of(t, 100, time.Hour, 0), of(t, 2, time.Hour, 0), of(t, 50, time.Minute, 0)
	rates := []*limit.Rate{wide, narrow, last}
	for range 2 {
		if place, _ := limit.Take(now, rates); place >= 0 {
			t.Fatalf("refused by %d", place)
		}
	}
	for range 500 {
		place, wait := limit.Take(now, rates)
		looked, seen := limit.Peek(now, rates)
		if place != 1 || wait != 30*time.Minute || looked != place || seen != wait {
			t.Fatalf("refused by %d for %v; Peek says %d, %v", place, wait, looked, seen)
		}
	}
	for i, want := range []int64{98, 0, 48} {
		if left, _ := rates[i].Left(now); left != want {
			t.Errorf("rate %d has %d left, want %d", i, left, want)
		}
	}
	limit.Return(rates)
	for i, want := range []int64{99, 1, 49} {
		if left, _ := rates[i].Left(now); left != want {
			t.Errorf("rate %d has %d left after one was given back, want %d", i, left, want)
		}
	}
	// Of several that refuse it is the longest wait.
	slow := of(t, 1, time.Hour, 0)
	slow.Allow(now)
	narrow.Allow(now)
	if place, wait := limit.Peek(now, []*limit.Rate{wide, narrow, slow}); place != 2 || wait != time.Hour {
		t.Errorf("place %d, wait %v", place, wait)
	}
}

// A thousand at once get the burst of the narrowest and no more, whatever was
// taken and given back between.
func TestTake_Concurrent(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	b, err := limit.BookOf[int](platform.RateLimit{Requests: 40, Per: time.Hour, By: platform.LimitByKey}, 4096, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := of(t, 100, time.Hour, 0)
	var passed [4]atomic.Int64
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			if place, _ := limit.Take(now, []*limit.Rate{b.Rate(i%4, now), all}); place < 0 {
				passed[i%4].Add(1)
			}
		})
	}
	wg.Wait()
	sum := int64(0)
	for i := range passed {
		sum += passed[i].Load()
		if left, _ := b.Rate(i, now).Left(now); passed[i].Load()+left != 40 {
			t.Errorf("caller %d: %d let through and %d left of 40", i, passed[i].Load(), left)
		}
	}
	if left, _ := all.Left(now); sum > 100 || sum+left != 100 {
		t.Errorf("%d let through and %d left of 100", sum, left)
	}
}

// A name that is forgotten while others take from it gets no second burst.
func TestBook_ForgetsUnderUse(t *testing.T) {
	t.Parallel()
	b := limit.NewBook[int](1000, 5, 8)
	now := time.Unix(1_700_000_000, 0)
	for range 200 {
		now = now.Add(2 * time.Second) // all are idle again
		var passed atomic.Int64
		var wg sync.WaitGroup
		for worker := range 4 {
			wg.Go(func() {
				for i := range 20 {
					if _, ok := b.Allow(1, now); ok {
						passed.Add(1)
					}
					b.Allow(100+worker*20+i, now) // strangers, so that the book is looked through
				}
			})
		}
		wg.Wait()
		if n := passed.Load(); n > 10 || n < 5 { // it may have been one of the crowd before it was known
			t.Fatalf("%d let through at one moment", n)
		}
	}
}

func TestBook_Room(t *testing.T) {
	t.Parallel()
	now, l := time.Unix(1_700_000_000, 0), platform.RateLimit{Requests: 2, Per: time.Hour, By: platform.LimitByAddress}
	room := limit.NewRoom(10)
	a, _ := limit.BookOf[int](l, 100, room)
	b, _ := limit.BookOf[int](l, 100, room)
	for i := range 8 {
		a.Allow(i, now)
	}
	allowed := 0
	for i := range 50 {
		if _, ok := b.Allow(i, now); ok {
			allowed++
		}
	}
	if a.Len() != 8 || b.Len() != 2 || allowed != 2+2 { // two with a place, and the burst that the others share
		t.Errorf("%d and %d names, %d allowed", a.Len(), b.Len(), allowed)
	}
	a.Close()
	if _, ok := a.Allow(1, now); !ok || a.Len() != 0 {
		t.Error("who meets a closed book is no stranger to it")
	}
	for i := range 50 {
		b.Allow(100+i, now)
	}
	if b.Len() != 10 {
		t.Errorf("%d names after the other book gave its room back", b.Len())
	}
	b.Close()
	c, _ := limit.BookOf[int](l, 100, room)
	for i := range 50 {
		c.Allow(i, now)
	}
	if c.Len() != 10 {
		t.Errorf("%d names in a room of 10", c.Len())
	}
}

// A flood of addresses takes bounded memory from a book that is divided, and
// frees nobody who is known.
func TestBook_DividedIsBounded(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	b, _ := limit.BookOf[[16]byte](platform.RateLimit{Requests: 2, Per: time.Hour, By: platform.LimitByAddress}, 2048, nil)
	known := [16]byte{1}
	b.Allow(known, now)
	b.Allow(known, now)
	allowed := 0
	for i := range 100_000 {
		if _, ok := b.Allow([16]byte{2, byte(i), byte(i >> 8), byte(i >> 16)}, now); ok {
			allowed++
		}
	}
	if b.Len() > 2048 || allowed > 2048+2 {
		t.Errorf("%d names, %d strangers let through", b.Len(), allowed)
	}
	if _, ok := b.Allow(known, now); ok {
		t.Error("a flood gave a known name a new burst")
	}
	if n := testing.AllocsPerRun(100, func() { b.Allow(known, now) }); n != 0 {
		t.Errorf("%v allocations for a known name", n)
	}
	if b.Look([16]byte{9}); b.Len() > 2048 {
		t.Error("a look took a place")
	}
}

func BenchmarkBook(b *testing.B) {
	book, _ := limit.BookOf[[16]byte](platform.RateLimit{Requests: 1_000_000, Per: time.Second, By: platform.LimitByAddress}, 1<<14, nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		name, now := [16]byte{}, time.Now()
		for pb.Next() {
			name[3]++
			book.Allow(name, now)
		}
	})
}
