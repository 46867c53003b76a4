package wire

import (
	"bytes"
	"encoding/binary"
)

// takeRequest takes a request line: method, target and version, one space each
// between them (RFC 9112 §3).
func (f *framing) takeRequest(line []byte) (wrong string) {
	method, rest, _ := bytes.Cut(line, space)
	target, version, _ := bytes.Cut(rest, space)
	if len(method) == 0 || !all(method, inToken) {
		return "a method that is no token"
	}
	f.lines, f.length, f.chunked, f.hosts, f.authority = 0, -1, false, 0, f.authority[:0]
	switch string(version) {
	case "HTTP/1.1":
		f.old = false
	case "HTTP/1.0":
		f.old = true
	default:
		return "a request line that is not of HTTP/1.0 or 1.1"
	}
	if !printable(target) || bytes.IndexByte(target, '\t') >= 0 {
		return "a control character in the target"
	}
	f.part = headerLine
	switch {
	case len(target) > 0 && target[0] == '/', string(target) == "*", string(method) == "CONNECT":
		return ""
	}
	return f.takeAuthority(target)
}

// takeAuthority keeps what a target in absolute form names as its host: the
// Host header, which net/http passes over then, must say the same.
func (f *framing) takeAuthority(target []byte) (wrong string) {
	scheme, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok || !fold(scheme, "http") && !fold(scheme, "https") {
		return "a target of an unknown form"
	}
	if end := bytes.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	if len(rest) == 0 || len(rest) > maxAuthority || !all(rest, inAuthority) {
		return "an authority that is no host"
	}
	f.authority = append(f.authority, rest...)
	return ""
}

// takeHeader takes a header line. Of most it looks at the characters only.
func (f *framing) takeHeader(line []byte) (wrong string) {
	if f.lines++; f.lines > maxLines {
		return "more header lines than are taken"
	}
	if line[0] == ' ' || line[0] == '\t' {
		return "a folded header line"
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || !all(line[:colon], inToken) {
		return "a header name that is no token"
	}
	f.colon = colon
	name, value := line[:colon], line[colon+1:]
	if !printable(value) {
		return "a control character in a header"
	}
	switch len(name) {
	case len("host"):
		if fold(name, "host") {
			return f.takeHost(value)
		}
	case len("connection"):
		if fold(name, "connection") {
			return connection(value)
		}
	case len("content-length"):
		if alias(name, "content-length") {
			return f.takeLength(name, value)
		}
	case len("transfer-encoding"):
		if alias(name, "transfer-encoding") {
			return f.takeEncoding(name, value)
		}
	}
	return ""
}

func (f *framing) takeHost(value []byte) (wrong string) {
	if f.hosts++; f.hosts > 1 {
		return "two Host headers"
	}
	if len(f.authority) > 0 && !fold(bytes.Trim(value, " \t"), f.authority) {
		return "a Host header that differs from the target"
	}
	return ""
}

func (f *framing) takeLength(name, value []byte) (wrong string) {
	value = bytes.TrimPrefix(value, space)
	switch {
	case bytes.IndexByte(name, '-') < 0:
		return "a name that some readers take for Content-Length"
	case f.length >= 0:
		return "two lengths"
	case f.chunked:
		return "both a length and an encoding"
	case len(value) == 0 || len(value) > maxDigits:
		return "a length that is no number"
	}
	f.length = 0
	for _, c := range value {
		if c < '0' || c > '9' {
			return "a length that is no number"
		}
		f.length = f.length*10 + int64(c-'0')
	}
	return ""
}

func (f *framing) takeEncoding(name, value []byte) (wrong string) {
	switch {
	case bytes.IndexByte(name, '-') < 0:
		return "a name that some readers take for Transfer-Encoding"
	case f.old:
		return "an encoding in HTTP/1.0"
	case f.chunked:
		return "two encodings"
	case f.length >= 0:
		return "both a length and an encoding"
	case string(bytes.TrimPrefix(value, space)) != "chunked":
		return "an encoding other than chunked"
	}
	f.chunked = true
	return ""
}

// connection refuses to have the frame of a request taken off as hop-by-hop:
// who passes the request on without it would send a body as a request.
func connection(value []byte) (wrong string) {
	for len(value) > 0 {
		var name []byte
		name, value, _ = bytes.Cut(value, []byte(","))
		name = bytes.Trim(name, " \t")
		if fold(name, "content-length") || fold(name, "transfer-encoding") || fold(name, "host") {
			return "a Connection header that names the frame"
		}
	}
	return ""
}

var space = []byte(" ")

// What a byte may be in.
const (
	inToken     = 1 << iota // a method or a header's name (RFC 9110 §5.6.2)
	inAuthority             // a host and a port
	inChunkSize             // the line before a chunk
	inLineEnd
)

var class = func() (table [256]uint8) {
	for c := byte('0'); c <= 'z'; c++ {
		switch l := c | 0x20; {
		case c <= '9', l >= 'a' && l <= 'f':
			table[c] = inToken | inAuthority | inChunkSize
		case l > 'f' && l <= 'z' && c > '9':
			table[c] = inToken | inAuthority
		}
	}
	table['\r'], table['\n'] = inLineEnd|inChunkSize, inLineEnd|inChunkSize
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		table[c] |= inToken
	}
	for _, c := range []byte("-._~:[]") {
		table[c] |= inAuthority
	}
	return table
}()

func all(text []byte, what uint8) bool {
	for _, c := range text {
		if class[c]&what == 0 {
			return false
		}
	}
	return true
}

// printable reports whether text has no control character but tabs. Bytes
// beyond ASCII are let through: RFC 9110 §5.5 calls them opaque, clients send
// names in UTF-8, and no reader ends a line at one.
func printable(text []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(text) >= 8 {
		w := binary.LittleEndian.Uint64(text)
		del := w ^ 0x7f*ones
		if ((w-0x20*ones)&^w|(del-ones)&^del)&highs != 0 {
			break // one of the eight is below 0x20, or 0x7f
		}
		text = text[8:]
	}
	for _, c := range text {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// fold reports whether two texts are the same but for the case of ASCII letters.
func fold[A, B []byte | string](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// alias reports whether a name is want, of the same length, in any case and
// with any of the signs that CGI and its heirs make one of.
func alias(name []byte, want string) bool {
	for i, c := range name {
		if c == '_' || c == '.' {
			c = '-'
		}
		if lower(c) != want[i] {
			return false
		}
	}
	return true
}
