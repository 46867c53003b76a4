// Package funclog keeps what functions write, line by line.
//
// [Book] keeps the last lines of each function in memory and all of them in a
// file, which is turned over at a size; nothing a function writes can fill the
// disk, and no writer waits for the disk.
package funclog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

const (
	keepLines   = 1000     // of each function, in memory
	turnOver    = 10 << 20 // bytes of a file before it is turned over; one older file is kept
	queueLength = 4096     // lines that wait for the disk
	flushEvery  = 200 * time.Millisecond
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
	dir   string
	queue chan line
	done  chan struct{}

	mu      sync.Mutex
	rings   map[string]*ring // by function ID; guarded by mu
	dropped int              // lines that did not get to the disk; guarded by mu
	closed  bool             // guarded by mu
}

type line struct {
	functionID string
	entry      Entry
	remove     bool
}

// ring is the last lines of one function.
type ring struct {
	entries [keepLines]Entry
	next    int
	full    bool
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
// the way to the disk full is kept in memory only, and counted.
func (b *Book) Append(functionID string, e Entry) {
	if !validID.MatchString(functionID) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.ring(functionID).add(e)
	select {
	case b.queue <- line{functionID: functionID, entry: e}:
	default:
		b.dropped++
	}
}

// Tail returns up to limit of the function's last lines after since, oldest first.
func (b *Book) Tail(functionID string, since time.Time, limit int) []Entry {
	if !validID.MatchString(functionID) {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.ring(functionID).list()
	first := len(all)
	for first > 0 && len(all)-first < limit && all[first-1].At.After(since) {
		first--
	}
	return all[first:]
}

// Remove forgets a function's log.
func (b *Book) Remove(functionID string) {
	if !validID.MatchString(functionID) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.rings, functionID)
	if !b.closed {
		b.queue <- line{functionID: functionID, remove: true}
	}
}

// ring returns a function's ring, filled from its file after a restart.
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

func (r *ring) add(e Entry) {
	r.entries[r.next] = e
	r.next = (r.next + 1) % keepLines
	r.full = r.full || r.next == 0
}

func (r *ring) list() []Entry {
	if !r.full {
		return append([]Entry(nil), r.entries[:r.next]...)
	}
	return append(append([]Entry(nil), r.entries[r.next:]...), r.entries[:r.next]...)
}

func (b *Book) path(functionID string) string { return filepath.Join(b.dir, functionID+".jsonl") }

// readLast reads the entries in the last megabyte of a file.
func readLast(path string) []Entry {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	const most = 1 << 20
	if size, err := f.Seek(0, io.SeekEnd); err != nil || size > most {
		f.Seek(-most, io.SeekEnd)
	} else {
		f.Seek(0, io.SeekStart)
	}
	data, _ := io.ReadAll(f)
	var out []Entry
	for text := range bytes.Lines(data) {
		var e Entry
		if json.Unmarshal(text, &e) == nil { // the first may be cut
			out = append(out, e)
		}
	}
	return out
}

// write owns the files until the queue is closed.
func (b *Book) write() {
	defer close(b.done)
	files := map[string]*file{}
	defer func() {
		for _, f := range files {
			f.close()
		}
	}()
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case l, ok := <-b.queue:
			if !ok {
				return
			}
			if l.remove {
				if f := files[l.functionID]; f != nil {
					f.close()
					delete(files, l.functionID)
				}
				os.Remove(b.path(l.functionID))
				os.Remove(b.path(l.functionID) + ".1")
				continue
			}
			f := files[l.functionID]
			if f == nil {
				f = openFile(b.path(l.functionID))
				files[l.functionID] = f
			}
			f.add(l.entry)
		case <-tick.C:
			for _, f := range files {
				f.flush()
			}
		}
	}
}

// file is one function's file. A disk that fails costs lines on disk, not the
// function.
type file struct {
	path string
	f    *os.File
	w    *bufio.Writer
	size int64
}

func openFile(path string) *file {
	f := &file{path: path}
	f.open()
	return f
}

func (f *file) open() {
	var err error
	if f.f, err = os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		f.f = nil
		return
	}
	f.size, _ = f.f.Seek(0, io.SeekEnd)
	f.w = bufio.NewWriterSize(f.f, 64<<10)
}

func (f *file) add(e Entry) {
	if f.size > turnOver {
		f.close()
		if err := os.Rename(f.path, f.path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
		f.open()
	}
	if f.f == nil {
		return
	}
	text, err := json.Marshal(e)
	if err != nil {
		return
	}
	n, _ := f.w.Write(append(text, '\n'))
	f.size += int64(n)
}

func (f *file) flush() {
	if f.f != nil {
		f.w.Flush()
	}
}

func (f *file) close() {
	if f.f != nil {
		f.w.Flush()
		f.f.Close()
		f.f = nil
	}
}
