package function

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// MaxTimeout is the longest that a call may be given.
const MaxTimeout = time.Hour

const maxBodyLimit = 1 << 40 // 1 TiB: more is a mistake

// Fields that the source's own tools write into sinch.json and that change
// nothing here.
var sinchFields = []string{"functionId", "tunnel", "createdResources", "projectId"}

var posternFields = []string{"$schema", "name", "runtime", "description", "variables", "secrets", "handlers", "routes", "style", "eventFormat", "webhookProtection", "visibility", "workers", "exclude", "command", "build", "include", "ready", "port"}

// ParseManifest checks a manifest's bytes. Errors name source, line and column.
func ParseManifest(source string, data []byte) (Manifest, []string, error) {
	p := newParser(source, data)
	if err := p.read(); err != nil {
		return Manifest{}, nil, err
	}
	return p.m, p.warnings, nil
}

// Flaw is something that is wrong in a manifest.
type Flaw struct {
	Line, Column int // from 1; a column is a character
	Text, Hint   string
}

// Named is where a manifest names a handler.
type Named struct {
	Handler      string
	Line, Column int
}

// Checked is all that can be told of a manifest.
type Checked struct {
	Manifest Manifest // as far as it could be read
	Warnings []string
	Flaws    []Flaw  // in the order of the file
	Handlers []Named // of a program none
}

