package supervisor_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/worker"
)

// valued is the launch of "good" with an environment, whose value the handler
// "value" answers with.
func valued(l *launcher, value string) supervisor.Launch {
	spec := l.specs["values"]
	spec.Env = append(slices.Clone(spec.Env), "VALUE="+value)
	return supervisor.Launch{DeploymentID: "values", FunctionID: "fn-values", Spec: spec, Secrets: value}
}

func TestRenew_NoCallFails(t *testing.T) {
	t.Parallel()
	s, l := newSupervisor(t, supervisor.Options{Workers: 2})
	if _, err := s.Adopt(t.Context(), valued(l, "0")); err != nil {
		t.Fatal(err)
	}
	stop, calls := make(chan struct{}), atomic.Int64{}
	var now atomic.Int64 // the value that is in force for sure
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				least := now.Load()
				got, err := invoke(t, s, "values", "value")
				if n, _ := strconv.ParseInt(got, 10, 64); err != nil || n < least {
					t.Errorf("answered %q, %v after %d was in force", got, err, least)
					return
				}
				calls.Add(1)
			}
		})
	}
	for i := range 3 {
		want := strconv.Itoa(i + 1)
		before := calls.Load()
		r, err := s.Renew(t.Context(), valued(l, want))
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "calls go on beside the new worker", func() bool { return calls.Load() > before+20 || t.Failed() })
		r.Commit()
		now.Store(int64(i + 1))
		if got, known, settled := s.Secrets("values"); got != want || !known || !settled {
			t.Errorf("it says %q, %v, %v", got, known, settled)
		}
	}
	close(stop)
	wg.Wait()
}

// What runs while another environment is taken finishes where it began.
func TestRenew_FinishesWhatRuns(t *testing.T) {
	t.Parallel()
	s, l := newSupervisor(t, supervisor.Options{Workers: 1})
	if _, err := s.Adopt(t.Context(), valued(l, "old")); err != nil {
		t.Fatal(err)
	}
	answer := make(chan string, 1)
	go func() {
		got, err := invoke(t, s, "values", "slow")
		if err != nil {
			t.Error(err)
		}
		answer <- got
	}()
	eventually(t, "the call runs", func() bool { return s.Status("values").InFlight == 1 })
	r, err := s.Renew(t.Context(), valued(l, "new"))
	if err != nil {
		t.Fatal(err)
	}
	r.Commit()
	if got, err := invoke(t, s, "values", "value"); err != nil || got != "new" {
		t.Errorf("a call behind it: %q, %v", got, err)
	}
	if got := <-answer; got != "old" {
		t.Errorf("the call that ran: %q", got)
	}
}

