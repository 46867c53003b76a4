package lane

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// heldBack is how much of a body waits for its end before its length is left
// open, as with net/http.
const heldBack = 2048

// From largeFile bytes on a file is worth a system call of its own; below it is
// copied through a buffer, with its head.
const (
	largeFile  = 64 << 10
	copyBuffer = 32 << 10
)

// sheet is what an answer is written on.
type sheet struct {
	out  []byte         // of the head, and what is to be sent next
	held [heldBack]byte // of the body
}

// mode is how the length of an answer's body is told.
type mode uint8

const (
	byLength mode = iota
	byChunks
	byEnd  // of the connection
	noBody // of HEAD, and of what has none
)

// response is the answer to a request, as a http.ResponseWriter.
type response struct {
	t        *turn
	header   http.Header
	sheet    *sheet
	held     int // of sheet.held
	status   int // 0: WriteHeader was not called
	length   int64
	written  int64
	mode     mode
	trailers []string    // that were announced
	vector   [4][]byte   // what is sent at once
	buffers  net.Buffers // of vector

	sealed     bool // the head is at its end
	trailing   bool // fields may follow the body
	hasType    bool
	hasDate    bool
	identity   bool   // the handler wants the end of the connection to end the body
	connection string // as the handler has it
	close      bool   // the connection is to end
	both       bool   // the answer may begin before the request's end
	writeSet   bool   // the handler has moved the deadline
	released   bool
}

// begin makes ready for the answer to a turn's request.
func (w *response) begin(t *turn) {
	s, ok := t.c.s.sheets.Get().(*sheet)
	if !ok {
		s = &sheet{out: make([]byte, 0, firstBuffer)}
	}
	*w = response{t: t, header: w.header, sheet: s, length: -1, close: t.head.Close}
}

// give gives the sheet back. From then on nothing can be written.
func (w *response) give() *sheet {
	s := w.sheet
	w.sheet = nil
	if cap(s.out) > 4*firstBuffer {
		s.out = make([]byte, 0, firstBuffer)
	}
	s.out = s.out[:0]
	w.vector, w.buffers = [4][]byte{}, nil
	return s
}

// Header gives the header, which counts until WriteHeader.
func (w *response) Header() http.Header { return w.header }

// WriteHeader begins the answer. One of 1xx, but for 101, goes before it.
func (w *response) WriteHeader(status int) {
	if w.status != 0 || w.sheet == nil {
		return
	}
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.sheet.out = append(w.fields(appendStatus(w.sheet.out, status), status), "\r\n"...)
		w.send(nil, "")
		return
	}
	w.status = status
	w.sheet.out = w.fields(appendStatus(w.sheet.out, status), status)
}

// Write writes a piece of the body. A short body waits until it is whole.
func (w *response) Write(p []byte) (int, error) { return write(w, p) }

// WriteString writes a piece of the body.
func (w *response) WriteString(p string) (int, error) { return write(w, p) }

func write[T []byte | string](w *response, p T) (int, error) {
	if w.sheet == nil {
		return 0, net.ErrClosed
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case !hasBody(w.status):
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p))
	if w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	n := 0
	if w.held+len(p) <= heldBack || !w.sealed && w.held > 0 { // what is looked at for a type is as much as there can be
		n = copy(w.sheet.held[w.held:], p)
		w.held += n
	}
	if n == len(p) {
		return n, nil
	}
	if err := w.emit([]byte(p[n:])); err != nil {
		return 0, err
	}
	return len(p), nil
}

