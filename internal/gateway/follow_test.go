package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/telemetry"
)

// source is a store in memory.
type source struct {
	mu        sync.Mutex
	away      error
	keys      map[string]platform.AccessKey
	functions map[string]platform.Function
	active    map[string]platform.Deployment
	// candidates are deployments by their own ID.
	candidates map[string]platform.Deployment
	policies   map[string]platform.Policy
	onPolicy   func() // called when policies are read, not locked
	changes    []platform.Change
	revoked    []platform.RevokedToken
	damaged    string // the ID of a key that cannot be read
	bell       chan struct{}
}

func newSource() *source {
	return &source{keys: map[string]platform.AccessKey{}, functions: map[string]platform.Function{}, active: map[string]platform.Deployment{}, candidates: map[string]platform.Deployment{}, policies: map[string]platform.Policy{}, bell: make(chan struct{}, 1)}
}

func (s *source) Load(_ context.Context, onKey func(platform.AccessKey) error, onFunction func(platform.Function, platform.Deployment) error) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if k.RevokedAt.IsZero() {
			onKey(k)
		}
	}
	for id, f := range s.functions {
		onFunction(f, s.active[id])
	}
	return s.seq(), s.away
}

func (s *source) seq() int64 {
	if len(s.changes) == 0 {
		return 0
	}
	return s.changes[len(s.changes)-1].Seq
}

func (s *source) Changes(_ context.Context, after int64, limit int) ([]platform.Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return nil, s.away
	}
	var out []platform.Change
	for _, c := range s.changes {
		if c.Seq > after && len(out) < limit {
			out = append(out, c)
		}
	}
	return out, nil
}

func (s *source) KeyByID(_ context.Context, id string) (platform.AccessKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == s.damaged {
		return platform.AccessKey{}, &platform.UnreadableError{ID: id, Err: errors.New("damaged")}
	}
	if k, ok := s.keys[id]; ok {
		return k, nil
	}
	return platform.AccessKey{}, fault.New(fault.NotFound, "no key")
}

func (s *source) SigningKeys(context.Context, time.Time) ([]platform.SigningKey, error) {
	return nil, s.away
}

func (s *source) RevokedTokens(context.Context, string, time.Time) ([]platform.RevokedToken, error) {
	return s.revoked, s.away
}

func (s *source) ActiveFunction(_ context.Context, id string) (platform.Function, platform.Deployment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.functions[id]; ok {
		return f, s.active[id], nil
	}
	return platform.Function{}, platform.Deployment{}, fault.New(fault.NotFound, "no function")
}

func (s *source) Deployment(_ context.Context, id string) (platform.Deployment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := s.candidates[id]; ok {
		return d, nil
	}
	return platform.Deployment{}, fault.New(fault.NotFound, "no deployment")
}

func (s *source) Policies(_ context.Context, projectID string) ([]platform.Policy, error) {
	if s.onPolicy != nil {
		s.onPolicy()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []platform.Policy
	err := s.away
	for id, p := range s.policies {
		switch {
		case projectID != "" && id != projectID:
		case p.Number < 0:
			err = errors.Join(err, &platform.UnreadableError{ID: id, Err: errors.New("damaged")})
		default:
			out = append(out, p)
		}
	}
	return out, err
}

func (s *source) change(kind platform.ChangeKind, id string, f func()) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.changes = append(s.changes, platform.Change{Seq: s.seq() + 1, Kind: kind, ID: id})
	select {
	case s.bell <- struct{}{}:
	default:
	}
	return s.seq()
}

