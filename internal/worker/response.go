package worker

import (
	"encoding/binary"
	"io"
	"strings"
)

// Response is what a handler answered. Close it exactly once; nothing of it
// may be used afterwards.
type Response struct {
	Status int
	c      *conn
	call   *call
	table  table
	inline []byte // the whole body, or its first bytes
	whole  bool   // inline is all there is
}

// Whole returns the body when all of it came with the head, as small bodies
// do; ok is false when it must be read with Read.
func (r *Response) Whole() (body []byte, ok bool) { return r.inline, r.whole }

// Read reads the body as it arrives, and gives the worker credit for what was
// taken. It returns io.EOF after a whole body, and an error after a cut-off one.
func (r *Response) Read(p []byte) (int, error) {
	if len(r.inline) > 0 {
		n := copy(p, r.inline)
		r.inline = r.inline[n:]
		r.c.credit(r.call, n)
		return n, nil
	}
	if r.whole {
		return 0, io.EOF
	}
	n, err := r.call.read(p)
	r.c.credit(r.call, n)
	return n, err
}

// Close releases the response, and cancels what is still running of it.
func (r *Response) Close() {
	if r.call == nil {
		return
	}
	call := r.call
	r.call = nil
	r.c.release(call)
}

// CopyHeader adds the handler's header fields to a header map in canonical
// form, without those that only a gateway may set.
func (r *Response) CopyHeader(into map[string][]string) {
	r.table.each(func(name, value []byte) {
		key, ok := canonical(name)
		if !ok {
			return
		}
		if have := into[key]; have != nil {
			into[key] = append(have, string(value))
			return
		}
		into[key] = headerValue(value)
	})
}

// Values that nearly every response has. Their capacity is their length, so
// appending to one copies it.
var (
	jsonValue   = []string{"application/json"}
	textValue   = []string{"text/plain; charset=utf-8"}
	binaryValue = []string{"application/octet-stream"}
)

func headerValue(value []byte) []string {
	switch string(value) {
	case "application/json":
		return jsonValue
	case "text/plain; charset=utf-8":
		return textValue
	case "application/octet-stream":
		return binaryValue
	}
	return []string{string(value)}
}

// canonical is a header name in net/http's form; ok is false for fields that
// belong to the connection or to the gateway, however they are spelt, and for
// what is no field name (RFC 9110 §5.6.2): a worker may send anything.
func canonical(name []byte) (string, bool) {
	switch string(name) {
	case "content-type":
		return "Content-Type", true
	case "cache-control":
		return "Cache-Control", true
	case "location":
		return "Location", true
	case "set-cookie":
		return "Set-Cookie", true
	}
	b := make([]byte, len(name))
	upper := true
	for i, c := range name {
		switch {
		case !isToken(c):
			return "", false
		case upper && c >= 'a' && c <= 'z':
			c -= 'a' - 'A'
		case !upper && c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		b[i], upper = c, c == '-'
	}
	switch string(b) {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "X-Request-Id":
		return "", false
	}
	return string(b), len(b) > 0 && !strings.HasPrefix(string(b), "X-Postern-")
}

// isToken reports whether c may be in a field name.
func isToken(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// windowFrame appends a WINDOW frame.
func windowFrame(b []byte, stream uint32, n int) []byte {
	var payload [4]byte
	binary.BigEndian.PutUint32(payload[:], uint32(n))
	return appendFrame(b, frameWindow, 0, stream, payload[:])
}
