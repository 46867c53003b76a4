// Package audit keeps a record of what was allowed and what was refused, and
// explains a single answer step by step (explain.go).
//
// [Recorder] is the type to know. It takes events from the doors, hands them to
// a store in batches, and never makes a request of the gateway wait:
//
//   - What changes something is recorded each time. [Recorder.Commit] waits until
//     the event is stored, and the answer goes out afterwards.
//   - What a caller can cause without end, refusals above all, is sampled. Of a
//     [Series] – one door, project, target, key, action and code – the first 20 in
//     a minute are recorded one by one; after that one event a second, with a
//     Count, stands for all others. Of each door at most 256 series of known
//     callers and as many of strangers are told apart at a time; what is beyond
//     them shares one. So nothing here grows with what callers send.
//   - What concerns a recognised caller of the control plane waits for room
//     ([Recorder.Record]). What else finds none, because the database is away or
//     slow, is dropped and counted: an event "loseEvents" says how many.
//
// An event holds no secret. Texts are cleaned when they are taken: what looks
// like one, as when somebody types a secret where an ID belongs, is left out.
// The package decides nothing and reads nothing.
package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Event is what is recorded. Who records leaves ID and At alone; a Count of 0
// is 1.
type Event = platform.AuditEvent

// Store is where events are kept. *store.DB is one.
type Store interface {
	// WriteAudit stores events; one that it has already is passed over.
	WriteAudit(ctx context.Context, events []Event) error
	// PruneAudit removes events from before a time, and the oldest beyond a
	// number, refusals first.
	PruneAudit(ctx context.Context, before time.Time, keep int) error
}

// Options are the recorder's settings. A zero field takes the default that is
// named beside it.
type Options struct {
	Retention time.Duration // 90 days: how long an event is kept
	MaxEvents int           // 1,000,000: how many are kept; at most half of them refusals
	Queue     int           // 4096: how many wait to be written
	// Lost is told how many events found no room; may be nil.
	Lost func(n int64)
	Log  *slog.Logger
}

const (
	batchSize  = 256
	batchDelay = 100 * time.Millisecond
	writeLimit = 10 * time.Second // of one try
	retryMin   = 100 * time.Millisecond
	retryMax   = 2 * time.Second
	lastTries  = 5 * time.Second // how long the end may take with the database away
	pruneEvery = time.Hour
)

// ErrClosed says that the recorder has ended.
var ErrClosed = fault.New(fault.Unavailable, "the server is stopping").WithCode("shutting_down")

var errNotRecorded = fault.New(fault.Unavailable, "the audit log cannot be written now").WithCode("audit_unavailable")

// Recorder takes events. A nil Recorder keeps none. It is safe for concurrent
// use; nothing is written until Run.
type Recorder struct {
	o       Options
	store   Store
	must    chan item // what may not be lost: senders wait for room
	may     chan item
	samples sampler
	closing chan struct{} // closed when Run takes no more
	ended   chan struct{} // closed when Run has written what it could
	since   atomic.Int64  // when the store was found away, in Unix nanoseconds; 0 while it takes events

	mu  sync.Mutex
	ids *ulid.MonotonicEntropy // guarded by mu
}

type item struct {
	event Event
	done  chan<- error // who waits until it is stored; may be nil. Has room for one.
}

