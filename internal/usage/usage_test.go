package usage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/usage"
)

// book is a store in memory, which may be away, or lose its answers.
type book struct {
	mu     sync.Mutex
	away   error
	mute   error // it writes, and says that it did not
	heads  map[string]int64
	rows   map[platform.UsageRow]platform.Counts // by identity
	writes int
	pruned platform.Day
}

func newBook() *book {
	return &book{heads: map[string]int64{}, rows: map[platform.UsageRow]platform.Counts{}}
}

func (b *book) WriteUsage(_ context.Context, writer string, batch int64, rows []platform.UsageRow) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writes++
	if b.away != nil {
		return b.away
	}
	if batch > b.heads[writer] {
		b.heads[writer] = batch
		for _, r := range rows {
			id := r
			id.Counts = platform.Counts{}
			sum := b.rows[id]
			sum.Add(r.Counts)
			b.rows[id] = sum
		}
	}
	return b.mute
}

func (b *book) PruneUsage(_ context.Context, before platform.Day) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pruned = before
	return nil
}

func (b *book) set(away, mute error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away, b.mute = away, mute
}

func (b *book) total() (c platform.Counts) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.rows {
		c.Add(r)
	}
	return c
}

var (
	orders = usage.Function{ProjectID: "prj_a", ID: "fn-a", Name: "orders"}
	noon   = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

// run runs a meter on a directory; end ends it.
func run(t *testing.T, o usage.Options, s usage.Store) (m *usage.Meter, end func() error) {
	t.Helper()
	m, err := usage.Open(o, s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	var once sync.Once
	end = func() (err error) {
		once.Do(func() { cancel(); err = <-ended })
		return err
	}
	t.Cleanup(func() { end() })
	return m, end
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestMeter_Figures(t *testing.T) {
	t.Parallel()
	b, dir := newBook(), t.TempDir()
	m, end := run(t, usage.Options{Dir: dir, Memory: 256}, b)
	m.Ran(orders, usage.Call{Caller: "pak_1", At: noon, Took: 1500 * time.Microsecond, BytesIn: 10, BytesOut: 20})
	m.Ran(orders, usage.Call{Caller: "pak_1", At: noon, Took: 400 * time.Nanosecond, Failed: true})
	m.Ran(orders, usage.Call{Caller: "pak_1", At: noon.Add(12*time.Hour - time.Nanosecond), Took: -time.Second})
	m.Ran(orders, usage.Call{Caller: "pak_1", At: noon.Add(12 * time.Hour), Took: time.Millisecond, BytesIn: -1})
	m.Ran(orders, usage.Call{Caller: platform.CallerOpen, At: noon.In(time.FixedZone("", 14*3600)), Took: time.Second})
	m.Refused(orders, "unauthenticated", noon)
	m.Refused(orders, "unauthenticated", noon)
	m.Refused(orders, "rate_limited", noon)
	if err := end(); err != nil {
		t.Fatal(err)
	}
	day := platform.DayOf(noon)
	id := func(day platform.Day, caller, code string) platform.UsageRow {
		return platform.UsageRow{Day: day, ProjectID: "prj_a", FunctionID: "fn-a", FunctionName: "orders", Caller: caller, Code: code}
	}
	want := map[platform.UsageRow]platform.Counts{
		id(day, "pak_1", ""):           {Invocations: 3, Errors: 1, ComputeMicros: 1500, MemoryMicros: 1500 * 256, BytesIn: 10, BytesOut: 20},
		id(day+1, "pak_1", ""):         {Invocations: 1, ComputeMicros: 1000, MemoryMicros: 256_000},
		id(day, "open", ""):            {Invocations: 1, ComputeMicros: 1_000_000, MemoryMicros: 256_000_000},
		id(day, "", "unauthenticated"): {Refused: 2},
		id(day, "", "rate_limited"):    {Refused: 1},
	}
	if d := cmp.Diff(want, b.rows); d != "" {
		t.Error(d)
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("an ordinary end leaves %v", left)
	}
	var none *usage.Meter
	none.Ran(orders, usage.Call{})
	none.Refused(orders, "internal", noon)
}

// Every call is counted once, whatever the store does meanwhile.
func TestMeter_StoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, dir := newBook(), t.TempDir()
		m, end := run(t, usage.Options{Dir: dir}, b)
		counted := int64(0)
		count := func(seconds int) {
			for range seconds * 10 {
				m.Ran(orders, usage.Call{Caller: fmt.Sprint("pak_", counted%7), At: time.Now(), Took: time.Millisecond})
				counted++
				time.Sleep(100 * time.Millisecond)
			}
		}
		count(12)
		if got := b.total().Invocations; got < counted-60 || got > counted {
			t.Errorf("%d of %d in the store", got, counted)
		}
		b.set(nil, errors.New("the answer is lost"))
		count(13)
		b.set(errors.New("away"), nil)
		count(3600)
		if found := files(t, dir); len(found) != 1 {
			t.Errorf("journals %v", found)
		} else if info, err := os.Stat(found[0]); err != nil || info.Size() > 3<<20 {
			t.Errorf("after an hour away the journal has %d bytes, %v", info.Size(), err)
		}
		if st := m.State(); st.Pending < 7 || !st.JournalAway.IsZero() || time.Since(st.StoreAway) < 59*time.Minute || time.Since(st.StoreAway) > 61*time.Minute {
			t.Errorf("after an hour away: %+v", st)
		}
		b.set(nil, nil)
		count(14)
		if st := m.State(); st.Pending > 7 || st.StoreAway != (time.Time{}) {
			t.Errorf("the store is back: %+v", st)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
		if got := b.total(); got.Invocations != counted || got.ComputeMicros != counted*1000 {
			t.Errorf("%d calls and %d µs in the store, want %d", got.Invocations, got.ComputeMicros, counted)
		}
	})
}

// What the store did not take before an ordinary end is there after the next
// start, once, also when the store had it and did not say so.
func TestMeter_NextStart(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct{ away, mute error }{"away": {away: errors.New("away")}, "mute": {mute: errors.New("mute")}} {
		b, dir := newBook(), filepath.Join(t.TempDir(), "a [dir]*?")
		for n := range 3 {
			b.set(fault.away, fault.mute)
			m, end := run(t, usage.Options{Dir: dir}, b)
			for range 10 {
				m.Ran(orders, usage.Call{Caller: "pak_1", At: noon})
				m.Refused(orders, "not_allowed", noon)
			}
			if err := end(); err != nil {
				t.Errorf("%s: the end of run %d: %v", name, n, err)
			}
		}
		b.set(nil, nil)
		_, end := run(t, usage.Options{Dir: dir}, b)
		if err := end(); err != nil {
			t.Error(err)
		}
		if got := b.total(); got.Invocations != 30 || got.Refused != 30 {
			t.Errorf("%s: %d calls and %d refusals, want 30 and 30", name, got.Invocations, got.Refused)
		}
		if left := files(t, dir); len(left) != 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

// A journal that is damaged gives what is whole in it.
func TestMeter_DamagedJournal(t *testing.T) {
	t.Parallel()
	b, dir := newBook(), t.TempDir()
	b.set(errors.New("away"), nil)
	for range 2 {
		m, end := run(t, usage.Options{Dir: dir}, b)
		m.Ran(orders, usage.Call{Caller: "pak_1", At: noon})
		end()
	}
	found := files(t, dir)
	if len(found) != 2 {
		t.Fatalf("journals %v", found)
	}
	good, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	later := strings.Replace(string(good), `"batch":1`, `"batch":2`, 1) // its checksum is wrong now
	for path, text := range map[string]string{found[0]: "\n\x00\xff\n" + later + "00000000 {}\n" + string(good) + string(good) + string(good[:len(good)/2]), found[1]: string(good[:len(good)-1])} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.set(nil, nil)
	_, end := run(t, usage.Options{Dir: dir}, b)
	if err := end(); err != nil {
		t.Error(err)
	}
	if got := b.total(); got.Invocations != 1 {
		t.Errorf("%d calls, want the one that is whole", got.Invocations)
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// Where the journal cannot be written the store still gets all; when it can be
// again, it has what it lacked; where neither can, the end says what is lost.
func TestMeter_NoJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, dir := newBook(), filepath.Join(t.TempDir(), "gone")
		call := usage.Call{Caller: "pak_1", At: noon}
		m, end := run(t, usage.Options{Dir: dir}, b)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		m.Ran(orders, call)
		time.Sleep(6 * time.Second)
		if got := b.total().Invocations; got != 1 {
			t.Errorf("%d calls in the store, want 1", got)
		}
		if st := m.State(); st.JournalAway.IsZero() || time.Since(st.JournalAway) > 7*time.Second {
			t.Errorf("no journal can be written: %+v", st)
		}
		b.set(errors.New("away"), nil)
		m.Ran(orders, call) // nowhere but in memory
		time.Sleep(6 * time.Second)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		m.Ran(orders, call)
		time.Sleep(2 * time.Second) // now a crash would lose neither
		if st := m.State(); !st.JournalAway.IsZero() || st.Pending == 0 {
			t.Errorf("it can be written again: %+v", st)
		}
		m.Ran(orders, call)
		if err := end(); err != nil {
			t.Errorf("nothing is lost, and the end says: %v", err)
		}
		b.set(nil, nil)
		_, end = run(t, usage.Options{Dir: dir}, b)
		end()
		if got := b.total().Invocations; got != 4 {
			t.Errorf("%d calls after the next start, want 4", got)
		}

		b.set(errors.New("away"), nil)
		m, end = run(t, usage.Options{Dir: dir}, b)
		m.Ran(orders, call)
		os.RemoveAll(dir)
		if err := end(); err == nil || !strings.Contains(err.Error(), "lost") {
			t.Errorf("counts are lost, and the end says: %v", err)
		}
	})
}

// A tally that nothing is counted on is forgotten, and what somebody counts on
// it at that moment is not.
func TestMeter_Forgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		m, end := run(t, usage.Options{Dir: t.TempDir()}, b)
		late := m.Hold(orders, "pak_0")
		for i := range 1000 {
			m.Ran(orders, usage.Call{Caller: fmt.Sprint("pak_", i), At: time.Now()})
		}
		if n := m.Tallies(); n != 1000 {
			t.Errorf("%d tallies", n)
		}
		time.Sleep(11 * time.Minute)
		if n := m.Tallies(); n != 0 {
			t.Errorf("%d tallies after eleven quiet minutes", n)
		}
		late(usage.Call{At: time.Now()})
		m.Ran(orders, usage.Call{Caller: "pak_0", At: time.Now()})
		end()
		if got := b.total().Invocations; got != 1002 {
			t.Errorf("%d calls, want 1002", got)
		}
	})
}

