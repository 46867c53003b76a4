package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

const (
	maxBytes = 1 << 20
	maxDepth = 16 // a document of ours has eight levels
)

// parser reads YAML, of which JSON is a part, into a document. It takes less
// than YAML offers: no anchors, no tags, no merges, no second document. Each of
// them is a way to say something that a reader does not see.
type parser struct{ doc *Document }

func (p *parser) failAt(at place, hint, format string, args ...any) error {
	return fault.New(fault.Invalid, fmt.Sprintf("%s:%d:%d: %s", p.doc.name, at.line, at.column, fmt.Sprintf(format, args...))).WithCode("policy_invalid").WithHint(hint)
}

func (p *parser) fail(n *yaml.Node, hint, format string, args ...any) error {
	return p.failAt(place{n.Line, n.Column}, hint, format, args...)
}

// mark remembers where something stands.
func (p *parser) mark(n *yaml.Node, path string) { p.doc.at[path] = place{n.Line, n.Column} }

func (p *parser) read(data []byte) (*yaml.Node, error) {
	first := place{1, 1}
	switch {
	case len(data) > maxBytes:
		return nil, p.failAt(first, "name fewer things: rules over a whole function or group are shorter", "the file is larger than %d KiB", maxBytes>>10)
	case !utf8.Valid(data):
		return nil, p.failAt(first, "save it as UTF-8", "the file is not UTF-8 text")
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return nil, p.failAt(first, "save it as UTF-8 without a byte order mark", "the file begins with a byte order mark")
	case bytes.IndexByte(data, 0) >= 0:
		return nil, p.failAt(first, "", "the file has a NUL character")
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var root, more yaml.Node
	if err := d.Decode(&root); errors.Is(err, io.EOF) {
		return nil, p.failAt(first, "write at least: version: 1", "the file is empty")
	} else if err != nil {
		return nil, p.syntax(data, err)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, p.syntax(data, err)
		}
		return nil, p.fail(&more, "one file is one document: remove the line --- and what follows", "a second document begins here")
	}
	if len(root.Content) != 1 {
		return nil, p.failAt(first, "write at least: version: 1", "the file is empty")
	}
	return root.Content[0], p.plain(root.Content[0], 0)
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

// syntax is a fault of the YAML itself, at its line.
func (p *parser) syntax(data []byte, err error) error {
	at, text := place{1, 1}, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		at.line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	lines := bytes.Split(data, []byte("\n"))
	for _, n := range []int{at.line - 1, at.line} { // the library counts from the line before at times
		if n >= 0 && n < len(lines) && bytes.HasPrefix(bytes.TrimLeft(lines[n], " "), []byte("\t")) {
			return p.failAt(place{n + 1, 1}, "indent with spaces", "the line is indented with a tab")
		}
	}
	return p.failAt(at, "correct the file at that place; it must be YAML, or JSON", "%.200s", text)
}

// plain refuses what a reader of the file does not see the meaning of.
func (p *parser) plain(n *yaml.Node, depth int) error {
	switch {
	case depth > maxDepth:
		return p.fail(n, "", "the values are nested too deeply")
	case n.Kind == yaml.AliasNode, n.Anchor != "":
		return p.fail(n, "write out what it stands for", "anchors and aliases are not taken")
	case n.Style&yaml.TaggedStyle != 0:
		return p.fail(n, "remove the tag", "tags such as %.32q are not taken", n.Tag)
	}
	if n.Kind == yaml.MappingNode {
		seen := map[string]int{}
		for i := 0; i < len(n.Content); i += 2 {
			k := n.Content[i]
			switch before := seen[k.Value]; {
			case k.Kind != yaml.ScalarNode:
				return p.fail(k, "", "a name must be plain text")
			case k.ShortTag() == "!!merge":
				return p.fail(k, "write out what is to be there", "merging with << is not taken")
			case before > 0:
				return p.fail(k, "keep one of them", "%.64q stands twice, in line %d as well", k.Value, before)
			}
			seen[k.Value] = k.Line
		}
	}
	for _, c := range n.Content {
		if err := p.plain(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// fields reads the members of a mapping, each by its reader. of says whose they
// are.
func (p *parser) fields(n *yaml.Node, of string, readers map[string]func(*yaml.Node) error) error {
	return p.each(n, of, func(k, v *yaml.Node) error {
		read := readers[k.Value]
		if read == nil {
			return p.unknown(k, of, slices.Sorted(maps.Keys(readers)))
		}
		return read(v)
	})
}

func (p *parser) unknown(k *yaml.Node, of string, known []string) error {
	hint := "the fields are: " + strings.Join(known, ", ")
	if near := function.Nearest(k.Value, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return p.fail(k, hint, "unknown field %.64q of %s", k.Value, of)
}

// each calls f with every member of a mapping.
func (p *parser) each(n *yaml.Node, of string, f func(k, v *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return p.fail(n, "indent its fields below it, or write them in braces", "%s must have fields", of)
	}
	for i := 0; i < len(n.Content); i += 2 {
		if err := f(n.Content[i], n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) text(n *yaml.Node, of string) (string, error) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		return "", p.fail(n, "write text, in quotes where it could be taken for something else", "%s must be text", of)
	}
	return n.Value, nil
}

// word is a text that is one of some.
func (p *parser) word(n *yaml.Node, of string, words ...string) (string, error) {
	s, err := p.text(n, of)
	if err == nil && !slices.Contains(words, s) {
		return "", p.fail(n, "write "+strings.Join(words, ", or "), "%s cannot be %.64q", of, s)
	}
	return s, err
}

func (p *parser) list(n *yaml.Node, of string, f func(*yaml.Node) error) error {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		return p.fail(n, "write a list, such as [a, b], or leave it out", "%s must be a list with something in it", of)
	}
	for _, c := range n.Content {
		if err := f(c); err != nil {
			return err
		}
	}
	return nil
}

// texts is a list of texts, each of which stands once.
func (p *parser) texts(n *yaml.Node, of string) (out []string, err error) {
	err = p.list(n, of, func(c *yaml.Node) error {
		s, err := p.text(c, "each of "+of)
		if err == nil && (s == "" || slices.Contains(out, s)) {
			err = p.fail(c, "", "%s has %.64q, which is empty or stands twice", of, s)
		}
		out = append(out, s)
		return err
	})
	return out, err
}

func (p *parser) number(n *yaml.Node, of string, low, high int64) (int64, error) {
	i, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || i < low || i > high {
		return 0, p.fail(n, fmt.Sprintf("write a number from %d to %d", low, high), "%s is no such number", of)
	}
	return i, nil
}

func (p *parser) flag(n *yaml.Node, of string) (bool, error) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Value != "true" && n.Value != "false" {
		return false, p.fail(n, "write true or false", "%s is neither true nor false", of)
	}
	return n.Value == "true", nil
}