// CheckManifest is ParseManifest for who corrects a manifest: it tells all that is
// wrong.
func CheckManifest(source string, data []byte) Checked {
	p := newParser(source, data)
	_ = p.read() // one of the flaws
	slices.SortStableFunc(p.flaws, func(a, b Flaw) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	return Checked{p.m, p.warnings, p.flaws, p.handlersAt}
}

func (p *parser) names(handler string, offset int64) {
	line, column := position(p.data, offset)
	p.handlersAt = append(p.handlersAt, Named{handler, line, column})
}

func newParser(source string, data []byte) *parser {
	return &parser{source: source, data: data, m: Manifest{Source: source}, named: map[string]int64{}}
}

// read reads the manifest, on past what is wrong as far as the rest can be told
// from it. It returns the first fault.
func (p *parser) read() error {
	root, err := parseJSON(p.data)
	if err != nil {
		at := err.(*syntaxError)
		return p.fail(at.offset, "correct the file at that place; it must be one JSON object", "%s", at.text)
	}
	if !root.isObject {
		return p.fail(root.offset, "", "the manifest must be an object: { \"name\": …, \"runtime\": \"node\" }")
	}
	if p.program = isProgram(p.source, root); p.program {
		p.m.Program = new(Program)
	}
	err = all(root.object, p.field)
	switch {
	case err != nil:
	case p.m.Name == "":
		return p.fail(root.offset, "add: \"name\": \"my-function\"", "the field name is missing")
	case p.m.Runtime == "":
		return p.fail(root.offset, "add: \"runtime\": \"node\"", "the field runtime is missing")
	default:
		if err = p.complete(root); err == nil {
			err = p.declared()
		}
	}
	return err
}

// all calls do with each of a list, also behind one that is wrong, and returns the
// first error.
func all[T any](list []T, do func(T) error) (first error) {
	for _, e := range list {
		if err := do(e); err != nil && first == nil {
			first = err
		}
	}
	return first
}

type parser struct {
	source     string
	data       []byte
	m          Manifest
	warnings   []string
	mentions   []mention        // of variables and secrets
	named      map[string]int64 // where each variable or secret stands
	program    bool             // the runtime is RuntimeHTTP
	flaws      []Flaw
	handlersAt []Named
}

func (p *parser) fail(offset int64, hint, format string, args ...any) error {
	line, column := position(p.data, offset)
	p.flaws = append(p.flaws, Flaw{line, column, fmt.Sprintf(format, args...), hint})
	e := fault.New(fault.Invalid, fmt.Sprintf("%s:%d:%d: %s", p.source, line, column, fmt.Sprintf(format, args...))).WithCode("manifest_invalid")
	if hint != "" {
		e.WithHint(hint)
	}
	return e
}

func (p *parser) field(f member) (err error) {
	if err := p.ofRuntime(f); err != nil {
		return err
	}
	switch f.key {
	case "$schema":
		_, err = p.text(f)
	case "name":
		if p.m.Name, err = p.text(f); err == nil {
			if bad := ValidName(p.m.Name); bad != nil {
				return p.fail(f.value.offset, bad.(*fault.Error).Hint, "%s", bad.Error())
			}
		}
	case "runtime":
		err = p.runtime(f)
	case "description":
		p.m.Description, err = p.text(f)
	case "variables":
		err = p.variables(f)
	case "secrets":
		err = p.secrets(f)
	case "handlers":
		err = p.handlers(f)
	case "routes", "style", "eventFormat":
		if p.source == SourceSinch {
			return p.unknown(f)
		}
		err = p.addresses(f)
	case "visibility":
		if p.source == SourceSinch {
			return p.unknown(f)
		}
		err = p.visibility(f)
	case "workers":
		if p.source == SourceSinch {
			return p.unknown(f)
		}
		err = p.workers(f)
	case "webhookProtection":
		err = p.webhookProtection(f)
	case "exclude":
		err = p.exclude(f)
	case "command", "build", "include", "ready", "port":
		if p.source == SourceSinch {
			return p.unknown(f)
		}
		err = p.programField(f)
	default:
		return p.unknown(f)
	}
	return err
}

func (p *parser) unknown(f member) error {
	if p.source == SourceSinch {
		if !slices.Contains(sinchFields, f.key) {
			p.warnings = append(p.warnings, fmt.Sprintf("sinch.json: the field %q is not used here", f.key))
		}
		return nil
	}
	hint := "the fields are: " + strings.Join(posternFields, ", ")
	if near := Nearest(f.key, posternFields); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return p.fail(f.offset, hint, "unknown field %q", f.key)
}

func (p *parser) text(f member) (string, error) {
	s, ok := f.value.value.(string)
	if !ok {
		return "", p.fail(f.value.offset, "", "%s must be a string", f.key)
	}
	return s, nil
}

var nodeRuntime = regexp.MustCompile(`^node(js)?[0-9]*(\.x)?$`)

func (p *parser) runtime(f member) error {
	s, err := p.text(f)
	if err != nil {
		return err
	}
	if p.program {
		p.m.Runtime = RuntimeHTTP
		return nil
	}
	if !nodeRuntime.MatchString(s) {
		return p.fail(f.value.offset, `use "runtime": "node", or "http" in postern.json for any program that serves HTTP`, "the runtime %q is not one that this version runs", s)
	}
	p.m.Runtime = RuntimeNode
	return nil
}

// visibility reads from where the function can be called.
func (p *parser) visibility(f member) error {
	switch s, err := p.text(f); {
	case err != nil:
		return err
	case s == string(platform.Private):
		p.m.Visibility = platform.Private
	case s != "public":
		return p.fail(f.value.offset, `write "private" for a function that only functions of its project call, or nothing`, "visibility cannot be %q", s)
	}
	return nil
}

func (p *parser) handlers(f member) error {
	if !f.value.isObject {
		return p.fail(f.value.offset, `write: "handlers": { "upload": { "body": "stream" } }`, "handlers must be an object")
	}
	p.m.Handlers = make(map[string]HandlerOptions, len(f.value.object))
	return all(f.value.object, func(h member) error {
		if !h.value.isObject {
			return p.fail(h.value.offset, "", "the options of handler %s must be an object", h.key)
		}
		p.names(h.key, h.offset)
		var o HandlerOptions
		err := all(h.value.object, func(opt member) error { return p.handlerOption(&o, h.key, opt) })
		p.m.Handlers[h.key] = o
		return err
	})
}

func (p *parser) handlerOption(o *HandlerOptions, handler string, f member) error {
	switch f.key {
	case "body":
		switch f.value.value {
		case "buffered":
			o.Body = platform.BodyBuffered
		case "stream":
			o.Body = platform.BodyStream
		default:
			return p.fail(f.value.offset, `write "buffered" or "stream"`, "body of handler %s is neither", handler)
		}
	case "bodyLimit":
		return p.size(f, &o.BodyLimit, "handler "+handler)
	case "timeout":
		return p.duration(f, &o.Timeout, "handler "+handler)
	case "signature":
		s, err := p.signature(f, "handler "+handler)
		o.Signature = s
		return err
	case "credentials", "addresses", "rate", "cors":
		return p.rule(&o.RuleSpec, f, "handler "+handler)
	default:
		return p.unknownOption(f, slices.Concat([]string{"body", "bodyLimit", "timeout", "signature"}, ruleFields), "handler "+handler)
	}
	return nil
}

func (p *parser) size(f member, into *int64, of string) error {
	n, ok := parseSize(f.value.value)
	if !ok {
		return p.fail(f.value.offset, `write a number of bytes, or "10MiB"`, "%s of %s is no size", f.key, of)
	}
	*into = n
	return nil
}

func (p *parser) duration(f member, into *time.Duration, of string) error {
	s, _ := f.value.value.(string)
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > MaxTimeout {
		return p.fail(f.value.offset, `write "30s" or "5m", at most "1h"`, "%s of %s is no duration", f.key, of)
	}
	*into = d
	return nil
}

func (p *parser) unknownOption(f member, known []string, of string) error {
	hint := "the options are: " + strings.Join(known, ", ")
	if near := Nearest(f.key, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return p.fail(f.offset, hint, "unknown option %q of %s", f.key, of)
}

// parseSize reads a number of bytes, or a whole number with a unit.
func parseSize(v any) (int64, bool) {
	if num, ok := v.(json.Number); ok {
		n, err := num.Int64()
		return n, err == nil && n > 0 && n <= maxBodyLimit
	}
	s, ok := v.(string)
	if !ok {
		return 0, false
	}
	for unit, factor := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if num, found := strings.CutSuffix(s, unit); found {
			n, err := strconv.ParseInt(strings.TrimSpace(num), 10, 32)
			return n * factor, err == nil && n > 0 && n*factor <= maxBodyLimit
		}
	}
	return 0, false
}

// Nearest is the known word closest to a mistyped one, or "" when none is close.
func Nearest(word string, known []string) string {
	if len(word) > 64 { // no slip of the pen, and the distance would be costly
		return ""
	}
	best, bestDistance := "", max(2, len(word)/3)+1
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two short words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
