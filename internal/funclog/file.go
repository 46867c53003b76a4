package funclog

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

const (
	turnOver    = 10 << 20 // bytes of a file before it is turned over; one older file is kept
	olderSuffix = ".1"
	flushEvery  = 200 * time.Millisecond
	closeAfter  = time.Minute // without a line
	mostFiles   = 256         // open at a time
)

// writer is the files that are open. One goroutine owns it. A disk that fails
// costs lines on disk, not the function: the file is opened anew for the next
// line.
type writer struct {
	dir   func(functionID string) string
	files map[string]*file
}

// file is one function's file.
type file struct {
	f      *os.File
	w      *bufio.Writer
	size   int64
	usedAt time.Time
}

// write serves the queue until it is closed.
func (b *Book) write() {
	defer close(b.done)
	w := &writer{dir: b.path, files: map[string]*file{}}
	defer w.closeAll()
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case l, ok := <-b.queue:
			switch {
			case !ok:
				return
			case l.flushed != nil:
				w.flushAll()
				close(l.flushed)
			case l.remove:
				w.remove(l.functionID)
			default:
				b.waiting.Add(-int64(l.entry.size()))
				if err := w.add(l.functionID, l.entry); err != nil {
					w.close(l.functionID)
				}
			}
		case now := <-tick.C:
			w.flush(now)
		}
	}
}

func (w *writer) add(functionID string, e Entry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write a function's log: %w", err)
	}
	f := w.files[functionID]
	if f != nil && f.size > turnOver {
		w.close(functionID)
		f = nil
	}
	if f == nil {
		if len(w.files) >= mostFiles {
			w.closeAll()
		}
		if f, err = openFile(w.dir(functionID)); err != nil {
			return err
		}
		w.files[functionID] = f
	}
	n, err := f.w.Write(append(text, '\n'))
	f.size += int64(n)
	f.usedAt = time.Now()
	return err
}

// openFile opens a file for more lines, and turns it over if it is full.
func openFile(path string) (*file, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > turnOver {
		if err := os.Rename(path, path+olderSuffix); err != nil {
			return nil, fmt.Errorf("turn a function's log over: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open a function's log: %w", err)
	}
	out := &file{f: f, w: bufio.NewWriterSize(f, 16<<10)}
	if info, err := f.Stat(); err == nil {
		out.size = info.Size()
	}
	// A line that was cut by the end of the server, or of the disk, must not
	// spoil the next.
	var last [1]byte
	if _, err := f.ReadAt(last[:], out.size-1); err == nil && last[0] != '\n' {
		out.w.WriteByte('\n')
		out.size++
	}
	return out, nil
}

// flush writes what is buffered and closes what was not used for long.
func (w *writer) flush(now time.Time) {
	for id, f := range w.files {
		if err := f.w.Flush(); err != nil || now.Sub(f.usedAt) > closeAfter {
			w.close(id)
		}
	}
}

func (w *writer) flushAll() {
	for id, f := range w.files {
		if err := f.w.Flush(); err != nil {
			w.close(id)
		}
	}
}

func (w *writer) close(functionID string) {
	if f := w.files[functionID]; f != nil {
		f.w.Flush()
		f.f.Close()
		delete(w.files, functionID)
	}
}

func (w *writer) closeAll() {
	for id := range w.files {
		w.close(id)
	}
}

func (w *writer) remove(functionID string) {
	w.close(functionID)
	os.Remove(w.dir(functionID))
	os.Remove(w.dir(functionID) + olderSuffix)
}
