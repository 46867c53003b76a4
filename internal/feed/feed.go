// Package feed tells readers that something of a project is not as it was: what
// kind of thing, and which by name. What it is now they ask for themselves.
//
// [Feed] is the type to know; [Feed.Follow] gives a [Reader]. What came for a
// reader is held by kind and name, so that one that is slow has a bounded set to
// read, and is told once of what happened many times. A reader that comes back is
// told what it missed, or that it missed something. A feed is of one process, and
// decides nothing: who may follow a project is asked before.
package feed

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
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
)

// Event says that things of a kind have changed: those of the names, or, where
// there are none, any of them.
type Event struct {
	Kind  Kind
	Names []string
}

// told is a change that is kept.
type told struct {
	projectID string
	kind      Kind
	name      string
}

// Feed is safe for concurrent use. A nil Feed tells nobody.
type Feed struct {
	epoch string // of this process: another one counts anew

	mu      sync.Mutex
	seq     int64                           // of the last change; guarded by mu
	lost    int64                           // changes up to here may not be all that there were; guarded by mu
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
func New() *Feed { return &Feed{epoch: rand.Text()[:8], readers: map[string]map[*Reader]struct{}{}} }

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
			f.keep(told{projectID, kind, name})
		}
		if len(names) == 0 {
			f.keep(told{projectID, kind, ""})
		}
	}
	for r := range f.readers[projectID] {
		r.add(kind, names...)
		r.wake()
	}
}

// keep is called with f.mu held.
func (f *Feed) keep(t told) {
	f.seq++
	f.last[f.seq%remembered] = t
}

// Lost says that changes were missed, of any project.
func (f *Feed) Lost() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seq++
	f.last[f.seq%remembered] = told{}
	f.lost = f.seq
	for _, of := range f.readers {
		for r := range of {
			r.resync = true
			clear(r.changed)
			r.wake()
		}
	}
}

// Follow begins to read of a project, from behind the place of an earlier reader
// on; empty: from now on. Close ends it.
func (f *Feed) Follow(projectID, after string) *Reader {
	r := &Reader{f: f, projectID: projectID, changed: map[Kind]map[string]struct{}{}, woken: make(chan struct{}, 1)}
	if f == nil {
		return r
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if after != "" {
		f.resume(r, after)
		r.wake()
	}
	if f.readers[projectID] == nil {
		f.readers[projectID] = map[*Reader]struct{}{}
	}
	f.readers[projectID][r] = struct{}{}
	return r
}

// resume tells a reader what came since a place. f.mu is held.
func (f *Feed) resume(r *Reader, after string) {
	epoch, number, _ := strings.Cut(after, ".")
	seq, err := strconv.ParseInt(number, 10, 64)
	if epoch != f.epoch || err != nil || seq < f.lost || seq > f.seq || f.seq-seq > remembered {
		r.resync = true
		return
	}
	for seq++; seq <= f.seq; seq++ {
		if t := f.last[seq%remembered]; t.projectID == r.projectID {
			r.addOne(t.kind, t.name)
		}
	}
	r.add(Traffic)
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
func (f *Feed) place() string { return f.epoch + "." + strconv.FormatInt(f.seq, 10) }

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
