// Package funclog keeps what functions write, line by line.
//
// [Book] keeps the last lines of each function in memory and all of them in a
// file, which is turned over at a size; nothing a function writes can fill the
// disk, and no writer waits for the disk.
package funclog

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	queueLength = 4096    // lines that wait for the disk
	queueBytes  = 8 << 20 // and of their text
)

// Entry is one line of a function's log.
type Entry struct {
	At           time.Time  `json:"at"`
	Level        slog.Level `json:"level"`
	RequestID    string     `json:"requestId,omitempty"`
	DeploymentID string     `json:"deploymentId,omitempty"`
	Text         string     `json:"text"`
}

// Book is the logs of all functions. It is safe for concurrent use.
type Book struct {
	dir     string
	queue   chan line
	waiting atomic.Int64 // bytes of text in queue
	done    chan struct{}

	mu     sync.Mutex
	rings  map[string]*ring // by function ID; guarded by mu
	closed bool             // guarded by mu
}

type line struct {
	functionID string
	entry      Entry
	remove     bool
}

// Open opens the book whose files are in dir, and starts its writer.
func Open(dir string) (*Book, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the function logs: %w", err)
	}
	b := &Book{dir: dir, queue: make(chan line, queueLength), done: make(chan struct{}), rings: map[string]*ring{}}
	go b.write()
	return b, nil
}

// Close writes what waits and ends the writer.
func (b *Book) Close() {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		close(b.queue)
	}
	b.mu.Unlock()
	<-b.done
}

var validID = regexp.MustCompile(`^fn-[0-9a-z]{26}$`)

// Append adds a line to a function's log. It never waits: a line that finds
// the way to the disk full is kept in memory only, and the file says how many
// are missing.
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
	r.add(e)
	if r.dropped > 0 {
		note := Entry{At: e.At, Level: slog.LevelWarn, DeploymentID: e.DeploymentID, Text: fmt.Sprintf("[postern] %d lines are missing here: they came faster than the disk takes them", r.dropped)}
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

// Tail returns up to limit of the function's last lines after since, oldest first.
func (b *Book) Tail(functionID string, since time.Time, limit int) []Entry {
	if !validID.MatchString(functionID) {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.ring(functionID).entries
	first := len(all)
	for first > 0 && len(all)-first < limit && all[first-1].At.After(since) {
		first--
	}
	return slices.Clone(all[first:])
}

// Remove forgets a function's log.
func (b *Book) Remove(functionID string) {
	if !validID.MatchString(functionID) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rings[functionID] = &ring{} // not read again from the files that are on their way out
	if !b.closed {
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
		for _, e := range readLast(b.path(functionID)) {
			r.add(e)
		}
	}
	return r
}

func (b *Book) path(functionID string) string { return filepath.Join(b.dir, functionID+".jsonl") }
