package redact

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// match is what forms found at a position; the zero value is nothing.
type match struct {
	begin, end int
	name       string
	more       bool // the text ends before that is decided
}

// add takes in what one form found: of several the longest counts.
func (m *match) add(other match, name string) {
	m.more = m.more || other.more
	if other.end > 0 && (m.end == 0 || other.begin < m.begin) {
		m.begin = other.begin
	}
	if other.end > m.end || m.name == "" {
		m.end, m.name = max(m.end, other.end), name
	}
}

// cutOff decides what the end of the text left open.
func (m *match) cutOff(at, length int, e end) {
	if length-at < int(e) {
		return
	}
	if m.end == 0 {
		m.begin = at
	}
	m.end = length
}

// match looks for the form at a position of a text.
func (f *form) match(text []byte, at int) match {
	switch f.kind {
	case inBase64:
		return f.matchBase64(text, at)
	case inHex:
		return f.walk(text, at, stepHex)
	case inURL:
		return f.walk(text, at, stepURL)
	case inJSON:
		return f.walk(text, at, stepJSON)
	}
	rest := text[at:]
	if len(rest) < len(f.text) {
		return match{more: bytes.HasPrefix(f.text, rest)}
	}
	if !bytes.HasPrefix(rest, f.text) {
		return match{}
	}
	return match{begin: at, end: at + len(f.text)}
}

// step reads as much of a text as stands for the first bytes of a value: how
// much of each was used, none where it stands for another; more: the text ends
// before that is decided.
type step func(text, value []byte) (read, used int, more bool)

// walk looks for the form step by step.
func (f *form) walk(text []byte, at int, next step) match {
	i := at
	for k := 0; k < len(f.text); {
		read, used, more := next(text[i:], f.text[k:])
		if more {
			return match{more: true}
		}
		if used == 0 {
			return match{}
		}
		i, k = i+read, k+used
	}
	return match{begin: at, end: i}
}

// hexDigits reads as many hex digits; ok: as far as the text goes, they are some.
func hexDigits(text []byte, n int) (value rune, ok, more bool) {
	for i := range n {
		if i == len(text) {
			return 0, true, true
		}
		d := nibble[text[i]]
		if d < 0 {
			return 0, false, false
		}
		value = value<<4 | rune(d)
	}
	return value, true, false
}

func stepHex(text, value []byte) (read, used int, more bool) {
	c, ok, more := hexDigits(text, 2)
	if !ok || !more && byte(c) != value[0] {
		return 0, 0, false
	}
	return 2, 1, more
}

func stepURL(text, value []byte) (read, used int, more bool) {
	switch c := value[0]; {
	case len(text) == 0:
		return 0, 0, true
	case text[0] == '%':
		v, ok, more := hexDigits(text[1:], 2)
		if !ok || !more && byte(v) != c {
			return 0, 0, false
		}
		return 3, 1, more
	case text[0] == c && c >= ' ', text[0] == '+' && c == ' ':
		return 1, 1, false
	}
	return 0, 0, false
}

func stepJSON(text, value []byte) (read, used int, more bool) {
	switch {
	case len(text) == 0, len(text) == 1 && text[0] == '\\':
		return 0, 0, true
	case text[0] == '\\' && text[1] == 'u':
		return stepUnicode(text, value)
	case text[0] == '\\' && text[1] == 'x':
		v, ok, more := hexDigits(text[2:], 2)
		if !ok || !more && byte(v) != value[0] {
			return 0, 0, false
		}
		return 4, 1, more
	case text[0] == '\\':
		if c := escapes[text[1]]; c == 0 && text[1] != '0' || c != value[0] {
			return 0, 0, false
		}
		return 2, 1, false
	case text[0] == value[0] && value[0] >= ' ':
		return 1, 1, false
	}
	return 0, 0, false
}

// stepUnicode reads a \u escape, or the two of a character beyond the first 65536.
func stepUnicode(text, value []byte) (read, used int, more bool) {
	r, ok, more := hexDigits(text[2:], 4)
	if !ok || more {
		return 0, 0, more
	}
	read = 6
	if utf16.IsSurrogate(r) {
		for i, c := range []byte(`\u`) {
			if len(text) == read+i {
				return 0, 0, true
			}
			if text[read+i] != c {
				return 0, 0, false
			}
		}
		low, ok, more := hexDigits(text[read+2:], 4)
		if !ok || more {
			return 0, 0, more
		}
		r, read = utf16.DecodeRune(r, low), 12
	}
	want, size := utf8.DecodeRune(value)
	if want != r || want == utf8.RuneError && size == 1 {
		return 0, 0, false
	}
	return read, size, false
}

// matchBase64 looks for the characters that the value alone decides. One that it
// shares with what is before or behind it goes with it.
func (f *form) matchBase64(text []byte, at int) match {
	for i, want := range f.text {
		if at+i == len(text) {
			return match{more: true}
		}
		if sixBits[text[at+i]] != int8(want) {
			return match{}
		}
	}
	m := match{begin: at, end: at + len(f.text)}
	if at > 0 && f.lead.fits(text[at-1]) {
		m.begin--
	}
	if f.tail.mask != 0 {
		if m.end == len(text) {
			m.more = true
		} else if f.tail.fits(text[m.end]) {
			m.end++
		}
	}
	return m
}

// edge is a character of base64 of which some bits are the value's.
type edge struct{ mask, bits int8 }

func (e edge) fits(c byte) bool { return e.mask != 0 && sixBits[c] >= 0 && sixBits[c]&e.mask == e.bits }

// sixBits is what a character of base64 stands for, of both alphabets; -1: it is none.
var sixBits = inverse("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", "-\x3e_\x3f")

// nibble is what a hex digit stands for; -1: it is none.
var nibble = inverse("0123456789abcdef", "A\x0aB\x0bC\x0cD\x0dE\x0eF\x0f")

// inverse is the table of an alphabet, and of pairs of a character and its value.
func inverse(alphabet, pairs string) (table [256]int8) {
	for i := range table {
		table[i] = -1
	}
	for i := range len(alphabet) {
		table[alphabet[i]] = int8(i)
	}
	for i := 0; i < len(pairs); i += 2 {
		table[pairs[i]] = int8(pairs[i+1])
	}
	return table
}

// escapes is what stands behind a backslash in JSON, JavaScript and Go.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', '\'': '\'', '`': '`', 'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', 'e': 0x1b}
