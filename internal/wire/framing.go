package wire

import "bytes"

// The bounds of a head. One line has no bound of its own below maxLine: the
// server bounds the head as a whole, and answers 431.
const (
	maxLines     = 200           // header lines of one request
	maxLine      = 1 << 20       // bytes of one line
	maxAuthority = 255           // of a target in absolute form
	maxDigits    = 18            // of a length: what fits into 63 bits whatever the digits
	maxChunkLine = 8 + len(crlf) // hexadecimal digits
	crlf         = "\r\n"
)

// part is what the next byte of a connection belongs to.
type part uint8

const (
	requestLine part = iota
	headerLine
	body      // of a known length
	chunkSize // the line before a chunk
	chunk
	chunkEnd // CR and LF behind a chunk
	lastEnd  // CR and LF behind the last one, where trailers would be
)

// framing follows the bytes that a client sends on one connection, request
// after request. The zero value is at the start of a request.
type framing struct {
	part part
	left int64  // of the body or the chunk
	line []byte // the beginning of a line whose end has not come yet

	// Of the head that is being read.
	lines     int
	colon     int   // where it is in the header line that was taken last
	length    int64 // -1: none was announced
	chunked   bool
	old       bool   // HTTP/1.0
	hosts     int    // header lines that name the host
	authority []byte // of a target in absolute form; empty: it has another form
}

// take follows p. It returns how much of it is in order, and, where that is
// less than all, what is wrong with the line behind.
func (f *framing) take(p []byte) (n int, wrong string) {
	for n < len(p) {
		if f.part == body || f.part == chunk {
			k := min(f.left, int64(len(p)-n))
			n += int(k)
			if f.left -= k; f.left > 0 {
				return n, ""
			}
			if f.part == body {
				f.part = requestLine
			} else {
				f.part = chunkEnd
			}
			continue
		}
		rest := p[n:]
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 || len(f.line) > 0 {
			if end == 0 {
				end = len(rest)
			}
			if wrong := f.hopeless(rest[:end]); wrong != "" {
				return n, wrong
			}
			f.line = append(f.line, rest[:end]...)
			if rest[end-1] != '\n' {
				return len(p), ""
			}
			wrong = f.takeLine(f.line)
			f.line = f.line[:0]
		} else {
			wrong = f.takeLine(rest[:end])
		}
		if wrong != "" {
			return n, wrong
		}
		n += end
	}
	return n, ""
}

// hopeless refuses a part of a line that no right line has. Where chunks are
// framed it looks at each byte before somebody else does: of "0;" net/http
// believes the digit, whatever is put in the place of the rest.
func (f *framing) hopeless(piece []byte) (wrong string) {
	longest, what := maxLine, uint8(0)
	switch f.part {
	case chunkSize:
		longest, what, wrong = maxChunkLine, inChunkSize, "a chunk without a right size"
	case chunkEnd, lastEnd:
		longest, what, wrong = len(crlf), inLineEnd, "bytes behind a chunk"
	}
	switch {
	case len(f.line)+len(piece) > longest && what == 0:
		return "a line that is too long"
	case len(f.line)+len(piece) > longest, what != 0 && !all(piece, what):
		return wrong
	}
	return ""
}

// takeLine takes a line with its LF.
func (f *framing) takeLine(line []byte) (wrong string) {
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return "a line that ends without CR"
	}
	line = line[:len(line)-2]
	switch f.part {
	case requestLine:
		return f.takeRequest(line)
	case headerLine:
		if len(line) > 0 {
			return f.takeHeader(line)
		}
		return f.endHead()
	case chunkSize:
		return f.takeChunkSize(line)
	}
	if len(line) > 0 {
		return "bytes behind a chunk"
	}
	if f.part == chunkEnd {
		f.part = chunkSize
	} else {
		f.part = requestLine
	}
	return ""
}

// endHead takes the empty line behind a head.
func (f *framing) endHead() (wrong string) {
	switch {
	case f.chunked:
		f.part = chunkSize
	case f.length > 0:
		f.part, f.left = body, f.length
	default:
		f.part = requestLine
	}
	if cap(f.line) > 1<<10 {
		f.line = nil // a connection that waits keeps no long line
	}
	return ""
}

// takeChunkSize takes the size of a chunk: digits alone, no extension.
func (f *framing) takeChunkSize(line []byte) (wrong string) {
	if len(line) == 0 || len(line) > maxChunkLine-len(crlf) {
		return "a chunk without a right size"
	}
	f.left = 0
	for _, c := range line {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return "a chunk without a right size"
		}
		f.left = f.left<<4 | int64(c)
	}
	if f.part = chunk; f.left == 0 {
		f.part = lastEnd
	}
	return ""
}
