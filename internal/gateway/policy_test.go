package gateway_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"postern.dev/postern/internal/platform"
)

// policy is a policy of the project that opens a handler, or closes one.
func policy(number int, handler string, g platform.Guard) platform.Policy {
	return platform.Policy{ProjectID: project, Number: number, Functions: []platform.FunctionPolicy{{Name: slug, Handlers: []platform.Governed{{Name: handler, Guard: &g}}}}}
}

func (w *world) follow(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.g.Follow(ctx, w.src, w.src.bell); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
}

func (w *world) applied(t *testing.T, seq int64) {
	t.Helper()
	if err := w.g.WaitApplied(t.Context(), seq); err != nil {
		t.Fatal(err)
	}
}

// other is a second function of the project.
func (w *world) other(id, name string) {
	w.src.functions[id] = platform.Function{ID: id, ProjectID: project, Name: name, Slug: name, ActiveDeploymentID: "dep_" + name}
	w.src.active[id] = platform.Deployment{ID: "dep_" + name, FunctionID: id, ProjectID: project, Number: 1, Handlers: handlers}
}

func (w *world) status(t *testing.T, path string) (status int, code string) {
	t.Helper()
	r, p := w.do(http.MethodPost, path, nil)
	return r.StatusCode, p.Code
}

func (w *world) want(t *testing.T, path string, status int, code string) {
	t.Helper()
	before := w.invoker.acquired.Load()
	if s, c := w.status(t, path); s != status || c != code {
		t.Errorf("%s: %d %s, want %d %s", path, s, c, status, code)
	}
	if ran := w.invoker.acquired.Load() > before; ran != (code == "queue_full") {
		t.Errorf("%s: a worker was asked: %v", path, ran)
	}
}

// A policy that is applied holds for all functions of its project from one
// request to the next, and for nobody else's.
func TestPolicy_Applied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.other("fn-02", "billing")
	w.src.functions["fn-03"] = platform.Function{ID: "fn-03", ProjectID: "prj_b", Name: slug, Slug: "theirs", ActiveDeploymentID: "dep_b"}
	w.src.active["fn-03"] = platform.Deployment{ID: "dep_b", FunctionID: "fn-03", ProjectID: "prj_b", Number: 1, Handlers: handlers}
	w.load(t)
	w.follow(t)
	w.want(t, "/fn/orders/status", 503, "queue_full")
	key := platform.GuardKey
	p := policy(1, "status", key)
	p.Functions = append(p.Functions, platform.FunctionPolicy{Name: "billing", Handlers: []platform.Governed{{Name: "small", Guard: &key}}})
	w.applied(t, w.src.change(platform.ChangePolicy, project, func() { w.src.policies[project] = p }))
	w.want(t, "/fn/orders/status", 401, "unauthenticated")
	w.want(t, "/fn/billing/small", 401, "unauthenticated")
	w.want(t, "/fn/billing/status", 503, "queue_full") // not named
	w.want(t, "/fn/theirs/status", 503, "queue_full")

	w.applied(t, w.src.change(platform.ChangePolicy, project, func() { w.src.policies[project] = policy(2, "webhook", platform.GuardOpen) }))
	w.want(t, "/fn/orders/status", 503, "queue_full")
	w.want(t, "/fn/orders/webhook", 503, "queue_full")
	w.want(t, "/fn/theirs/webhook", 401, "unauthenticated")

	// The next version of a function is under the policy from its first request.
	w.applied(t, w.src.change(platform.ChangePolicy, project, func() { w.src.policies[project] = policy(3, "status", key) }))
	w.applied(t, w.src.change(platform.ChangeFunction, fnID, func() {
		d := w.src.active[fnID]
		d.ID, d.Number = "dep_2", 2
		w.src.active[fnID] = d
	}))
	w.want(t, "/fn/orders/status", 401, "unauthenticated")
	// So is all after a gap in the change log.
	w.src.mu.Lock()
	w.src.changes = append(w.src.changes, platform.Change{Seq: w.src.seq() + 10, Kind: platform.ChangeKey, ID: "pak_none"})
	seq := w.src.seq()
	w.src.mu.Unlock()
	w.applied(t, seq)
	w.want(t, "/fn/orders/status", 401, "unauthenticated")
	w.applied(t, w.src.change(platform.ChangePolicy, project, func() { delete(w.src.policies, project) }))
	w.want(t, "/fn/orders/status", 503, "queue_full")
	if got := w.invoker.retired; len(got) != 1 || got[0] != deployed {
		t.Errorf("retired %v; a policy ends no worker", got)
	}
}

