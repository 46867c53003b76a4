package policy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"postern.dev/postern/internal/platform"
)

// Change is one thing that a document says otherwise than another.
type Change struct {
	What   string // "function orders, handler refund", "key ci"
	Field  string // empty: the thing itself
	Before string // empty: it is new
	After  string // empty: it is gone
}

// Compare says in what after differs from before, which may be nil, in the
// order of the document.
func Compare(before, after *Document) []Change {
	was, now := said(before), said(after)
	var out []Change
	for _, l := range now.list {
		if old := was.by[l.key()]; old != l.value {
			out = append(out, Change{l.what, l.field, short(old), short(l.value)})
		}
	}
	for _, l := range was.list {
		if _, still := now.by[l.key()]; !still {
			out = append(out, Change{l.what, l.field, short(l.value), ""})
		}
	}
	slices.SortStableFunc(out, func(a, b Change) int { return strings.Compare(a.What, b.What) })
	return out
}

// short is a value as it is shown: of a digest enough to tell it from others.
func short(value string) string {
	if digest, ok := strings.CutPrefix(value, digestPrefix); ok && len(digest) == 64 {
		return digestPrefix + digest[:12] + "…"
	}
	return value
}

// line is one thing that a document says.
type line struct{ what, field, value string }

func (l line) key() string { return l.what + "\x00" + l.field }

type lines struct {
	list []line
	by   map[string]string
}

func (ls *lines) add(what, field, value string) {
	l := line{what, field, value}
	ls.list = append(ls.list, l)
	ls.by[l.key()] = value
}

// there says that a thing is there, whatever else is said of it.
const there = "there"

// said is a document line by line.
func said(d *Document) *lines {
	ls := &lines{by: map[string]string{}}
	if d == nil {
		return ls
	}
	for _, g := range d.Groups {
		o := &object{}
		o.rule(g.Rule)
		ls.object("group "+g.Name, o.node())
	}
	for _, f := range d.Functions {
		what := "function " + f.Name
		ls.object(what, functionNode(platform.FunctionPolicy{Visibility: f.Visibility, Rule: f.Rule}))
		for _, e := range f.Handlers {
			ls.object(what+", handler "+e.Name, governedNode(e))
		}
		for _, e := range f.Routes {
			ls.object(what+", route "+e.Name, governedNode(e))
		}
	}
	for _, u := range d.Upstreams {
		what, routes := "upstream "+u.Name, u.Routes
		u.Routes = nil
		ls.object(what, upstreamNode(u))
		for _, r := range routes {
			g := r.Guard
			ls.object(what+", route "+r.Pattern, governedNode(platform.Governed{Guard: &g, Rule: r.Rule}))
		}
	}
	for _, k := range d.Keys {
		ls.object("key "+k.ID, keyNode(k))
	}
	return ls
}

// object says a thing, and all its fields.
func (ls *lines) object(what string, n *yaml.Node) {
	ls.add(what, "", there)
	for i := 0; i < len(n.Content); i += 2 {
		name, v := n.Content[i].Value, n.Content[i+1]
		if v.Kind == yaml.MappingNode {
			for j := 0; j < len(v.Content); j += 2 {
				ls.add(what, name+"."+v.Content[j].Value, flat(v.Content[j+1]))
			}
			if len(v.Content) > 0 {
				continue
			}
		}
		ls.add(what, name, flat(v))
	}
}

// flat is a value on one line.
func flat(n *yaml.Node) string {
	switch n.Kind {
	case yaml.ScalarNode:
		if strings.ContainsFunc(n.Value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Sprintf("%q", n.Value)
		}
		return n.Value
	case yaml.SequenceNode:
		return "[" + strings.Join(texts(n.Content, flat), ", ") + "]"
	}
	var out []string
	for i := 0; i < len(n.Content); i += 2 {
		out = append(out, n.Content[i].Value+": "+flat(n.Content[i+1]))
	}
	return "{" + strings.Join(out, ", ") + "}"
}

// Opened lists the rows of after that everybody may call and could not before,
// and Closed those of which it is the other way round.
func Opened(before, after []Row) (opened, closed []Row) {
	public := func(rows []Row) map[string]bool {
		out := map[string]bool{}
		for _, r := range rows {
			out[r.Name()] = r.Public()
		}
		return out
	}
	was, now := public(before), public(after)
	for _, r := range after {
		if r.Public() && !was[r.Name()] {
			opened = append(opened, r)
		}
	}
	for _, r := range before {
		if r.Public() && !now[r.Name()] {
			closed = append(closed, r)
		}
	}
	return opened, closed
}
