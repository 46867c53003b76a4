package supervisor_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/worker"
)

// launcher launches functions by the name of their deployment.
type launcher struct {
	specs    map[string]worker.Spec
	expect   platform.Declaration
	launches atomic.Int64
}

func (l *launcher) Launch(_ context.Context, id string) (supervisor.Launch, error) {
	l.launches.Add(1)
	spec, ok := l.specs[id]
	if !ok {
		return supervisor.Launch{}, fault.New(fault.NotFound, "no such deployment")
	}
	return supervisor.Launch{DeploymentID: id, FunctionID: "fn-" + id, Spec: spec, Expect: l.expect}, nil
}

// sources are the functions of these tests, by deployment.
var sources = map[string]string{
	"good":   `export const pid = () => process.pid; export const slow = () => new Promise((f) => setTimeout(() => f(process.pid), 400)); export const die = () => { process.kill(process.pid, 'SIGKILL'); return new Promise(() => {}); }; export const spin = () => { const until = Date.now() + 400; while (Date.now() < until); return process.pid; }; export const exit = () => { process.exit(0); }; export const hang = () => new Promise(() => {}); export const fork = async () => { const { spawn } = await import('node:child_process'); return String(spawn('sleep', ['1000']).pid); };`,
	"values": `import { writeFileSync } from 'node:fs'; if (process.env.VALUE === 'throw') throw new Error('no such value'); if (process.env.PIDFILE) writeFileSync(process.env.PIDFILE, String(process.pid)); export const value = () => process.env.VALUE; export const pid = () => process.pid; export const slow = () => new Promise((f) => setTimeout(() => f(process.env.VALUE), 400));`,
	"throws": `throw new Error('bad config');`,
	"other":  `export const something = () => 1;`,
}

func newSupervisor(t testing.TB, o supervisor.Options) (*supervisor.Supervisor, *launcher) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("Node is needed; run `make test` as root: ", err)
	}
	l := &launcher{specs: map[string]worker.Spec{}}
	for id, source := range sources {
		dir := t.TempDir()
		for name, text := range map[string]string{"postern.json": `{"name":"f","runtime":"node"}`, "function.ts": source} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		built, err := bundle.Build(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		archive, err := bundle.Open(built.Archive)
		if err != nil {
			t.Fatal(err)
		}
		if err := archive.Extract(filepath.Join(dir, "out")); err != nil {
			t.Fatal(err)
		}
		l.specs[id] = worker.Spec{Argv: []string{node, bundle.Entry}, Dir: filepath.Join(dir, "out"), Env: []string{"PATH=" + filepath.Dir(node)}}
	}
	s := supervisor.New(o, l)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return s, l
}

func invoke(t testing.TB, s *supervisor.Supervisor, deployment, handler string) (string, error) {
	t.Helper()
	lease, err := s.Acquire(t.Context(), deployment)
	if err != nil {
		return "", err
	}
	defer lease.Release()
	res, err := lease.Do(t.Context(), &worker.Request{ID: "r", Method: "GET", Handler: handler, Path: "/" + handler})
	if err != nil {
		return "", err
	}
	defer res.Close()
	b, err := io.ReadAll(res)
	return string(b), err
}

func code(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Code
	}
	return ""
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestAcquire_OneStartHoweverManyWait(t *testing.T) {
	t.Parallel()
	var starts atomic.Int64
	s, l := newSupervisor(t, supervisor.Options{Workers: 4, OnStart: func(string, time.Duration, error) { starts.Add(1) }})
	var wg sync.WaitGroup
	pids := sync.Map{}
	for range 100 {
		wg.Go(func() {
			pid, err := invoke(t, s, "good", "pid")
			if err != nil {
				t.Error(err)
			}
			pids.Store(pid, true)
		})
	}
	wg.Wait()
	n := 0
	pids.Range(func(any, any) bool { n++; return true })
	if n != 1 || starts.Load() != 1 || l.launches.Load() != 1 {
		t.Errorf("%d workers answered, %d starts, %d launches", n, starts.Load(), l.launches.Load())
	}
}

func TestAcquire_BoundedQueue(t *testing.T) {
	t.Parallel()
	// The first call waits for a start as well, which takes its time on a busy machine.
	s, _ := newSupervisor(t, supervisor.Options{Workers: 1, MaxInFlight: 1, Queue: 2, QueueTimeout: 5 * time.Second})
	if _, err := invoke(t, s, "good", "pid"); err != nil {
		t.Fatal(err)
	}
	held, err := s.Acquire(t.Context(), "good")
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 3)
	for range 3 {
		go func() {
			_, err := s.Acquire(t.Context(), "good")
			errs <- err
		}()
	}
	for range 3 {
		if err := <-errs; code(err) != "queue_full" {
			t.Errorf("err = %v, want queue_full", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := s.Acquire(ctx, "good")
		errs <- err
	}()
	eventually(t, "a caller waits", func() bool { return s.Status("good").Waiting == 1 })
	cancel()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that went away: %v", err)
	}
	held.Release()
	if _, err := invoke(t, s, "good", "pid"); err != nil {
		t.Errorf("after the queue: %v", err)
	}
}

