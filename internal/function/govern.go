package function

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// PolicyError says which line of a policy does not fit a function, so that who
// holds the document can point at it.
type PolicyError struct {
	Function string
	Handler  string // the entry that names it; empty: another one
	Route    string // likewise
	Group    string // the group whose rule it is
	Text     string
	Hint     string
}

func (e *PolicyError) Error() string { return e.Text }

// Unwrap gives the fault.
func (e *PolicyError) Unwrap() error {
	return fault.New(fault.Invalid, e.Text).WithCode("policy_invalid").WithHint(e.Hint)
}

// PolicyOf is what a policy says of the function of a name; never nil, so that
// what its group shares holds for a function that the policy does not name.
func PolicyOf(p *platform.Policy, name string) *platform.FunctionPolicy {
	if p != nil {
		for i := range p.Functions {
			if p.Functions[i].Name == name {
				return &p.Functions[i]
			}
		}
	}
	return &platform.FunctionPolicy{Name: name}
}

// VisibilityOf is from where a deployment can be called under a policy, which can
// make private what the manifest does not, and never public what it keeps.
func VisibilityOf(d platform.Deployment, p *platform.FunctionPolicy) platform.Visibility {
	if d.Visibility != platform.Public {
		return d.Visibility
	}
	return p.Visibility
}

// Govern lays a policy over the handlers of the function that it names. It
// returns handlers of its own; hs and what is in them stay as they are.
//
// No door comes out looser than it went in, but for the one whose very route,
// or whose handler that has no routes, the policy opens: auth none. Limits are
// those of both, and where the policy's stand for several addresses they share
// them: those of a function, of a handler and of a group are pools of that name.
// The error is a [*PolicyError].
func Govern(hs []platform.Handler, p *platform.FunctionPolicy, groups []platform.GroupPolicy) ([]platform.Handler, error) {
	if p == nil {
		p = &platform.FunctionPolicy{}
	}
	g := governor{policy: p, groups: groups}
	if err := g.known(hs); err != nil {
		return nil, err
	}
	out := make([]platform.Handler, len(hs))
	for i, h := range hs {
		var err error
		if out[i], err = g.handler(h); err != nil {
			return nil, err
		}
	}
	if asks(p.Rule) && !slices.ContainsFunc(out, keyed) {
		return nil, unasked(PolicyError{Function: p.Name})
	}
	return out, nil
}

// asks reports whether a rule asks something of a key.
func asks(r platform.Rule) bool { return r.Group != "" || len(r.Scopes) > 0 || len(r.Methods) > 0 }

// keyed reports whether any address of a handler asks for a key.
func keyed(h platform.Handler) bool {
	if len(h.Routes) == 0 {
		return h.Guard == platform.GuardKey
	}
	return slices.ContainsFunc(h.Routes, func(r platform.Route) bool { return r.Guard == platform.GuardKey })
}

func unasked(e PolicyError) error {
	e.Text = e.where() + " asks for no access key: no group, scope or credential can be asked for"
	e.Hint = "remove them, or write auth: key"
	return &e
}

type governor struct {
	policy *platform.FunctionPolicy
	groups []platform.GroupPolicy
}

// known refuses a policy that names what the function has not: it would guard
// nothing, and whoever wrote it would not know.
func (g *governor) known(hs []platform.Handler) error {
	var names, patterns []string
	for _, h := range hs {
		names = append(names, h.Name)
		for _, r := range h.Routes {
			patterns = append(patterns, r.Pattern)
		}
	}
	f := g.policy.Name
	for _, e := range g.policy.Handlers {
		if !slices.Contains(names, e.Name) {
			return missing(&PolicyError{Function: f, Handler: e.Name}, "handler", e.Name, names)
		}
	}
	for _, e := range g.policy.Routes {
		if !slices.Contains(patterns, e.Name) {
			return missing(&PolicyError{Function: f, Route: e.Name}, "route", e.Name, patterns)
		}
	}
	return nil
}

func missing(e *PolicyError, what, name string, known []string) error {
	e.Text = fmt.Sprintf("the function %s has no %s %.128q", e.Function, what, name)
	switch near := Nearest(name, known); {
	case near != "":
		e.Hint = fmt.Sprintf("did you mean %q?", near)
	case len(known) == 0:
		e.Hint = "its manifest names no routes: name handlers"
	default:
		e.Hint = "it has: " + strings.Join(known, ", ")
	}
	return e
}