// With what it does not start, nothing changes: not the workers, nor by what
// others are started.
func TestRenew_Refused(t *testing.T) {
	t.Parallel()
	s, l := newSupervisor(t, supervisor.Options{Workers: 1})
	if _, err := s.Adopt(t.Context(), valued(l, "old")); err != nil {
		t.Fatal(err)
	}
	pid, err := invoke(t, s, "values", "pid")
	if err != nil {
		t.Fatal(err)
	}
	throws := valued(l, "throw")
	other := valued(l, "x")
	other.Expect = platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "another"}}}
	for name, launch := range map[string]supervisor.Launch{"it throws": throws, "it declares something else": other} {
		if _, err := s.Renew(t.Context(), launch); err == nil {
			t.Errorf("%s: it starts", name)
		} else if _, ok := errors.AsType[*worker.StartError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := s.Renew(t.Context(), valued(l, "given up"))
	if err != nil {
		t.Fatal(err)
	}
	r.Abandon()
	if got, err := invoke(t, s, "values", "pid"); err != nil || got != pid {
		t.Errorf("another worker answers: %q, %v", got, err)
	}
	n, _ := strconv.Atoi(pid)
	syscall.Kill(n, syscall.SIGKILL)
	eventually(t, "it is replaced by one like it", func() bool {
		got, err := invoke(t, s, "values", "value")
		return err == nil && got == "old"
	})
	s.Retire("values")
	if r, err := s.Renew(t.Context(), valued(l, "late")); err == nil {
		r.Commit() // it ends, and nobody gets it
		if _, err := s.Acquire(t.Context(), "values"); !errors.Is(err, supervisor.ErrRetired) {
			t.Errorf("after the deployment was retired: %v", err)
		}
	}
}

// slowly is a launcher whose answer waits until it is let go.
type slowly struct {
	asked, letGo chan struct{}
	then         supervisor.Launch
}

func (l *slowly) Launch(context.Context, string) (supervisor.Launch, error) {
	l.asked <- struct{}{}
	<-l.letGo
	return l.then, nil
}

// A start that was under way with the old environment does not bring it back.
func TestRenew_OutdatesAStart(t *testing.T) {
	t.Parallel()
	_, l := newSupervisor(t, supervisor.Options{})
	slow := &slowly{make(chan struct{}, 10), make(chan struct{}), valued(l, "old")}
	s := supervisor.New(supervisor.Options{Workers: 1}, slow)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	answers := make(chan string, 1)
	go func() {
		got, err := invoke(t, s, "values", "value")
		if err != nil {
			t.Error(err)
		}
		answers <- got
	}()
	<-slow.asked
	if _, known, settled := s.Secrets("values"); known || settled {
		t.Errorf("while it is found out: known %v, settled %v", known, settled)
	}
	r, err := s.Renew(t.Context(), valued(l, "new"))
	if err != nil {
		t.Fatal(err)
	}
	r.Commit()
	if got := <-answers; got != "new" {
		t.Errorf("who waited got %q", got)
	}
	close(slow.letGo)
	eventually(t, "the late start is over", func() bool { return !strings.Contains(s.Status("values").State, "starting") })
	for range 20 {
		if got, err := invoke(t, s, "values", "value"); err != nil || got != "new" {
			t.Fatalf("after the late start: %q, %v", got, err)
		}
	}
	if version, _, _ := s.Secrets("values"); version != "new" || s.Reset("values") {
		t.Errorf("version %q; or it was reset with a worker running", version)
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	s, l := newSupervisor(t, supervisor.Options{Workers: 1, IdleTimeout: 200 * time.Millisecond})
	if !s.Reset("good") {
		t.Error("what never ran cannot be reset")
	}
	for range 2 {
		if _, err := invoke(t, s, "good", "pid"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it scales to zero", func() bool { return s.Status("good").Workers == 0 })
		if !s.Reset("good") {
			t.Error("idle, and not reset")
		}
	}
	if n := l.launches.Load(); n != 2 {
		t.Errorf("the launcher was asked %d times", n)
	}
}

// A supervisor that stops waits for what is being decided, and leaves no process.
func TestRenew_Stopping(t *testing.T) {
	t.Parallel()
	_, l := newSupervisor(t, supervisor.Options{})
	for name, end := range map[string]func(*supervisor.Renewal){"commit": (*supervisor.Renewal).Commit, "abandon": (*supervisor.Renewal).Abandon} {
		dir := t.TempDir()
		launch := valued(l, "new")
		launch.Spec.Env = append(launch.Spec.Env, "PIDFILE="+dir+"/pid")
		s := supervisor.New(supervisor.Options{DrainTimeout: 5 * time.Second}, l)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		r, err := s.Renew(t.Context(), launch)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		eventually(t, "it stops", func() bool { _, err := s.Renew(t.Context(), launch); return err != nil })
		end(r)
		<-done
		text, err := os.ReadFile(dir + "/pid")
		if err != nil {
			t.Fatal(err)
		}
		pid, _ := strconv.Atoi(string(text))
		eventually(t, name+": the process is gone", func() bool { return syscall.Kill(pid, 0) != nil })
	}
}
