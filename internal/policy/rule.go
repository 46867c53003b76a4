package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
)

// What auth may be.
const (
	authKey       = "key"
	authNone      = "none"
	authSignature = "signature"
)

type reader = func(*yaml.Node) error

func (p *parser) document(n *yaml.Node) error {
	version := false
	err := p.fields(n, "the document", map[string]reader{
		"version": func(n *yaml.Node) error {
			version = true
			_, err := p.number(n, "version", Version, Version)
			return err
		},
		"groups": func(n *yaml.Node) error {
			return p.each(n, "groups", func(k, v *yaml.Node) error {
				g := platform.GroupPolicy{Name: k.Value}
				if !function.ValidGroup(g.Name) {
					return p.fail(k, "use at most 64 letters, digits, dots, hyphens and underscores", "%.64q is no name of a group", g.Name)
				}
				p.mark(k, "group/"+g.Name)
				err := p.fields(v, "group "+g.Name, p.shared(&g.Rule, "group "+g.Name))
				p.doc.Groups = append(p.doc.Groups, g)
				return err
			})
		},
		"functions": func(n *yaml.Node) error { return p.each(n, "functions", p.function) },
		"upstreams": func(n *yaml.Node) error { return p.each(n, "upstreams", p.upstream) },
		"keys":      p.keys,
	})
	if err == nil && !version {
		err = p.fail(n, "add the line: version: 1", "the field version is missing")
	}
	for _, u := range p.doc.Upstreams {
		if err == nil && slices.ContainsFunc(p.doc.Functions, func(f platform.FunctionPolicy) bool { return f.Name == u.Name }) {
			err = p.doc.refuse("upstream/"+u.Name, "choose another name for one of them", "the upstream %s is named like a function", u.Name)
		}
	}
	return err
}

func (p *parser) function(k, v *yaml.Node) error {
	f := platform.FunctionPolicy{Name: k.Value}
	of, path := "function "+f.Name, "function/"+f.Name
	if err := function.ValidName(f.Name); err != nil {
		return p.fail(k, "use the name in its manifest", "%.64q is no name of a function", f.Name)
	}
	p.mark(k, path)
	entries := func(what string, into *[]platform.Governed) reader {
		return func(n *yaml.Node) error {
			return p.each(n, what+"s of "+of, func(k, v *yaml.Node) error {
				e := platform.Governed{Name: k.Value}
				of := fmt.Sprintf("%s %q of %s", what, e.Name, of)
				if e.Name == "" || len(e.Name) > 512 {
					return p.fail(k, "", "%.64q is no name of a %s", e.Name, what)
				}
				p.mark(k, path+"/"+what+"/"+e.Name)
				readers := p.entry(&e.Guard, &e.Rule, of)
				if err := p.fields(v, of, readers); err != nil {
					return err
				}
				*into = append(*into, e)
				return p.guarded(k, e.Guard, e.Rule, of)
			})
		}
	}
	err := p.fields(v, of, map[string]reader{
		"visibility": func(n *yaml.Node) error { return p.private(n, &f.Visibility, of) },
		"rule": func(n *yaml.Node) error {
			readers := p.shared(&f.Rule, "rule of "+of)
			readers["group"], readers["cors"] = p.group(&f.Rule, "rule of "+of), p.cors(&f.Rule, "rule of "+of)
			return p.fields(n, "rule of "+of, readers)
		},
		"handlers": entries("handler", &f.Handlers),
		"routes":   entries("route", &f.Routes),
	})
	p.doc.Functions = append(p.doc.Functions, f)
	return err
}

// private reads a visibility. Public is what is said by saying nothing: it
// would loosen what a manifest says.
func (p *parser) private(n *yaml.Node, into *platform.Visibility, of string) error {
	s, err := p.word(n, "visibility of "+of, string(platform.Private))
	*into = platform.Visibility(s)
	return err
}

