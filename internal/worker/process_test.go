package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/worker"
)

func startFake(t testing.TB, role string, env ...string) (*worker.Worker, *lines) {
	t.Helper()
	s, l := fakeSpec(t, role, env...)
	w, err := worker.Start(t.Context(), s)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { w.Kill("test over") })
	return w, l
}

// gone waits until a process is gone, or a zombie that its parent has not reaped.
func gone(t testing.TB, pid int) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); alive(pid); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("process %d lives on", pid)
		}
	}
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(stat, []byte(") Z ")) && !bytes.Contains(stat, []byte(") X "))
}

func TestStart_Refuses(t *testing.T) {
	t.Parallel()
	for role, want := range map[string]struct{ code, text, line string }{
		"exits at once":       {"worker_exited", "code 7", "no configuration"},
		"says nothing":        {"start_timeout", "not ready within 300ms", ""},
		"closes before HELLO": {"worker_exited", "it closed its socket", ""},
		"speaks HTTP":         {"protocol_error", "promises", ""},
		"version 2":           {"version_mismatch", "version 2", ""},
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			s, _ := fakeSpec(t, role)
			if s.StartTimeout = 20 * time.Second; want.code == "start_timeout" {
				s.StartTimeout = 300 * time.Millisecond
			}
			w, err := worker.Start(t.Context(), s)
			e, ok := errors.AsType[*worker.StartError](err)
			if w != nil || !ok || e.Code != want.code || !strings.Contains(e.Message, want.text) {
				t.Fatalf("err = %v, want %s with %q", err, want.code, want.text)
			}
			if want.line != "" && !slices.Contains(e.LastLines, want.line) {
				t.Errorf("its last lines are %q", e.LastLines)
			}
		})
	}
	for name, s := range map[string]worker.Spec{
		"no program":   {Argv: []string{"/nowhere/node"}},
		"no directory": {Argv: []string{"/bin/sh"}, Dir: "/nowhere"},
		"no right":     {Argv: []string{"/etc/passwd"}},
	} {
		w, err := worker.Start(t.Context(), s)
		if e, ok := errors.AsType[*worker.StartError](err); w != nil || !ok || e.Code != "spawn_failed" {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Run("a caller who gave up", func(t *testing.T) {
		t.Parallel()
		s, _ := fakeSpec(t, "says nothing")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if w, err := worker.Start(ctx, s); w != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
	})
}

// What the module declared stands: a later READY ends the worker.
func TestStart_ReadyOnlyOnce(t *testing.T) {
	t.Parallel()
	s, _ := fakeSpec(t, "ready twice")
	w, err := worker.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	<-w.Done()
	if e := w.Exit(); e.Signal != syscall.SIGKILL || !strings.Contains(e.Error(), "was ready") || w.Declaration().Auth.Present {
		t.Errorf("exit = %v, declaration %+v", e, w.Declaration())
	}
}

// A worker gets the environment of its spec, three descriptors and its socket,
// and a process group of its own.
func TestProcess_InheritsNothing(t *testing.T) {
	t.Parallel()
	// Open in the server without close-on-exec, as what it inherited itself.
	leak, err := syscall.Open("/etc/hostname", syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leak)
	w, _ := startFake(t, "plain", "A=1")
	_, _, body, err := call(t, w, request("environ"))
	if err != nil {
		t.Fatal(err)
	}
	env := strings.Split(body, "\n")
	slices.Sort(env)
	if d := cmp.Diff([]string{"A=1", "POSTERN_TEST_ROLE=plain", "POSTERN_WORKER_FD=3"}, env); d != "" {
		t.Error(d)
	}
	_, _, body, err = call(t, w, request("descriptors"))
	if err != nil {
		t.Fatal(err)
	}
	for fd := range strings.Lines(body) {
		n, to, _ := strings.Cut(strings.TrimSpace(fd), " ")
		// What the Go in it opens itself: its poller, its limits, the listing.
		ok := strings.HasPrefix(to, "anon_inode:") || strings.HasPrefix(to, "/sys/fs/cgroup/") || to == "" || strings.HasSuffix(to, "/fd")
		switch n {
		case "0":
			ok = to == "/dev/null"
		case "1", "2":
			ok = strings.HasPrefix(to, "pipe:")
		case "3":
			ok = strings.HasPrefix(to, "socket:")
		}
		if !ok {
			t.Errorf("the worker has descriptor %s: %s", n, to)
		}
	}
	_, _, body, err = call(t, w, request("group"))
	if want := fmt.Sprint(w.Pid(), " ", w.Pid()); err != nil || body != want {
		t.Errorf("number and group %q, want %q (%v)", body, want, err)
	}
}

func TestProcess_Lines(t *testing.T) {
	t.Parallel()
	w, l := startFake(t, "plain")
	if _, _, _, err := call(t, w, request("write")); !errors.Is(err, worker.ErrLost) {
		t.Errorf("err = %v", err)
	}
	<-w.Done()
	var out, errs []string
	for _, line := range l.all { // every line is there when the worker is done
		if line.Level == slog.LevelError {
			errs = append(errs, line.Text)
		} else {
			out = append(out, line.Text)
		}
	}
	if d := cmp.Diff([]string{"half a line", "", "\ufffd", "last, without an end"}, out); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"e"}, errs); d != "" {
		t.Error(d)
	}
	if e := w.Exit(); e.Code != 0 || e.Signal != 0 || e.Reason != "" || !slices.Contains(e.LastLines, "last, without an end") {
		t.Errorf("exit = %+v", e)
	}
}

