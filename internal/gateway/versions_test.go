package gateway_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/supervisor"
)

// counting counts which deployments are asked for a worker.
type counting struct {
	mu      sync.Mutex
	asked   map[string]int
	retired []string
}

func (c *counting) Acquire(_ context.Context, id string) (supervisor.Lease, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[id]++
	return supervisor.Lease{}, errFull
}

func (c *counting) AcquireSocket(ctx context.Context, id string) (supervisor.Lease, error) {
	return c.Acquire(ctx, id)
}

func (c *counting) Retire(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = append(c.retired, id)
}

// take is what was counted since the last time.
func (c *counting) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.asked
	c.asked = map[string]int{}
	return out
}

const candidateID = "dep_2"

// beside puts a candidate beside the active deployment of the world's function.
func (w *world) beside(percent int, change func(*platform.Deployment)) *counting {
	f, d := w.src.functions[fnID], w.src.active[fnID]
	f.CandidateID, f.CandidatePercent = candidateID, percent
	d.ID, d.Number, d.Handlers = candidateID, 2, slices.Clone(d.Handlers)
	if change != nil {
		change(&d)
	}
	w.src.functions[fnID], w.src.candidates[candidateID] = f, d
	c := &counting{asked: map[string]int{}}
	w.g = gateway.New(gateway.Options{}, c)
	return c
}

func TestVersions_PartsOfTheCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.beside(1, nil)
	w.load(t)
	w.follow(t)
	const calls = 4000
	for _, tc := range []struct{ percent, least, most int }{{1, 5, 100}, {10, 280, 520}, {50, 1800, 2200}, {99, 3900, 3995}} {
		w.applied(t, w.src.change(platform.ChangeFunction, fnID, func() {
			f := w.src.functions[fnID]
			f.CandidatePercent = tc.percent
			w.src.functions[fnID] = f
		}))
		c.take()
		for range calls {
			w.do("GET", "/fn/orders/status", nil)
		}
		got := c.take()
		if got[candidateID] < tc.least || got[candidateID] > tc.most || got[deployed]+got[candidateID] != calls {
			t.Errorf("at %d percent: %v of %d calls", tc.percent, got, calls)
		}
	}
}

// A call is of the version that was drawn in all its steps: what one version opens
// the other does not, and what one has the other has not.
func TestVersions_DrawnEntirely(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.beside(50, func(d *platform.Deployment) {
		d.Handlers = []platform.Handler{{Name: "added", Guard: platform.GuardOpen}, {Name: "status", Guard: platform.GuardKey}, {Name: "webhook", Guard: platform.GuardOpen}}
	})
	w.load(t)
	for path, want := range map[string]map[int]string{
		"/fn/orders/added":   {404: "", 503: candidateID},
		"/fn/orders/status":  {401: "", 503: deployed},
		"/fn/orders/webhook": {401: "", 503: candidateID},
		"/fn/orders/small":   {404: "", 503: deployed},
	} {
		seen := map[int]bool{}
		for range 200 {
			res, _ := w.do("GET", path, nil)
			seen[res.StatusCode] = true
			got := c.take()
			if id, ok := want[res.StatusCode]; !ok || id == "" && len(got) > 0 || id != "" && got[id] != 1 {
				t.Fatalf("%s: %d, workers asked of %v", path, res.StatusCode, got)
			}
		}
		if len(seen) != len(want) {
			t.Errorf("%s: only %v", path, slices.Collect(maps.Keys(seen)))
		}
	}
}

// A version that nobody outside may see is not seen, however its neighbour is.
func TestVersions_PrivateBesidePublic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.beside(50, func(d *platform.Deployment) { d.Visibility = platform.Private })
	w.load(t)
	seen := map[int]int{}
	for range 200 {
		res, _ := w.do("GET", "/fn/orders/status", nil)
		seen[res.StatusCode]++
	}
	if got := c.take(); seen[404] == 0 || seen[503] == 0 || seen[404]+seen[503] != 200 || got[candidateID] != 0 || got[deployed] != seen[503] {
		t.Errorf("answers %v, workers asked of %v", seen, got)
	}
}

