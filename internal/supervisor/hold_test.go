package supervisor_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postern.dev/postern/internal/supervisor"
)

func alive(t *testing.T, pid string) bool {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	return syscall.Kill(n, 0) == nil
}

// While a function is held nothing of it runs, what ran has finished, and who comes
// meanwhile waits and is answered.
func TestHold(t *testing.T) {
	t.Parallel()
	s, _ := newSupervisor(t, supervisor.Options{Workers: 2})
	pid, err := invoke(t, s, "good", "pid")
	if err != nil {
		t.Fatal(err)
	}
	slow := make(chan error, 1)
	go func() { _, err := invoke(t, s, "good", "slow"); slow <- err }()
	eventually(t, "the call runs", func() bool { return s.Status("good").InFlight == 1 })
	var waited sync.WaitGroup
	var answered atomic.Int64
	err = s.Hold(t.Context(), "fn-good", func() error {
		select {
		case err := <-slow:
			if err != nil {
				t.Errorf("the call in flight: %v", err)
			}
		default:
			t.Error("the call in flight is not over")
		}
		if alive(t, pid) {
			t.Error("its worker runs still")
		}
		for range 5 {
			waited.Go(func() {
				now, err := invoke(t, s, "good", "pid")
				if err != nil || now == pid {
					t.Errorf("a call that waited: %q, %v", now, err)
				}
				answered.Add(1)
			})
		}
		eventually(t, "they wait", func() bool { return s.Status("good").Waiting == 5 })
		if err := s.Hold(t.Context(), "fn-good", func() error { t.Error("held twice"); return nil }); code(err) != "function_held" {
			t.Errorf("held twice: %v", err)
		}
		if other, err := invoke(t, s, "values", "pid"); err != nil || other == "" {
			t.Errorf("another function: %q, %v", other, err)
		}
		if answered.Load() != 0 || s.Status("good").Workers != 0 {
			t.Error("somebody was answered meanwhile")
		}
		return errors.New("what do returned")
	})
	if err == nil || err.Error() != "what do returned" {
		t.Errorf("got %v", err)
	}
	waited.Wait()
	if err := s.Hold(t.Context(), "fn-good", func() error { return nil }); err != nil {
		t.Errorf("again: %v", err)
	}
}

// A deploy's smoke test starts nothing of a function that is held; and who gives up
// before it is quiet has changed nothing.
func TestHold_OthersWait(t *testing.T) {
	t.Parallel()
	s, l := newSupervisor(t, supervisor.Options{Workers: 1})
	next := valued(l, "new")
	next.DeploymentID = "next"
	adopted := make(chan error, 1)
	err := s.Hold(t.Context(), "fn-values", func() error {
		go func() { _, err := s.Adopt(t.Context(), next); adopted <- err }()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := s.Renew(ctx, valued(l, "other")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a renewal: %v", err)
		}
		select {
		case err := <-adopted:
			t.Errorf("a deploy did not wait: %v", err)
		default:
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-adopted; err != nil {
		t.Errorf("the deploy that waited: %v", err)
	}
	slow := make(chan error, 1)
	go func() { _, err := invoke(t, s, "next", "slow"); slow <- err }()
	eventually(t, "a call runs", func() bool { return s.Status("next").InFlight == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Hold(ctx, "fn-values", func() error { t.Error("it was not quiet"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if got, err := invoke(t, s, "next", "value"); err != nil || got != "new" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
	if err := <-slow; err != nil {
		t.Errorf("the call that ran: %v", err)
	}
}

// A worker that was on its way when its function was held ends, and the call that
// waits for it gets another.
func TestHold_WhileOneStarts(t *testing.T) {
	t.Parallel()
	s, _ := newSupervisor(t, supervisor.Options{Workers: 1})
	for range 4 {
		answer := make(chan error, 1)
		go func() { _, err := invoke(t, s, "good", "pid"); answer <- err }()
		eventually(t, "it starts", func() bool { st := s.Status("good").State; return st == "starting" || st == "ready" })
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		err := s.Hold(ctx, "fn-good", func() error {
			if n := s.Status("good").Workers; n != 0 {
				t.Errorf("%d workers run", n)
			}
			return nil
		})
		if cancel(); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; err != nil {
			t.Errorf("the call: %v", err)
		}
		if err := s.Hold(t.Context(), "fn-good", func() error { return nil }); err != nil { // and it begins without any
			t.Fatal(err)
		}
	}
}

// A renewal that is committed while its function is held ends its worker, or nobody
// could hold the function; what it brought is in force behind it.
func TestHold_WhileOneIsRenewed(t *testing.T) {
	t.Parallel()
	s, l := newSupervisor(t, supervisor.Options{Workers: 1})
	if _, err := s.Adopt(t.Context(), valued(l, "old")); err != nil {
		t.Fatal(err)
	}
	r, err := s.Renew(t.Context(), valued(l, "new"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	held := make(chan error, 1)
	go func() { held <- s.Hold(ctx, "fn-values", func() error { return nil }) }()
	eventually(t, "its workers are sent away", func() bool { return s.Status("values").Workers == 0 })
	r.Commit()
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	if got, err := invoke(t, s, "values", "value"); err != nil || got != "new" {
		t.Errorf("behind it: %q, %v", got, err)
	}
}
