package wire

import "bytes"

// The bounds of a plain head.
const (
	MaxPlain  = 16 << 10 // bytes
	maxFields = 64
)

// Part is a part of a text: where it begins, and where it is over.
type Part struct{ From, To uint16 }

// In gives the part of its text.
func (p Part) In(text []byte) []byte { return text[p.From:p.To] }

// Field is a header line, its value without the space around it.
type Field struct{ Name, Value Part }

// Head takes down where the parts of a request's head are, as the framing goes
// through it, for a server that answers plain requests by itself. Plain is what
// has one reading and asks for nothing special: HTTP/1.1, a path, one Host of
// usual characters, no encoding, nothing that upgrades, expects or announces
// anything. The rest is for net/http behind a [Conn], and so is every refusal.
//
// The zero value is ready for a head; Reset makes it so again.
type Head struct {
	framing framing
	at      int // where the line that comes next begins
	n       int
	fields  [maxFields]Field

	Method, Target, Host Part
	Length               int64 // of the body, as announced; 0: it has none
	Close                bool  // the connection is to end with the answer
	NoCache              bool  // a Pragma header is there
}

// Reset makes ready for the next head.
func (h *Head) Reset() {
	h.framing.part, h.at, h.n = requestLine, 0, 0
	h.Host, h.Length, h.Close, h.NoCache = Part{}, 0, false, false
}

// Fields are the header lines in their order. They are valid until Reset.
func (h *Head) Fields() []Field { return h.fields[:h.n] }

// Take reads on in a text that begins with the head, and of which more may have
// come since it was called last. It returns the length of the head once it is
// whole, and 0 before. plain is false as soon as the head is not; then it
// must not be called again before Reset.
func (h *Head) Take(text []byte) (n int, plain bool) {
	for {
		end := bytes.IndexByte(text[h.at:], '\n') + 1
		if end == 0 {
			return 0, len(text) < MaxPlain
		}
		line, before := text[h.at:h.at+end], h.framing.part
		if h.at+end > MaxPlain || h.framing.takeLine(line) != "" {
			return 0, false
		}
		from := h.at
		h.at += end
		switch {
		case before == requestLine:
			plain = h.request(from, line[:len(line)-len(crlf)])
		case len(line) > len(crlf):
			plain = h.field(from, line[:len(line)-len(crlf)])
		default:
			if h.framing.chunked || h.Host == (Part{}) {
				return 0, false
			}
			h.Length = max(h.framing.length, 0)
			return h.at, true
		}
		if !plain {
			return 0, false
		}
	}
}

// request takes down a request line that is in order.
func (h *Head) request(from int, line []byte) (plain bool) {
	method := bytes.IndexByte(line, ' ')
	target := len(line) - len(" HTTP/1.1")
	h.Method, h.Target = within(from, 0, method), within(from, method+1, target)
	return !h.framing.old && line[method+1] == '/' && string(line[:method]) != "CONNECT"
}

// field takes down a header line that is in order.
func (h *Head) field(from int, line []byte) (plain bool) {
	if h.n == maxFields {
		return false
	}
	colon, end := h.framing.colon, len(line)
	value := colon + 1
	for value < end && (line[value] == ' ' || line[value] == '\t') {
		value++
	}
	for end > value && (line[end-1] == ' ' || line[end-1] == '\t') {
		end--
	}
	f := Field{within(from, 0, colon), within(from, value, end)}
	h.fields[h.n] = f
	h.n++
	return h.special(f, line[:colon], line[value:end])
}

// special looks at the fields that concern the connection.
func (h *Head) special(f Field, name, value []byte) (plain bool) {
	switch len(name) {
	case len("host"):
		if fold(name, "host") {
			h.Host = f.Value
			return len(value) > 0 && all(value, inAuthority)
		}
	case len("expect"):
		if fold(name, "pragma") {
			h.NoCache = true
		}
		return !fold(name, "expect")
	case len("upgrade"):
		return !fold(name, "upgrade") && !fold(name, "trailer")
	case len("connection"):
		if fold(name, "connection") {
			if h.Close = h.Close || fold(value, "close"); !h.Close {
				return fold(value, "keep-alive")
			}
		}
	}
	return true
}

func within(from, begin, end int) Part { return Part{uint16(from + begin), uint16(from + end)} }