func entry(list []platform.Governed, name string) *platform.Governed {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// door is one address on its way through the layers of a policy.
type door struct {
	guard    platform.Guard
	loosened bool
	routed   bool // it is one route of a handler, not all of it
	named    bool // how its callbacks are signed goes by the handler's name
	rule     platform.Rule
	at       PolicyError // the entry that is being laid over it
}

func (g *governor) handler(h platform.Handler) (platform.Handler, error) {
	e := entry(g.policy.Handlers, h.Name)
	if len(h.Routes) == 0 {
		d := door{guard: h.Guard, loosened: h.Loosened, named: signedByName(h), rule: h.Rule}
		err := g.lay(&d, h.Name, e, nil)
		h.Guard, h.Loosened, h.Rule = d.guard, d.loosened, d.rule
		return h, err
	}
	if e != nil && e.Guard != nil && *e.Guard == platform.GuardOpen {
		at := PolicyError{Function: g.policy.Name, Handler: h.Name, Text: fmt.Sprintf("the handler %s answers at %d routes: auth none opens one exact route, never all of a handler", h.Name, len(h.Routes)),
			Hint: fmt.Sprintf("write auth: none under routes, for example at %q", h.Routes[0].Pattern)}
		return h, &at
	}
	routes := make([]platform.Route, len(h.Routes))
	for i, r := range h.Routes {
		d := door{guard: r.Guard, loosened: r.Loosened, routed: true, named: signedByName(h), rule: r.Rule}
		d.rule.BodyLimit, d.rule.Timeout = cmp.Or(r.BodyLimit, h.BodyLimit), cmp.Or(r.Timeout, h.Timeout)
		if err := g.lay(&d, h.Name, e, entry(g.policy.Routes, r.Pattern)); err != nil {
			return h, err
		}
		routes[i] = platform.Route{Pattern: r.Pattern, Guard: d.guard, Loosened: d.loosened, Rule: d.rule}
	}
	if h.Routes = routes; e != nil && asks(e.Rule) && !keyed(h) {
		return h, unasked(PolicyError{Function: g.policy.Name, Handler: h.Name})
	}
	return h, nil
}

// layer is one rule of a policy, with the pool that its limits are in.
type layer struct {
	platform.Rule
	at    PolicyError
	pool  string
	exact bool // it is of this one door
}

// lay takes a door through the layers, from the widest to the most exact. Its
// guard and its group are decided first, and by the most exact that names one:
// what else is asked, and which group's rule holds, depends on them.
func (g *governor) lay(d *door, name string, handler, route *platform.Governed) error {
	f := g.policy.Name
	layers := []layer{{Rule: g.policy.Rule, at: PolicyError{Function: f}, pool: "function:" + f}}
	exact := handler
	if handler != nil {
		layers = append(layers, layer{handler.Rule, PolicyError{Function: f, Handler: name}, "handler:" + f + "/" + name, !d.routed})
		d.at = PolicyError{Function: f, Handler: name}
	}
	if route != nil {
		layers = append(layers, layer{route.Rule, PolicyError{Function: f, Route: route.Name}, "", true})
		if exact == nil || route.Guard != nil {
			exact, d.at = route, PolicyError{Function: f, Route: route.Name}
		}
	}
	if exact != nil {
		if err := d.protect(exact); err != nil {
			return err
		}
	}
	if err := d.join(layers); err != nil {
		return err
	}
	group := cmp.Or(d.rule.Group, f)
	for _, p := range g.groups {
		if p.Name == group && group != "" {
			layers = append(layers, layer{Rule: p.Rule, at: PolicyError{Function: f, Group: p.Name}, pool: "group:" + p.Name})
		}
	}
	for _, l := range layers {
		if err := d.add(l); err != nil {
			return err
		}
	}
	return nil
}

// join decides the group of a door that asks for a key.
func (d *door) join(layers []layer) error {
	own := d.rule.Group
	for _, l := range slices.Backward(layers) {
		switch {
		case l.Group == "" || d.guard != platform.GuardKey:
		case own != "" && l.Group != own:
			d.at = l.at
			return d.fail("name that group, or deploy the function without it", "%s cannot be in the group %s: its function says %s", d.at.where(), l.Group, own)
		case d.rule.Group == "":
			d.rule.Group = l.Group
		}
	}
	return nil
}

// fail is what is wrong at the entry that is being laid.
func (d *door) fail(hint, format string, args ...any) error {
	e := d.at
	e.Text, e.Hint = fmt.Sprintf(format, args...), hint
	return &e
}

// where names the entry that is being laid.
func (e PolicyError) where() string {
	switch {
	case e.Route != "":
		return fmt.Sprintf("the route %q", e.Route)
	case e.Handler != "":
		return "the handler " + e.Handler
	case e.Group != "":
		return "the group " + e.Group
	}
	return "the function " + e.Function
}

// protect decides the guard.
func (d *door) protect(e *platform.Governed) error {
	if e.Guard == nil {
		return nil
	}
	switch *e.Guard {
	case platform.GuardKey:
		if d.guard == platform.GuardSignature {
			return d.fail("remove auth: its senders have no access key", "%s takes callbacks, which are checked by signature, never by key", d.at.where())
		}
		d.loosened = false
	case platform.GuardOpen:
		d.loosened, d.rule.Signature = true, nil
	case platform.GuardSignature:
		if d.guard != platform.GuardSignature && e.Signature == nil && d.rule.Signature == nil && !d.named {
			return d.fail(`write: signature: { scheme: standard-webhooks, secrets: [WEBHOOK_SECRET] }`, "%s is to be checked by signature, and nothing says by which", d.at.where())
		}
		d.loosened = false
	default:
		return d.fail("", "%s has a guard that there is not", d.at.where())
	}
	if d.guard = *e.Guard; d.guard != platform.GuardKey {
		d.rule.Group, d.rule.Scopes, d.rule.Methods = "", nil, nil
	}
	return nil
}

// add lays one rule over the door. A rule over many doors asks for scopes and
// methods where a key is asked for; that of one door, at such a door only.
func (d *door) add(l layer) error {
	r := l.Rule
	d.at = l.at
	if d.guard == platform.GuardKey {
		if err := d.ask(r); err != nil {
			return err
		}
	} else if l.exact && asks(r) {
		return unasked(d.at)
	}
	if r.Signature != nil {
		if d.guard == platform.GuardSignature {
			d.rule.Signature = r.Signature
		} else if l.exact {
			return d.fail("write auth: signature beside it", "%s is not guarded by signature", d.at.where())
		}
	}
	if len(r.Addresses) > 0 {
		both := meet(d.rule.Addresses, r.Addresses)
		if len(both) == 0 {
			return d.fail("name addresses of those that may call already", "%s: no address may call that was allowed before", d.at.where())
		}
		d.rule.Addresses = both
	}
	for _, limit := range r.Limits {
		limit.Pool = cmp.Or(limit.Pool, l.pool)
		d.rule.Limits = append(slices.Clip(d.rule.Limits), limit)
	}
	if r.CORS != nil {
		d.rule.CORS = r.CORS
	}
	d.rule.BodyLimit, d.rule.Timeout = smaller(d.rule.BodyLimit, r.BodyLimit), time.Duration(smaller(int64(d.rule.Timeout), int64(r.Timeout)))
	return nil
}

// ask lays over what a key must have beside its group.
func (d *door) ask(r platform.Rule) error {
	for _, s := range r.Scopes {
		if !slices.Contains(d.rule.Scopes, s) {
			d.rule.Scopes = append(slices.Clip(d.rule.Scopes), s)
		}
	}
	if len(r.Methods) == 0 {
		return nil
	}
	both := r.Methods
	if len(d.rule.Methods) > 0 {
		both = nil
		for _, m := range d.rule.Methods {
			if slices.Contains(r.Methods, m) {
				both = append(both, m)
			}
		}
	}
	if len(both) == 0 {
		return d.fail("name one of them", "%s: a credential may be shown by %s, and by none of %s", d.at.where(), strings.Join(d.rule.Methods, ", "), strings.Join(r.Methods, ", "))
	}
	d.rule.Methods = both
	return nil
}

// smaller is the smaller of two limits of which zero is none.
func smaller(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// meet is the addresses that both lists allow; an empty list allows all.
func meet(a, b []netip.Prefix) []netip.Prefix {
	if len(a) == 0 {
		return slices.Clone(b)
	}
	var out []netip.Prefix
	add := func(p netip.Prefix) {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	for _, p := range a {
		for _, q := range b {
			switch {
			case p.Overlaps(q) && p.Bits() >= q.Bits():
				add(p)
			case p.Overlaps(q):
				add(q)
			}
		}
	}
	return out
}