// A worker that writes without end is read without end, and nothing is lost.
func TestProcess_Flood(t *testing.T) {
	t.Parallel()
	w, l := startFake(t, "plain")
	if _, _, _, err := call(t, w, request("flood")); err != nil {
		t.Fatal(err)
	}
	w.Kill("test")
	if n := len(l.all); n != 100_000 {
		t.Errorf("%d lines", n)
	}
	if e := w.Exit(); len(e.LastLines) != 20 || e.Signal != syscall.SIGKILL || e.Reason != "test" {
		t.Errorf("exit = %+v", e)
	}
}

func TestProcess_Ends(t *testing.T) {
	t.Parallel()
	t.Run("by itself", func(t *testing.T) {
		t.Parallel()
		w, _ := startFake(t, "plain")
		call(t, w, request("exit"))
		<-w.Done()
		if e := w.Exit(); e.Code != 5 || e.Signal != 0 || e.Reason != "" || e.Error() != "the worker exited with code 5" {
			t.Errorf("exit = %+v", e)
		}
	})
	t.Run("it closed its socket and stayed", func(t *testing.T) {
		t.Parallel()
		w, _ := startFake(t, "plain")
		if _, _, _, err := call(t, w, request("close")); !errors.Is(err, worker.ErrLost) {
			t.Errorf("err = %v", err)
		}
		<-w.Leaving()
		<-w.Done()
		if e := w.Exit(); e.Signal != syscall.SIGKILL || e.Reason != "it closed its socket" {
			t.Errorf("exit = %+v", e)
		}
	})
	t.Run("another's signal", func(t *testing.T) {
		t.Parallel()
		w, _ := startFake(t, "plain")
		if err := syscall.Kill(w.Pid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-w.Done()
		if e := w.Exit(); e.Signal != syscall.SIGKILL || e.Reason != "" {
			t.Errorf("exit = %+v", e)
		}
	})
	t.Run("it ignores DRAIN and TERM", func(t *testing.T) {
		t.Parallel()
		w, _ := startFake(t, "ignores TERM")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := w.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain: %v", err)
		}
		if e := w.Exit(); e.Signal != syscall.SIGKILL || e.Reason != "it did not drain in time" {
			t.Errorf("exit = %+v", e)
		}
	})
	t.Run("with its grandchildren", func(t *testing.T) {
		t.Parallel()
		w, _ := startFake(t, "plain", "PATH=/usr/bin:/bin")
		_, _, body, err := call(t, w, request("grandchild"))
		if err != nil {
			t.Fatal(err)
		}
		var pid int
		if fmt.Sscan(body, &pid); !alive(pid) {
			t.Fatalf("grandchild %q does not live", body)
		}
		call(t, w, request("exit")) // by itself: nobody killed the group yet
		<-w.Done()
		gone(t, pid)
	})
}

// A server that is killed -9 takes its workers along; what they had started
// is found by its mark when the next server starts.
func TestProcess_ServerIsKilled(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"plain", "ignores TERM"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			instance := fmt.Sprintf("KILL9-%d-%d", os.Getpid(), time.Now().UnixNano())
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			host := exec.Command(self)
			host.Env = []string{fakeRole + "=host", "TEST_WORKER=" + role, "TEST_INSTANCE=" + instance, "PATH=/usr/bin:/bin"}
			host.Stderr = os.Stderr
			out, err := host.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := host.Start(); err != nil {
				t.Fatal(err)
			}
			var child, grandchild int
			if _, err := fmt.Fscan(out, &child, &grandchild); err != nil {
				host.Process.Kill()
				t.Fatal(err)
			}
			if !alive(child) || !alive(grandchild) {
				t.Fatal("they do not live")
			}
			host.Process.Kill()
			host.Wait()
			gone(t, child)
			if n, err := worker.ReapOrphans(instance); err != nil || n == 0 {
				t.Errorf("reaped %d, %v", n, err)
			}
			gone(t, grandchild)
			if n, err := worker.ReapOrphans(instance); err != nil || n != 0 {
				t.Errorf("reaped %d more, %v", n, err)
			}
		})
	}
}

func TestReapOrphans_NamesItsInstance(t *testing.T) {
	t.Parallel()
	if n, err := worker.ReapOrphans(""); n != 0 || err == nil {
		t.Errorf("reaped %d, %v", n, err)
	}
	instance := fmt.Sprintf("LONG-%d-%d", os.Getpid(), time.Now().UnixNano())
	w, _ := startFake(t, "plain", worker.InstanceVariable+"="+instance+"x")
	if n, err := worker.ReapOrphans(instance); n != 0 || err != nil || w.Exit() != nil {
		t.Errorf("another installation's: reaped %d, %v", n, err)
	}
}
