package function

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/internal/platform"
)

// RouteSpec is a route as the manifest has it. Zero fields mean what the
// handler has.
type RouteSpec struct {
	Path      string        `json:"path"`           // "GET /customers/{customerId}"
	Handler   string        `json:"handler"`        // of a program always ProgramHandler
	Auth      string        `json:"auth,omitempty"` // AuthKey, AuthNone, AuthSignature
	Group     string        `json:"group,omitempty"`
	Scopes    []string      `json:"scopes,omitempty"`
	BodyLimit int64         `json:"bodyLimit,omitempty"` // bytes
	Timeout   time.Duration `json:"timeout,omitempty"`   // nanoseconds
	// Signature says how callbacks are verified where Auth is AuthSignature.
	Signature *platform.Signature `json:"signature,omitempty"`
	RuleSpec
}

// What a route may say of who is let in. AuthNone opens exactly that route,
// whatever the module's auth export says, and is told at each deploy.
const (
	AuthKey  = "key"
	AuthNone = "none"
)

// What a manifest may say of styles.
const (
	styleEvent   = "event"
	styleContext = "context"
	formatSimple = "simple"
	formatV2     = "v2"
)

// maxRoutes bounds how long it takes to compare each route with each.
const maxRoutes = 500

// groupPattern is that of the groups of keys.
var groupPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CallStyle is the style that workers are told of: "event", "context", or empty
// for what the module's exports say. Functions of the other source know no
// events, whatever they export.
func (m Manifest) CallStyle() string {
	if m.Source == SourceSinch {
		return styleContext
	}
	return m.Style
}

func (m Manifest) validStyle() error {
	switch {
	case m.Style != "" && m.Style != styleEvent && m.Style != styleContext:
		return fmt.Errorf("style cannot be %.64q", m.Style)
	case m.EventFormat != "" && m.EventFormat != formatSimple && m.EventFormat != formatV2:
		return fmt.Errorf("eventFormat cannot be %.64q", m.EventFormat)
	}
	return nil
}

// addresses reads where handlers answer, and how they are called.
func (p *parser) addresses(f member) (err error) {
	switch f.key {
	case "style":
		if p.m.Style, err = p.text(f); err == nil && p.m.validStyle() != nil {
			err = p.fail(f.value.offset, `write "event" for handler(event, context), "context" for handler(context, request)`, "style cannot be %q", p.m.Style)
		}
	case "eventFormat":
		if p.m.EventFormat, err = p.text(f); err == nil && p.m.validStyle() != nil {
			err = p.fail(f.value.offset, `write "simple", or "v2" for the payload of API Gateway, version 2.0`, "eventFormat cannot be %q", p.m.EventFormat)
		}
	default:
		err = p.routes(f)
	}
	return err
}

func (p *parser) routes(f member) error {
	if !f.value.isList {
		return p.fail(f.value.offset, `write: "routes": [{ "path": "GET /customers/{id}", "handler": "customer" }]`, "routes must be a list")
	}
	if len(f.value.list) > maxRoutes {
		return p.fail(f.value.offset, "use patterns with parameters", "there are more than %d routes", maxRoutes)
	}
	known := routeSet{program: p.program}
	number := 0
	return all(f.value.list, func(n node) error {
		number++
		if !n.isObject {
			return p.fail(n.offset, `write: { "path": "GET /customers/{id}", "handler": "customer" }`, "route %d must be an object", number)
		}
		r, err := p.route(n, number)
		if err != nil {
			return err
		}
		if err := known.add(r); err != nil {
			return p.fail(n.offset, "", "%s", err)
		}
		p.m.Routes = append(p.m.Routes, r)
		return nil
	})
}

func (p *parser) route(n node, number int) (r RouteSpec, err error) {
	of := fmt.Sprintf("route %d", number)
	for _, f := range n.object {
		switch f.key {
		case "path":
			r.Path, err = p.text(f)
		case "handler":
			if r.Handler, err = p.text(f); err == nil && !p.program {
				p.names(r.Handler, f.value.offset)
			}
		case "group":
			r.Group, err = p.text(f)
		case "auth":
			if r.Auth, err = p.text(f); err == nil && !knownAuth(r.Auth) {
				err = p.fail(f.value.offset, `write "key", "signature", or "none" to open this route to everyone`, "auth of %s cannot be %q", of, r.Auth)
			}
		case "scopes":
			r.Scopes, err = p.scopes(f, of)
		case "bodyLimit":
			err = p.size(f, &r.BodyLimit, of)
		case "timeout":
			err = p.duration(f, &r.Timeout, of)
		case "signature":
			r.Signature, err = p.signature(f, of)
		case "credentials", "addresses", "rate", "cors":
			err = p.rule(&r.RuleSpec, f, of)
		default:
			err = p.unknownOption(f, slices.Concat([]string{"path", "handler", "auth", "group", "scopes", "bodyLimit", "timeout", "signature"}, ruleFields), of)
		}
		if err != nil {
			return r, err
		}
	}
	if p.program && r.Handler != "" && r.Handler != ProgramHandler {
		return r, p.fail(n.offset, "leave handler out: every route of a program leads to it", "%s names the handler %.64q, and a program has no exports", of, r.Handler)
	}
	if p.program {
		r.Handler = ProgramHandler
	}
	if r.Path == "" || r.Handler == "" {
		return r, p.fail(n.offset, `write: { "path": "GET /customers/{id}", "handler": "customer" }`, "%s must have a path and a handler", of)
	}
	return r, nil
}

