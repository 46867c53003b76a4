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
	mode := "buffered"
	if r.Stream {
		mode = "stream"
	}
	if r.Socket {
		mode = "socket"
	}
	fields := [requestFields]string{r.ID, r.Method, r.Handler, r.Path, r.Query, r.ClientIP, r.KeyID, r.ProjectID, r.AuthMethod, r.Scopes, mode}
	connection := r.Header["Connection"]

	// First the lengths, then the bytes; the header map is walked twice, and
	// must be walked in the same order: its keys are noted on the way.
	var noted [64]string
	names := noted[:0]
	pairs := 1
	if r.Route != "" {
		pairs += 1 + len(r.Params)
	}
	signed := append(r.signed(), r.Call.pairs()...)
	pairs += len(signed) / 2
	for name, values := range r.Header {
		if !field.Stripped(name, connection) || name == "Authorization" && r.ForeignAuthorization && !field.Listed(connection, name) {
			names = append(names, name)
			pairs += len(values)
		}
	}
	count := requestFields + 2*pairs
	if count > math.MaxUint16 {
		return b[:start], ErrTooLarge
	}
	b = binary.BigEndian.AppendUint16(b, uint16(count))
	tooLong := false
	length := func(s string) {
		tooLong = tooLong || len(s) > math.MaxUint16
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	}
	for _, f := range fields {
		length(f)
	}
	if r.Route != "" {
		length(":")
		length(r.Route)
		for i, name := range r.Params {
			b = binary.BigEndian.AppendUint16(b, uint16(len(name)+1))
			length(r.Values[i])
		}
	}
	for _, s := range signed {
		length(s)
	}
	length("host")
	length(r.Host)
	for _, name := range names {
		for _, v := range r.Header[name] {
			length(name)
			length(v)
		}
	}
	text := len(b)
	for _, f := range fields {
		b = append(b, f...)
	}
	if r.Route != "" {
		b = append(append(b, ':'), r.Route...)
		for i, name := range r.Params {
			b = append(append(append(b, ':'), name...), r.Values[i]...)
		}
	}
	for _, s := range signed {
		b = append(b, s...)
	}
	b = append(b, "host"...)
	b = append(b, r.Host...)
	for _, name := range names {
		for _, v := range r.Header[name] {
			b = appendLower(b, name)
			b = append(b, v...)
		}
	}
	if isASCII(b[text:]) {
		b[start+5] |= flagASCII
	}
	if r.Body == nil {
		b = append(b, r.Inline...)
	}
	payload := len(b) - start - headerSize
	if tooLong || payload > maxPayload {
		return b[:start], ErrTooLarge
	}
	binary.BigEndian.PutUint32(b[start:], uint32(payload))
	return b, nil
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
