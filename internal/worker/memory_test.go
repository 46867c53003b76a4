package worker_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/worker"
)

// leaky keeps what it is asked to keep, outside of the heap or in it.
const leaky = `
const kept: any[] = [];
export const pid = () => process.pid;
export const keep = (_: any, r: any) => { const b = Buffer.alloc(Number(r.query.mib) << 20, 1); kept.push(b); return 'kept'; };
export const slow = () => new Promise((f) => setTimeout(() => f('slow, and whole'), 1500));
export const heap = () => { const grow = () => { for (let i = 0; i < 1e5; i++) kept.push({ i, a: [i, i, i] }); setImmediate(grow); }; grow(); return new Promise(() => {}); };
`

// A worker that uses more than it may takes no new calls, and finishes those
// that it has.
func TestMemory_OverTheLimitIsReplaced(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, leaky)
	s.Memory = 200 << 20
	w, err := worker.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Kill("the test is over") })
	slow := make(chan string)
	go func() {
		res, err := w.Do(t.Context(), &worker.Request{ID: "s", Method: "GET", Handler: "slow", Path: "/slow"})
		if err != nil {
			slow <- err.Error()
			return
		}
		body, _ := io.ReadAll(res)
		res.Close()
		slow <- string(body)
	}()
	if _, err := w.Do(t.Context(), &worker.Request{ID: "k", Method: "GET", Handler: "keep", Path: "/keep", Query: "mib=160"}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.Leaving():
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
	if got := <-slow; got != "slow, and whole" {
		t.Errorf("the call beside it: %s", got)
	}
	w.Drain(t.Context())
	if e := w.Exit(); e == nil || !strings.Contains(e.Error(), "MiB of memory, and may use 200 MiB") {
		t.Errorf("it ended: %v", e)
	}
}

// One that uses far more is ended at once, and so is one whose heap is full;
// both with the reason.
func TestMemory_FarOverTheLimitIsKilled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handler, query string
		argument       string
		want           string
	}{
		"buffers": {"keep", "mib=600", "--max-old-space-size=200", "MiB of memory, and may use 200 MiB"},
		"heap":    {"heap", "", "--max-old-space-size=48", "its JavaScript heap was full: it may use 200 MiB"},
	} {
		s, _ := spec(t, leaky)
		s.Memory = 200 << 20
		s.Argv = append([]string{s.Argv[0], c.argument}, s.Argv[1:]...)
		w, err := worker.Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		go w.Do(t.Context(), &worker.Request{ID: "k", Method: "GET", Handler: c.handler, Path: "/" + c.handler, Query: c.query})
		select {
		case <-w.Done():
		case <-time.After(time.Minute):
			w.Kill("the test is over")
			t.Fatalf("%s: it goes on", name)
		}
		if e := w.Exit(); !strings.Contains(e.Error(), c.want) {
			t.Errorf("%s: it ended: %v", name, e)
		}
	}
}

// What a process holds in memory, secrets too, is not for a file when it crashes.
func TestMemory_NoCoreDumps(t *testing.T) {
	t.Parallel()
	w, _ := start(t, `import { readFileSync } from 'node:fs';
export const limits = () => readFileSync('/proc/self/limits', 'utf8');`)
	_, _, body, err := call(t, w, request("limits"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
			if f := strings.Fields(rest); f[0] != "0" || f[1] != "0" {
				t.Errorf("core files may have %s bytes, %s at most", f[0], f[1])
			}
			return
		}
	}
	t.Errorf("no limit of core files in %s", body)
}