func (p *parser) scopes(f member, of string) (out []string, err error) {
	for _, n := range f.value.list {
		s, _ := n.value.(string)
		if !knownScope(s) || slices.Contains(out, s) {
			return nil, p.fail(n.offset, `a key has the scopes "invoke" and "control"`, "scopes of %s has something that is no scope, or stands twice", of)
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, p.fail(f.value.offset, `write: "scopes": ["control"], or nothing: "invoke" is always needed`, "scopes of %s must be a list with something in it", of)
	}
	return out, nil
}

func knownScope(s string) bool {
	return s == string(platform.ScopeInvoke) || s == string(platform.ScopeControl)
}

func knownAuth(s string) bool { return s == AuthKey || s == AuthNone || s == AuthSignature }

// routeSet are routes that can stand beside one another.
type routeSet struct {
	program  bool // they lead to a program: no name of a handler means anything
	patterns []pattern
	texts    []string
}

func (s *routeSet) add(r RouteSpec) error {
	p, err := parsePattern(r.Path)
	if err != nil {
		return fmt.Errorf("the route %.128q: %w", r.Path, err)
	}
	if s.program {
		err = programHealth(r, p)
	} else if n := len(p.segments); n > 0 && p.segments[n-1].kind == literal && (n == 1 && p.segments[0].text == "health" || IsCallback(p.segments[n-1].text)) {
		err = fmt.Errorf("the route %q is kept: /health is open on every function, and %s are callbacks on any path", r.Path, strings.Join(callbackNames, ", "))
	}
	if err != nil {
		return err
	}
	for i, q := range s.patterns {
		if why := p.clash(q); why != "" {
			return fmt.Errorf("the routes %q and %q %s", s.texts[i], r.Path, why)
		}
	}
	if r.Group != "" && !groupPattern.MatchString(r.Group) {
		return fmt.Errorf("the route %q: %.64q is no name of a group: use at most 64 letters, digits, dots, hyphens and underscores", r.Path, r.Group)
	}
	if r.Signature != nil && r.Auth != AuthSignature {
		return fmt.Errorf("the route %q has a signature, which is only looked at with \"auth\": %q", r.Path, AuthSignature)
	}
	if r.Auth == AuthSignature && (r.Group != "" || len(r.Scopes) > 0) {
		return fmt.Errorf("the route %q is guarded by signature: no group or scope can be asked for", r.Path)
	}
	if r.Auth == AuthNone && (r.Group != "" || len(r.Scopes) > 0) {
		return fmt.Errorf("the route %q is open to everyone: no group or scope can be asked for", r.Path)
	}
	if err := r.check(r.Auth != AuthNone && r.Auth != AuthSignature); err != nil {
		return fmt.Errorf("the route %q %w", r.Path, err)
	}
	s.patterns, s.texts = append(s.patterns, p), append(s.texts, r.Path)
	return nil
}

// validRoutes checks routes that no parser of ours has read.
func validRoutes(rs []RouteSpec, program bool) error {
	if len(rs) > maxRoutes {
		return fmt.Errorf("there are more than %d routes", maxRoutes)
	}
	known := routeSet{program: program}
	for _, r := range rs {
		if err := known.add(r); err != nil {
			return err
		}
		if slices.ContainsFunc(r.Scopes, func(s string) bool { return !knownScope(s) }) {
			return fmt.Errorf("the route %q asks for a scope that there is not", r.Path)
		}
		if _, ok := kindOf(r.Handler); !ok || r.Auth != "" && !knownAuth(r.Auth) {
			return fmt.Errorf("the route %q has no handler, or an auth that there is not", r.Path)
		}
		if r.BodyLimit < 0 || r.BodyLimit > maxBodyLimit || r.Timeout < 0 || r.Timeout > MaxTimeout {
			return errors.New("route options out of range")
		}
	}
	return nil
}