// New makes a recorder.
func New(o Options, s Store) *Recorder {
	if o.Retention == 0 {
		o.Retention = 90 * 24 * time.Hour
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = 1_000_000
	}
	if o.Queue == 0 {
		o.Queue = 4096
	}
	if o.Lost == nil {
		o.Lost = func(int64) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Recorder{o: o, store: s, must: make(chan item, o.Queue), may: make(chan item, o.Queue), samples: newSampler(),
		closing: make(chan struct{}), ended: make(chan struct{}), ids: ulid.Monotonic(rand.Reader, 0)}
}

// Away is since when events cannot be stored; zero while they can.
func (r *Recorder) Away() time.Time {
	if r == nil {
		return time.Time{}
	}
	if at := r.since.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// Take reports whether a decision is to be recorded by itself, with Offer or
// Record. If not it has been counted, and the next summary of its series stands
// for it. It allocates nothing for a series that it knows.
func (r *Recorder) Take(s Series) bool { return r != nil && r.samples.take(s, time.Now()) }

// Offer records an event if there is room, and else counts it as lost. It never
// waits.
func (r *Recorder) Offer(e Event) {
	if r == nil {
		return
	}
	e = r.prepare(e)
	select {
	case <-r.closing:
	default:
		select {
		case r.may <- item{event: e}:
			return
		default:
		}
	}
	r.o.Lost(e.Count)
	r.samples.count(Series{Door: e.Door, ProjectID: e.ProjectID, Action: "loseEvents", Outcome: platform.OutcomeFailed, Code: "events_lost"}, e.Count)
}

// Record records an event that may not be lost. It waits for room, as long as
// ctx allows.
func (r *Recorder) Record(ctx context.Context, e Event) error {
	if r == nil {
		return nil
	}
	return r.send(ctx, item{event: r.prepare(e)})
}

// Commit records an event and waits until it is stored. When it returns an
// error the event may be stored all the same, later.
func (r *Recorder) Commit(ctx context.Context, e Event) error {
	if r == nil {
		return nil
	}
	done := make(chan error, 1)
	if err := r.send(ctx, item{r.prepare(e), done}); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errNotRecorded
	case <-r.ended:
	}
	select {
	case err := <-done:
		return err
	default:
		return ErrClosed
	}
}

func (r *Recorder) send(ctx context.Context, it item) error {
	select {
	case <-r.closing:
		return ErrClosed
	default:
	}
	select {
	case r.must <- it:
		return nil
	default: // only now does it matter whether ctx has ended
	}
	select {
	case r.must <- it:
		return nil
	case <-r.closing:
		return ErrClosed
	case <-ctx.Done():
		return errNotRecorded
	}
}

// prepare gives an event its ID and time, and cleans its texts.
func (r *Recorder) prepare(e Event) Event {
	e.At = time.Now().UTC().Truncate(time.Microsecond)
	e.ID = r.newID(e.At)
	e.Count = max(e.Count, 1)
	return cleaned(e)
}

// newID makes IDs whose order is that of the calls, also within a millisecond.
func (r *Recorder) newID(at time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, err := ulid.New(ulid.Timestamp(at), r.ids)
	if err != nil { // this millisecond has no more
		id = ulid.MustNew(ulid.Timestamp(at), rand.Reader)
	}
	return "evt_" + strings.ToLower(id.String())
}

// Run writes events until ctx ends, then what is left, within five seconds. It
// returns an error when some could not be written.
func (r *Recorder) Run(ctx context.Context) error {
	var pruning sync.WaitGroup
	pruning.Go(func() { r.prune(ctx) })
	defer pruning.Wait()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	flush := time.NewTimer(batchDelay)
	defer flush.Stop()
	var batch []item
	for {
		due, before := false, len(batch)
		select {
		case <-ctx.Done():
			return r.finish(ctx, batch)
		case it := <-r.must:
			batch = append(batch, it)
			if it.done != nil {
				batch, due = drain(drain(batch, r.must), r.may), true // what is queued goes with who waits
			}
		case it := <-r.may:
			batch = append(batch, it)
		case now := <-second.C:
			batch = r.sum(batch, now)
		case <-flush.C:
			due = true
		}
		if before == 0 && len(batch) > 0 {
			flush.Reset(batchDelay)
		}
		if len(batch) > 0 && (due || len(batch) >= batchSize) {
			batch = r.write(ctx, batch)
		}
	}
}

// sum adds what stands for decisions that were not recorded one by one.
func (r *Recorder) sum(batch []item, now time.Time) []item {
	for _, e := range r.samples.due(now) {
		batch = append(batch, item{event: r.prepare(e)})
	}
	return batch
}

// drain takes what is queued, up to a batch.
func drain(batch []item, queue <-chan item) []item {
	for len(batch) < batchSize {
		select {
		case it := <-queue:
			batch = append(batch, it)
		default:
			return batch
		}
	}
	return batch
}

// write stores a batch, however long the database is away, and returns what is
// left of it when ctx ends. An event that the database does not take is given up.
func (r *Recorder) write(ctx context.Context, batch []item) (left []item) {
	for wait := retryMin; ; wait = min(2*wait, retryMax) {
		err := r.try(ctx, batch)
		if err == nil || ctx.Err() == nil && !away(err) {
			r.since.Store(0)
		}
		switch {
		case err == nil:
			return batch[:0]
		case ctx.Err() != nil:
			return batch
		case !away(err) && len(batch) == 1:
			r.o.Log.Error("the audit log does not take an event", "id", batch[0].event.ID, "requestId", batch[0].event.RequestID, "error", err)
			tell(batch, errNotRecorded)
			return batch[:0]
		case !away(err): // one of them is at fault
			for i := range batch {
				if len(r.write(ctx, batch[i:i+1:i+1])) > 0 {
					return batch[i:]
				}
			}
			return batch[:0]
		}
		if wait == retryMin {
			r.since.CompareAndSwap(0, time.Now().UnixNano())
			r.o.Log.Error("the audit log cannot be written; trying again", "events", len(batch), "error", err)
		}
		select {
		case <-ctx.Done():
			return batch
		case <-time.After(wait):
		}
	}
}

func (r *Recorder) try(ctx context.Context, batch []item) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	events := make([]Event, len(batch))
	for i := range batch {
		events[i] = batch[i].event
	}
	err := r.store.WriteAudit(ctx, events)
	if err == nil {
		tell(batch, nil)
	}
	return err
}

// away reports whether a later try may succeed.
func away(err error) bool {
	return fault.KindOf(err) == fault.Unavailable || errors.Is(err, context.DeadlineExceeded)
}

func tell(batch []item, err error) {
	for _, it := range batch {
		if it.done != nil {
			it.done <- err
		}
	}
}

// finish writes all that has been taken, and takes no more.
func (r *Recorder) finish(ctx context.Context, batch []item) error {
	close(r.closing)
	defer close(r.ended)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTries)
	defer cancel()
	batch = r.sum(batch, time.Now())
	for {
		batch = drain(drain(batch, r.must), r.may)
		if len(batch) == 0 {
			return nil
		}
		if batch = r.write(ctx, batch); len(batch) > 0 {
			return fmt.Errorf("%d audit events could not be written before the end", len(batch)+len(r.must)+len(r.may))
		}
	}
}

// prune keeps the log bounded, at once and then every hour.
func (r *Recorder) prune(ctx context.Context) {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		if err := r.store.PruneAudit(ctx, time.Now().Add(-r.o.Retention), r.o.MaxEvents); err != nil && ctx.Err() == nil {
			r.o.Log.Warn("the audit log was not pruned; in an hour it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
