package redact

import (
	"sort"
	"unicode/utf16"
	"unicode/utf8"
)

// match is what forms found at a position; the zero value is nothing.
type match struct {
	begin, end int
	name       string
	more       bool // the text ends before that is decided
}

// add takes in what other forms found: of several the longest counts.
func (m *match) add(other match) {
	m.more = m.more || other.more
	if other.end > 0 && (m.end == 0 || other.begin < m.begin) {
		m.begin = other.begin
	}
	if other.end > m.end || m.name == "" {
		m.end, m.name = max(m.end, other.end), other.name
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

// list is forms of one kind, in the order of their texts.
type list struct {
	kind  kind
	forms []*form
}

// match looks for all forms of the list at a position of a text at once: with
// each unit that is read those remain which go on so. However many forms there
// are, it reads no more of the text than the longest of them has.
func (l *list) match(text []byte, at int) (m match) {
	left := l.forms
	for i, depth := at, 0; ; {
		for len(left) > 0 && len(left[0].text) == depth {
			m.add(left[0].found(text, at, i))
			left = left[1:]
		}
		if len(left) == 0 {
			return m
		}
		u := l.kind.next(text[i:])
		if u.more {
			m.add(match{more: true, name: left[0].name})
		}
		if u.read == 0 {
			return m
		}
		for _, b := range u.means[:u.n] {
			left = narrow(left, depth, b)
			depth++
		}
		i += u.read
	}
}

// narrow keeps the forms that have a byte at a depth up to which they are alike.
func narrow(forms []*form, depth int, b byte) []*form {
	for len(forms) > 0 && len(forms[0].text) == depth {
		forms = forms[1:]
	}
	n := len(forms)
	if n == 0 || forms[0].text[depth] == b && forms[n-1].text[depth] == b {
		return forms
	}
	from := sort.Search(n, func(i int) bool { return forms[i].text[depth] >= b })
	return forms[from : from+sort.Search(n-from, func(i int) bool { return forms[from+i].text[depth] > b })]
}

// found is a form that was found up to end. A character of base64 that the value
// shares with what is before or behind it goes with it.
func (f *form) found(text []byte, begin, end int) match {
	m := match{begin: begin, end: end, name: f.name}
	if begin > 0 && f.lead.fits(text[begin-1]) {
		m.begin--
	}
	if f.tail.mask != 0 {
		if end == len(text) {
			m.more = true
		} else if f.tail.fits(text[end]) {
			m.end++
		}
	}
	return m
}

// unit is the smallest part of a text that means something in a kind of form,
// and what it means. read is 0 where the text is none; more: where it ends before
// that is decided.
type unit struct {
	read, n int
	means   [utf8.UTFMax]byte
	more    bool
}

func one(read int, means byte) unit { return unit{read: read, n: 1, means: [utf8.UTFMax]byte{means}} }

func (k kind) next(text []byte) unit {
	if len(text) == 0 {
		return unit{more: true}
	}
	c := text[0]
	switch {
	case k == asIs:
		return one(1, c)
	case k == inBase64:
		if v := sixBits[c]; v >= 0 {
			return one(1, byte(v))
		}
	case k == inHex:
		return hexUnit(text, 0, 2)
	case k == inURL && c == '%':
		u := hexUnit(text, 1, 2)
		u.means[0] = plus(u.means[0])
		return u
	case k == inURL && c >= ' ':
		return one(1, plus(c))
	case k == inJSON && c == '\\':
		return escape(text)
	case k == inJSON && c >= ' ':
		return one(1, c)
	}
	return unit{}
}

// plus makes a plus of a space, which is one in a query and none in a path.
func plus(c byte) byte {
	if c == ' ' {
		return '+'
	}
	return c
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

// hexUnit is hex digits that stand for a byte, behind some characters.
func hexUnit(text []byte, behind, digits int) unit {
	v, ok, more := hexDigits(text[behind:], digits)
	if !ok || more {
		return unit{more: more}
	}
	return one(behind+digits, byte(v))
}

// escape is what begins with a backslash in JSON, JavaScript and Go.
func escape(text []byte) unit {
	switch {
	case len(text) == 1:
		return unit{more: true}
	case text[1] == 'u':
		return unicodeEscape(text)
	case text[1] == 'x':
		return hexUnit(text, 2, 2)
	}
	if c := escapes[text[1]]; c != 0 || text[1] == '0' {
		return one(2, c)
	}
	return unit{}
}

// unicodeEscape is a \u escape, or the two of a character beyond the first 65536.
func unicodeEscape(text []byte) unit {
	r, ok, more := hexDigits(text[2:], 4)
	if !ok || more {
		return unit{more: more}
	}
	u := unit{read: 6}
	if utf16.IsSurrogate(r) {
		for i, c := range []byte(`\u`) {
			if len(text) == u.read+i {
				return unit{more: true}
			}
			if text[u.read+i] != c {
				return unit{}
			}
		}
		low, ok, more := hexDigits(text[u.read+2:], 4)
		if !ok || more {
			return unit{more: more}
		}
		r, u.read = utf16.DecodeRune(r, low), 12
	}
	u.n = utf8.EncodeRune(u.means[:], r)
	return u
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

// escapes is what stands behind a backslash, where it is one character.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', '\'': '\'', '`': '`', 'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', 'e': 0x1b}
