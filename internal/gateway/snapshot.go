package gateway

import (
	"maps"
	"strings"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
	"postern.dev/postern/internal/telemetry"
	"postern.dev/postern/internal/traffic"
	"postern.dev/postern/internal/upstream"
)

// snapshot is all that steps 1 to 5 read: who may call, and what there is to
// call. It is immutable; a change makes another one.
type snapshot struct {
	seq    int64 // of the last change that is in it
	keys   *auth.Directory
	bySlug map[string]*target
	byID   map[string]*target
	byName map[place]*target // for functions that call one another
	// policies are those in force, by project; one without a number could not be
	// read, and what it is above stays shut. The map is never written into.
	policies map[string]*platform.Policy
}

// target is one function with its active deployment, or with its candidate.
type target struct {
	function   platform.Function
	deployment platform.Deployment
	visibility platform.Visibility // Private where the manifest or the policy says so
	upstream   *upstream.Proxy     // nil of a function
	tunnel     bool                // its upstream is at the other end of one
	closed     bool                // its policy does not fit: no door opens
	sealed     bool                // a secret that it is checked with does not open
	routes     *function.Table
	verifiers  []*signature.Verifier // by door; nil where the guard is no signature, or nobody is let in
	doors      []door                // as the table numbers them
	metrics    *telemetry.Function
	traffic    *traffic.Function // nil of a tunnel
	resource                     // as a protected resource
	admin      *admin            // its own user; nil: it has none
	// candidate is the version that gets a part of the calls beside this one, and
	// trial how both do; nil: there is none. answers is this version's part of it.
	candidate *target
	trial     *trial
	answers   *answers
}

func emptySnapshot() *snapshot {
	return &snapshot{keys: auth.NewDirectory(), bySlug: map[string]*target{}, byID: map[string]*target{}, byName: map[place]*target{}, policies: map[string]*platform.Policy{}}
}

// with returns a snapshot that has the function, in place of its earlier form.
func (s *snapshot) with(t *target) *snapshot {
	next := s.without(t.function.ID)
	next.put(t)
	return next
}

// put makes a function, or an upstream, known by all its names. Where both have
// the same one, functions call the function.
func (s *snapshot) put(t *target) {
	f := &t.function
	if s.byID[f.ID] = t; !IsTunnel(f.Slug) {
		s.bySlug[f.Slug] = t
	}
	if at := (place{f.ProjectID, f.Name}); t.deployment.ID != "" || s.byName[at] == nil {
		s.byName[at] = t
	}
}

// remove undoes put.
func (s *snapshot) remove(t *target) {
	f := &t.function
	delete(s.bySlug, f.Slug)
	delete(s.byID, f.ID)
	if at := (place{f.ProjectID, f.Name}); s.byName[at] == t {
		delete(s.byName, at)
	}
}

// without returns a snapshot of its own that lacks the function.
func (s *snapshot) without(functionID string) *snapshot {
	next := *s
	next.bySlug, next.byID, next.byName = maps.Clone(s.bySlug), maps.Clone(s.byID), maps.Clone(s.byName)
	if old := s.byID[functionID]; old != nil {
		next.remove(old)
	}
	return &next
}

// find finds the function that a host and a canonical path address, and what
// of the path is the function's own: <slug>.<base>, <id>.<base>, or
// /fn/<slug>/… on any other host. A host below the base domain that names no
// function never falls back to the path.
func (s *snapshot) find(host, path, base string) (t *target, rest string) {
	name, rest := addressed(host, path, base)
	if name == "" {
		return nil, ""
	}
	return s.named(name), rest
}

// addressed is the name that a host and a path have of what they address; empty:
// none.
func addressed(host, path, base string) (name, rest string) {
	if label, ok := below(host, base); ok {
		return label, path
	}
	const prefix = "/fn/"
	if !strings.HasPrefix(path, prefix) {
		return "", ""
	}
	name = path[len(prefix):]
	rest = "/"
	if slash := strings.IndexByte(name, '/'); slash >= 0 {
		name, rest = name[:slash], name[slash:]
	}
	return name, rest
}

// named finds a function by ID or slug. The ID goes first: a slug is chosen by
// whoever deploys, and must not take the address of somebody's function.
func (s *snapshot) named(name string) *target {
	t := s.byID[name]
	if t == nil {
		t = s.bySlug[name]
	}
	return t
}

// below returns what stands before the base domain in a Host value, port and
// final dot aside. Host names do not distinguish case (RFC 9110 §4.2.3).
func below(host, base string) (label string, ok bool) {
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:colon]
	}
	host = strings.TrimSuffix(host, ".")
	n := len(host) - len(base) - 1
	if n <= 0 || host[n] != '.' || !strings.EqualFold(host[n+1:], base) {
		return "", false
	}
	return strings.ToLower(host[:n]), true
}