// shared are the fields of a rule that may hold for many addresses at once.
func (p *parser) shared(r *platform.Rule, of string) map[string]reader {
	return map[string]reader{
		"scopes": func(n *yaml.Node) error {
			ss, err := p.scopes(n, "scopes of "+of)
			r.Scopes = ss
			return err
		},
		"credentials": func(n *yaml.Node) (err error) {
			if r.Methods, err = p.texts(n, "credentials of "+of); err != nil {
				return err
			}
			for i, way := range r.Methods {
				if err := function.CheckCredential(way); err != nil {
					return p.fail(n.Content[i], function.CredentialsHint, "credentials of %s: %s", of, err)
				}
			}
			return nil
		},
		"addresses": func(n *yaml.Node) (err error) {
			r.Addresses, err = p.networks(n, "addresses of "+of)
			return err
		},
		"rate": func(n *yaml.Node) (err error) {
			r.Limits, err = p.rates(n, "rate of "+of)
			return err
		},
		"bodyLimit": func(n *yaml.Node) error {
			size, err := function.ParseSize(n.Value)
			if n.Kind != yaml.ScalarNode || err != nil {
				return p.fail(n, "write a number of bytes, or 10MiB", "bodyLimit of %s is no size", of)
			}
			r.BodyLimit = size
			return nil
		},
		"timeout": func(n *yaml.Node) (err error) {
			r.Timeout, err = p.duration(n, "timeout of "+of, function.MaxTimeout)
			return err
		},
	}
}

// entry are the fields of what is of one exact handler or route.
func (p *parser) entry(g **platform.Guard, r *platform.Rule, of string) map[string]reader {
	readers := p.shared(r, of)
	readers["auth"] = func(n *yaml.Node) error {
		s, err := p.word(n, "auth of "+of, authKey, authNone, authSignature)
		guard := map[string]platform.Guard{authKey: platform.GuardKey, authNone: platform.GuardOpen, authSignature: platform.GuardSignature}[s]
		*g = &guard
		return err
	}
	readers["group"], readers["cors"] = p.group(r, of), p.cors(r, of)
	readers["signature"] = func(n *yaml.Node) (err error) {
		r.Signature, err = p.signature(n, "signature of "+of)
		return err
	}
	return readers
}

// guarded refuses an entry that contradicts itself.
func (p *parser) guarded(n *yaml.Node, g *platform.Guard, r platform.Rule, of string) error {
	if g == nil || *g == platform.GuardKey {
		if g != nil && r.Signature != nil {
			return p.fail(n, "write auth: signature", "%s asks for a key, so its signature would not be looked at", of)
		}
		return nil
	}
	if r.Group != "" || len(r.Scopes) > 0 || len(r.Methods) > 0 {
		return p.fail(n, "remove them, or write auth: key", "%s asks for no access key: no group, scope or credential can be asked for", of)
	}
	if *g == platform.GuardOpen && r.Signature != nil {
		return p.fail(n, "write auth: signature", "%s is open to everyone, so its signature would not be looked at", of)
	}
	return nil
}

func (p *parser) group(r *platform.Rule, of string) reader {
	return func(n *yaml.Node) (err error) {
		if r.Group, err = p.text(n, "group of "+of); err == nil && !function.ValidGroup(r.Group) {
			err = p.fail(n, "use at most 64 letters, digits, dots, hyphens and underscores", "%.64q is no name of a group", r.Group)
		}
		return err
	}
}

func (p *parser) scopes(n *yaml.Node, of string) (out []platform.Scope, err error) {
	ss, err := p.texts(n, of)
	for i, s := range ss {
		sc := platform.Scope(s)
		if err == nil && sc != platform.ScopeInvoke && sc != platform.ScopeControl {
			err = p.fail(n.Content[i], "a key has the scopes invoke and control", "%s has %.64q, which is no scope", of, s)
		}
		out = append(out, sc)
	}
	return out, err
}

// networks reads address ranges; an address alone is a range of one.
func (p *parser) networks(n *yaml.Node, of string) (out []netip.Prefix, err error) {
	ss, err := p.texts(n, of)
	if err != nil {
		return nil, err
	}
	if len(ss) > function.MaxAddresses {
		return nil, p.fail(n, "", "%s has more than %d ranges", of, function.MaxAddresses)
	}
	for i, s := range ss {
		prefix, err := platform.ParseNetwork(s)
		if err != nil {
			return nil, p.fail(n.Content[i], "write it like 192.0.2.0/24, 192.0.2.7 or 2001:db8::/32", "%s: %s", of, err)
		}
		if slices.Contains(out, prefix) {
			return nil, p.fail(n.Content[i], "", "%s has %s twice", of, prefix)
		}
		out = append(out, prefix)
	}
	return out, nil
}

