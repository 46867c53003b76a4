package token

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// maxMembers bounds the members of one object, because each name is compared
// with all before it.
const maxMembers = 100

// members calls each for the members of one JSON object, and refuses all that
// two parsers could read in two ways: a name that comes again, in another case
// too, a second value, text that is not UTF-8. What each refuses is refused.
//
// encoding/json says whether the text is JSON at all, so that what follows only
// has to find where things end. Its own decoding into a struct takes a name in
// any case, and the last of several; token by token it is slower than the
// signature.
func members(data []byte, each func(name, value []byte) error) error {
	if !utf8.Valid(data) || !json.Valid(data) {
		return ErrMalformed
	}
	at := space(data, 0)
	if data[at] != '{' {
		return ErrMalformed
	}
	names := make([][]byte, 0, 16)
	for at = space(data, at+1); data[at] != '}'; {
		if data[at] == ',' {
			at = space(data, at+1)
		}
		name := data[at:end(data, at)]
		at = space(data, at+len(name))
		at = space(data, at+1) // past the colon
		value := data[at:end(data, at)]
		at = space(data, at+len(value))
		name, err := unquote(name)
		if err != nil || len(names) == maxMembers {
			return ErrMalformed
		}
		for _, n := range names {
			if bytes.EqualFold(n, name) {
				return ErrMalformed
			}
		}
		names = append(names, name)
		if err := each(name, value); err != nil {
			return err
		}
	}
	return nil
}

// space is where the white space ends that begins at i.
func space(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\r' || data[i] == '\n') {
		i++
	}
	return i
}

// end is where the JSON value ends that begins at i.
func end(data []byte, i int) int {
	for depth := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return i // that of the object around a number or a word
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return i
}

// unquote is the text of a JSON string.
func unquote(value []byte) ([]byte, error) {
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1], nil
	}
	var s string
	err := json.Unmarshal(value, &s)
	return []byte(s), err
}

// text takes a string.
func text(value []byte, into *string) error {
	switch {
	case value[0] != '"':
		return ErrMalformed
	case bytes.IndexByte(value, '\\') < 0:
		*into = string(value[1 : len(value)-1])
	case json.Unmarshal(value, into) != nil:
		return ErrMalformed
	}
	return nil
}

// thumb takes a thumbprint.
func thumb(value []byte, into *string) error {
	if text(value, into) != nil || !isThumbprint(*into) {
		return ErrMalformed
	}
	return nil
}

// isThumbprint reports whether s is a SHA-256 in base64url.
func isThumbprint(s string) bool {
	sum, err := base64url.DecodeString(s)
	return err == nil && len(sum) == sha256.Size && len(s) == base64url.EncodedLen(sha256.Size)
}

// texts takes one string or a list of them.
func texts(value []byte, into *[]string) error {
	if value[0] == '"' {
		*into = make([]string, 1)
		return text(value, &(*into)[0])
	}
	var list []json.RawMessage
	if value[0] != '[' || json.Unmarshal(value, &list) != nil {
		return ErrMalformed
	}
	*into = make([]string, len(list))
	for i, v := range list {
		if err := text(v, &(*into)[i]); err != nil {
			return err
		}
	}
	return nil
}

// decimal takes a whole number that is not negative.
func decimal(value []byte, into *int) error {
	n, err := strconv.Atoi(string(value))
	if err != nil || n < 0 {
		return ErrMalformed
	}
	*into = n
	return nil
}

// endOfTime is the first second of the year 10000.
const endOfTime = 253402300800

// date takes a NumericDate (RFC 7519 §2), which may have a fraction, between
// 1970 and the year 10000: beyond, time.Time wraps round.
func date(value []byte, into *time.Time) error {
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil || !(seconds >= 0 && seconds < endOfTime) {
		return ErrMalformed
	}
	whole := int64(seconds)
	*into = time.Unix(whole, int64((seconds-float64(whole))*1e9)).UTC()
	return nil
}
