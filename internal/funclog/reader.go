package funclog

import (
	"context"
	"errors"
	"slices"
	"time"
)

// ErrEnded says that a log has no more entries: its function is gone, or the
// book was closed.
var ErrEnded = errors.New("the log has ended")

// From says where a reader begins. The zero value is now.
type From struct {
	After int64     // behind this sequence: what was in between is given, or it is told that it is lost
	Since time.Time // with what is newer
}

// Reader follows one function's log. It holds a place and no entries: while it
// is slow it reads what is in memory no more from the files, and what is there
// no more either it loses. It is not safe for concurrent use.
type Reader struct {
	b          *Book
	functionID string
	seq        int64 // of the last entry that was taken
	exact      bool  // what comes next is what follows seq, or something is lost
	watched    *ring
}

const (
	batchEntries = 256
	batchBytes   = 256 << 10
)

// Follow begins to read a function's log as it grows, and its invocations are
// recorded until Close.
func (b *Book) Follow(functionID string, from From) *Reader {
	r := b.read(functionID, from.After)
	if from.After == 0 && !from.Since.IsZero() {
		r.seq = from.Since.UnixMicro()
	}
	r.exact = from.After != 0
	if !validID.MatchString(functionID) {
		return r
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r.watched = b.ring(functionID)
	r.watched.readers++
	b.readers.Add(1)
	if from == (From{}) || r.seq > r.watched.last { // nobody was given what is to come
		r.seq = r.watched.last
	}
	return r
}

func (b *Book) read(functionID string, after int64) *Reader {
	return &Reader{b: b, functionID: functionID, seq: after, exact: true}
}

// Close lets go of the log.
func (r *Reader) Close() {
	w := r.watched
	if w == nil {
		return
	}
	r.watched = nil
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	w.readers--
	r.b.readers.Add(-1)
	w.trim()
}

// Next waits for entries and returns some, oldest first, with lost when others
// that were before them cannot be had any more. The error is ErrEnded or ctx's.
func (r *Reader) Next(ctx context.Context) (list []Entry, lost bool, err error) {
	for {
		r.b.mu.Lock()
		w := r.watched
		if w == nil || w.removed {
			r.b.mu.Unlock()
			return nil, false, ErrEnded
		}
		bell, closed := w.wait(), r.b.closed
		r.b.mu.Unlock()
		if list, lost = r.take(ctx); len(list) > 0 || lost {
			return list, lost, nil
		}
		if closed {
			return nil, false, ErrEnded
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// Seq is the sequence of the last entry that was taken, or where the reader
// began.
func (r *Reader) Seq() int64 { return r.seq }

// take returns what is there now.
func (r *Reader) take(ctx context.Context) (list []Entry, lost bool) {
	if !validID.MatchString(r.functionID) {
		return nil, false
	}
	list, gone := r.near()
	if list != nil || gone <= r.seq {
		return list, false
	}
	if list = r.far(gone); len(list) == 0 {
		r.b.settle(ctx)
		list = r.far(gone)
	}
	if len(list) > 0 {
		lost = r.exact && r.skipped(list[0].Seq)
		r.went(list)
		return list, lost
	}
	lost = r.exact
	r.seq = gone
	list, _ = r.near()
	return list, lost
}

// near takes what is in memory. Where something before that may be in the files
// gone is greater than r.seq, and nothing is taken.
func (r *Reader) near() (list []Entry, gone int64) {
	r.b.mu.Lock()
	ring := r.b.ring(r.functionID)
	if gone = ring.gone; gone > r.seq {
		r.b.mu.Unlock()
		return nil, gone
	}
	from := ring.after(r.seq)
	size := 0
	for to := from; to < len(ring.entries) && to-from < batchEntries && size < batchBytes; to++ {
		size += ring.entries[to].size()
		list = ring.entries[from : to+1]
	}
	list = slices.Clone(list)
	r.b.mu.Unlock()
	r.went(list)
	return list, gone
}

// far is what the files have up to gone, which is where memory begins.
func (r *Reader) far(gone int64) (list []Entry) {
	size := 0
	for e := range r.b.stored(r.functionID, r.seq) {
		if e.Seq > gone || len(list) == batchEntries || size > batchBytes {
			break
		}
		size += e.size()
		list = append(list, e)
	}
	return list
}

// skipped reports whether files were let go of with entries between the last
// that was taken and this one. Sequences have gaps, which say nothing.
func (r *Reader) skipped(next int64) bool {
	if next <= r.seq+1 || !r.b.turned(r.functionID) {
		return false
	}
	for range r.b.storedBefore(r.functionID, r.seq+1) {
		return false // what is not after it is still there, so all that followed is
	}
	return true
}

func (r *Reader) went(list []Entry) {
	if len(list) > 0 {
		r.seq, r.exact = list[len(list)-1].Seq, true
	}
}
