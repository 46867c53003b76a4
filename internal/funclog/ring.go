package funclog

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
)

const (
	keepLines = 1000      // of each function, in memory
	keepBytes = 256 << 10 // of their text
)

// ring is the last lines of one function. It grows with what is written.
type ring struct {
	entries []Entry
	bytes   int
	dropped int // lines since the last that got on its way to the disk
}

func (e Entry) size() int { return len(e.Text) + len(e.RequestID) }

func (r *ring) add(e Entry) {
	r.entries = append(r.entries, e)
	r.bytes += e.size()
	for len(r.entries) > keepLines || r.bytes > keepBytes && len(r.entries) > 1 {
		r.bytes -= r.entries[0].size()
		r.entries[0] = Entry{} // its text is not held until the slice moves
		r.entries = r.entries[1:]
	}
}

// readLast returns the entries in the last part of a function's files.
func readLast(path string) []Entry {
	data := readEnd(path, nil)
	if len(data) < readBytes {
		data = readEnd(path+olderSuffix, data)
	}
	var out []Entry
	for text := range bytes.Lines(data) {
		var e Entry
		if json.Unmarshal(text, &e) == nil { // the first may be cut, as may one that met a power cut
			out = append(out, e)
		}
	}
	return out
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
