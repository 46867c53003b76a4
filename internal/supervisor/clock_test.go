package supervisor

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/worker"
)

// These tests run in bubbles with a clock of their own, so that times can be
// told to the millisecond. Nothing that starts succeeds in them: a worker that
// runs is a process, and has the suite in supervisor_test.go.

type launchFunc func(ctx context.Context, deploymentID string) (Launch, error)

func (f launchFunc) Launch(ctx context.Context, deploymentID string) (Launch, error) {
	return f(ctx, deploymentID)
}

func anyLaunch(_ context.Context, id string) (Launch, error) {
	return Launch{DeploymentID: id, FunctionID: "fn-1"}, nil
}

var errBroken = &worker.StartError{Code: "module_failed", Message: "no config"}

// failing is a supervisor whose workers fail after so long. It notes when each
// start began.
func failing(t *testing.T, o Options, after time.Duration) (s *Supervisor, begun func() []time.Duration) {
	t.Helper()
	s = New(o, launchFunc(anyLaunch))
	zero := time.Now()
	var mu sync.Mutex
	var starts []time.Duration
	s.start = func(ctx context.Context, _ worker.Spec) (*worker.Worker, error) {
		mu.Lock()
		starts = append(starts, time.Since(zero))
		mu.Unlock()
		select {
		case <-time.After(after):
			return nil, errBroken
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return s, func() []time.Duration { mu.Lock(); defer mu.Unlock(); return starts }
}

func codeOf(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Code
	}
	return ""
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// Callers that come while it backs off wait for the next try; once the circuit
// is open they are told at once, and one try every 30 s is made for them.
func TestBackoff_ExactTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, begun := failing(t, Options{}, ms(10))
		for i := range 5 {
			if _, err := s.Acquire(t.Context(), "d"); codeOf(err) != "start_failed" || !errors.Is(err, errBroken) {
				t.Errorf("call %d: %v", i, err)
			}
		}
		want := []time.Duration{0, ms(110), ms(320), ms(730), ms(1540)} // 10 ms each, then 100, 200, 400, 800
		if d := cmp.Diff(want, begun()); d != "" {
			t.Error(d)
		}
		if st := s.Status("d"); st.State != "circuit open" || st.Failures != 5 {
			t.Errorf("status %+v", st)
		}
		before := time.Now()
		_, err := s.Acquire(t.Context(), "d")
		if codeOf(err) != "circuit_open" || time.Since(before) != 0 {
			t.Errorf("after %v: %v", time.Since(before), err)
		}
		if r, ok := errors.AsType[interface {
			error
			RetryAfter() time.Duration
		}](err); !ok || r.RetryAfter() != 30*time.Second {
			t.Errorf("it does not say when to try again: %v", err)
		}
		time.Sleep(30 * time.Second)
		if n := len(begun()); n != 5 {
			t.Errorf("%d starts though nobody asked", n)
		}
		if _, err := s.Acquire(t.Context(), "d"); codeOf(err) != "start_failed" || len(begun()) != 6 {
			t.Errorf("half open: %v, %d starts", err, len(begun()))
		}
		if _, err := s.Acquire(t.Context(), "d"); codeOf(err) != "circuit_open" || len(begun()) != 6 {
			t.Errorf("open again: %v, %d starts", err, len(begun()))
		}
	})
}

// However many wait, one start is made, and all learn how it went.
func TestBackoff_OneStartForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, begun := failing(t, Options{}, time.Second)
		errs := make(chan error, 500)
		for range cap(errs) {
			go func() { _, err := s.Acquire(t.Context(), "d"); errs <- err }()
		}
		for range cap(errs) {
			if err := <-errs; codeOf(err) != "start_failed" {
				t.Errorf("err = %v", err)
			}
		}
		if n := len(begun()); n != 1 {
			t.Errorf("%d starts", n)
		}
		if st := s.Status("d"); st.Waiting != 0 || st.State != "backing off" || st.LastErr == "" {
			t.Errorf("status %+v", st)
		}
	})
}

// One deployment that does not start holds up no other.
func TestBackoff_IsPerDeployment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, begun := failing(t, Options{Circuit: 1}, ms(10))
		for _, id := range []string{"a", "b"} {
			if _, err := s.Acquire(t.Context(), id); codeOf(err) != "start_failed" {
				t.Errorf("%s: %v", id, err)
			}
		}
		if d := cmp.Diff([]time.Duration{0, ms(10)}, begun()); d != "" {
			t.Error(d)
		}
		if st := s.Status("c"); st.State != "idle" {
			t.Errorf("one never used: %+v", st)
		}
	})
}

func TestQueue_Refusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, begun := failing(t, Options{Queue: 2, QueueTimeout: 3 * time.Second}, time.Hour) // a start that hangs
		before := time.Now()
		errs := make(chan error, 2)
		for range cap(errs) {
			go func() { _, err := s.Acquire(t.Context(), "d"); errs <- err }()
		}
		synctest.Wait()
		if st := s.Status("d"); st.State != "starting" || st.Waiting != 2 {
			t.Errorf("status %+v", st)
		}
		if _, err := s.Acquire(t.Context(), "d"); codeOf(err) != "queue_full" || time.Since(before) != 0 {
			t.Errorf("a third caller, after %v: %v", time.Since(before), err)
		}
		for range cap(errs) {
			if err := <-errs; codeOf(err) != "queue_full" || time.Since(before) != 3*time.Second {
				t.Errorf("after %v: %v", time.Since(before), err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Acquire(ctx, "d"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller with a deadline: %v", err)
		}
		if st := s.Status("d"); st.Waiting != 0 || len(begun()) != 1 {
			t.Errorf("status %+v, %d starts", st, len(begun()))
		}
	})
}

