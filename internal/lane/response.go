package lane

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
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

func appendStatus(out []byte, status int) []byte {
	if status == http.StatusOK {
		return append(out, "HTTP/1.1 200 OK\r\n"...)
	}
	out = strconv.AppendInt(append(out, "HTTP/1.1 "...), int64(status), 10)
	text := http.StatusText(status)
	if text == "" {
		return append(strconv.AppendInt(append(out, " status code "...), int64(status), 10), "\r\n"...)
	}
	return append(append(append(out, ' '), text...), "\r\n"...)
}

// fields writes the handler's fields in the order of their names. Those that
// frame the answer are only taken down: seal writes them.
func (w *response) fields(out []byte, status int) []byte {
	var room [24]string
	names := room[:0]
	for name := range w.header {
		if w.own(name, status) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range w.header[name] {
			out = appendField(out, name, value)
		}
	}
	return out
}

// own reports whether a field is the handler's to write.
func (w *response) own(name string, status int) bool {
	final := status >= 200 || status == http.StatusSwitchingProtocols
	switch name {
	case "Content-Length":
		if v := first(w.header[name]); final && v != "" && (hasBody(status)) {
			if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= 0 {
				w.length = n
			}
		}
		return false
	case "Transfer-Encoding":
		w.identity = final && first(w.header[name]) == "identity"
		return false
	case "Connection":
		if final {
			w.connection = first(w.header[name])
		}
		return false
	case "Content-Type":
		w.hasType = true
		return status != http.StatusNotModified
	case "Content-Encoding":
		w.hasType = w.hasType || first(w.header[name]) != ""
	case "Date":
		w.hasDate = true
	case "Trailer":
		if final {
			w.announce(w.header[name])
		}
	default:
		if strings.HasPrefix(name, http.TrailerPrefix) {
			w.trailing = w.trailing || final
			return false
		}
	}
	return isToken(name)
}

// announce takes down the names of fields that follow the body.
func (w *response) announce(lines []string) {
	w.trailing = true
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			switch name = http.CanonicalHeaderKey(strings.Trim(name, " \t")); name {
			case "", "Content-Length", "Transfer-Encoding", "Trailer", "Host", "Connection", "Content-Type", "Content-Encoding", "Authorization", "Set-Cookie":
			default:
				w.trailers = append(w.trailers, name)
			}
		}
	}
}

// appendField writes a field. A line break in a value would begin another field.
func appendField(out []byte, name, value string) []byte {
	out = append(append(out, name...), ": "...)
	value = strings.Trim(value, " \t\r\n")
	from := len(out)
	out = append(out, value...)
	for i := from; i < len(out); i++ {
		if out[i] == '\r' || out[i] == '\n' {
			out[i] = ' '
		}
	}
	return append(out, "\r\n"...)
}

func isToken(name string) bool {
	for i := range len(name) {
		if c := name[i]; class[c] == 0 && strings.IndexByte("!#$%&'*+^`|", c) < 0 || c == '/' {
			return false
		}
	}
	return name != ""
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// hasBody reports whether an answer with this status has a body.
func hasBody(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// seal ends the head. begin is what the body begins with, and all of it if done.
func (w *response) seal(begin []byte, done bool) {
	w.sealed = true
	isHead, body := w.t.isHead(), hasBody(w.status)
	if done && !w.trailing && !w.identity && body && w.length < 0 && (!isHead || len(begin) > 0) {
		w.length = int64(len(begin))
	}
	w.close = w.close || w.connection == "close" || w.t.c.s.stopping.Load()
	if w.t.head.Length > 0 && !w.both && w.t.body.finish() != nil {
		w.close = true
	}
	out := w.sheet.out
	if !w.hasDate {
		out = append(append(append(out, "Date: "...), w.t.c.s.date(w.t.now())...), "\r\n"...)
	}
	if w.length >= 0 && body {
		out = append(strconv.AppendInt(append(out, "Content-Length: "...), w.length, 10), "\r\n"...)
	}
	if !w.hasType && !w.identity && body && len(begin) > 0 {
		out = append(append(append(out, "Content-Type: "...), http.DetectContentType(begin)...), "\r\n"...)
	}
	switch {
	case isHead || !body:
		w.mode = noBody
	case w.length >= 0:
		w.mode = byLength
	case w.identity:
		w.mode, w.close = byEnd, true
	default:
		w.mode = byChunks
	}
	switch {
	case w.close && w.status != http.StatusSwitchingProtocols:
		out = append(out, "Connection: close\r\n"...)
	case w.connection != "":
		out = appendField(out, "Connection", w.connection)
	}
	if w.mode == byChunks {
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	w.sheet.out = append(out, "\r\n"...)
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

// appendTrailers writes the fields that follow a body in chunks.
func (w *response) appendTrailers(out []byte) []byte {
	if !w.trailing {
		return out
	}
	for _, name := range w.trailers {
		for _, value := range w.header[name] {
			out = appendField(out, name, value)
		}
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && isToken(name) {
			for _, value := range values {
				out = appendField(out, name, value)
			}
		}
	}
	return out
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

// stamp is the text of a second.
type stamp struct {
	second int64
	text   string
}

// date is a moment as answers tell it.
func (s *Server) date(now time.Time) string {
	second := now.Unix()
	if at := s.stamp.Load(); at != nil && at.second == second {
		return at.text
	}
	at := &stamp{second, now.UTC().Format(http.TimeFormat)}
	s.stamp.Store(at)
	return at.text
}

var (
	_ http.Flusher    = (*response)(nil)
	_ io.StringWriter = (*response)(nil)
	_ io.ReaderFrom   = (*response)(nil)
)
