// Package feed tells readers that something of a project is not as it was: what
// kind of thing, and which by name. What it is now they ask for themselves.
//
// [Feed] is the type to know; [Feed.Follow] gives a [Reader]. What came for a
// reader is held by kind and name, so that one that is slow has a bounded set to
// read, and is told once of what happened many times. A reader that comes back, and
// one that read what is there a while ago, is told what it missed, or that it missed
// something. Places are times, so nobody's says how much happens to others. A feed is of
// one process, and decides nothing: who may follow a project is asked before.
package feed

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kind is a kind of thing.
type Kind string

// The kinds, in the order in which readers are told of them.
const (
	Functions   Kind = "functions" // made, deployed, switched, ended; a deploy of it begins or fails
	Keys        Kind = "keys"
	Policy      Kind = "policy"
	Secrets     Kind = "secrets" // by the function's name; without one: those that the project shares
	Subprojects Kind = "subprojects"
	Traffic     Kind = "traffic" // was called
)

var kinds = []Kind{Functions, Keys, Policy, Secrets, Subprojects, Traffic}

const (
	// mostNames is of how many things of a kind a reader is told by name. Of more
	// it is told that any may have changed.
	mostNames = 200
	// remembered is how many changes are kept for readers that come back.
	remembered = 1024
	// fresh is for how long what was read of traffic needs no telling: it changes all
	// the time, and those who follow are told of it no more often.
	fresh = 2 * time.Second
)

// Event says that things of a kind have changed: those of the names, or, where
// there are none, any of them.
type Event struct {
	Kind  Kind
	Names []string
}

// told is a change that is kept.
type told struct {
	at        int64 // in microseconds; of each another
	projectID string
	kind      Kind
	name      string
}

// Feed is safe for concurrent use. A nil Feed tells nobody.
type Feed struct {
	epoch string // of this process: another one may tell later

	mu      sync.Mutex
	now     int64                           // the time of the last change or place; guarded by mu
	lost    int64                           // changes up to here may not be all that there were; guarded by mu
	kept    int                             // how many there ever were; guarded by mu
	last    [remembered]told                // by number, modulo; guarded by mu
	readers map[string]map[*Reader]struct{} // by project; guarded by mu
}

// Followed reports whether anybody follows any project.
func (f *Feed) Followed() bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.readers) > 0
}

// New makes a feed.
func New() *Feed {
	f := &Feed{epoch: rand.Text()[:8], readers: map[string]map[*Reader]struct{}{}}
	f.lost = f.tick()
	return f
}

// Tell tells those who follow a project that things of a kind have changed; no
// names: any of them may have.
func (f *Feed) Tell(projectID string, kind Kind, names ...string) {
	if f == nil || projectID == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if kind != Traffic { // which comes again: nobody misses any
		for _, name := range names {
			f.keep(told{f.tick(), projectID, kind, name})
		}
		if len(names) == 0 {
			f.keep(told{f.tick(), projectID, kind, ""})
		}
	}
	for r := range f.readers[projectID] {
		r.add(kind, names...)
		r.wake()
	}
}

// tick is the time, later than each before. It is called with f.mu held.
func (f *Feed) tick() int64 {
	f.now = max(f.now+1, time.Now().UnixMicro())
	return f.now
}

// keep is called with f.mu held.
func (f *Feed) keep(t told) {
	at := &f.last[f.kept%remembered]
	f.lost = max(f.lost, at.at) // of what has to go
	*at = t
	f.kept++
}

// Lost says that changes were missed, of any project.
func (f *Feed) Lost() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = f.tick()
	for _, of := range f.readers {
		for r := range of {
			r.resync = true
			clear(r.changed)
			r.wake()
		}
	}
}

// From is where a reader begins. The zero value is now.
type From struct {
	After string    // behind the place of an earlier reader; then Since is of no meaning
	Since time.Time // what is known is as of then
}

