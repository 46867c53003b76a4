package telemetry

import (
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// ParentPolicy says what the gateway makes of a trace that a caller sends along.
type ParentPolicy string

// The policies. A caller who is followed decides what is sampled.
const (
	ParentIgnore ParentPolicy = "ignore" // a trace of our own begins
	ParentLink   ParentPolicy = "link"   // the same, and its span names the caller's
	ParentFollow ParentPolicy = "follow" // the caller's trace goes on, sampled if it is
)

// maxState bounds what of a caller's tracestate goes on (W3C Trace Context,
// §3.3.1.5: at least 512 characters should).
const maxState = 512

// Place is where one request stands in a trace. The zero value stands in none.
type Place struct {
	trace   trace.TraceID
	span    trace.SpanID // the request's own
	parent  trace.SpanID // the caller's, that is followed or linked
	linked  trace.TraceID
	state   string
	sampled bool
	head    [1]string // of Send, so that a header field needs no slice of its own
}

// Sampled reports whether the request's spans will be exported.
func (p *Place) Sampled() bool { return p.sampled }

// TraceID is the trace's ID in hexadecimal; empty of a request that is in none.
func (p *Place) TraceID() string {
	if !p.trace.IsValid() {
		return ""
	}
	return p.trace.String()
}

// Begin gives a request its place: whether it is sampled is decided here, and
// costs three random numbers where it is not. A nil Tracer gives none.
func (t *Tracer) Begin(h http.Header) (p Place) {
	if t == nil {
		return Place{}
	}
	if t.parent == ParentFollow {
		return t.Follow(h)
	}
	return t.fresh(h)
}

// Follow goes on with the trace in a header, whatever is made of those of
// strangers: for callers who were told of a place by this server. Without one it
// begins another.
func (t *Tracer) Follow(h http.Header) (p Place) {
	if t == nil || p.follow(h) {
		return p
	}
	return t.fresh(h)
}

// fresh begins a trace, which is sampled or not.
func (t *Tracer) fresh(h http.Header) Place {
	p := newPlace()
	// As the SDK's ratio samplers reckon, so that one in a handler agrees.
	p.sampled = binary.BigEndian.Uint64(p.trace[8:])>>1 < t.below
	if p.sampled && t.parent == ParentLink {
		if c, ok := callerOf(h); ok {
			p.linked, p.parent = c.trace, c.span
		}
	}
	return p
}

// Always begins a trace that is sampled: of what is rare, and known callers do.
func (t *Tracer) Always() (p Place) {
	if t != nil {
		p = newPlace()
		p.sampled = true
	}
	return p
}

// newPlace makes IDs, of which none is all zero.
func newPlace() (p Place) {
	binary.BigEndian.PutUint64(p.trace[:8], rand.Uint64()|1)
	binary.BigEndian.PutUint64(p.trace[8:], rand.Uint64())
	binary.BigEndian.PutUint64(p.span[:], rand.Uint64()|1)
	return p
}

// follow goes on with the caller's trace, if it sent one.
func (p *Place) follow(h http.Header) bool {
	c, ok := callerOf(h)
	if !ok {
		return false
	}
	p.trace, p.parent, p.sampled = c.trace, c.span, c.sampled
	binary.BigEndian.PutUint64(p.span[:], rand.Uint64()|1)
	if s := h["Tracestate"]; len(s) == 1 && len(s[0]) <= maxState {
		if _, err := trace.ParseTraceState(s[0]); err == nil {
			p.state = s[0]
		}
	}
	return true
}

// Send makes a header tell of the place, instead of what the caller sent: who
// gets it continues the trace below this request's span. The header must not
// outlive the place. Of the zero place it leaves the header as it is.
func (p *Place) Send(h http.Header) {
	if !p.trace.IsValid() {
		return
	}
	var b [55]byte
	copy(b[:], "00-")
	tohex(b[3:], p.trace[:])
	b[35] = '-'
	tohex(b[36:], p.span[:])
	copy(b[52:], "-00")
	if p.sampled {
		b[54] = '1'
	}
	p.head[0] = string(b[:])
	h["Traceparent"] = p.head[:]
	if p.state == "" {
		delete(h, "Tracestate")
	}
}

// caller is what a traceparent says.
type caller struct {
	trace   trace.TraceID
	span    trace.SpanID
	sampled bool
}

// callerOf reads a traceparent (W3C Trace Context, §3.2). Of one that is
// malformed, or there twice, it takes nothing: not in part either.
func callerOf(h http.Header) (c caller, ok bool) {
	lines := h["Traceparent"]
	if len(lines) != 1 {
		return caller{}, false
	}
	s := lines[0]
	// A later version may have more fields; of version 00 there are four.
	if len(s) < 55 || s[:2] == "ff" || s[:2] == "00" && len(s) != 55 || len(s) > 55 && s[55] != '-' || len(s) > maxState ||
		s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return caller{}, false
	}
	var version, flags [1]byte
	if !unhex(version[:], s[:2]) || !unhex(c.trace[:], s[3:35]) || !unhex(c.span[:], s[36:52]) || !unhex(flags[:], s[53:55]) ||
		!c.trace.IsValid() || !c.span.IsValid() {
		return caller{}, false
	}
	c.sampled = flags[0]&1 == 1
	return c, true
}

// tohex is hex.Encode, of which the compiler knows that the digits stay here.
func tohex(to, from []byte) {
	const digits = "0123456789abcdef"
	for i, c := range from {
		to[2*i], to[2*i+1] = digits[c>>4], digits[c&15]
	}
}

// unhex decodes hexadecimal digits, in lower case only.
func unhex(to []byte, s string) bool {
	for i := range to {
		hi, lo := nibble(s[2*i]), nibble(s[2*i+1])
		if hi > 15 || lo > 15 {
			return false
		}
		to[i] = hi<<4 | lo
	}
	return true
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// Record is what is told of something that is over. What callers choose freely
// – paths, queries, header fields, bodies – has no place in one.
type Record struct {
	Name         string // of a bounded number of names
	Began, Ended time.Time
	Attrs        []slog.Attr
	Failure      string // a code of why it failed on our side; empty: it did not
	Server       bool   // it is a request that somebody made of us
	Steps        []Record
}

// Tell exports the spans of a sampled request, or of what happened by itself
// with the zero Place: then it is a trace of its own. It waits for nobody: what
// finds no room is counted as lost.
func (t *Tracer) Tell(p *Place, r Record) {
	if t != nil && (p.sampled || !p.trace.IsValid()) {
		t.tell(p, &r)
	}
}
