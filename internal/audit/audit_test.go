package audit_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// memory is a store in memory that can be away and that refuses some events.
type memory struct {
	mu      sync.Mutex
	away    bool
	refuses string // an action
	events  []audit.Event
	batches int
	pruned  int
}

func (m *memory) WriteAudit(_ context.Context, events []audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return fault.New(fault.Unavailable, "the database does not answer")
	}
	for _, e := range events {
		if m.refuses != "" && e.Action == m.refuses {
			return errors.New("the database does not take this")
		}
	}
	m.events = append(m.events, events...)
	m.batches++
	return nil
}

func (m *memory) PruneAudit(context.Context, time.Time, int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pruned++
	return nil
}

func (m *memory) set(f func()) { m.mu.Lock(); defer m.mu.Unlock(); f() }

// count is how many events there are that match, and how many decisions they stand for.
func (m *memory) count(match func(audit.Event) bool) (rows int, decisions int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if match(e) {
			rows++
			decisions += e.Count
		}
	}
	return rows, decisions
}

func action(name string) func(audit.Event) bool {
	return func(e audit.Event) bool { return e.Action == name }
}

// start runs a recorder; stop ends it and returns what Run returned.
func start(t *testing.T, o audit.Options, m *memory) (r *audit.Recorder, stop func() error) {
	t.Helper()
	r = audit.New(o, m)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return r, func() error { cancel(); return <-ended }
}

var refusal = audit.Series{Door: platform.DoorGateway, ProjectID: "prj_a", Target: "orders", Action: "invoke", Outcome: platform.OutcomeRefused, Code: "unauthenticated", Status: 401}

func refuse(r *audit.Recorder, s audit.Series) {
	if r.Take(s) {
		r.Offer(audit.Event{Door: s.Door, ProjectID: s.ProjectID, Target: s.Target, Action: s.Action, Outcome: s.Outcome, Code: s.Code, Status: s.Status, RequestID: "req_1"})
	}
}