// Follow begins to read of a project. Close ends it.
func (f *Feed) Follow(projectID string, from From) *Reader {
	r := &Reader{f: f, projectID: projectID, changed: map[Kind]map[string]struct{}{}, woken: make(chan struct{}, 1)}
	if f == nil {
		return r
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case from.After != "":
		f.resume(r, f.at(from.After), true)
	case !from.Since.IsZero():
		f.resume(r, from.Since.UnixMicro()-1, time.Since(from.Since) > fresh) // of that very moment it may know nothing
	}
	if f.readers[projectID] == nil {
		f.readers[projectID] = map[*Reader]struct{}{}
	}
	f.readers[projectID][r] = struct{}{}
	return r
}

// at is the time of a place; 0 for one that this feed never gave. f.mu is held.
func (f *Feed) at(place string) int64 {
	epoch, number, _ := strings.Cut(place, ".")
	at, err := strconv.ParseInt(number, 10, 64)
	if epoch != f.epoch || err != nil || at > f.now {
		return 0
	}
	return at
}

// resume tells a reader what came after a time. f.mu is held.
func (f *Feed) resume(r *Reader, after int64, traffic bool) {
	r.resync = after < f.lost
	for n := f.kept - 1; n >= max(0, f.kept-remembered) && !r.resync; n-- {
		t := &f.last[n%remembered]
		if t.at <= after {
			break
		}
		if t.projectID == r.projectID {
			r.addOne(t.kind, t.name)
		}
	}
	if traffic && !r.resync {
		r.add(Traffic)
	}
	if r.resync || len(r.changed) > 0 {
		r.wake()
	}
}

// Reader is one who follows a project. Its methods are for one goroutine.
type Reader struct {
	f         *Feed
	projectID string
	woken     chan struct{}

	// What follows is guarded by f.mu.
	resync  bool
	changed map[Kind]map[string]struct{} // a set with the empty name: any of them
}

func (r *Reader) add(kind Kind, names ...string) {
	if len(names) == 0 {
		r.addOne(kind, "")
	}
	for _, name := range names {
		r.addOne(kind, name)
	}
}

func (r *Reader) addOne(kind Kind, name string) {
	set := r.changed[kind]
	if set == nil {
		set = map[string]struct{}{}
		r.changed[kind] = set
	}
	if _, any := set[""]; any {
		return
	}
	if name == "" || len(set) >= mostNames {
		clear(set)
		name = ""
	}
	set[name] = struct{}{}
}

func (r *Reader) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// Next waits for what comes next, and gives all of it. With resync set something
// was missed, and what is there has to be read anew before the events count. place
// is where another reader goes on behind these.
func (r *Reader) Next(ctx context.Context) (events []Event, resync bool, place string, err error) {
	select {
	case <-r.woken:
	case <-ctx.Done():
		return nil, false, "", ctx.Err()
	}
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	for _, kind := range kinds {
		set := r.changed[kind]
		if len(set) == 0 {
			continue
		}
		e := Event{Kind: kind}
		if _, any := set[""]; !any {
			e.Names = slices.Sorted(maps.Keys(set))
		}
		events = append(events, e)
	}
	clear(r.changed)
	resync, r.resync = r.resync, false
	return events, resync, r.f.place(), nil
}

// Place is where another reader goes on behind what was read; empty while there is
// something to be read.
func (r *Reader) Place() string {
	if r.f == nil {
		return ""
	}
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	if len(r.changed) > 0 || r.resync {
		return ""
	}
	return r.f.place()
}

// place is that of a reader who has read everything. f.mu is held.
func (f *Feed) place() string { return f.epoch + "." + strconv.FormatInt(f.tick(), 10) }

// Close ends it.
func (r *Reader) Close() {
	if r.f == nil {
		return
	}
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	delete(r.f.readers[r.projectID], r)
	if len(r.f.readers[r.projectID]) == 0 {
		delete(r.f.readers, r.projectID)
	}
}
