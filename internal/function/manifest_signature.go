package function

import (
	"fmt"
	"slices"
	"strings"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
)

// AuthSignature guards a route by its sender's signature: as the route's own
// signature says, else as that of its handler.
const AuthSignature = "signature"

const signatureExample = `write: "signature": { "scheme": "github", "secrets": ["GITHUB_SECRET"] }`

// mention is a variable or a secret that is named somewhere, to be looked for when the
// whole manifest is read.
type mention struct {
	name   string
	offset int64
	of     string
}

// signature reads how callbacks are signed.
func (p *parser) signature(f member, of string) (*platform.Signature, error) {
	if !f.value.isObject {
		return nil, p.fail(f.value.offset, signatureExample, "signature of %s must be an object", of)
	}
	s := &platform.Signature{}
	for _, o := range f.value.object {
		if err := p.signatureField(s, o, of); err != nil {
			return nil, err
		}
	}
	if _, err := signature.Named(s); err != nil {
		hint := signatureExample
		if near := Nearest(s.Scheme, signature.Names); near != "" && near != s.Scheme {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, p.fail(f.value.offset, hint, "signature of %s: %s", of, err)
	}
	return s, nil
}

func (p *parser) signatureField(s *platform.Signature, f member, of string) (err error) {
	switch f.key {
	case "scheme":
		s.Scheme, err = p.text(f)
	case "secrets":
		for _, n := range f.value.list {
			name, _ := n.value.(string)
			s.Secrets = append(s.Secrets, name)
			p.mentions = append(p.mentions, mention{name, n.offset, of})
		}
		if len(s.Secrets) == 0 {
			err = p.fail(f.value.offset, signatureExample, "secrets of %s must be a list of names of secrets or variables", of)
		}
	case "keyId":
		if s.KeyID, err = p.text(f); err == nil {
			p.mentions = append(p.mentions, mention{s.KeyID, f.value.offset, of})
		}
	case "window":
		err = p.duration(f, &s.Window, of)
	case "custom":
		s.Custom, err = p.customScheme(f, of)
	default:
		err = p.unknownOption(f, []string{"scheme", "secrets", "keyId", "window", "custom"}, "the signature of "+of)
	}
	return err
}

func (p *parser) customScheme(f member, of string) (*platform.SignatureScheme, error) {
	if !f.value.isObject {
		return nil, p.fail(f.value.offset, `write: "custom": { "header": "X-Signature" }`, "custom of %s must be an object", of)
	}
	c := &platform.SignatureScheme{}
	var known []string
	into := map[string]*string{}
	for _, f := range signature.Fields(c) {
		known, into[f.Name] = append(known, f.Name), f.Value
	}
	for _, o := range f.value.object {
		field := into[o.key]
		if field == nil {
			return nil, p.unknownOption(o, known, "the scheme of "+of)
		}
		var err error
		if *field, err = p.text(o); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// declared checks that each secret that is named is one that the function has
// or says it will have: a misspelt name would shut the door for good.
func (p *parser) declared() error {
	for _, s := range p.mentions {
		if !p.m.has(s.name) {
			hint := fmt.Sprintf(`declare it: "secrets": [%q]`, s.name)
			if near := Nearest(s.name, p.m.names()); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			return p.fail(s.offset, hint, "signature of %s names %.64q, which the function has not", s.of, s.name)
		}
	}
	return nil
}

// validSignatures checks signatures that no parser of ours has read.
func (m Manifest) validSignatures() error {
	var all []*platform.Signature
	for _, o := range m.Handlers {
		all = append(all, o.Signature)
	}
	for _, r := range m.Routes {
		all = append(all, r.Signature)
	}
	for _, s := range all {
		if s == nil {
			continue
		}
		if _, err := signature.Named(s); err != nil {
			return err
		}
		for _, name := range append(slices.Clip(s.Secrets), s.KeyID) {
			if name != "" && !m.has(name) {
				return fmt.Errorf("a signature names %.64q, which the function has not", name)
			}
		}
	}
	return m.validProtection()
}

var protections = []signature.Protection{"", signature.ProtectDeploy, signature.ProtectAlways, signature.ProtectNever}

func (m Manifest) validProtection() error {
	if !slices.Contains(protections, m.WebhookProtection) {
		return fmt.Errorf("webhookProtection cannot be %.64q", m.WebhookProtection)
	}
	return nil
}

func (p *parser) webhookProtection(f member) error {
	s, err := p.text(f)
	if err != nil {
		return err
	}
	p.m.WebhookProtection = signature.Protection(s)
	if err := p.m.validProtection(); err != nil || s == "" {
		return p.fail(f.value.offset, `write "deploy", "always" or "never"`, "webhookProtection cannot be %q", s)
	}
	return nil
}

// signedBy reports by what the callbacks of a handler are verified: what the
// manifest says of it, or its name. A name counts for nothing where the
// module's auth names the handler too: its author wants an access key there.
func signedBy(m Manifest, d platform.Declaration, h platform.DeclaredHandler) (s *platform.Signature, byName bool) {
	if s := m.Handlers[h.Name].Signature; s != nil {
		return s, false
	}
	_, byName = signature.For(h.Name, h.Kind)
	return nil, byName && !slices.Contains(d.Auth.Names, h.Name)
}

func signedByName(h platform.Handler) bool {
	_, ok := signature.For(h.Name, h.Kind)
	return ok
}

// Unsigned lists the callbacks that are taken from anybody, because the
// manifest says never.
func Unsigned(hs []platform.Handler) (names []string) {
	for _, h := range hs {
		open := h.Guard == platform.GuardOpen && len(h.Routes) == 0
		for _, r := range h.Routes {
			open = open || r.Guard == platform.GuardOpen && !r.Loosened
		}
		if open && signedByName(h) {
			names = append(names, h.Name)
		}
	}
	return names
}

// callbackWarnings are sentences about callbacks that are not checked by
// signature.
func callbackWarnings(m Manifest, handlers []platform.Handler) (warnings []string) {
	if open := Unsigned(handlers); len(open) > 0 {
		why := "in dev"
		if m.WebhookProtection == signature.ProtectNever {
			why = "by webhookProtection never"
		}
		warnings = append(warnings, "callbacks of anybody are taken "+why+": "+strings.Join(open, ", "))
	}
	if _, set := m.Variables["WEBHOOK_PROTECTION"]; set && m.Source == SourceSinch && m.WebhookProtection == "" {
		warnings = append(warnings, `sinch.json: the variable WEBHOOK_PROTECTION decides nothing here; the field "webhookProtection" does`)
	}
	for _, h := range handlers {
		if g, callback := signature.For(h.Name, h.Kind); callback && h.Guard == platform.GuardKey {
			warnings = append(warnings, fmt.Sprintf("auth names %s: it asks for an access key, and not for the signature of its sender (%s)", h.Name, g.Scheme.Name()))
		}
	}
	return warnings
}

// asksOf is Asks, with the scheme of a signature.
func asksOf(h platform.Handler, guard platform.Guard, r platform.Rule) string {
	asks := Asks(r)
	if guard != platform.GuardSignature {
		return asks
	}
	g, err := signature.Of(r.Signature, h.Name, h.Kind)
	if err != nil {
		return asks
	}
	return strings.TrimSuffix(g.Scheme.Name()+"; "+asks, "; ")
}

// signedRoute is what a route that is guarded by signature is verified by, and
// nothing that would not be looked at.
func signedRoute(r RouteSpec, route *platform.Route, h platform.Handler) error {
	if route.Guard != platform.GuardSignature {
		return nil
	}
	if route.Signature = r.Signature; r.Signature == nil {
		route.Signature = h.Signature
	}
	if _, err := signature.Of(route.Signature, h.Name, h.Kind); err != nil {
		return fmt.Errorf("the route %q asks for a signature, but %w", r.Path, err)
	}
	if r.Group != "" || len(r.Scopes) > 0 {
		return fmt.Errorf("the route %q is guarded by signature: no group or scope can be asked for", r.Path)
	}
	return nil
}