func TestStart_BacksOffThenOpensTheCircuit(t *testing.T) {
	t.Parallel()
	s, _ := newSupervisor(t, supervisor.Options{Backoff: 10 * time.Millisecond, Circuit: 3})
	seen := map[string]int{}
	eventually(t, "the circuit opens", func() bool {
		_, err := invoke(t, s, "throws", "x")
		seen[code(err)]++
		return code(err) == "circuit_open"
	})
	if seen["start_failed"] < 3 || seen[""] > 0 {
		t.Errorf("codes %v", seen)
	}
	st := s.Status("throws")
	if st.State != "circuit open" || !strings.Contains(st.LastErr, "bad config") {
		t.Errorf("status %+v", st)
	}
	if _, err := invoke(t, s, "unknown", "x"); code(err) != "start_failed" {
		t.Errorf("a deployment that cannot be launched: %v", err)
	}
}

func TestCrash_IsReplaced(t *testing.T) {
	t.Parallel()
	s, _ := newSupervisor(t, supervisor.Options{Workers: 1, Backoff: time.Millisecond})
	first, err := invoke(t, s, "good", "pid")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := invoke(t, s, "good", "die"); !errors.Is(err, worker.ErrLost) {
		t.Errorf("the call that killed it: %v", err)
	}
	eventually(t, "another worker answers", func() bool {
		pid, err := invoke(t, s, "good", "pid")
		return err == nil && pid != first
	})
}

func TestDeclaration_OtherThanDeployedIsRefused(t *testing.T) {
	t.Parallel()
	s, l := newSupervisor(t, supervisor.Options{})
	l.expect = platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "something"}}, Auth: platform.AuthDeclaration{Present: true}}
	_, err := invoke(t, s, "other", "something")
	if code(err) != "start_failed" || !strings.Contains(err.Error(), "declaration_changed") {
		t.Errorf("err = %v", err)
	}
	if st := s.Status("other"); st.Workers != 0 {
		t.Errorf("status %+v", st)
	}
}

func TestIdle_ScalesToZeroAndBack(t *testing.T) {
	t.Parallel()
	s, _ := newSupervisor(t, supervisor.Options{IdleTimeout: 200 * time.Millisecond})
	first, err := invoke(t, s, "good", "pid")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "no workers", func() bool { return s.Status("good").Workers == 0 })
	second, err := invoke(t, s, "good", "pid")
	if err != nil || first == second {
		t.Errorf("after idleness: %s, %v", second, err)
	}
}

func TestGrow_WhenTheLoopLags(t *testing.T) {
	t.Parallel()
	s, _ := newSupervisor(t, supervisor.Options{Workers: 2})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := invoke(t, s, "good", "spin"); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "a second worker", func() bool { return s.Status("good").Workers == 2 })
	wg.Wait()
}

func TestRetire_FinishesWhatRuns(t *testing.T) {
	t.Parallel()
	s, _ := newSupervisor(t, supervisor.Options{})
	if _, err := invoke(t, s, "good", "pid"); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := invoke(t, s, "good", "slow")
		got <- err
	}()
	eventually(t, "it runs", func() bool { return s.Status("good").InFlight == 1 })
	s.Retire("good")
	if _, err := s.Acquire(t.Context(), "good"); !errors.Is(err, supervisor.ErrRetired) {
		t.Errorf("after Retire: %v", err)
	}
	if err := <-got; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	s.Retire("never used")
	if _, err := s.Acquire(t.Context(), "never used"); !errors.Is(err, supervisor.ErrRetired) {
		t.Errorf("retired before it was used: %v", err)
	}
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	s, l := newSupervisor(t, supervisor.Options{})
	launch, _ := l.Launch(t.Context(), "good")
	d, err := s.Adopt(t.Context(), launch)
	if err != nil || len(d.Handlers) != 7 {
		t.Fatal(d, err)
	}
	if st := s.Status("good"); st.State != "ready" || st.Workers != 1 {
		t.Errorf("status %+v", st)
	}
	bad, _ := l.Launch(t.Context(), "throws")
	_, err = s.Adopt(t.Context(), bad)
	if e, ok := errors.AsType[*worker.StartError](err); !ok || e.Code != "module_failed" || !strings.Contains(e.Message, "bad config") {
		t.Errorf("a module that throws: %v", err)
	}
	if st := s.Status("throws"); st.State != "idle" {
		t.Errorf("of the failed one is left %+v", st)
	}
}

func TestRun_DrainsAtTheEnd(t *testing.T) {
	t.Parallel()
	_, l := newSupervisor(t, supervisor.Options{})
	own := supervisor.New(supervisor.Options{}, l)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { own.Run(ctx); close(done) }()
	if _, err := invoke(t, own, "good", "pid"); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := invoke(t, own, "good", "slow")
		got <- err
	}()
	eventually(t, "it runs", func() bool { return own.Status("good").InFlight == 1 })
	cancel()
	<-done
	if err := <-got; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	for _, id := range []string{"good", "new"} {
		if _, err := own.Acquire(t.Context(), id); code(err) != "shutting_down" {
			t.Errorf("after the end: %v", err)
		}
	}
}
