package signature_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/signature"
)

func mark(i int) (m signature.Mark) {
	binary.LittleEndian.PutUint64(m[:], uint64(i)*0x9e3779b97f4a7c15)
	return m
}

func TestReplays(t *testing.T) {
	t.Parallel()
	r := signature.NewReplays(1 << 12)
	for _, tc := range []struct {
		name         string
		mark         int
		after, until time.Duration
		fresh        bool
	}{
		{"the first", 1, 0, time.Minute, true},
		{"again", 1, 0, time.Minute, false},
		{"another", 2, 0, time.Hour, true},
		{"again at its end", 1, time.Minute, 2 * time.Minute, false},
		{"again after its end", 1, time.Minute + 1, 2 * time.Minute, true},
		{"and again", 1, time.Minute + 2, 2 * time.Minute, false},
		{"the other, which is kept for longer", 2, time.Minute + 2, time.Hour, false},
		{"the clock steps back", 1, 0, time.Hour, false},
	} {
		if fresh, err := r.Take(t.Context(), mark(tc.mark), now.Add(tc.after), now.Add(tc.until)); err != nil || fresh != tc.fresh {
			t.Errorf("%s: %v, %v", tc.name, fresh, err)
		}
	}
}

func TestReplays_FullIsClosed(t *testing.T) {
	t.Parallel()
	const size = 1 << 10
	r := signature.NewReplays(size)
	taken := 0
	for i := range 4 * size {
		fresh, err := r.Take(t.Context(), mark(i), now, now.Add(time.Minute))
		if fresh && err == nil {
			taken++
		} else if fresh || err == nil {
			t.Fatalf("mark %d: %v, %v", i, fresh, err)
		}
	}
	if taken > size || taken < size*9/10 {
		t.Errorf("%d marks are remembered of %d", taken, size)
	}
	if fresh, err := r.Take(t.Context(), mark(0), now, now.Add(time.Minute)); fresh || err != nil {
		t.Errorf("a full memory does not know what it remembers: %v, %v", fresh, err)
	}
	for i := range size / 2 { // those whose time has come make room
		if fresh, err := r.Take(t.Context(), mark(i+1e6), now.Add(time.Minute+1), now.Add(time.Hour)); !fresh || err != nil {
			t.Fatalf("no room after a minute, at %d: %v", i, err)
		}
	}
}

// Whatever is taken, forgotten and due, in whichever order: it agrees with a
// plain map.
func TestReplays_AgreesWithAMap(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	r := signature.NewReplays(1 << 20)
	model := map[int]time.Time{}
	at := now
	mark := func(i int) (m signature.Mark) { // all in one shard
		binary.BigEndian.PutUint64(m[8:], uint64(i))
		return m
	}
	for range 50000 {
		i := rng.IntN(500)
		if rng.IntN(5) == 0 {
			delete(model, i)
			if err := r.Forget(t.Context(), mark(i)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		at = at.Add(time.Duration(rng.IntN(1000)) * time.Millisecond)
		until, known := model[i]
		want := !known || until.Before(at)
		ends := at.Add(time.Duration(rng.IntN(300)) * time.Second)
		fresh, err := r.Take(t.Context(), mark(i), at, ends)
		if err != nil || fresh != want {
			t.Fatalf("mark %d at %v: %v, %v; want %v", i, at, fresh, err, want)
		}
		if want {
			model[i] = ends
		}
	}
}

func TestReplays_ForgottenMakesRoom(t *testing.T) {
	t.Parallel()
	r := signature.NewReplays(64) // one a shard
	for i := range 1000 {
		if fresh, err := r.Take(t.Context(), mark(1), now, now.Add(time.Hour)); !fresh || err != nil {
			t.Fatalf("try %d: %v, %v", i, fresh, err)
		}
		if err := r.Forget(t.Context(), mark(1)); err != nil {
			t.Fatal(err)
		}
		if err := r.Forget(t.Context(), mark(2)); err != nil { // unknown
			t.Fatal(err)
		}
	}
}

func TestReplays_ConcurrentlyOnceEach(t *testing.T) {
	t.Parallel()
	r := signature.NewReplays(1 << 14)
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				if fresh, err := r.Take(context.Background(), mark(i), now, now.Add(time.Hour)); fresh && err == nil {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1000 {
		t.Errorf("1000 marks were new %d times", taken.Load())
	}
}
