package funclog

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Query says which part of a log is wanted.
type Query struct {
	Filter
	// Since excludes what is not newer; zero: nothing.
	Since time.Time
	// After and Before are sequences: of what is behind After the oldest are
	// given, of what is before Before, or of all, the newest. 0: not set.
	After, Before int64
	Limit         int // at least 1
}

// Filter says which entries are wanted. The zero value is lines of every level.
type Filter struct {
	Level       slog.Level // the least; LevelDebug: all
	Search      string     // in the text, or in what says of an invocation which it is; in any case
	Invocations bool       // and not lines alone
	Calls       bool       // and no lines at all
	RequestID   string     // of the call that it is, or that it was written for; empty: any
}

// pageBytes is about how much is given at once.
const pageBytes = 4 << 20

// Every is the least level that an entry can have.
const Every = slog.LevelDebug

// Has reports whether an entry is wanted.
func (f *Filter) Has(e *Entry) bool {
	switch {
	case e.Invocation != nil && !f.Invocations && !f.Calls, e.Invocation == nil && f.Calls, e.Level < f.Level, f.RequestID != "" && e.RequestID != f.RequestID:
		return false
	}
	if f.Search == "" {
		return true
	}
	if holds(e.Text, f.Search) || holds(e.RequestID, f.Search) {
		return true
	}
	c := e.Invocation
	return c != nil && (holds(c.Method+" "+c.URL, f.Search) || holds(strconv.Itoa(c.Status), f.Search) || holds(c.Code, f.Search) || holds(c.Error, f.Search))
}

func holds(s, part string) bool {
	return len(part) <= len(s) && strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// Page returns the entries that q asks for, oldest first. more says that there
// are others in the direction in which it looked.
func (b *Book) Page(ctx context.Context, functionID string, q Query) (list []Entry, more bool) {
	if !validID.MatchString(functionID) {
		return nil, false
	}
	if q.After > 0 {
		return b.forward(ctx, functionID, q)
	}
	before := q.Before
	if before == 0 {
		before = 1<<63 - 1
	}
	size := 0
	take := func(e Entry) bool {
		switch {
		case ctx.Err() != nil || !q.Since.IsZero() && e.Seq <= q.Since.UnixMicro():
			return false // what was numbered by then is no newer
		case !q.Has(&e) || !e.At.After(q.Since):
			return true
		case len(list) == q.Limit || size > pageBytes:
			more = true
			return false
		}
		size += e.size()
		list = append(list, e)
		return true
	}
	b.backwards(ctx, functionID, before, take)
	slices.Reverse(list)
	return list, more
}

// Last is the sequence of the last entry; 0: there is none.
func (b *Book) Last(functionID string) int64 {
	if !validID.MatchString(functionID) {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ring(functionID).last
}

// backwards goes from a sequence towards the oldest entry.
func (b *Book) backwards(ctx context.Context, functionID string, before int64, take func(Entry) bool) {
	b.mu.Lock()
	r := b.ring(functionID)
	near := slices.Clone(r.entries[:r.after(before-1)])
	gone := r.gone
	b.mu.Unlock()
	for _, e := range slices.Backward(near) {
		if !take(e) {
			return
		}
	}
	if gone == 0 || b.dir == "" {
		return
	}
	b.settle(ctx)
	for e := range b.storedBefore(functionID, min(before, gone+1)) {
		if !take(e) {
			return
		}
	}
}

// forward is the oldest entries behind q.After.
func (b *Book) forward(ctx context.Context, functionID string, q Query) (list []Entry, more bool) {
	r, size := b.read(functionID, q.After), 0
	for ctx.Err() == nil {
		batch, _ := r.take(ctx)
		if len(batch) == 0 {
			break
		}
		for _, e := range batch {
			switch {
			case !q.Has(&e) || !e.At.After(q.Since):
			case len(list) == q.Limit || size > pageBytes:
				return list, true
			default:
				size += e.size()
				list = append(list, e)
			}
		}
	}
	return list, false
}

// Tail returns up to limit of the function's last lines after since, oldest first.
func (b *Book) Tail(functionID string, since time.Time, limit int) []Entry {
	list, _ := b.Page(context.Background(), functionID, Query{Filter: Filter{Level: Every}, Since: since, Limit: limit})
	return list
}
