// Package usage counts what ran and, apart from it, what was refused.
//
// [Meter] is the type to know. The gateway tells it of each call when it is
// over: Ran of one that a handler was asked for, Refused of one that none was.
// A call is counted once, on the day of UTC on which it ended.
//
//   - Counting takes no lock and, for a function and caller that are known,
//     allocates nothing. Memory is bounded by what there is: functions, access
//     keys, trusted issuers and problem codes. Names that a caller can make up are
//     in none of them.
//   - Each second the counts of that second go to a journal in the data directory
//     and are flushed to the disk (journal.go); every five they are added to the
//     store. A batch has a number, and the store adds each number once, so that
//     a lost answer, a crash and a restart repeat nothing.
//   - A process that is killed, or a machine that loses power, loses the counts of
//     at most the last second, and the time that the disk took. While the store is
//     away nothing is lost, and a journal that is left is added at the next start.
//   - Where the journal cannot be written, the counts stay in memory until the
//     store has them: then that is what a crash would lose.
//
// The package decides nothing and reads nothing.
package usage

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/oklog/ulid/v2"

	"postern.dev/postern/internal/platform"
)

// Store is where usage is added up. *store.DB is one.
type Store interface {
	// WriteUsage adds a batch of a writer, unless it has added that batch or a
	// later one of this writer already.
	WriteUsage(ctx context.Context, writer string, batch int64, rows []platform.UsageRow) error
	// PruneUsage removes what is from before a day.
	PruneUsage(ctx context.Context, before platform.Day) error
}

// Options are the meter's settings. A zero field takes the default that is
// named beside it.
type Options struct {
	Dir string // needed: where journals are; nobody else may use it meanwhile
	// Memory is what a worker is reckoned at in GB-seconds, in MiB: 128.
	Memory    int
	Retention time.Duration // 400 days: how long usage is kept
	Every     time.Duration // 1 s: how often the journal is written
	WriteEach int           // 5: after how many of these times the store is
	Log       *slog.Logger
}

// Meter is safe for concurrent use. A nil Meter counts nothing; of any other
// nothing is kept until Run.
type Meter struct {
	o       Options
	store   Store
	tallies sync.Map // unique.Handle[series] → *tally

	// What follows is Run's own.
	leaving []*tally // out of the map; a caller may still hold one
	batch   int64    // the last that was drained
	open    pending  // not in the store, and never offered to it
	offered pending  // the store may have it; changed by nobody until it says so
	wrote   chan answer
	writing bool
	journal journal
	old     []string // journals of earlier runs
	troubled

	state atomic.Pointer[State]
}

// troubled keeps a fault that lasts from filling the log.
type troubled struct{ journalAway, storeAway bool }

// State is how the meter is doing.
type State struct {
	Pending int // rows that the store does not have
	// Since when the journal cannot be written, and since when the store does
	// not take rows; zero while they can and it does.
	JournalAway, StoreAway time.Time
}

// State returns the state of the meter.
func (m *Meter) State() State {
	if m == nil {
		return State{}
	}
	if s := m.state.Load(); s != nil {
		return *s
	}
	return State{}
}

// publish makes the state known as it is now.
func (m *Meter) publish() {
	s := m.State()
	since := func(at *time.Time, away bool) {
		if !away {
			*at = time.Time{}
		} else if at.IsZero() {
			*at = time.Now()
		}
	}
	since(&s.JournalAway, m.journalAway)
	since(&s.StoreAway, m.storeAway)
	s.Pending = len(m.open.rows) + len(m.offered.rows)
	m.state.Store(&s)
}

// pending is a batch on its way: all of a writer's up to a number.
type pending struct {
	batch int64
	rows  map[cell]platform.Counts
}

// cell is one row's identity.
type cell struct {
	series
	day platform.Day
}

// series is what is counted together, apart from the day.
type series struct{ projectID, functionID, functionName, caller, code string }

