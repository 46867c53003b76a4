package token_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/token"
)

func TestReplays(t *testing.T) {
	t.Parallel()
	r := token.NewReplays(time.Minute, 1<<12)
	for _, tc := range []struct {
		name, jkt, jti string
		after          time.Duration
		seen           bool
	}{
		{"the first", "a", "1", 0, false},
		{"again", "a", "1", 0, true},
		{"another proof", "a", "2", 0, false},
		{"another key", "b", "1", 0, false},
		{"the same letters, cut elsewhere", "a1", "", 0, false},
		{"again after a window", "a", "1", time.Minute, true},
		{"again after two, when it may still be good", "a", "1", 2 * time.Minute, true},
		{"again after the proof itself is stale", "a", "1", 2*time.Minute + 1, false},
		{"and again", "a", "1", 2*time.Minute + 2, true},
		{"the clock steps back", "a", "1", 0, true},
	} {
		if got := r.Seen(tc.jkt, tc.jti, now.Add(tc.after)); got != tc.seen {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

// A proof is accepted from a window before its time to a window after. However
// the two ends are used, it is good once.
func TestReplays_OutliveTheProof(t *testing.T) {
	t.Parallel()
	r := token.NewReplays(time.Minute, 1<<12)
	raw := sealed(proofHeader, proofClaims)
	passed := 0
	for at := now.Add(-90 * time.Second); at.Before(now.Add(5 * time.Minute)); at = at.Add(time.Second) {
		e := proofExpect()
		e.Now = at
		if p, err := token.VerifyProof(raw, e); err == nil && !r.Seen(p.JKT, p.ID, at) {
			passed++
		}
	}
	if passed != 1 {
		t.Errorf("a proof was good %d times", passed)
	}
}

func TestReplays_FullIsClosed(t *testing.T) {
	t.Parallel()
	const size = 1 << 10
	r := token.NewReplays(time.Minute, size)
	taken := 0
	for i := range 4 * size {
		if !r.Seen("k", fmt.Sprint(i), now) {
			taken++
		}
	}
	if taken > size || taken < size*9/10 {
		t.Errorf("%d proofs are remembered of %d", taken, size)
	}
	if !r.Seen("other", "new", now) {
		t.Error("a full memory takes a proof")
	}
	for i := range size / 2 { // the stale ones make room
		if r.Seen("k", fmt.Sprint("later", i), now.Add(2*time.Minute+1)) {
			t.Fatalf("no room after the window, at %d", i)
		}
	}
	if none := token.NewReplays(time.Minute, 0); !none.Seen("k", "1", now) {
		t.Error("a memory of no size takes a proof")
	}
}

func TestReplays_ConcurrentlyOnceEach(t *testing.T) {
	t.Parallel()
	r := token.NewReplays(time.Minute, 1<<14)
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				if !r.Seen("k", fmt.Sprint(i), now) {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1000 {
		t.Errorf("1000 proofs were good %d times", taken.Load())
	}
}

func BenchmarkReplays(b *testing.B) {
	r := token.NewReplays(time.Minute, 1<<20)
	at, id := now, make([]byte, 8)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for j := range id {
			id[j] = 'a' + byte(i>>(4*j)&15)
		}
		at = at.Add(time.Millisecond)
		if r.Seen(rfcJKT, string(id), at) {
			b.Fatal("seen")
		}
	}
}
