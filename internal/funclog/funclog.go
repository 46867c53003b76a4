// Package funclog keeps what functions write, line by line, and what became of
// their calls.
//
// [Book] keeps the last entries of each function in memory and all of them in a
// file, which is turned over at a size; nothing a function writes can fill the
// disk, and no writer waits for the disk. [Book.Follow] reads a log as it grows:
// a reader has a place in the log and no queue, so a slow one costs nobody
// anything. [Gather] puts the lines of a request to its invocation.
//
// Entries are numbered: a reader that comes back, also after a restart of the
// server, goes on behind the last that it saw.
package funclog

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"
)

const (
	queueLength = 4096    // lines that wait for the disk
	queueBytes  = 8 << 20 // and of their text
)

// Entry is one line of a function's log or, where Invocation is set, a call of
// it that is over.
type Entry struct {
	// Seq is its place in the function's log: greater than that of any entry
	// before. Append sets it, near to the time in microseconds, so that a server
	// that lost its last lines gives none of their numbers again.
	Seq          int64       `json:"seq"`
	At           time.Time   `json:"at"`
	Level        slog.Level  `json:"level"`
	RequestID    string      `json:"requestId,omitempty"`
	DeploymentID string      `json:"deploymentId,omitempty"`
	Text         string      `json:"text"`
	Invocation   *Invocation `json:"invocation,omitempty"` // not changed after Append
}

// Book is the logs of all functions. It is safe for concurrent use.
type Book struct {
	dir     string
	queue   chan line
	waiting atomic.Int64 // bytes of text in queue
	readers atomic.Int64 // that follow any function
	done    chan struct{}

	mu     sync.Mutex
	rings  map[string]*ring // by function ID; guarded by mu
	closed bool             // guarded by mu
}

type line struct {
	functionID string
	entry      Entry
	remove     bool
	flushed    chan<- struct{} // closed when all before it is in the files
}

// Open opens the book whose files are in dir, and starts its writer. Without a
// dir the book is in memory only.
func Open(dir string) (*Book, error) {
	if dir == "" {
		b := &Book{done: make(chan struct{}), rings: map[string]*ring{}}
		close(b.done)
		return b, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the function logs: %w", err)
	}
	b := &Book{dir: dir, queue: make(chan line, queueLength), done: make(chan struct{}), rings: map[string]*ring{}}
	go b.write()
	return b, nil
}

// Close writes what waits and ends the writer, and with it all readers.
func (b *Book) Close() {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		if b.queue != nil {
			close(b.queue)
		}
		for _, r := range b.rings {
			r.notify()
		}
	}
	b.mu.Unlock()
	<-b.done
}

var validID = regexp.MustCompile(`^fn-[0-9a-z]{26}$`)

// Append adds an entry to a function's log. It never waits: one that finds the
// way to the disk full is kept in memory only, and the file says how many are
// missing.
func (b *Book) Append(functionID string, e Entry) {
	if !validID.MatchString(functionID) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	r := b.ring(functionID)
	dropped := r.last
	e.Seq = r.next(e.At)
	r.add(e)
	r.notify()
	if b.queue == nil {
		return
	}
	if r.dropped > 0 { // the note has the number of the last that it stands for
		note := Entry{Seq: dropped, At: e.At, Level: slog.LevelWarn, DeploymentID: e.DeploymentID, Text: fmt.Sprintf("[postern] %d lines are missing here: they came faster than the disk takes them", r.dropped)}
		if !b.enqueue(functionID, note) {
			r.dropped++
			return
		}
		r.dropped = 0
	}
	if !b.enqueue(functionID, e) {
		r.dropped++
	}
}

// Takes reports whether an invocation that ended with a status is wanted: while
// somebody follows the function each is, and of those that failed some always.
// Where nobody follows anything it is one atomic load.
func (b *Book) Takes(functionID string, status int) bool {
	if b == nil || status < 500 && b.readers.Load() == 0 || !validID.MatchString(functionID) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	r := b.ring(functionID)
	return r.readers > 0 || status >= 500 && r.failed(time.Now())
}

// enqueue gives a line to the writer, if there is room. b.mu is held.
func (b *Book) enqueue(functionID string, e Entry) bool {
	size := int64(e.size())
	if b.waiting.Load()+size > queueBytes {
		return false
	}
	b.waiting.Add(size) // before the writer can take it off
	select {
	case b.queue <- line{functionID: functionID, entry: e}:
		return true
	default:
		b.waiting.Add(-size)
		return false
	}
}

// Remove forgets a function's log.
func (b *Book) Remove(functionID string) {
	if !validID.MatchString(functionID) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.rings[functionID]; r != nil {
		r.removed = true
		r.notify()
	}
	b.rings[functionID] = &ring{} // not read again from the files that are on their way out
	if !b.closed && b.queue != nil {
		b.queue <- line{functionID: functionID, remove: true}
	}
}

// ring returns a function's ring, filled from its files after a restart.
// b.mu is held.
func (b *Book) ring(functionID string) *ring {
	r := b.rings[functionID]
	if r == nil {
		r = &ring{}
		b.rings[functionID] = r
		if b.dir != "" {
			r.fill(b.path(functionID))
		}
	}
	return r
}

func (b *Book) path(functionID string) string { return filepath.Join(b.dir, functionID+".jsonl") }
