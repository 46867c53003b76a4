package function

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Limits of a manifest file, far above any that a person writes: a file that
// was named so by mistake must not take the program down.
const (
	maxManifestBytes = 1 << 20
	maxDepth         = 32
)

// node is a JSON value that remembers where it stood, so that an error can
// name line and column. encoding/json's own struct decoding forgets that, and
// lets a key stand twice.
type node struct {
	offset   int64
	value    any // string, json.Number, bool, nil; or a list or an object below
	list     []node
	object   []member
	isList   bool
	isObject bool
}

type member struct {
	key    string
	offset int64
	value  node
}

// syntaxError is a position in a file and what is wrong there.
type syntaxError struct {
	offset int64
	text   string
}

func (e *syntaxError) Error() string { return e.text }

// parseJSON reads exactly one JSON value.
func parseJSON(data []byte) (node, error) {
	switch {
	case len(data) > maxManifestBytes:
		return node{}, &syntaxError{0, fmt.Sprintf("the file is larger than %d KiB", maxManifestBytes>>10)}
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return node{}, &syntaxError{0, "the file begins with a byte order mark; save it as UTF-8 without one"}
	case !utf8.Valid(data):
		return node{}, &syntaxError{firstInvalid(data), "the file is not UTF-8 text"}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	r := &reader{Decoder: d, data: data}
	n, err := r.node()
	if err == nil {
		at := r.next()
		if _, extra := d.Token(); !errors.Is(extra, io.EOF) {
			err = &syntaxError{at, "something follows the end of the object"}
		}
	}
	if err == nil {
		return n, nil
	}
	if own, ok := errors.AsType[*syntaxError](err); ok {
		return node{}, own
	}
	if syn, ok := errors.AsType[*json.SyntaxError](err); ok {
		// The decoder counts from the token before; where the next one begins is where the fault is.
		return node{}, &syntaxError{r.next(), syn.Error()}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return node{}, &syntaxError{int64(len(data)), "the file ends too early"}
	}
	return node{}, &syntaxError{d.InputOffset(), err.Error()}
}

// firstInvalid is where the first byte stands that belongs to no character.
func firstInvalid(data []byte) int64 {
	at := 0
	for at < len(data) {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return int64(at)
}

type reader struct {
	*json.Decoder
	data  []byte
	depth int
}

// next is where the next token begins.
func (r *reader) next() int64 {
	at := r.InputOffset()
	for at < int64(len(r.data)) && bytes.IndexByte([]byte(" \t\r\n,:"), r.data[at]) >= 0 {
		at++
	}
	return at
}

func (r *reader) node() (node, error) {
	n := node{offset: r.next()}
	if r.depth++; r.depth > maxDepth {
		return node{}, &syntaxError{n.offset, "the values are nested too deeply"}
	}
	defer func() { r.depth-- }()
	tok, err := r.Token()
	if err != nil {
		return node{}, err
	}
	switch tok {
	case json.Delim('{'):
		n.isObject = true
		return n, r.object(&n)
	case json.Delim('['):
		n.isList = true
		for r.More() {
			e, err := r.node()
			if err != nil {
				return n, err
			}
			n.list = append(n.list, e)
		}
		_, err = r.Token()
		return n, err
	}
	n.value = tok
	return n, nil
}

func (r *reader) object(n *node) error {
	seen := map[string]bool{}
	for r.More() {
		at := r.next()
		tok, err := r.Token()
		if err != nil {
			return err
		}
		key, ok := tok.(string)
		if !ok {
			return &syntaxError{at, "a member's name must be a string"}
		}
		if seen[key] {
			return &syntaxError{at, fmt.Sprintf("%q stands twice", key)}
		}
		seen[key] = true
		v, err := r.node()
		if err != nil {
			return err
		}
		n.object = append(n.object, member{key, at, v})
	}
	_, err := r.Token()
	return err
}

// position turns an offset into line and column, both from 1. A column is a
// character, as editors count.
func position(data []byte, offset int64) (line, column int) {
	offset = max(0, min(offset, int64(len(data))))
	before := data[:offset]
	line = bytes.Count(before, []byte("\n")) + 1
	column = utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return line, column
}
