package usage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"postern.dev/postern/internal/platform"
)

const (
	writeLimit = 5 * time.Second // of one try
	pruneEvery = time.Hour
	// After so many drains that found nothing a tally leaves the map, and after
	// as many more nobody can hold it.
	idleDrains = 600
)

// Run keeps what is counted until ctx ends, then adds what is left to the
// store, within some seconds. What the store does not take then is in the
// journal. It returns an error only when counts were lost.
func (m *Meter) Run(ctx context.Context) error {
	var pruning sync.WaitGroup
	pruning.Go(func() { m.prune(ctx) })
	defer pruning.Wait()
	tick := time.NewTicker(m.o.Every)
	defer tick.Stop()
	m.write() // what earlier runs left
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return m.finish()
		case a := <-m.wrote:
			m.settle(a)
		case <-tick.C:
			m.keep()
			if n >= m.o.WriteEach {
				m.write()
				n = 0
			}
		}
		m.publish()
	}
}

// keep drains the tallies into the journal.
func (m *Meter) keep() {
	b := pending{rows: map[cell]platform.Counts{}}
	m.tallies.Range(func(handle, v any) bool {
		t := v.(*tally)
		if m.drain(t, b.rows); t.quiet >= idleDrains {
			m.tallies.Delete(handle)
			m.leaving = append(m.leaving, t)
		}
		return true
	})
	stay := m.leaving[:0]
	for _, t := range m.leaving {
		if m.drain(t, b.rows); t.quiet < 2*idleDrains {
			stay = append(stay, t)
		}
	}
	clear(m.leaving[len(stay):])
	m.leaving = stay
	if len(b.rows) > 0 {
		m.batch++
		b.batch = m.batch
		m.open.add(b)
		m.note(b)
	}
}

// note puts a batch into the journal; where that lacks earlier ones, all that
// is pending.
func (m *Meter) note(b pending) {
	var err error
	if m.journalAway || m.journal.full() {
		err = m.journal.replace(m.offered, m.open)
	} else {
		err = m.journal.append(b)
	}
	m.tell(&m.journalAway, err, "the journal of usage cannot be written; a crash would lose what the database does not have yet")
}

// drain takes what a tally has.
func (m *Meter) drain(t *tally, into map[cell]platform.Counts) {
	t.quiet++
	for i := range t.days {
		day, c := t.days[i].take()
		if c == (platform.Counts{}) {
			continue
		}
		t.quiet = 0
		c.MemoryMicros = c.ComputeMicros * int64(m.o.Memory)
		k := cell{t.of, day}
		sum := into[k] // of a tally that came in place of one that left
		sum.Add(c)
		into[k] = sum
	}
}

// add adds a later batch.
func (p *pending) add(b pending) {
	p.batch = b.batch
	if p.rows == nil {
		p.rows = map[cell]platform.Counts{}
	}
	for k, c := range b.rows {
		sum := p.rows[k]
		sum.Add(c)
		p.rows[k] = sum
	}
}

// list is the rows as the store takes them; a text is one that any database takes.
func (p *pending) list() []platform.UsageRow {
	out := make([]platform.UsageRow, 0, len(p.rows))
	for k, c := range p.rows {
		out = append(out, platform.UsageRow{Day: k.day, ProjectID: text(k.projectID), FunctionID: text(k.functionID), FunctionName: text(k.functionName),
			Caller: text(k.caller), Code: text(k.code), Counts: c})
	}
	return out
}

func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}

// write offers the store what it does not have, apart from the loop. A batch
// that was offered stays as it is until the store has answered for it: it may
// have it, and then it has all of it.
func (m *Meter) write() {
	if m.writing {
		return
	}
	if len(m.offered.rows) == 0 {
		m.offered, m.open = m.open, pending{}
	}
	offered, old := m.offered, m.old
	if len(offered.rows) == 0 && len(old) == 0 {
		return
	}
	m.writing = true
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), writeLimit)
		defer cancel()
		var a answer
		if len(offered.rows) > 0 {
			a.err = m.store.WriteUsage(ctx, m.journal.writer, offered.batch, offered.list())
		}
		a.left, a.leftErr = m.replayAll(ctx, old)
		m.wrote <- a
	}()
}

// answer is what came of write.
type answer struct {
	err     error    // why the batch may not be in the store
	left    []string // journals of earlier runs that are not
	leftErr error
}

// settle takes the answer of write.
func (m *Meter) settle(a answer) {
	m.writing, m.old = false, a.left
	m.tell(&m.storeAway, errors.Join(a.err, a.leftErr), "usage is not in the database yet; it is kept, and tried again")
	if a.err != nil {
		return
	}
	m.offered = pending{}
	var err error
	if len(m.open.rows) == 0 {
		err = m.journal.empty()
	} else if m.journal.full() {
		err = m.journal.replace(m.open)
	}
	if err != nil { // a later batch will tell when it is back
		m.tell(&m.journalAway, err, "the journal of usage cannot be written anew; what is in it is passed over")
	}
}

// replayAll adds the journals of earlier runs to the store, removes those, and
// returns the others. What the store has of one it passes over, batch by batch.
func (m *Meter) replayAll(ctx context.Context, paths []string) (left []string, err error) {
	for _, path := range paths {
		writer := strings.TrimSuffix(filepath.Base(path), suffix)
		damaged, failed := replay(path, func(l line) error { return m.store.WriteUsage(ctx, writer, l.Batch, l.Rows) })
		if damaged > 0 && failed == nil {
			m.o.Log.Warn("a journal of usage has a damaged line: the server ended while it was written", "path", path, "lines", damaged)
		}
		if failed == nil {
			failed = os.Remove(path)
		}
		if failed != nil && !errors.Is(failed, fs.ErrNotExist) {
			left, err = append(left, path), errors.Join(err, failed)
		}
	}
	return left, err
}

// tell says once that something is away, and once that it is back.
func (m *Meter) tell(away *bool, err error, what string) {
	if err != nil && !*away {
		m.o.Log.Error(what, "error", err)
	}
	if err == nil && *away {
		m.o.Log.Info("usage is kept again")
	}
	*away = err != nil
}

// finish keeps what was counted last, and offers the store all there is.
func (m *Meter) finish() error {
	if m.writing {
		m.settle(<-m.wrote)
	}
	m.keep()
	for range 2 { // what was offered before, then the rest
		if m.write(); m.writing {
			m.settle(<-m.wrote)
		}
	}
	defer m.journal.close()
	switch n := len(m.offered.rows) + len(m.open.rows); {
	case n == 0:
		return m.journal.remove()
	case m.journalAway:
		return fmt.Errorf("the usage in %d rows is lost: neither the database nor the journal takes it", n)
	}
	return nil
}

// prune removes what is older than it need be, at once and then every hour.
func (m *Meter) prune(ctx context.Context) {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		if err := m.store.PruneUsage(ctx, platform.DayOf(time.Now().Add(-m.o.Retention))); err != nil && ctx.Err() == nil {
			m.o.Log.Warn("usage was not pruned; in an hour it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
