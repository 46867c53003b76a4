package audit

import (
	"maps"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxText   = 200 // bytes of a text
	maxWord   = 64  // characters of a piece without a space or slash
	maxDetail = 16  // entries
)

// cleaned is an event whose texts a database takes and a reader may see.
func cleaned(e Event) Event {
	for _, s := range []*string{&e.ProjectID, &e.Action, &e.Target, &e.Code, &e.KeyID, &e.Method, &e.RequestID, &e.Remote} {
		*s = clean(*s)
	}
	e.Detail = maps.Clone(e.Detail)
	for k, v := range e.Detail {
		if len(e.Detail) > maxDetail || clean(k) != k {
			delete(e.Detail, k)
			continue
		}
		e.Detail[k] = clean(v)
	}
	return e
}

// clean bounds a text and leaves out what is no text, what begins like a
// secret of ours, and any word that is longer than a name or a hash: a token,
// or credentials as they are sent.
func clean(s string) string {
	if isPlain(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	var b strings.Builder
	for len(s) > 0 && b.Len() < maxText {
		n := strings.IndexAny(s, "/ ")
		switch {
		case n == 0:
			b.WriteByte(s[0])
			n = 1
		case n < 0:
			n = len(s)
			fallthrough
		default:
			b.WriteString(hidden(s[:n]))
		}
		s = s[n:]
	}
	return cut(b.String())
}

func hidden(word string) string {
	if strings.Contains(strings.ToLower(word), "psk_") || utf8.RuneCountInString(word) > maxWord {
		return "[hidden]"
	}
	return word
}

// isPlain reports whether a text is clean already, as nearly all are.
func isPlain(s string) bool {
	if len(s) > maxWord {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '_' && i >= 3 && strings.EqualFold(s[i-3:i], "psk") {
			return false
		}
	}
	return true
}

// cut shortens a text between two characters.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	s = s[:maxText]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}