// Retire while callers wait for a start, and for the next try.
func TestRetire_AnswersThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, begun := failing(t, Options{}, time.Second)
		errs := make(chan error, 1)
		ask := func() { _, err := s.Acquire(t.Context(), "d"); errs <- err }
		go ask()
		if err := <-errs; codeOf(err) != "start_failed" {
			t.Errorf("err = %v", err)
		}
		go ask() // waits while it backs off
		synctest.Wait()
		s.Retire("d")
		if err := <-errs; !errors.Is(err, ErrRetired) {
			t.Errorf("a waiting caller: %v", err)
		}
		time.Sleep(time.Minute)
		if n := len(begun()); n != 1 {
			t.Errorf("%d starts of a retired deployment", n)
		}
		if st := s.Status("d"); st.State != "retired" && st.State != "idle" {
			t.Errorf("status %+v", st)
		}
	})
}

// The files of a deployment are let go of when its workers must have ended, and
// not those of one whose server stops.
func TestRetire_TellsWhenItIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		gone := map[string]time.Time{}
		s := New(Options{DrainTimeout: 20 * time.Second, OnGone: func(id string) {
			mu.Lock()
			defer mu.Unlock()
			gone[id] = time.Now()
		}}, launchFunc(func(context.Context, string) (Launch, error) { return Launch{}, errors.New("nobody starts") }))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		began := time.Now()
		s.Retire("old")
		s.Acquire(t.Context(), "new")
		time.Sleep(5 * time.Minute)
		cancel()
		<-done
		mu.Lock()
		defer mu.Unlock()
		if after := gone["old"].Sub(began); len(gone) != 1 || after < forget+20*time.Second || after > 2*forget {
			t.Errorf("gone are %v, the first after %v", gone, after)
		}
	})
}

// The launcher may know first that a deployment is gone.
func TestLaunch_RetiredMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s := New(Options{}, launchFunc(func(context.Context, string) (Launch, error) { asked++; return Launch{}, ErrRetired }))
		for range 3 {
			if _, err := s.Acquire(t.Context(), "d"); !errors.Is(err, ErrRetired) || codeOf(err) != "" {
				t.Errorf("err = %v", err)
			}
		}
		if asked != 1 {
			t.Errorf("the launcher was asked %d times", asked)
		}
	})
}

// What the launcher says of a part that is away goes to the caller; anything
// else stays in the log.
func TestLaunch_Faults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := fault.New(fault.Unavailable, "the store is away").WithCode("store_unavailable")
		for name, tc := range map[string]struct {
			err  error
			code string
		}{
			"away":    {away, "store_unavailable"},
			"missing": {fault.New(fault.NotFound, "no artefact"), "start_failed"},
			"unknown": {errors.New("disk on fire"), "start_failed"},
		} {
			s := New(Options{}, launchFunc(func(context.Context, string) (Launch, error) { return Launch{}, tc.err }))
			if _, err := s.Acquire(t.Context(), "d"); codeOf(err) != tc.code || fault.KindOf(err) != fault.Unavailable || !errors.Is(err, tc.err) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// The end of the server: a start that is under way is cut off, whoever waits
// is answered, and nothing begins afterwards.
func TestDrain_CutsStartsOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, begun := failing(t, Options{}, time.Hour)
		errs := make(chan error, 2)
		go func() { _, err := s.Acquire(t.Context(), "d"); errs <- err }()
		go func() { _, err := s.Adopt(t.Context(), Launch{DeploymentID: "new"}); errs <- err }()
		synctest.Wait()
		before := time.Now()
		s.drain()
		for range cap(errs) {
			if err := <-errs; codeOf(err) != "shutting_down" {
				t.Errorf("err = %v", err)
			}
		}
		if time.Since(before) != 0 {
			t.Errorf("it took %v", time.Since(before))
		}
		if _, err := s.Adopt(t.Context(), Launch{DeploymentID: "later"}); codeOf(err) != "shutting_down" {
			t.Errorf("Adopt: %v", err)
		}
		if _, err := s.Acquire(t.Context(), "later"); codeOf(err) != "shutting_down" || len(begun()) != 2 {
			t.Errorf("Acquire: %v, %d starts", err, len(begun()))
		}
	})
}

// A smoke test that fails leaves nothing, and the caller's patience ends it.
func TestAdopt_Refusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := failing(t, Options{}, time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Adopt(ctx, Launch{DeploymentID: "d"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		if _, err := s.Adopt(t.Context(), Launch{DeploymentID: "d"}); !errors.Is(err, errBroken) {
			t.Errorf("err = %v", err)
		}
		if st := s.Status("d"); st.State != "idle" || st.Failures != 0 {
			t.Errorf("status %+v", st)
		}
	})
}
