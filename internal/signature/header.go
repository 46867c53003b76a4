package signature

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

const (
	maxHeader = 4 << 10 // bytes of a header that a scheme reads
	maxToken  = 256     // bytes of a nonce or an ID
	maxProofs = 8       // in one request: each may cost a look
)

// one is the value of a header that must be there once. Of two, this side and
// the next could each take another.
func one(r *Request, name string) (string, error) {
	value, err := optional(r, name)
	if err == nil && value == "" {
		err = ErrMissing
	}
	return value, err
}

// optional is one, for a header that may be absent.
func optional(r *Request, name string) (string, error) {
	values := r.Header[name]
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || len(values[0]) > maxHeader || !isPrintable(values[0]) {
		return "", ErrMalformed
	}
	return values[0], nil
}

// isPrintable reports whether a text is printable ASCII: no line break, with
// which it would be another line of what is signed, and no bad UTF-8.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isHeaderName reports whether a name is made of letters, digits and hyphens, as
// the headers of all known senders are, or empty.
func isHeaderName(s string) bool {
	return len(s) <= maxToken && strings.Trim(s, "-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// isToken reports whether a text may stand for a nonce or an ID.
func isToken(s string) bool {
	return s != "" && len(s) <= maxToken && isPrintable(s) && strings.IndexByte(s, ' ') < 0
}

// isUndotted is isToken, for what is signed with dots on its sides: with a dot
// inside, bytes could be moved between it and its neighbour, and the signature
// would still be good.
func isUndotted(s string) bool { return isToken(s) && strings.IndexByte(s, '.') < 0 }

// canonicalBase64 reads a sum of so many bytes in the one spelling that
// encoding it gives.
func canonicalBase64(text string, size int) ([]byte, bool) {
	if len(text) != base64.StdEncoding.EncodedLen(size) {
		return nil, false
	}
	sum, err := base64.StdEncoding.Strict().DecodeString(text)
	return sum, err == nil && len(sum) == size
}

// canonicalHex reads a sum of so many bytes in lower case.
func canonicalHex(text string, size int) ([]byte, bool) {
	if len(text) != hex.EncodedLen(size) || strings.ContainsAny(text, "ABCDEF") {
		return nil, false
	}
	sum, err := hex.DecodeString(text)
	return sum, err == nil
}

// unixSeconds reads digits and nothing else.
func unixSeconds(text string) (time.Time, bool) {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return time.Time{}, false
		}
	}
	if len(text) > 11 {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(n, 0).UTC(), err == nil
}

// isoTime reads a time in UTC with as many digits of a second as a sender's
// language prints: none to nine.
func isoTime(text string) (time.Time, bool) {
	local, utc := strings.CutSuffix(text, "Z")
	if !utc {
		local, utc = strings.CutSuffix(text, "+00:00")
	}
	if !utc || len(local) > len("2006-01-02T15:04:05.999999999") {
		return time.Time{}, false
	}
	at, err := time.Parse("2006-01-02T15:04:05", local) // takes a fraction as well
	return at, err == nil && !at.IsZero()
}
