package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/worker"
)

// persist invokes as the gateway does: again when nothing ran.
func persist(t *testing.T, s *supervisor.Supervisor, deployment, handler string) (string, error) {
	t.Helper()
	for try := 0; ; try++ {
		out, err := invoke(t, s, deployment, handler)
		if err == nil || !errors.Is(err, worker.ErrRefused) || try == 3 {
			return out, err
		}
	}
}

// A handler that calls process.exit ends its own call; what else runs on the
// worker finishes, and who comes meanwhile is served by another.
func TestLeave_ExitInAHandler(t *testing.T) {
	t.Parallel()
	s, _ := newSupervisor(t, supervisor.Options{Workers: 1, Backoff: time.Millisecond})
	first, err := invoke(t, s, "good", "pid")
	if err != nil {
		t.Fatal(err)
	}
	slow := make(chan error, 1)
	go func() {
		pid, err := invoke(t, s, "good", "slow")
		if err == nil && pid != first {
			err = fmt.Errorf("it ran on worker %s, not %s", pid, first)
		}
		slow <- err
	}()
	eventually(t, "it runs", func() bool { return s.Status("good").InFlight == 1 })
	if _, err := invoke(t, s, "good", "exit"); err == nil {
		t.Error("a call that ended its worker was answered")
	}
	for range 20 {
		if pid, err := persist(t, s, "good", "pid"); err != nil || pid == first {
			t.Fatalf("while it drains: worker %s, %v", pid, err)
		}
	}
	if err := <-slow; err != nil {
		t.Error("what ran on it: ", err)
	}
}

// A worker that is killed from outside is replaced without a refusal, by
// whoever asks next.
func TestLeave_KilledFromOutside(t *testing.T) {
	t.Parallel()
	s, _ := newSupervisor(t, supervisor.Options{Workers: 1, Backoff: time.Millisecond, Circuit: 100})
	for range 5 {
		pid, err := persist(t, s, "good", "pid")
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(pid)
		if err != nil {
			t.Fatal(err)
		}
		p, err := os.FindProcess(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if next, err := persist(t, s, "good", "pid"); err != nil && !errors.Is(err, worker.ErrLost) || next == pid {
			t.Errorf("the next call: worker %s, %v", next, err)
		}
	}
}

// Crashes open the circuit as failed starts do.
func TestLeave_CrashLoopOpensTheCircuit(t *testing.T) {
	t.Parallel()
	s, _ := newSupervisor(t, supervisor.Options{Backoff: time.Millisecond, Circuit: 3})
	eventually(t, "the circuit opens", func() bool {
		_, err := invoke(t, s, "good", "die")
		if err == nil {
			t.Fatal("a call that killed its worker was answered")
		}
		return code(err) == "circuit_open"
	})
	if st := s.Status("good"); st.State != "circuit open" || st.LastErr == "" || st.Workers != 0 {
		t.Errorf("status %+v", st)
	}
}

// Callers who wait for room on a worker that dies get its replacement.
func TestLeave_WaitersOutliveAWorker(t *testing.T) {
	t.Parallel()
	s, _ := newSupervisor(t, supervisor.Options{Workers: 1, MaxInFlight: 1, Backoff: time.Millisecond})
	first, err := invoke(t, s, "good", "pid")
	if err != nil {
		t.Fatal(err)
	}
	lease, err := s.Acquire(t.Context(), "good")
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		pid string
		err error
	}
	got := make(chan result, 5)
	for range cap(got) {
		go func() { pid, err := persist(t, s, "good", "pid"); got <- result{pid, err} }()
	}
	eventually(t, "they wait", func() bool { return s.Status("good").Waiting == cap(got) })
	if _, err := lease.Do(t.Context(), &worker.Request{ID: "r", Handler: "die"}); !errors.Is(err, worker.ErrLost) {
		t.Errorf("the call that killed it: %v", err)
	}
	lease.Release()
	for range cap(got) {
		if r := <-got; r.err != nil || r.pid == first {
			t.Errorf("worker %s, %v", r.pid, r.err)
		}
	}
}

// A deployment is adopted once: a second worker of it would be nobody's.
func TestAdopt_Twice(t *testing.T) {
	t.Parallel()
	s, l := newSupervisor(t, supervisor.Options{})
	launch, err := l.Launch(t.Context(), "good")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Adopt(t.Context(), launch); err != nil {
		t.Fatal(err)
	}
	before, err := invoke(t, s, "good", "pid")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Adopt(t.Context(), launch); fault.KindOf(err) != fault.Conflict {
		t.Errorf("err = %v", err)
	}
	if pid, err := invoke(t, s, "good", "pid"); err != nil || pid != before {
		t.Errorf("afterwards: worker %s, %v; it was %s", pid, err, before)
	}
}

// Nothing is left of any worker when Run returns: not of one that hangs, and
// not of its children.
func TestRun_LeavesNoProcess(t *testing.T) {
	t.Parallel()
	_, l := newSupervisor(t, supervisor.Options{})
	instance := fmt.Sprintf("RUN-%d-%d", os.Getpid(), time.Now().UnixNano())
	spec := l.specs["good"]
	spec.Env = append(spec.Env, worker.InstanceVariable+"="+instance, "PATH=/usr/bin:/bin")
	l.specs["good"] = spec
	s := supervisor.New(supervisor.Options{DrainTimeout: 100 * time.Millisecond}, l)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	if _, err := invoke(t, s, "good", "fork"); err != nil {
		t.Fatal(err)
	}
	hangs := make(chan error, 1)
	go func() { _, err := invoke(t, s, "good", "hang"); hangs <- err }()
	eventually(t, "it hangs", func() bool { return s.Status("good").InFlight == 1 })
	cancel()
	<-done
	if err := <-hangs; !errors.Is(err, worker.ErrLost) {
		t.Errorf("the call that hung: %v", err)
	}
	eventually(t, "no process carries the mark", func() bool { // a child's last moments are not ours
		n, err := worker.ReapOrphans(instance)
		if err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
}

// A call that takes longer than the drain timeout finishes, where all that happened is
// that its deployment was replaced.
func TestRetire_LongCallsFinish(t *testing.T) {
	t.Parallel()
	s, _ := newSupervisor(t, supervisor.Options{Workers: 1, DrainTimeout: 50 * time.Millisecond})
	answer := make(chan error, 1)
	go func() { _, err := invoke(t, s, "good", "slow"); answer <- err }()
	eventually(t, "the call runs", func() bool { return s.Status("good").InFlight == 1 })
	s.Retire("good")
	if err := <-answer; err != nil {
		t.Errorf("the call: %v", err)
	}
	if _, err := s.Acquire(t.Context(), "good"); !errors.Is(err, supervisor.ErrRetired) {
		t.Errorf("another call: %v", err)
	}
}