// rates reads one limit or a list of them.
func (p *parser) rates(n *yaml.Node, of string) (out []platform.RateLimit, err error) {
	one := func(n *yaml.Node) error {
		s, err := p.text(n, of)
		if err != nil {
			return err
		}
		l, err := function.ParseRate(s)
		if err == nil {
			err = l.Check()
		}
		if err != nil {
			return p.fail(n, "", "%s: %s", of, err)
		}
		if slices.Contains(out, l) {
			return p.fail(n, "", "%s has %s twice", of, function.FormatRate(l))
		}
		out = append(out, l)
		return nil
	}
	if n.Kind == yaml.ScalarNode {
		return out, one(n)
	}
	if len(n.Content) > function.MaxRates {
		return nil, p.fail(n, "", "%s has more than %d limits", of, function.MaxRates)
	}
	err = p.list(n, of, one)
	return out, err
}

// networkText is a range as it is written; one of a single address is that.
func networkText(n netip.Prefix) string {
	if n.IsSingleIP() {
		return n.Addr().String()
	}
	return n.String()
}

func (p *parser) duration(n *yaml.Node, of string, most time.Duration) (time.Duration, error) {
	s, err := p.text(n, of)
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > most {
		return 0, p.fail(n, fmt.Sprintf("write 30s or 5m, at most %v", most), "%s is no such duration", of)
	}
	return d, nil
}

func (p *parser) cors(r *platform.Rule, of string) reader {
	of = "cors of " + of
	return func(n *yaml.Node) error {
		c := &platform.CORS{}
		texts := func(into *[]string, what string) reader {
			return func(n *yaml.Node) (err error) {
				*into, err = p.texts(n, what+" of "+of)
				return err
			}
		}
		err := p.fields(n, of, map[string]reader{
			"origins": texts(&c.Origins, "origins"),
			"methods": texts(&c.Methods, "methods"),
			"headers": texts(&c.Headers, "headers"),
			"expose":  texts(&c.Expose, "expose"),
			"credentials": func(n *yaml.Node) (err error) {
				c.Credentials, err = p.flag(n, "credentials of "+of)
				return err
			},
			"maxAge": func(n *yaml.Node) (err error) {
				c.MaxAge, err = p.duration(n, "maxAge of "+of, function.MaxCORSAge)
				return err
			},
		})
		if err != nil {
			return err
		}
		if err := function.CheckCORS(c); err != nil {
			return p.fail(n, "write: cors: { origins: [https://shop.example] }", "%s: %s", of, err)
		}
		r.CORS = c
		return nil
	}
}

func (p *parser) signature(n *yaml.Node, of string) (*platform.Signature, error) {
	s := &platform.Signature{}
	text := func(into *string, what string) reader {
		return func(n *yaml.Node) (err error) {
			*into, err = p.text(n, what+" of "+of)
			return err
		}
	}
	err := p.fields(n, of, map[string]reader{
		"scheme": text(&s.Scheme, "scheme"),
		"keyId":  text(&s.KeyID, "keyId"),
		"secrets": func(n *yaml.Node) (err error) {
			s.Secrets, err = p.texts(n, "secrets of "+of)
			return err
		},
		"window": func(n *yaml.Node) (err error) {
			s.Window, err = p.duration(n, "window of "+of, function.MaxTimeout)
			return err
		},
		"custom": func(n *yaml.Node) error {
			c := &platform.SignatureScheme{}
			s.Custom = c
			readers := map[string]reader{}
			for _, f := range signature.Fields(c) {
				readers[f.Name] = text(f.Value, f.Name)
			}
			return p.fields(n, "custom of "+of, readers)
		},
	})
	if err != nil {
		return nil, err
	}
	if _, err := signature.Named(s); err != nil {
		hint := "write: { scheme: standard-webhooks, secrets: [WEBHOOK_SECRET] }"
		if near := function.Nearest(s.Scheme, signature.Names); near != "" && near != s.Scheme {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, p.fail(n, hint, "%s: %s", of, err)
	}
	return s, nil
}
