package funclog

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"iter"
	"os"
	"time"
)

// longestLine is more than an entry can be in a file: 64 KiB of text, escaped.
const longestLine = 1 << 20

// settleLimit is how long a reader waits for the disk.
const settleLimit = time.Second

// settle waits until what was appended before is in the files, or cannot be.
func (b *Book) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	flushed := make(chan struct{})
	for !b.ask(line{flushed: flushed}) {
		select {
		case <-time.After(5 * time.Millisecond): // the disk is behind
		case <-ctx.Done():
			return
		}
	}
	select {
	case <-flushed:
	case <-ctx.Done():
	}
}

// ask tells the writer to flush, if there is room for it. It reports whether
// there is nothing more to ask.
func (b *Book) ask(l line) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.queue == nil {
		close(l.flushed)
		return true
	}
	select {
	case b.queue <- l:
		return true
	default:
		return false
	}
}

// stored is what a function's files have behind a sequence, oldest first.
func (b *Book) stored(functionID string, after int64) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, f := range b.open(functionID) {
			if f == nil {
				continue
			}
			defer f.Close()
			from, err := seek(f, after)
			if err != nil {
				continue
			}
			lines := bufio.NewScanner(io.NewSectionReader(f, from, 1<<40))
			lines.Buffer(make([]byte, 64<<10), longestLine)
			for lines.Scan() {
				if e, ok := parse(lines.Bytes()); ok && e.Seq > after {
					if after = e.Seq; !yield(e) { // the two may be the same file
						return
					}
				}
			}
		}
	}
}

// open opens a function's files, the older one first; nil: it is not there. The
// newer is opened before the older: one that is turned over between them is
// found twice, and not never.
func (b *Book) open(functionID string) (files [2]*os.File) {
	if b.dir == "" {
		return files
	}
	files[1] = openRegular(b.path(functionID))
	files[0] = openRegular(b.path(functionID) + olderSuffix)
	return files
}

// openRegular opens a file that is one, and cannot make its reader wait; nil:
// there is none.
func openRegular(path string) *os.File {
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	return f
}

// turned reports whether something of a function's log may be on disk no more.
func (b *Book) turned(functionID string) bool {
	if b.dir == "" {
		return true
	}
	_, err := os.Stat(b.path(functionID) + olderSuffix)
	return err == nil
}

// seek finds where in a file to begin for what is behind a sequence: at the
// start of a line, not far before it.
func seek(f *os.File, after int64) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	low, high := int64(0), info.Size()
	for high-low > 2*readChunk {
		middle := low + (high-low)/2
		seq, start, ok := entryAt(f, middle, high)
		if ok && seq <= after {
			low = start
		} else {
			high = middle
		}
	}
	return low, nil
}

const readChunk = 64 << 10

// entryAt is the first whole entry behind a place in a file.
func entryAt(f *os.File, from, to int64) (seq, start int64, ok bool) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, from, to-from), readChunk)
	start = from
	for first := true; ; first = false {
		text, err := r.ReadBytes('\n')
		if err != nil {
			return 0, 0, false
		}
		if e, ok := parse(text); ok && !first {
			return e.Seq, start, true
		}
		start += int64(len(text))
	}
}

// storedBefore is what a function's files have before a sequence, newest first.
func (b *Book) storedBefore(functionID string, before int64) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		files := b.open(functionID)
		for _, f := range []*os.File{files[1], files[0]} {
			if f == nil {
				continue
			}
			defer f.Close()
			for text := range linesBack(f) {
				if e, ok := parse(text); ok && e.Seq < before {
					if before = e.Seq; !yield(e) {
						return
					}
				}
			}
		}
	}
}

// linesBack is the whole lines of a file, last first. A line is valid until the
// next.
func linesBack(f *os.File) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		end, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return
		}
		var rest []byte // the beginning of what was read, whose line begins before
		for end > 0 && len(rest) <= longestLine {
			from := max(0, end-readChunk)
			chunk := make([]byte, end-from, int(end-from)+len(rest))
			if _, err := f.ReadAt(chunk, from); err != nil {
				return
			}
			chunk, end = append(chunk, rest...), from
			for {
				i := bytes.LastIndexByte(chunk, '\n')
				if i < 0 {
					break
				}
				if text := chunk[i+1:]; len(text) > 0 && !yield(text) {
					return
				}
				chunk = chunk[:i]
			}
			rest = chunk
		}
		if end == 0 && len(rest) > 0 {
			yield(rest)
		}
	}
}