// What becomes of the calls of a function ends a pool when neither version of now
// is it, and no earlier.
func TestVersions_Retired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.beside(10, nil)
	w.load(t)
	w.follow(t)
	set := func(active, candidate string, percent int) {
		t.Helper()
		w.applied(t, w.src.change(platform.ChangeFunction, fnID, func() {
			f, d := w.src.functions[fnID], w.src.active[fnID]
			f.ActiveDeploymentID, f.CandidateID, f.CandidatePercent, d.ID = active, candidate, percent, active
			w.src.functions[fnID], w.src.active[fnID] = f, d
			d.ID = candidate
			w.src.candidates[candidate] = d
		}))
	}
	for _, step := range []struct {
		name              string
		active, candidate string
		percent           int
		want              string
	}{
		{"another part", "dep_1", "dep_2", 50, "[]"},
		{"promoted", "dep_2", "", 0, "[dep_1]"},
		{"the next candidate", "dep_2", "dep_3", 5, "[dep_1]"},
		{"another in its place", "dep_2", "dep_4", 5, "[dep_1 dep_3]"},
		{"ended", "dep_2", "", 0, "[dep_1 dep_3 dep_4]"},
		{"a candidate again", "dep_2", "dep_5", 5, "[dep_1 dep_3 dep_4]"},
		{"a plain deploy", "dep_6", "", 0, "[dep_1 dep_3 dep_4 dep_2 dep_5]"},
	} {
		set(step.active, step.candidate, step.percent)
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) { // Retire comes after the swap
			c.mu.Lock()
			got := fmt.Sprint(c.retired)
			c.mu.Unlock()
			if got == step.want {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: retired %s, want %s", step.name, got, step.want)
			}
		}
	}
}

// A limit that both versions have is one limit: to draw again is to gain nothing.
func TestVersions_LimitsAreShared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.src.active[fnID]
	d.Handlers = []platform.Handler{{Name: "status", Guard: platform.GuardOpen, Rule: platform.Rule{Limits: []platform.RateLimit{{By: platform.LimitByRoute, Requests: 7, Per: time.Hour}}}}}
	w.src.active[fnID] = d
	w.beside(50, nil)
	w.load(t)
	passed := 0
	for range 60 {
		if res, _ := w.do("GET", "/fn/orders/status", nil); res.StatusCode == 503 {
			passed++
		}
	}
	if passed != 7 {
		t.Errorf("%d calls passed a limit of 7", passed)
	}
	if n := w.g.Limiters(); n != 1 {
		t.Errorf("%d limits are counted", n)
	}
}

// A candidate that cannot be had takes nothing from the active version.
func TestVersions_CandidateThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.beside(99, nil)
	delete(w.src.candidates, candidateID)
	w.load(t)
	for range 50 {
		w.do("GET", "/fn/orders/status", nil)
	}
	if got := c.take(); got[deployed] != 50 {
		t.Errorf("workers asked of %v", got)
	}
}

// To draw costs no allocation.
func TestVersions_Allocations(t *testing.T) {
	r := httptest.NewRequest("GET", "/fn/orders/status", nil)
	count := func(percent int) float64 {
		w := newWorld(t)
		if percent > 0 {
			w.beside(percent, nil)
		}
		w.load(t)
		return testing.AllocsPerRun(500, func() { w.g.Admit(r) })
	}
	if with, without := count(50), count(0); with > without {
		t.Errorf("%v allocations with a candidate, %v without", with, without)
	}
}

func BenchmarkAdmit_Candidate(b *testing.B) {
	for _, percent := range []int{0, 10} {
		b.Run(fmt.Sprint("percent=", percent), func(b *testing.B) {
			w := newWorld(b)
			if percent > 0 {
				w.beside(percent, nil)
			}
			w.load(b)
			r := httptest.NewRequest("GET", "/fn/orders/status", nil)
			b.ReportAllocs()
			for b.Loop() {
				w.g.Admit(r)
			}
		})
	}
}

