package function

import (
	"net/http"
	"strings"

	"postern.dev/postern/internal/platform"
)

// branch is a node of the tree of patterns, a level a segment. No two patterns
// clash, so of those that match a request one is the most specific: it is met
// first when literals are tried before parameters, and these before the rest.
type branch struct {
	literals    map[string]*branch
	single      *branch
	here, below leaves
}

// leaves are the routes of one path pattern, by method.
type leaves []*leaf

// leaf is a route as a request finds it.
type leaf struct {
	method  string // empty: any
	pattern string
	names   []string
	door    int
	handler platform.Handler // with the route's guard and rule
}

func (b *branch) add(p pattern, l *leaf) {
	fixed, all := p.fixed()
	for _, s := range fixed {
		switch next := b.literals[s.text]; {
		case s.kind == single && b.single == nil:
			b.single = &branch{}
			fallthrough
		case s.kind == single:
			b = b.single
		case next == nil:
			if b.literals == nil {
				b.literals = map[string]*branch{}
			}
			b.literals[s.text] = &branch{}
			b = b.literals[s.text]
		default:
			b = next
		}
	}
	for _, s := range p.segments {
		if s.kind != literal {
			l.names = append(l.names, s.text)
		}
	}
	if l.method = p.method; all {
		b.below = append(b.below, l)
	} else {
		b.here = append(b.here, l)
	}
}

// pick is the route of a method, or that of any.
func (ls leaves) pick(method string) (found *leaf) {
	for _, l := range ls {
		if l.method == method {
			return l
		}
		if l.method == "" {
			found = l
		}
	}
	return found
}

// find looks for the most specific route of what is left of a path: empty, or
// beginning with a slash. values takes the parameters, n are there already.
func (b *branch) find(method, left string, values *[MaxParams]string, n int) *leaf {
	if left == "" {
		if l := b.here.pick(method); l != nil {
			return l
		}
	} else {
		segment, after := left[1:], ""
		if slash := strings.IndexByte(segment, '/'); slash >= 0 {
			segment, after = segment[:slash], segment[slash:]
		}
		if next := b.literals[segment]; next != nil {
			if l := next.find(method, after, values, n); l != nil {
				return l
			}
		}
		if b.single != nil {
			values[n] = segment
			if l := b.single.find(method, after, values, n+1); l != nil {
				return l
			}
		}
	}
	l := b.below.pick(method)
	if l != nil {
		values[n] = strings.TrimPrefix(left, "/")
	}
	return l
}

// methods marks the methods of all routes that match a path.
func (b *branch) methods(left string, seen *[16]bool) {
	b.below.mark(seen)
	if left == "" {
		b.here.mark(seen)
		return
	}
	segment, after := left[1:], ""
	if slash := strings.IndexByte(segment, '/'); slash >= 0 {
		segment, after = segment[:slash], segment[slash:]
	}
	if next := b.literals[segment]; next != nil {
		next.methods(after, seen)
	}
	if b.single != nil {
		b.single.methods(after, seen)
	}
}

func (ls leaves) mark(seen *[16]bool) {
	for _, l := range ls {
		for i, m := range Methods {
			seen[i] = seen[i] || l.method == m
		}
	}
}

// allow is the Allow header of a path that routes know, for other methods than
// that of the request; empty when they do not know the path.
func (b *branch) allow(left string) string {
	var seen [16]bool
	b.methods(left, &seen)
	var out strings.Builder
	for i, m := range Methods {
		if !seen[i] {
			continue
		}
		if out.Len() > 0 {
			out.WriteString(", ")
		}
		if out.WriteString(m); m == http.MethodGet {
			out.WriteString(", " + http.MethodHead)
		}
	}
	return out.String()
}
