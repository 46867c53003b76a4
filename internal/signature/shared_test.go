package signature_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/internal/signature"
)

// marks is a store of several nodes.
type marks struct {
	mu    sync.Mutex
	until map[[16]byte]time.Time // guarded by mu
	asked int                    // guarded by mu
	err   error                  // of each call; guarded by mu
}

func (s *marks) TakeMark(ctx context.Context, m [16]byte, now, until time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.err != nil || ctx.Err() != nil {
		return false, errors.Join(s.err, ctx.Err())
	}
	if known, ok := s.until[m]; ok && !known.Before(now) {
		return false, nil
	}
	s.until[m] = until
	return true, nil
}

func (s *marks) ForgetMark(_ context.Context, m [16]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.until, m)
	return s.err
}

func (s *marks) PruneMarks(context.Context, time.Time) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.until), s.err
}

func (s *marks) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func newMarks() *marks { return &marks{until: map[[16]byte]time.Time{}} }

func node(s *marks, most int) *signature.Shared {
	return signature.NewShared(s, 1000, most, slog.New(slog.DiscardHandler))
}

func TestShared(t *testing.T) {
	t.Parallel()
	store := newMarks()
	one, two := node(store, 10), node(store, 10)
	take := func(s *signature.Shared, m byte) bool {
		t.Helper()
		fresh, err := s.Take(t.Context(), signature.Mark{m}, now, now.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		return fresh
	}
	if !take(one, 1) || take(one, 1) || take(two, 1) || take(two, 1) {
		t.Error("a callback is taken more or less than once")
	}
	if store.asked != 3 {
		t.Errorf("the store was asked %d times, want 3: what a process knows itself it need not ask", store.asked)
	}
	if err := one.Forget(t.Context(), signature.Mark{1}); err != nil {
		t.Fatal(err)
	}
	if !take(two, 1) || take(one, 1) {
		t.Error("what one node gave back the other does not take, or takes again")
	}
	if again := node(store, 10); take(again, 1) {
		t.Error("a node that was started again takes what it had taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if fresh, err := one.Take(ctx, signature.Mark{2}, now, now.Add(time.Minute)); err != nil || !fresh {
		t.Errorf("of a caller who went away: %v, %v", fresh, err)
	}
	if err := one.Forget(ctx, signature.Mark{2}); err != nil || !take(two, 2) {
		t.Errorf("given back for a caller who went away: %v", err)
	}
}

// With the store away nothing is taken, and nothing is lost by that.
func TestShared_StoreAway(t *testing.T) {
	t.Parallel()
	store := newMarks()
	s := node(store, 10)
	away := errors.New("away")
	store.fail(away)
	if fresh, err := s.Take(t.Context(), signature.Mark{1}, now, now.Add(time.Minute)); !errors.Is(err, away) || fresh {
		t.Errorf("taken: %v, %v", fresh, err)
	}
	store.fail(nil)
	if fresh, err := s.Take(t.Context(), signature.Mark{1}, now, now.Add(time.Minute)); err != nil || !fresh {
		t.Errorf("when it is back: %v, %v", fresh, err)
	}
	store.fail(away)
	if err := s.Forget(t.Context(), signature.Mark{1}); !errors.Is(err, away) {
		t.Errorf("given back: %v", err)
	}
	if fresh, _ := s.Take(t.Context(), signature.Mark{1}, now, now.Add(time.Minute)); fresh {
		t.Error("what the store may still have is new")
	}
}

func TestShared_OnceOfMany(t *testing.T) {
	t.Parallel()
	store := newMarks()
	nodes := []*signature.Shared{node(store, 10), node(store, 10), node(store, 10)}
	var taken atomic.Int32
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			if fresh, err := nodes[i%len(nodes)].Take(t.Context(), signature.Mark{1}, now, now.Add(time.Minute)); err != nil {
				t.Error(err)
			} else if fresh {
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	if n := taken.Load(); n != 1 {
		t.Errorf("taken %d times", n)
	}
}

// A store that is full takes nothing until something is over.
func TestShared_Full(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newMarks()
		s := node(store, 3)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx) })
		defer wg.Wait()
		defer cancel()
		synctest.Wait()
		take := func(m byte) bool {
			fresh, _ := s.Take(t.Context(), signature.Mark{m}, time.Now(), time.Now().Add(time.Hour))
			return fresh
		}
		for m := range byte(4) { // the bound is looked at now and then
			if !take(m) {
				t.Errorf("%d is not taken", m)
			}
		}
		time.Sleep(time.Minute + time.Second)
		if take(10) {
			t.Error("taken beyond the bound")
		}
		store.ForgetMark(ctx, [16]byte{0})
		store.ForgetMark(ctx, [16]byte{1})
		time.Sleep(time.Minute)
		if !take(10) {
			t.Error("not taken although there is room")
		}
	})
}
