package redact

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
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
	// text is the bytes of the value; in base64 what its characters stand for.
	text       []byte
	lead, tail edge // in base64
}

// forms are all forms of the secrets, each once.
func forms(list []secret) (out []*form) {
	seen := map[string]bool{}
	add := func(f form) {
		key := fmt.Sprint(f.kind, f.lead, f.tail, " ") + string(f.text)
		if !seen[key] {
			seen[key] = true
			out = append(out, &f)
		}
	}
	for _, s := range list {
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
				add(form{kind: asIs, name: s.name, text: []byte(piece)})
				addEncoded(add, s.name, piece)
			}
		}
		if len(lines) > 1 {
			for _, piece := range pieces(value) {
				addEncoded(add, s.name, piece)
			}
		}
	}
	return out
}

// addEncoded adds the forms of a piece in which a line feed is none.
func addEncoded(add func(form), name, piece string) {
	if strings.Trim(piece, alphanumeric+"-_.") != "" {
		add(form{kind: inURL, name: name, text: []byte(piece)})
	}
	if strings.Trim(piece, alphanumeric+"-_.~!#$%()*,:;=?@[]^{|} ") != "" {
		add(form{kind: inJSON, name: name, text: []byte(piece)})
	}
	add(form{kind: inHex, name: name, text: []byte(piece)})
	for before := range 3 {
		add(newBase64(name, piece, before))
	}
}

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
func newBase64(name, piece string, before int) form {
	padded := append(make([]byte, before, before+len(piece)), piece...)
	text := []byte(base64.RawStdEncoding.EncodeToString(padded))
	for i, c := range text {
		text[i] = byte(sixBits[c])
	}
	f := form{kind: inBase64, name: name}
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
	from := []int{0, 2, 3}[before]
	to := len(padded) * 8 / 6 // what is behind is shared
	f.text = text[from:to]
	return f
}

// heads are the texts of four bytes with which the form can begin.
func (f *form) heads() (out []uint32) {
	seen := map[uint32]bool{}
	var grow func(text string, used int)
	grow = func(text string, used int) {
		if len(text) < headSize {
			for _, o := range f.options(used) {
				grow(text+o.text, used+o.used)
			}
			return
		}
		head := uint32(text[0]) | uint32(text[1])<<8 | uint32(text[2])<<16 | uint32(text[3])<<24
		if !seen[head] {
			seen[head] = true
			out = append(out, head)
		}
	}
	grow("", 0)
	return out
}

// option is a way to write some bytes of a value.
type option struct {
	text string
	used int
}

// options are the ways to write what is at a position of the form.
func (f *form) options(at int) (out []option) {
	rest := f.text[at:]
	c := rest[0]
	each := func(prefix, digits string, used int) {
		for _, d := range cases(digits) {
			out = append(out, option{prefix + d, used})
		}
	}
	digits := hex.EncodeToString(rest[:1])
	switch f.kind {
	case inHex:
		each("", digits, 1)
		return out
	case inBase64:
		for b, v := range sixBits {
			if v == int8(c) {
				out = append(out, option{string([]byte{byte(b)}), 1})
			}
		}
		return out
	}
	if c >= ' ' || f.kind == asIs {
		out = append(out, option{string(rest[:1]), 1})
	}
	if f.kind == asIs || strings.IndexByte(alphanumeric, c) >= 0 {
		return out
	}
	if f.kind == inURL {
		if c == ' ' {
			out = append(out, option{"+", 1})
		}
		each("%", digits, 1)
		return out
	}
	for b, v := range escapes {
		if v == c && (v != 0 || b == '0') {
			out = append(out, option{`\` + string([]byte{byte(b)}), 1})
		}
	}
	each(`\x`, digits, 1)
	if r, size := utf8.DecodeRune(rest); r != utf8.RuneError || size > 1 {
		if high, _ := utf16.EncodeRune(r); high != utf8.RuneError {
			r = high
		}
		each(`\u`, fmt.Sprintf("%04x", r), size)
	}
	return out
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
