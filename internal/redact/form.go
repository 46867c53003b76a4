package redact

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// kind is how a value is written.
type kind int

const (
	asIs kind = iota
	inURL
	inJSON
	inHex
	inBase64
)

const (
	headSize = 4
	// mostBytes is how much of a value one form has: a longer value is looked for
	// piece by piece, so that what is held back, and the time that a hostile text
	// can cost, has a bound.
	mostBytes = 48
)

// form is a piece of a value as it is written in one way.
type form struct {
	kind kind
	name string
	// text is what its units mean: the bytes of the value, in base64 six bits each.
	text       []byte
	lead, tail edge // in base64
}

// order sorts forms as list wants them; alike are those that find the same.
func (f *form) order(g *form) int {
	return cmp.Or(cmp.Compare(f.kind, g.kind), bytes.Compare(f.text, g.text), cmp.Compare(f.lead.mask, g.lead.mask), cmp.Compare(f.lead.bits, g.lead.bits),
		cmp.Compare(f.tail.mask, g.tail.mask), cmp.Compare(f.tail.bits, g.tail.bits))
}

// forms are all forms of the secrets in order, each once. Of two names of a value
// it has the first.
func forms(secrets []secret) (out []*form) {
	for _, s := range secrets {
		value := strings.TrimSpace(s.value)
		if len(value) < MinLength {
			continue
		}
		lines := strings.Split(value, "\n")
		for _, line := range lines {
			line = strings.TrimSpace(line)
			if len(line) < MinLength || len(lines) > 1 && strings.HasPrefix(line, "-----") {
				continue // the frame of a PEM block is no secret
			}
			for _, piece := range pieces(line) {
				if strings.ContainsFunc(piece, unlikeInURL) { // else it is also what a URL has of it
					out = append(out, &form{kind: asIs, name: s.name, text: []byte(piece)})
				}
				out = appendEncoded(out, s.name, piece)
			}
		}
		if len(lines) > 1 {
			for _, piece := range pieces(value) {
				out = appendEncoded(out, s.name, piece)
			}
		}
	}
	slices.SortFunc(out, func(f, g *form) int { return cmp.Or(f.order(g), cmp.Compare(f.name, g.name)) })
	return slices.CompactFunc(out, func(f, g *form) bool { return f.order(g) == 0 })
}

// appendEncoded appends the forms of a piece in which a line feed is none.
func appendEncoded(out []*form, name, piece string) []*form {
	text := []byte(piece)
	out = append(out, &form{kind: inURL, name: name, text: bytes.ReplaceAll(text, []byte(" "), []byte("+"))},
		&form{kind: inJSON, name: name, text: text}, &form{kind: inHex, name: name, text: text})
	for before := range 3 {
		out = append(out, newBase64(name, piece, before))
	}
	return out
}

// unlikeInURL reports whether a character, as it is, is another one in a URL.
func unlikeInURL(r rune) bool { return r < ' ' || r == '%' }

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// pieces are the parts of a value, of about the same length, none with a part of
// a character.
func pieces(value string) (out []string) {
	n := (len(value) + mostBytes - 1) / mostBytes
	for ; n > 1; n-- {
		at := len(value) / n
		for at < len(value) && !utf8.RuneStart(value[at]) && at < len(value)/n+utf8.UTFMax {
			at++
		}
		out, value = append(out, value[:at]), value[at:]
	}
	return append(out, value)
}

// newBase64 is the form of a piece before which the encoded text has as many
// bytes, modulo three.
func newBase64(name, piece string, before int) *form {
	padded := append(make([]byte, before, before+len(piece)), piece...)
	text := []byte(base64.RawStdEncoding.EncodeToString(padded))
	for i, c := range text {
		text[i] = byte(sixBits[c])
	}
	f := &form{kind: inBase64, name: name}
	first, last := int8(piece[0]>>4), int8(piece[len(piece)-1]&0xf)
	switch before {
	case 1:
		f.lead = edge{0x0f, first}
	case 2:
		f.lead = edge{0x03, first >> 2}
	}
	switch len(padded) % 3 {
	case 1:
		f.tail = edge{0x30, last & 3 << 4}
	case 2:
		f.tail = edge{0x3c, last << 2}
	}
	from := [...]int{0, 2, 3}[before] // what is before is shared,
	to := len(padded) * 8 / 6         // and so is what is behind
	f.text = text[from:to]
	return f
}

// heads are the texts of four bytes with which the form can begin. Encoders leave
// letters and digits alone, or escape all.
func (f *form) heads() (out []uint32) {
	var text [2 * utf16Escape]byte
	var grow func(n, used int, all bool)
	grow = func(n, used int, all bool) {
		if n < headSize {
			f.ways(used, all, func(way string, more int) { grow(n+copy(text[n:], way), used+more, all) })
			return
		}
		head := uint32(text[0]) | uint32(text[1])<<8 | uint32(text[2])<<16 | uint32(text[3])<<24
		if !slices.Contains(out, head) {
			out = append(out, head)
		}
	}
	grow(0, 0, false)
	if f.kind == inURL || f.kind == inJSON {
		grow(0, 0, true)
	}
	return out
}

// utf16Escape is how long a \u escape is.
const utf16Escape = 6

// ways gives the ways to write what is at a position of the form, and how much of
// it each writes. With all, nothing is written as it is.
func (f *form) ways(at int, all bool, way func(text string, used int)) {
	rest := f.text[at:]
	c := rest[0]
	escaped := func(prefix, digits string, used int) {
		for _, d := range cases(digits) {
			way(prefix+d, used)
		}
	}
	switch {
	case f.kind == inHex:
		escaped("", hex.EncodeToString(rest[:1]), 1)
		return
	case f.kind == inBase64:
		for b, v := range sixBits {
			if v == int8(c) {
				way(string([]byte{byte(b)}), 1)
			}
		}
		return
	case f.kind == asIs || c >= ' ' && !all:
		way(string(rest[:1]), 1)
	}
	if f.kind == asIs || !all && strings.IndexByte(alphanumeric, c) >= 0 {
		return
	}
	digits := hex.EncodeToString(rest[:1])
	if f.kind == inURL {
		escaped("%", digits, 1)
		if c == '+' {
			way(" ", 1)
			way("%20", 1)
		}
		return
	}
	for b, v := range escapes {
		if v == c && (v != 0 || b == '0') {
			way(`\`+string([]byte{byte(b)}), 1)
		}
	}
	escaped(`\x`, digits, 1)
	if r, size := utf8.DecodeRune(rest); r != utf8.RuneError || size > 1 {
		if high, _ := utf16.EncodeRune(r); high != utf8.RuneError {
			r = high
		}
		escaped(`\u`, hex.EncodeToString([]byte{byte(r >> 8), byte(r)}), size)
	}
}

// cases are hex digits in either case, each by itself.
func cases(digits string) []string {
	out := []string{""}
	for i := range len(digits) {
		var next []string
		for _, o := range out {
			next = append(next, o+digits[i:i+1])
			if digits[i] >= 'a' {
				next = append(next, o+strings.ToUpper(digits[i:i+1]))
			}
		}
		out = next
	}
	return out
}