// What was checked when it was applied and does not fit all the same shuts the
// function, /health and open handlers included; and so does what cannot be read.
func TestPolicy_FailsClosed(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]platform.Policy{
		"a handler that is not there": policy(1, "gone", platform.GuardKey),
		"a guard that is not there":   policy(1, "status", platform.Guard(9)),
		"a key for a callback":        policy(1, "ice", platform.GuardKey),
		"it cannot be read":           {ProjectID: project, Number: -1},
	} {
		for _, late := range []bool{false, true} {
			w := newWorld(t)
			if !late {
				w.src.policies[project] = p
			}
			w.load(t)
			if late {
				w.follow(t)
				w.want(t, "/fn/orders/status", 503, "queue_full")
				w.applied(t, w.src.change(platform.ChangePolicy, project, func() { w.src.policies[project] = p }))
			}
			_, secret := w.key(nil)
			w.want(t, "/fn/orders/status", 503, "policy_unfit")
			w.want(t, "/fn/orders/health", 503, "policy_unfit")
			if n := w.g.Shut(); n != 1 {
				t.Errorf("%d functions are told to be shut", n)
			}
			if r, p := w.do(http.MethodPost, "/fn/orders/webhook", http.Header{"X-Api-Key": {secret}}); r.StatusCode != 503 || p.Code != "policy_unfit" || w.invoker.acquired.Load() > 1 {
				t.Errorf("%s: with a key %d %s", name, r.StatusCode, p.Code)
			}
			if !late {
				continue
			}
			w.applied(t, w.src.change(platform.ChangePolicy, project, func() { w.src.policies[project] = policy(2, "status", platform.GuardKey) }))
			w.want(t, "/fn/orders/status", 401, "unauthenticated")
		}
	}
}

// A policy that opens a handler of the next version never meets the version
// before, whenever the gateway reads the one and the other.
func TestPolicy_NeverOverAnotherVersion(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(*testing.T, *world){
		"at start": func(t *testing.T, w *world) { w.load(t) },
		"at a change of the policy": func(t *testing.T, w *world) {
			hook := w.src.onPolicy
			w.src.onPolicy = nil
			w.load(t)
			w.src.onPolicy = hook
			w.src.change(platform.ChangePolicy, project, func() {})
			w.follow(t)
			w.applied(t, 2)
		},
	} {
		w := newWorld(t)
		var calls atomic.Int32
		w.src.policies[project] = policy(1, "status", platform.GuardKey)
		w.src.onPolicy = func() {
			if calls.Add(1) != 2 {
				return
			}
			// Between the reading of the functions and of the policy a new version
			// comes, and then a policy that is for that one alone.
			w.src.change(platform.ChangeFunction, fnID, func() {
				d := w.src.active[fnID]
				d.ID, d.Number, d.Handlers = "dep_2", 2, []platform.Handler{{Name: "status", Guard: platform.GuardOpen}, {Name: "webhook", Guard: platform.GuardOpen}}
				w.src.active[fnID] = d
			})
			w.src.change(platform.ChangePolicy, project, func() { w.src.policies[project] = policy(2, "webhook", platform.GuardOpen) })
		}
		begin(t, w)
		if n := calls.Load(); n < 2 {
			t.Fatalf("%s: policies were read %d times", name, n)
		}
		r, _ := w.do(http.MethodPost, "/fn/orders/health", nil)
		if v, _ := w.g.Version(fnID); v != 2 || r.StatusCode != 200 {
			t.Errorf("%s: the policy of version 2 is over version %d (%d)", name, v, r.StatusCode)
		}
	}
}
