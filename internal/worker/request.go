package worker

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strconv"
	"time"

	"postern.dev/postern/internal/field"
)

// ErrTooLarge says that a request's header does not fit into a frame.
var ErrTooLarge = errors.New("the request header is too large for a worker")

// Request is one invocation. Do does not keep it after it returned, but for
// Body, which it may go on reading until the response is closed.
type Request struct {
	ID         string
	Method     string
	Handler    string
	Path       string // canonical
	Query      string // raw
	Host       string
	ClientIP   string
	KeyID      string // who calls: a key's ID, or issuer#subject; empty when the handler is open
	ProjectID  string
	AuthMethod string
	Scopes     string
	// Route is the pattern of the route that found the handler, Params are its
	// parameters, and Values what the path has for each; empty: there is none.
	Route  string
	Params []string
	Values []string
	// Scheme and MessageID are of a callback that was verified: how it was
	// signed, and what its sender calls it; empty where nothing is.
	Scheme    string
	MessageID string
	// Call is set where another function calls.
	Call *Call
	// Header is the header as it came in canonical form. Credentials,
	// hop-by-hop fields and x-postern-* fields are left out while it is copied;
	// Authorization is not where it is known to be none of ours.
	Header               map[string][]string
	ForeignAuthorization bool
	// Inline is the whole body when Body is nil.
	Inline []byte
	// Body, when set, is read and sent as the worker's window allows.
	Body io.Reader
	// Stream asks the worker to hand the body to the handler as it arrives.
	Stream bool
	// Socket is set by Open alone: there is no body, and messages follow.
	Socket bool
	// Deadline ends the invocation with ErrDeadline; zero means none. It is
	// kept to within 50 ms.
	Deadline time.Time
}

// signed is what a handler is told of a callback's signature, as pairs. No
// parameter of a route begins with a colon.
func (r *Request) signed() []string {
	switch {
	case r.Scheme == "":
		return nil
	case r.MessageID == "":
		return []string{"::scheme", r.Scheme}
	}
	return []string{"::scheme", r.Scheme, "::id", r.MessageID}
}

// plain is a request without what the worker does not understand. c.mu is held.
func (c *conn) plain(r *Request) *Request {
	out := *r
	if !c.routes {
		out.Route, out.Params, out.Values = "", nil, nil
	}
	if !c.signatures {
		out.Scheme, out.MessageID = "", ""
	}
	if !c.calls {
		out.Call = nil
	}
	return &out
}

// Call is a call from one function to another.
type Call struct {
	Function, FunctionID string // who calls; the name is empty where the function is gone
	RequestID            string // in which it calls, as its worker says; may be empty
	Hops                 int    // how many calls led here, this one included
}

// pairs are what a handler is told of a call; of none, nothing.
func (c *Call) pairs() []string {
	if c == nil {
		return nil
	}
	return []string{"::function", c.Function, "::function-id", c.FunctionID, "::request", c.RequestID, "::hops", strconv.Itoa(c.Hops)}
}

// appendRequest appends the REQUEST frame of r. On an error b is as it was.
func appendRequest(b []byte, stream uint32, r *Request) ([]byte, error) {
	start := len(b)
	flags := byte(0)
	if r.Body == nil && !r.Socket {
		flags = flagEnd
	}
	b = append(b, 0, 0, 0, 0, byte(frameRequest), flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	var noted [64]string
	l := layoutOf(r, noted[:0])
	if l.count > math.MaxUint16 {
		return b[:start], ErrTooLarge
	}
	b = binary.BigEndian.AppendUint16(b, uint16(l.count))
	b, fits := l.appendLengths(b)
	text := len(b)
	b = l.appendTexts(b)
	if isASCII(b[text:]) {
		b[start+5] |= flagASCII
	}
	if r.Body == nil {
		b = append(b, r.Inline...)
	}
	payload := len(b) - start - headerSize
	if !fits || payload > maxPayload {
		return b[:start], ErrTooLarge
	}
	binary.BigEndian.PutUint32(b[start:], uint32(payload))
	return b, nil
}

// layout is the texts of a request's frame: first all their lengths are written, then
// they are, in the same order.
type layout struct {
	r      *Request
	fields [requestFields]string
	told   []string // of a callback's signature and of a call, as pairs
	names  []string // of the header that goes along: a map is not walked twice in one order
	count  int      // of all texts
}

// layoutOf lays r out, and notes names of its header in names.
func layoutOf(r *Request, names []string) layout {
	mode := "buffered"
	if r.Stream {
		mode = "stream"
	}
	if r.Socket {
		mode = "socket"
	}
	told := append(r.signed(), r.Call.pairs()...)
	pairs := 1 + len(told)/2 // the host, and those
	if r.Route != "" {
		pairs += 1 + len(r.Params)
	}
	connection := r.Header["Connection"]
	for name, values := range r.Header {
		if !field.Stripped(name, connection) || name == "Authorization" && r.ForeignAuthorization && !field.Listed(connection, name) {
			names = append(names, name)
			pairs += len(values)
		}
	}
	return layout{r: r, fields: [requestFields]string{r.ID, r.Method, r.Handler, r.Path, r.Query, r.ClientIP, r.KeyID, r.ProjectID, r.AuthMethod, r.Scopes, mode},
		told: told, names: names, count: requestFields + 2*pairs}
}

// appendLengths appends how long each text is, and reports whether each may be.
func (l *layout) appendLengths(b []byte) (_ []byte, fits bool) {
	fits = true
	length := func(s string) {
		fits = fits && len(s) <= math.MaxUint16
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	}
	for _, f := range l.fields {
		length(f)
	}
	if l.r.Route != "" {
		length(":")
		length(l.r.Route)
		for i, name := range l.r.Params {
			b = binary.BigEndian.AppendUint16(b, uint16(len(name)+1))
			length(l.r.Values[i])
		}
	}
	for _, s := range l.told {
		length(s)
	}
	length("host")
	length(l.r.Host)
	for _, name := range l.names {
		for _, v := range l.r.Header[name] {
			length(name)
			length(v)
		}
	}
	return b, fits
}

// appendTexts appends the texts, in the order of their lengths.
func (l *layout) appendTexts(b []byte) []byte {
	for _, f := range l.fields {
		b = append(b, f...)
	}
	if l.r.Route != "" {
		b = append(append(b, ':'), l.r.Route...)
		for i, name := range l.r.Params {
			b = append(append(append(b, ':'), name...), l.r.Values[i]...)
		}
	}
	for _, s := range l.told {
		b = append(b, s...)
	}
	b = append(b, "host"...)
	b = append(b, l.r.Host...)
	for _, name := range l.names {
		for _, v := range l.r.Header[name] {
			b = appendLower(b, name)
			b = append(b, v...)
		}
	}
	return b
}

func appendLower(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

func isASCII(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b)&0x8080808080808080 != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