// ReadFrom writes what src has, of a file without reading it where it can.
func (w *response) ReadFrom(src io.Reader) (n int64, err error) {
	if w.sheet == nil {
		return 0, net.ErrClosed
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	left := w.length - w.written
	to, ok := w.t.c.raw.(io.ReaderFrom)
	if !ok || left < largeFile || !w.hasType || !hasBody(w.status) || w.t.isHead() {
		buf, ok := w.t.c.s.copies.Get().(*[copyBuffer]byte)
		if !ok {
			buf = new([copyBuffer]byte)
		}
		defer w.t.c.s.copies.Put(buf)
		return io.CopyBuffer(struct{ io.Writer }{w}, src, buf[:])
	}
	if err := w.emit(nil); err != nil {
		return 0, err
	}
	if l, ok := src.(*io.LimitedReader); !ok || l.N > left {
		src = io.LimitReader(src, left)
	}
	n, err = to.ReadFrom(src)
	if w.written += n; err != nil {
		w.t.c.failed = err // whose fault it was, the body is not whole
	}
	return n, err
}

// emit sends what was held back, and then more.
func (w *response) emit(more []byte) error {
	held := w.sheet.held[:w.held]
	w.held = 0
	if !w.sealed {
		begin := held
		if len(begin) == 0 {
			begin = more
		}
		w.seal(begin, false)
	}
	if w.mode == noBody {
		held, more = nil, nil
	}
	if n := len(held) + len(more); n > 0 && w.mode == byChunks {
		w.sheet.out = append(strconv.AppendInt(w.sheet.out, int64(n), 16), "\r\n"...)
		w.sheet.out = append(w.sheet.out, held...)
		return w.send(more, "\r\n")
	}
	w.sheet.out = append(w.sheet.out, held...)
	return w.send(more, "")
}

// send sends what is on the sheet, then body, then end, at once.
func (w *response) send(body []byte, end string) error {
	out := w.sheet.out
	w.sheet.out = out[:0]
	c := w.t.c
	if c.failed != nil {
		return c.failed
	}
	var err error
	if len(out)+len(body)+len(end) <= cap(out) {
		if out = append(append(out, body...), end...); len(out) > 0 {
			_, err = c.raw.Write(out)
		}
	} else {
		w.buffers = append(net.Buffers(w.vector[:0]), out, body, []byte(end))
		_, err = w.buffers.WriteTo(c.raw)
	}
	if err != nil {
		c.failed = err
		w.t.cancel()
	}
	return err
}

// Flush sends what there is.
func (w *response) Flush() { w.FlushError() }

// FlushError sends what there is.
func (w *response) FlushError() error {
	if w.sheet == nil {
		return net.ErrClosed
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.emit(nil)
}

// finish sends the rest when the handler is done, and reports whether another
// request may follow.
func (w *response) finish() bool {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	held := w.sheet.held[:w.held]
	w.held = 0
	if !w.sealed {
		w.seal(held, true)
	}
	switch w.mode {
	case byChunks:
		out := w.sheet.out
		if len(held) > 0 {
			out = append(append(append(strconv.AppendInt(out, int64(len(held)), 16), "\r\n"...), held...), "\r\n"...)
		}
		w.sheet.out = append(w.appendTrailers(append(out, "0\r\n"...)), "\r\n"...)
	case byLength, byEnd:
		w.sheet.out = append(w.sheet.out, held...)
	}
	if w.send(nil, "") != nil || w.close {
		return false
	}
	return w.mode == noBody || w.length < 0 || w.length == w.written
}

// SetReadDeadline is for a http.ResponseController, as are those below.
func (w *response) SetReadDeadline(at time.Time) error {
	w.t.readSet.Store(true)
	return w.t.c.raw.SetReadDeadline(at)
}

// SetWriteDeadline bounds how long the answer may take.
func (w *response) SetWriteDeadline(at time.Time) error {
	w.writeSet = true
	return w.t.c.raw.SetWriteDeadline(at)
}

// EnableFullDuplex lets the answer begin before the request's body was read.
func (w *response) EnableFullDuplex() error {
	w.both = true
	return nil
}

var (
	_ http.Flusher    = (*response)(nil)
	_ io.StringWriter = (*response)(nil)
	_ io.ReaderFrom   = (*response)(nil)
)