func TestRecorder_Batches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r, stop := start(t, audit.Options{}, m)
		for i := range 600 {
			if err := r.Record(t.Context(), audit.Event{Action: fmt.Sprint("a", i), ProjectID: "prj_a"}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if n, _ := m.count(func(audit.Event) bool { return true }); n != 600 || m.batches > 3 {
			t.Errorf("after 100 ms: %d events in %d batches", n, m.batches)
		}
		last := ""
		for i, e := range m.events {
			if e.ID <= last || e.Action != fmt.Sprint("a", i) || e.Count != 1 || e.At.IsZero() || e.At.Location() != time.UTC {
				t.Fatalf("event %d: %+v after %s", i, e, last)
			}
			last = e.ID
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A change is answered after its event is stored, however empty the batch is.
func TestRecorder_CommitWaitsUntilStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r, stop := start(t, audit.Options{}, m)
		before := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := r.Commit(t.Context(), audit.Event{Action: "createAccessKey"}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n, _ := m.count(action("createAccessKey")); n != 50 || time.Since(before) > 0 {
			t.Errorf("%d stored, after %v", n, time.Since(before))
		}
		m.set(func() { m.away = true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Commit(ctx, audit.Event{Action: "late"}); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("with the database away: %v", err)
		}
		m.set(func() { m.away = false })
		time.Sleep(3 * time.Second)
		if n, _ := m.count(action("late")); n != 1 {
			t.Errorf("the event that was late is there %d times", n)
		}
		m.set(func() { m.refuses = "odd" })
		if err := r.Commit(t.Context(), audit.Event{Action: "odd"}); err == nil {
			t.Error("an event that the database refuses was committed")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if err := r.Commit(t.Context(), audit.Event{}); !errors.Is(err, audit.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// One event that the database does not take costs no other.
func TestRecorder_PoisonedBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{refuses: "odd"}
		r, stop := start(t, audit.Options{}, m)
		for i := range 20 {
			name := "good"
			if i == 7 {
				name = "odd"
			}
			if err := r.Record(t.Context(), audit.Event{Action: name}); err != nil {
				t.Fatal(err)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n, _ := m.count(action("good")); n != 19 {
			t.Errorf("%d of 19 stored", n)
		}
	})
}

// With the database away the gateway's events are dropped and counted, the
// control plane's wait, and all of them are there when it is back.
func TestRecorder_DatabaseAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{away: true}
		var lost int64
		var mu sync.Mutex
		r, stop := start(t, audit.Options{Queue: 8, Lost: func(n int64) { mu.Lock(); lost += n; mu.Unlock() }}, m)
		for i := range 1000 {
			r.Offer(audit.Event{Door: platform.DoorGateway, ProjectID: "prj_a", Action: "invoke", RequestID: fmt.Sprint(i)})
		}
		time.Sleep(200 * time.Millisecond) // it is trying to write by now
		var wg sync.WaitGroup
		for range 40 { // more than there is room for
			wg.Go(func() {
				if err := r.Record(t.Context(), audit.Event{Action: "listFunctions"}); err != nil {
					t.Error(err)
				}
			})
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		synctest.Wait()
		if err := r.Record(short, audit.Event{Action: "impatient"}); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("no room: %v", err)
		}
		if since := r.Away(); since.IsZero() || time.Since(since) < time.Second {
			t.Errorf("away since %v", since)
		}
		m.set(func() { m.away = false })
		wg.Wait()
		time.Sleep(3 * time.Second)
		if since := r.Away(); !since.IsZero() {
			t.Errorf("the store is back, and away since %v", since)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n, _ := m.count(action("listFunctions")); n != 40 {
			t.Errorf("%d of 40 decisions of the control plane", n)
		}
		kept, _ := m.count(action("invoke"))
		rows, told := m.count(action("loseEvents"))
		if kept == 0 || told != lost || int64(kept)+told != 1000 || rows > 5 || rows == 0 {
			t.Errorf("%d kept, %d counted, %d told of in %d events", kept, lost, told, rows)
		}
	})
}

func TestRecorder_EndWithTheDatabaseAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{away: true}
		r, stop := start(t, audit.Options{}, m)
		for range 3 {
			if err := r.Record(t.Context(), audit.Event{}); err != nil {
				t.Fatal(err)
			}
		}
		waiter := make(chan error)
		go func() { waiter <- r.Commit(t.Context(), audit.Event{}) }()
		synctest.Wait()
		before := time.Now()
		if err := stop(); err == nil || !strings.Contains(err.Error(), "4 audit events") || time.Since(before) > 6*time.Second {
			t.Errorf("%v after %v", err, time.Since(before))
		}
		if err := <-waiter; err == nil {
			t.Error("an event that was not stored was committed")
		}
	})
}

// Nothing that was taken is lost on an ordinary end, sums included.
func TestRecorder_FlushedAtTheEnd(t *testing.T) {
	t.Parallel()
	m := &memory{}
	r, stop := start(t, audit.Options{}, m)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				refuse(r, refusal)
				if err := r.Record(t.Context(), audit.Event{Action: "listFunctions"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n, _ := m.count(action("listFunctions")); n != 4000 {
		t.Errorf("%d of 4000", n)
	}
	if rows, n := m.count(action("invoke")); n != 4000 || rows > 100 {
		t.Errorf("%d of 4000 refusals, in %d events", n, rows)
	}
}

func TestSampling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r, stop := start(t, audit.Options{}, m)
		for range 10 { // seconds
			for range 1000 {
				refuse(r, refusal)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		singles, _ := m.count(func(e audit.Event) bool { return e.RequestID != "" })
		rows, decisions := m.count(action("invoke"))
		if singles != 20 || rows > 31 || decisions < 9000 {
			t.Errorf("%d one by one, %d events for %d refusals", singles, rows, decisions)
		}
		// Another function's first refusals are seen beside the flood.
		other := refusal
		other.Target = "quiet"
		refuse(r, other)
		time.Sleep(time.Minute)
		refuse(r, refusal) // a minute later it is told by itself again
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n, _ := m.count(func(e audit.Event) bool { return e.Target == "quiet" && e.RequestID != "" }); n != 1 {
			t.Errorf("the quiet function's refusal is there %d times", n)
		}
		if n, _ := m.count(func(e audit.Event) bool { return e.RequestID != "" }); n != 22 {
			t.Errorf("%d one by one, want 22", n)
		}
		if _, n := m.count(action("invoke")); n != 10_002 {
			t.Errorf("%d refusals are accounted for, of 10002", n)
		}
	})
}

// What callers choose makes neither memory nor rows grow: 100,000 refusals of
// as many series; and what the control plane decides meanwhile is all there.
func TestFlood(t *testing.T) {
	m := &memory{}
	r, stop := start(t, audit.Options{}, m)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 25_000 {
				s := refusal
				s.ProjectID = fmt.Sprintf("prj_%d_%d", w, i)
				refuse(r, s)
			}
		})
	}
	known := refusal
	known.KeyID = "pak_known"
	for range 200 {
		refuse(r, known)
		if err := r.Commit(t.Context(), audit.Event{Action: "deploy", ProjectID: "prj_a"}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n, _ := m.count(action("deploy")); n != 200 {
		t.Errorf("%d of 200 changes", n)
	}
	if _, n := m.count(func(e audit.Event) bool {
		return e.KeyID == known.KeyID || e.Action == "invoke" && e.ProjectID == known.ProjectID
	}); n != 200 {
		t.Errorf("%d of 200 refusals of a known caller are told apart", n)
	}
	rows, n := m.count(func(e audit.Event) bool { return e.Action != "deploy" && e.ProjectID != known.ProjectID })
	if n != 100_000 || rows > 600 {
		t.Errorf("%d refusals are accounted for, in %d events", n, rows)
	}
}

func TestTake_AllocatesNothing(t *testing.T) {
	r := audit.New(audit.Options{}, &memory{})
	r.Take(refusal)
	if n := testing.AllocsPerRun(1000, func() { r.Take(refusal) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	var none *audit.Recorder
	if none.Take(refusal) || none.Record(t.Context(), audit.Event{}) != nil || none.Commit(t.Context(), audit.Event{}) != nil {
		t.Error("a recorder that is none does something")
	}
	none.Offer(audit.Event{})
}

func TestRecorder_Prunes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		_, stop := start(t, audit.Options{}, m)
		time.Sleep(150 * time.Minute)
		if err := stop(); err != nil || m.pruned != 3 {
			t.Errorf("pruned %d times in two and a half hours; %v", m.pruned, err)
		}
	})
}

