package gateway

import (
	"strings"
	"unicode/utf8"

	"postern.dev/postern/internal/fault"
)

// errAmbiguous refuses a path that two readers could take for two paths.
var errAmbiguous = fault.New(fault.Invalid, "the path is not in its plain form").WithCode("ambiguous_path")

// canonicalPath makes the one form of a path that routing, policy and handlers
// see, from a request target as it was sent (RFC 9112 §3.2). It is decoded
// once, begins with a slash, has no empty segments and no slash at the end.
// What can be read in two ways is refused: encoded slashes, backslashes,
// control characters, dot segments (also encoded, also with a parameter), a
// fragment, bad escapes, bad UTF-8.
func canonicalPath(target string) (path, query string, err error) {
	if !strings.HasPrefix(target, "/") {
		// The absolute form names scheme and host; net/http took its host.
		_, rest, ok := strings.Cut(target, "://")
		if !ok {
			return "", "", errAmbiguous
		}
		slash := strings.IndexAny(rest, "/?")
		switch {
		case slash < 0:
			target = "/"
		case rest[slash] == '?':
			target = "/" + rest[slash:]
		default:
			target = rest[slash:]
		}
	}
	target, query, _ = strings.Cut(target, "?")
	if strings.IndexByte(query, '#') >= 0 {
		return "", "", errAmbiguous
	}
	if isPlain(target) {
		return target, query, nil
	}
	path, err = clean(target)
	return path, query, err
}

// isPlain reports whether a path is in canonical form already, as nearly all are.
func isPlain(p string) bool {
	for i := range len(p) {
		c := p[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '~':
		case c == '/':
			if i+1 < len(p) && (p[i+1] == '/' || p[i+1] == '.') || i+1 == len(p) && i > 0 {
				return false
			}
		case c == '.': // not at the start of a segment: seen above
		default:
			return false
		}
	}
	return true
}

func clean(p string) (string, error) {
	decoded, err := decode(p)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.Grow(len(decoded))
	for segment := range strings.SplitSeq(decoded, "/") {
		name, _, _ := strings.Cut(segment, ";")
		if name == "." || name == ".." {
			return "", errAmbiguous
		}
		if segment != "" {
			b.WriteByte('/')
			b.WriteString(segment)
		}
	}
	if b.Len() == 0 {
		return "/", nil
	}
	return b.String(), nil
}

// decode undoes percent-encoding once, and refuses the bytes that mean
// something else to somebody.
func decode(p string) (string, error) {
	b := make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case c == '%':
			if i+2 >= len(p) {
				return "", errAmbiguous
			}
			high, ok1 := unhex(p[i+1])
			low, ok2 := unhex(p[i+2])
			c = high<<4 | low
			if !ok1 || !ok2 || c == '/' {
				return "", errAmbiguous
			}
			i += 2
		case c == '#' || c >= 0x80:
			return "", errAmbiguous
		}
		if c <= ' ' && c != ' ' || c == 0x7f || c == '\\' || c == ' ' && p[i] == ' ' {
			return "", errAmbiguous
		}
		b = append(b, c)
	}
	if !utf8.Valid(b) {
		return "", errAmbiguous
	}
	return string(b), nil
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
