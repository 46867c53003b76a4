package function

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	r := &reader{d, data}
	n, err := r.node()
	if err == nil {
		if _, extra := d.Token(); !errors.Is(extra, io.EOF) {
			err = &syntaxError{d.InputOffset(), "something follows the end of the object"}
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

type reader struct {
	*json.Decoder
	data []byte
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

// position turns an offset into line and column, both from 1.
func position(data []byte, offset int64) (line, column int) {
	offset = max(0, min(offset, int64(len(data))))
	before := data[:offset]
	line = bytes.Count(before, []byte("\n")) + 1
	column = int(offset) - (bytes.LastIndexByte(before, '\n') + 1) + 1
	return line, column
}