// tally holds the counts of a series since they were last drained. Of two days
// that meet at midnight each has its own half.
type tally struct {
	of    series
	days  [2]half
	quiet int // for how many drains nothing was counted; Run's own
}

type half struct {
	day                                           atomic.Int32
	invocations, errors, micros, in, out, refused atomic.Int64
}

// Open makes a meter and its directory, and finds the journals that earlier
// runs left there; Run adds them to the store.
func Open(o Options, s Store) (*Meter, error) {
	if o.Memory == 0 {
		o.Memory = 128
	}
	if o.Retention == 0 {
		o.Retention = 400 * 24 * time.Hour
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.WriteEach == 0 {
		o.WriteEach = 5
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of usage: %w", err)
	}
	old, err := filepath.Glob(filepath.Join(escape(o.Dir), "*"+suffix))
	if err != nil {
		return nil, fmt.Errorf("look for journals of usage: %w", err)
	}
	writer := "usw_" + strings.ToLower(ulid.Make().String())
	return &Meter{o: o, store: s, old: old, wrote: make(chan answer, 1), journal: journal{writer: writer, path: filepath.Join(o.Dir, writer+suffix)}}, nil
}

// escape is a directory's name as filepath.Glob takes it literally.
func escape(dir string) string {
	return strings.NewReplacer(`*`, `[*]`, `?`, `[?]`, `[`, `[[]`).Replace(dir)
}

// Function is whose calls are counted.
type Function struct{ ProjectID, ID, Name string }

// Call is one that a handler was asked for.
type Call struct {
	Caller            string        // an access key's ID, platform.CallerOpen, or another issuer
	At                time.Time     // when it was over
	Took              time.Duration // a worker had it
	Failed            bool          // answered 5xx, cut off, or not answered
	BytesIn, BytesOut int64         // of the bodies
}

// Ran counts a call.
func (m *Meter) Ran(f Function, c Call) {
	if m == nil {
		return
	}
	h := m.find(series{f.ProjectID, f.ID, f.Name, c.Caller, ""}).half(c.At)
	h.invocations.Add(1)
	h.micros.Add(int64((max(c.Took, 0) + time.Microsecond/2) / time.Microsecond))
	if c.Failed {
		h.errors.Add(1)
	}
	if c.BytesIn > 0 {
		h.in.Add(c.BytesIn)
	}
	if c.BytesOut > 0 {
		h.out.Add(c.BytesOut)
	}
}

// Refused counts a call that no handler was asked for, by the problem's code:
// one of the table's, never a text of the caller's.
func (m *Meter) Refused(f Function, code string, at time.Time) {
	if m == nil {
		return
	}
	m.find(series{f.ProjectID, f.ID, f.Name, "", code}).half(at).refused.Add(1)
}

// find is the tally of a series. A handle has no more to it than a pointer, so
// that looking it up allocates nothing; the texts behind it are its own.
func (m *Meter) find(s series) *tally {
	h := unique.Make(s)
	if t, ok := m.tallies.Load(h); ok {
		return t.(*tally)
	}
	t, _ := m.tallies.LoadOrStore(h, &tally{of: h.Value()})
	return t.(*tally)
}

// half is where a day is counted. What the half had of the day before yesterday
// has been drained long since.
func (t *tally) half(at time.Time) *half {
	day := int32(platform.DayOf(at))
	h := &t.days[day&1]
	if h.day.Load() != day {
		h.day.Store(day)
	}
	return h
}

// take takes what was counted. A day is set before it is counted on, so it is
// read after.
func (h *half) take() (platform.Day, platform.Counts) {
	c := platform.Counts{Invocations: h.invocations.Swap(0), Errors: h.errors.Swap(0), ComputeMicros: h.micros.Swap(0),
		BytesIn: h.in.Swap(0), BytesOut: h.out.Swap(0), Refused: h.refused.Swap(0)}
	return platform.Day(h.day.Load()), c
}
