package supervisor_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/worker"
)

// spared launches with a number of workers of its own.
type spared struct {
	*launcher
	workers, spare int
}

func (l spared) Launch(ctx context.Context, id string) (supervisor.Launch, error) {
	launch, err := l.launcher.Launch(ctx, id)
	launch.Workers, launch.Spare = l.workers, l.spare
	return launch, err
}

// With a spare worker there is another one when the first has a call, and none
// is stopped for idleness; without, the last one is.
func TestSpare_KeptReadyAndNeverIdle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                       string
		workers, spare, busy, idle int
	}{{"none", 0, 0, 1, 0}, {"one beside the busy one", 0, 1, 2, 2}, {"one, but no more than may run", 1, 1, 1, 1}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, l := newSupervisor(t, supervisor.Options{})
			s := supervisor.New(supervisor.Options{Workers: 3, IdleTimeout: 300 * time.Millisecond}, spared{l, c.workers, c.spare})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { s.Run(ctx); close(done) }()
			t.Cleanup(func() { cancel(); <-done })
			lease, err := s.Acquire(t.Context(), "good")
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "the workers beside a busy one", func() bool { return s.Status("good").Workers == c.busy })
			if lease.Release(); c.idle == 0 {
				eventually(t, "the idle one is stopped", func() bool { return s.Status("good").Workers == 0 })
				return
			}
			time.Sleep(time.Second) // longer than any that may be stopped is kept
			eventually(t, "the workers of one that is idle", func() bool { return s.Status("good").Workers == c.idle })
		})
	}
}

// A spare worker that ends is replaced before anybody calls.
func TestSpare_ReplacedAtOnce(t *testing.T) {
	t.Parallel()
	_, l := newSupervisor(t, supervisor.Options{})
	s := supervisor.New(supervisor.Options{Workers: 1}, spared{l, 1, 1})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	lease, err := s.Acquire(t.Context(), "good")
	if err != nil {
		t.Fatal(err)
	}
	lease.Do(t.Context(), &worker.Request{ID: "r", Method: "GET", Handler: "die", Path: "/die"})
	lease.Release()
	eventually(t, "a worker is there again without a call", func() bool { return s.Status("good").Workers == 1 })
}

// Where a function may have one worker, and that is full, a WebSocket waits for
// none that is not to be started.
func TestSpare_SocketsAreRefusedAtTheFunctionsOwnBound(t *testing.T) {
	t.Parallel()
	_, l := newSupervisor(t, supervisor.Options{})
	s := supervisor.New(supervisor.Options{Workers: 3, MaxSockets: 1, QueueTimeout: time.Hour}, spared{l, 1, 0})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	lease, err := s.AcquireSocket(t.Context(), "good")
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	patience, giveUp := context.WithTimeout(t.Context(), 10*time.Second)
	defer giveUp()
	_, err = s.AcquireSocket(patience, "good")
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != "queue_full" {
		t.Errorf("the second WebSocket: %v", err)
	}
}
