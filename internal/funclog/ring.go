package funclog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"os"
	"slices"
	"time"
)

// What is kept of each function in memory: while nobody follows it, and while
// somebody does, who may be a moment behind.
const (
	keepLines, keepWatched          = 1000, 8192
	keepBytes, keepWatchedBytes     = 256 << 10, 1 << 20 // of their text
	failuresAtOnce, failuresASecond = 50, 10             // invocations that are kept though nobody follows
)

// ring is the last entries of one function. It grows with what is written. The
// book's mutex guards it.
type ring struct {
	entries []Entry
	bytes   int
	last    int64 // the newest sequence
	gone    int64 // the newest that is not in entries any more
	dropped int   // entries since the last that got on its way to the disk
	readers int
	removed bool
	bell    chan struct{} // closed at the next entry; nil: nobody waits

	failures float64 // that may still be kept
	failedAt time.Time
}

func (e Entry) size() int {
	n := len(e.Text) + len(e.RequestID)
	if e.Invocation != nil {
		n += e.Invocation.size()
	}
	return n
}

// next is the sequence of the next entry.
func (r *ring) next(at time.Time) int64 {
	r.last = max(r.last+1, at.UnixMicro())
	return r.last
}

func (r *ring) add(e Entry) {
	r.entries = append(r.entries, e)
	r.bytes += e.size()
	r.trim()
}

// trim lets go of what is too much.
func (r *ring) trim() {
	lines, bytes := keepLines, keepBytes
	if r.readers > 0 {
		lines, bytes = keepWatched, keepWatchedBytes
	}
	for len(r.entries) > lines || r.bytes > bytes && len(r.entries) > 1 {
		r.bytes -= r.entries[0].size()
		r.gone = r.entries[0].Seq
		r.entries[0] = Entry{} // its text is not held until the slice moves
		r.entries = r.entries[1:]
	}
}

// notify wakes who waits for more.
func (r *ring) notify() {
	if r.bell != nil {
		close(r.bell)
		r.bell = nil
	}
}

// wait is closed at the next entry.
func (r *ring) wait() <-chan struct{} {
	if r.bell == nil {
		r.bell = make(chan struct{})
	}
	return r.bell
}

// failed takes one of the failures that are kept.
func (r *ring) failed(now time.Time) bool {
	if r.failedAt.IsZero() {
		r.failures = failuresAtOnce
	}
	r.failures = min(failuresAtOnce, r.failures+now.Sub(r.failedAt).Seconds()*failuresASecond)
	r.failedAt = now
	if r.failures < 1 {
		return false
	}
	r.failures--
	return true
}

// after is the place in entries of the first behind a sequence.
func (r *ring) after(seq int64) int {
	i, _ := slices.BinarySearchFunc(r.entries, seq+1, func(e Entry, seq int64) int { return cmp.Compare(e.Seq, seq) })
	return i
}

// fill reads the last part of a function's files.
func (r *ring) fill(path string) {
	list, more := readLast(path)
	for i, e := range list {
		r.last = max(r.last+1, e.Seq)
		e.Seq = r.last
		if i == 0 && more {
			r.gone = e.Seq - 1
		}
		r.add(e)
	}
}

// readLast returns the entries in the last part of a function's files, and
// whether there are more.
func readLast(path string) (list []Entry, more bool) {
	data := readEnd(path, nil)
	if len(data) < readBytes {
		data = readEnd(path+olderSuffix, data)
	}
	for text := range bytes.Lines(data) {
		if e, ok := parse(text); ok { // the first may be cut, as may one that met a power cut
			list = append(list, e)
		}
	}
	return list, len(data) >= readBytes
}

// parse reads one entry of a file.
func parse(text []byte) (e Entry, ok bool) {
	if json.Unmarshal(text, &e) != nil {
		return e, false
	}
	if e.Seq == 0 { // of a version that did not number them
		e.Seq = e.At.UnixMicro()
	}
	return e, true
}

const readBytes = 1 << 20 // read of a function's files after a restart

// readEnd returns the end of a file, with more behind it, readBytes in all.
func readEnd(path string, more []byte) []byte {
	f, err := os.Open(path)
	if err != nil {
		return more
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return more
	}
	from := max(0, size-int64(readBytes-len(more)))
	data, err := io.ReadAll(io.NewSectionReader(f, from, size-from))
	if err != nil {
		return more
	}
	return append(data, more...)
}
