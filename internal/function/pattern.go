package function

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a pattern: a person writes none that comes near, and a call is
// matched without allocating.
const (
	maxPattern  = 512
	maxSegments = 32
	// MaxParams is how many parameters a pattern may have.
	MaxParams = 8
)

// Methods are those that a pattern may name, in the order of an Allow header.
// GET answers HEAD as well.
var Methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// pattern is a route's pattern: a method, or none for any, and segments of a
// path, of which the last may stand for all that follow, and for nothing.
type pattern struct {
	method   string
	segments []segment
}

type segment struct {
	kind segmentKind
	text string // the literal, or the parameter's name
}

type segmentKind uint8

const (
	literal segmentKind = iota
	single
	rest
)

// parsePattern reads "[METHOD ]/path". It takes the form of net/http's
// patterns, without hosts, and without a slash at the end: a path here has none.
func parsePattern(text string) (pattern, error) {
	var p pattern
	if len(text) > maxPattern || !utf8.ValidString(text) {
		return p, fmt.Errorf("the pattern has more than %d bytes, or is not UTF-8", maxPattern)
	}
	path := text
	if method, after, ok := strings.Cut(text, " "); ok {
		switch {
		case method == http.MethodHead:
			return p, errors.New("HEAD is answered by GET: write GET")
		case !slices.Contains(Methods, method):
			return p, fmt.Errorf("%q is no method that a route may name: %s", method, strings.Join(Methods, ", "))
		}
		p.method, path = method, after
	}
	if !strings.HasPrefix(path, "/") {
		return p, errors.New("the path must begin with a slash, after a method and one space or by itself")
	}
	if path == "/" {
		return p, errors.New(`"/" could mean the root alone, "/{$}", or everything, "/{path...}": write one of these`)
	}
	parts := strings.Split(path[1:], "/")
	if len(parts) > maxSegments {
		return p, fmt.Errorf("the pattern has more than %d segments", maxSegments)
	}
	params := map[string]bool{}
	for i, part := range parts {
		last := i == len(parts)-1
		if part == "{$}" && last {
			break
		}
		s, err := parseSegment(part, last)
		if err != nil {
			return p, err
		}
		if s.kind != literal && params[s.text] {
			return p, fmt.Errorf("the parameter %s stands twice", s.text)
		}
		if s.kind != literal {
			params[s.text] = true
		}
		p.segments = append(p.segments, s)
	}
	if len(params) > MaxParams {
		return p, fmt.Errorf("the pattern has more than %d parameters", MaxParams)
	}
	return p, nil
}

func parseSegment(part string, last bool) (segment, error) {
	switch {
	case part == "" && last:
		return segment{}, errors.New("a path has no slash at its end; {name...} stands for all below")
	case part == "":
		return segment{}, errors.New("a path has no empty segments")
	case part == "." || part == ".." || strings.HasPrefix(part, ".;") || strings.HasPrefix(part, "..;"):
		return segment{}, errors.New("a path with dot segments is refused before it is routed")
	case part[0] != '{':
		if at := strings.IndexFunc(part, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`{}%\?#`, r) }); at >= 0 {
			return segment{}, fmt.Errorf("the segment %q has %q in it: write it decoded, a parameter as a whole segment, and no query", part, part[at])
		}
		return segment{literal, part}, nil
	}
	name, ok := strings.CutSuffix(part[1:], "}")
	name, all := strings.CutSuffix(name, "...")
	switch {
	case !ok || !identifier(name):
		return segment{}, fmt.Errorf("the segment %q is no parameter: write {name}, or {name...} at the end", part)
	case all && !last, name == "$":
		return segment{}, fmt.Errorf("%s must be the last segment", part)
	case all:
		return segment{rest, name}, nil
	}
	return segment{single, name}, nil
}

// relation says how the requests of one pattern lie to those of another.
type relation uint8

const (
	equal relation = iota
	within
	around
	apart
	crossing // each has requests that the other has not, and some are of both
)

// compare says how p's requests lie to q's.
func (p pattern) compare(q pattern) relation {
	r := equal
	switch {
	case p.method == q.method:
	case q.method == "":
		r = within
	case p.method == "":
		r = around
	default:
		return apart
	}
	ps, pAll := p.fixed()
	qs, qAll := q.fixed()
	for i := range min(len(ps), len(qs)) {
		r = r.and(ps[i].compare(qs[i]))
	}
	switch {
	case len(ps) < len(qs) && !pAll, len(ps) > len(qs) && !qAll:
		return apart
	case len(ps) < len(qs), len(ps) == len(qs) && pAll && !qAll:
		r = r.and(around)
	case len(ps) > len(qs), qAll && !pAll:
		r = r.and(within)
	}
	return r
}

// fixed are the segments that stand for exactly one each, and whether more may follow.
func (p pattern) fixed() (segments []segment, all bool) {
	if n := len(p.segments); n > 0 && p.segments[n-1].kind == rest {
		return p.segments[:n-1], true
	}
	return p.segments, false
}

func (s segment) compare(t segment) relation {
	switch {
	case s.kind == literal && t.kind == literal && s.text != t.text:
		return apart
	case s.kind == literal && t.kind == single:
		return within
	case s.kind == single && t.kind == literal:
		return around
	}
	return equal
}

// and is the relation of two sets that are cut from two others.
func (r relation) and(s relation) relation {
	switch {
	case r == apart || s == apart:
		return apart
	case r == equal || r == s:
		return s
	case s == equal:
		return r
	}
	return crossing
}

// clash says why two patterns cannot stand beside each other; empty: they can.
func (p pattern) clash(q pattern) string {
	switch p.compare(q) {
	case equal:
		return "answer the same requests"
	case crossing:
		return "both answer some requests, and neither is the more specific"
	}
	return ""
}