func TestMeter_AtOnce(t *testing.T) {
	t.Parallel()
	b := newBook()
	m, end := run(t, usage.Options{Dir: t.TempDir(), Every: time.Millisecond, WriteEach: 2}, b)
	const each, callers = 2000, 8
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				at := noon.Add(time.Duration(i%2) * 24 * time.Hour)
				m.Ran(orders, usage.Call{Caller: fmt.Sprint("pak_", (c+i)%5), At: at, Took: time.Microsecond, Failed: i%4 == 0, BytesIn: 1, BytesOut: 2})
				m.Refused(orders, "not_allowed", at)
			}
		})
	}
	wg.Wait()
	if err := end(); err != nil {
		t.Error(err)
	}
	want := platform.Counts{Invocations: each * callers, Errors: each * callers / 4, ComputeMicros: each * callers, MemoryMicros: 128 * each * callers, BytesIn: each * callers, BytesOut: 2 * each * callers, Refused: each * callers}
	if d := cmp.Diff(want, b.total()); d != "" {
		t.Error(d)
	}
}

func TestMeter_Prunes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		run(t, usage.Options{Dir: t.TempDir(), Retention: 48 * time.Hour}, b)
		for range 50 {
			synctest.Wait()
			if b.mu.Lock(); b.pruned != platform.DayOf(time.Now())-2 {
				t.Errorf("on %v it was pruned before %v", platform.DayOf(time.Now()), b.pruned)
			}
			b.mu.Unlock()
			time.Sleep(time.Hour)
		}
	})
}

// The hot path: no allocation for a series that is known.
func TestMeter_Allocations(t *testing.T) {
	m, err := usage.Open(usage.Options{Dir: t.TempDir()}, newBook())
	if err != nil {
		t.Fatal(err)
	}
	c := usage.Call{Caller: strings.Clone("pak_1"), At: noon, Took: time.Millisecond, BytesIn: 1, BytesOut: 1}
	if n := testing.AllocsPerRun(1000, func() { m.Ran(orders, c); m.Refused(orders, "not_allowed", noon) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRan(b *testing.B) {
	m, err := usage.Open(usage.Options{Dir: b.TempDir()}, newBook())
	if err != nil {
		b.Fatal(err)
	}
	for i := range 100_000 {
		m.Ran(orders, usage.Call{Caller: fmt.Sprint("pak_", i), At: noon})
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			m.Ran(orders, usage.Call{Caller: "pak_77", At: noon, Took: time.Millisecond, BytesOut: 20})
		}
	})
}