// Texts are made fit for a database and for a reader, and hold no secret.
func TestRecorder_CleansTexts(t *testing.T) {
	t.Parallel()
	m := &memory{}
	r, stop := start(t, audit.Options{}, m)
	const secret = "psk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM"
	token := "eyJhbGciOiJFZERTQSJ9." + strings.Repeat("x", 60) + ".sig"
	tests := []struct{ name, in, want string }{
		{"plain", "functions/orders", "functions/orders"},
		{"a hash", "artefacts/" + strings.Repeat("a", 64), "artefacts/" + strings.Repeat("a", 64)},
		{"a secret where an ID belongs", "accessKeys/" + secret, "accessKeys/[hidden]"},
		{"in upper case", "accessKeys/" + strings.ToUpper(secret), "accessKeys/[hidden]"},
		{"a short one", "psk_", "[hidden]"},
		{"a token", "tokens/" + token, "tokens/[hidden]"},
		{"credentials", "x " + strings.Repeat("cGFr", 28), "x [hidden]"},
		{"NUL and escapes", "a\x00b\x1b[31mc\n", "a\uFFFDb\uFFFD[31mc\uFFFD"},
		{"broken UTF-8", "a\xffb", "a\uFFFDb"},
		{"words", "Ångström näme", "Ångström näme"},
		{"endless", strings.Repeat("ab/", 1000), strings.Repeat("ab/", 66) + "ab"},
	}
	for _, tt := range tests {
		if err := r.Record(t.Context(), audit.Event{Action: tt.name, Target: tt.in, RequestID: tt.in, Detail: map[string]string{"why": tt.in, secret: "x"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for i, tt := range tests {
		e := m.events[i]
		if e.Target != tt.want || e.RequestID != tt.want || e.Detail["why"] != tt.want || len(e.Detail) != 1 {
			t.Errorf("%s: %q, detail %q, want %q", tt.name, e.Target, e.Detail, tt.want)
		}
	}
}