// weigh counts calls of a version that ran, and how many of them failed.
func (w *world) weigh(candidate bool, ran, failed int) {
	for i := range ran {
		status := http.StatusOK
		if i < failed {
			status = http.StatusInternalServerError
		}
		w.g.Weigh(fnID, candidate, status, "", true)
	}
}

func TestVersions_Failing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                              string
		ran, failed, activeRan, activeBad int
		points                            int
		want                              bool
	}{
		{"no calls", 0, 0, 0, 0, 5, false},
		{"all fail, but too few", 19, 19, 100, 0, 5, false},
		{"all fail", 20, 20, 100, 0, 5, true},
		{"as many as may be", 100, 5, 100, 0, 5, false},
		{"one more", 100, 6, 100, 0, 5, true},
		{"both alike", 100, 50, 1000, 500, 5, false},
		{"the active one is worse", 100, 50, 100, 90, 5, false},
		{"none of the active one to compare with", 20, 2, 0, 0, 5, true},
		{"none fail", 100, 0, 100, 0, 5, false},
		{"more is allowed", 100, 50, 100, 0, 50, false},
	} {
		w := newWorld(t)
		w.beside(50, nil)
		w.load(t)
		w.weigh(true, tc.ran, tc.failed)
		w.weigh(false, tc.activeRan, tc.activeBad)
		if got := w.g.Failing(tc.points); (len(got) == 1) != tc.want {
			t.Errorf("%s: %+v", tc.name, got)
		} else if tc.want && (got[0].Number != 2 || got[0].ActiveNumber != 1 || got[0].Function.CandidateID != candidateID || got[0].Failed != int64(tc.failed) || got[0].ActiveRan != int64(tc.activeRan)) {
			t.Errorf("%s: told %+v", tc.name, got[0])
		}
	}
}

// What callers bring about by themselves is not held against a version.
func TestVersions_WhatCounts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		status int
		code   string
		ran    bool
		want   bool // it fails for it
	}{
		{"a failure of the handler", 500, "handler_failed", true, true},
		{"a status of the handler's own", 503, "", true, true},
		{"too late", 504, "timeout", true, true},
		{"its worker ended", 502, "worker_lost", true, true},
		{"an answer cut off", 200, "aborted", true, true},
		{"it does not start", 503, "start_failed", false, true},
		{"it does not start any more", 503, "circuit_open", false, true},
		{"it is busy", 503, "queue_full", false, false},
		{"no key", 401, "unauthenticated", false, false},
		{"not found by the handler", 404, "", true, false},
		{"over a rate", 429, "rate_limited", false, false},
		{"the caller went away", 499, "client_closed", true, false},
		{"the server stops", 503, "shutting_down", false, false},
		{"a body that does not parse", 400, "body_malformed", true, false},
	} {
		w := newWorld(t)
		w.beside(50, nil)
		w.load(t)
		for range 30 {
			w.g.Weigh(fnID, true, tc.status, tc.code, tc.ran)
		}
		if got := w.g.Failing(5); (len(got) == 1) != tc.want {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
	w := newWorld(t)
	w.load(t)
	w.g.Weigh(fnID, false, 500, "handler_failed", true)
	if got := w.g.Failing(5); len(got) != 0 {
		t.Errorf("without a candidate: %+v", got)
	}
}

// A candidate that turns bad is judged by what it does now; another part of the
// calls does not make one forget what it did.
func TestVersions_Stretches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.beside(10, nil)
	w.load(t)
	w.follow(t)
	w.weigh(true, 10_000, 0)
	w.g.AgeTrials(time.Minute)
	if got := w.g.Failing(5); len(got) != 0 {
		t.Fatalf("%+v", got)
	}
	w.weigh(true, 10, 5)
	w.applied(t, w.src.change(platform.ChangeFunction, fnID, func() {
		f := w.src.functions[fnID]
		f.CandidatePercent = 50
		w.src.functions[fnID] = f
	}))
	if got := w.g.Failing(5); len(got) != 0 {
		t.Fatalf("too early: %+v", got)
	}
	w.weigh(true, 10, 5)
	if got := w.g.Failing(5); len(got) != 1 || got[0].Ran != 20 || got[0].Failed != 10 {
		t.Errorf("%+v", got)
	}
}