// A row that cannot be read opens nothing, and holds up no later change.
func TestFollow_PastWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.load(t)
	damaged, damagedSecret := w.key(nil)
	revoked, revokedSecret := w.key(nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.g.Follow(ctx, w.src, w.src.bell); close(done) }()
	defer func() { cancel(); <-done }()
	w.src.change(platform.ChangeKey, damaged, func() { w.src.damaged = damaged })
	seq := w.src.change(platform.ChangeKey, revoked, func() {
		k := w.src.keys[revoked]
		k.RevokedAt = time.Now()
		w.src.keys[revoked] = k
	})
	late, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if err := w.g.WaitApplied(late, seq); err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{"the damaged key": damagedSecret, "the revoked key": revokedSecret} {
		if res, _ := w.do("GET", "/fn/orders/webhook", http.Header{"X-Api-Key": {secret}}); res.StatusCode != 401 {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if res, p := w.do("GET", "/fn/orders/status", nil); res.StatusCode != 503 || w.invoker.acquired.Load() != 0 {
		t.Errorf("before it was loaded: %d %s", res.StatusCode, p.Code)
	}
	w.load(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.g.Follow(ctx, w.src, w.src.bell); close(done) }()
	defer func() { cancel(); <-done }()
	wait := func(seq int64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := w.g.WaitApplied(ctx, seq); err != nil {
			t.Fatal(err)
		}
	}
	status := func(header http.Header) int {
		res, _ := w.do("GET", "/fn/orders/webhook", header)
		return res.StatusCode
	}
	id, secret := w.key(nil)
	wait(2)
	shown := http.Header{"X-Api-Key": {secret}}
	if status(shown) != 503 {
		t.Error("a new key does not open")
	}
	w.src.mu.Lock()
	w.src.away = errors.New("database away")
	w.src.mu.Unlock()
	for deadline := time.Now().Add(time.Minute); w.g.State().StaleSince.IsZero(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("State does not tell that the source is away")
		}
	}
	if status(shown) != 503 {
		t.Error("with the source away a known key does not open")
	}
	w.src.mu.Lock()
	w.src.away = nil
	w.src.mu.Unlock()
	seq := w.src.change(platform.ChangeKey, id, func() {
		k := w.src.keys[id]
		k.RevokedAt = time.Now()
		w.src.keys[id] = k
	})
	wait(seq)
	if status(shown) != 401 || !w.g.State().StaleSince.IsZero() {
		t.Errorf("after revocation: %d, state %+v", status(shown), w.g.State())
	}
	seq = w.src.change(platform.ChangeFunction, fnID, func() {
		d := w.src.active[fnID]
		d.ID, d.Number = "dep_2", 2
		w.src.active[fnID] = d
	})
	wait(seq)
	seq = w.src.change(platform.ChangeFunction, fnID, func() { delete(w.src.functions, fnID) })
	wait(seq)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) { // Retire comes after the swap
		w.invoker.mu.Lock()
		retired := fmt.Sprint(w.invoker.retired)
		w.invoker.mu.Unlock()
		if retired == "[dep_1 dep_2]" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("retired %s", retired)
		}
	}
	if status(nil) != 404 {
		t.Error("a deleted function answers")
	}
	// A gap: everything is read again.
	lost, lostSecret := w.key(nil)
	_ = lost
	w.src.mu.Lock()
	w.src.functions[fnID] = platform.Function{ID: fnID, ProjectID: project, Name: slug, Slug: slug, ActiveDeploymentID: "dep_3"}
	w.src.changes = []platform.Change{{Seq: 100, Kind: platform.ChangeKey, ID: "pak_x"}}
	w.src.mu.Unlock()
	wait(100)
	if got := status(http.Header{"X-Api-Key": {lostSecret}}); got != 503 {
		t.Errorf("after a gap: %d", got)
	}
}

// A log that a newer node writes too must not end the news of revocations.
func TestFollow_PassesOverKindsOfNewerNodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, secret := w.key(nil)
	w.load(t)
	w.src.change("of-a-newer-version", "x", func() {})
	seq := w.src.change(platform.ChangeKey, id, func() { delete(w.src.keys, id) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.g.Follow(ctx, w.src, w.src.bell); close(done) }()
	defer func() { cancel(); <-done }()
	wait, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if err := w.g.WaitApplied(wait, seq); err != nil {
		t.Fatal(err)
	}
	if res, _ := w.do("GET", "/fn/orders/webhook", http.Header{"X-Api-Key": {secret}}); res.StatusCode != 401 {
		t.Errorf("a key that ended after the change: %d", res.StatusCode)
	}
}

// A function that was lost from sight and is gone after a reload leaves no
// counters behind.
func TestReload_ForgetsCounters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	metrics := telemetry.NewMetrics()
	w.g = gateway.New(gateway.Options{Metrics: metrics}, w.invoker)
	series := func() int {
		n, err := testutil.GatherAndCount(metrics.Registry, "postern_requests_total")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	w.load(t)
	if series() == 0 {
		t.Fatal("a function has no counters")
	}
	delete(w.src.functions, fnID)
	w.load(t)
	if n := series(); n != 0 {
		t.Errorf("%d counters of a function that is gone", n)
	}
}
