package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// Row is one address with what is in force there.
type Row struct {
	Of       string // the function or the upstream
	Upstream bool
	Method   string // empty: any
	Path     string
	Handler  string // "built in" of the gateway's own answer; of an upstream its URL
	Guard    platform.Guard
	Private  bool // reachable by other functions of the project only
	Rule     platform.Rule
	Group    string // the effective one; empty where no key is asked for
	// Door is the handler's own name, and Pattern that of the route: by these the
	// gateway knows it. Empty of what is built in, and where it has no route.
	Door, Pattern string
	// From says where what is in force comes from, by the field's name: the
	// gateway, the function (its manifest or its auth export), or the policy.
	From map[string]string
	Line int // of the policy's entry for this very address; 0: none
}

// Public reports whether everybody may call.
func (r Row) Public() bool { return r.Guard == platform.GuardOpen && !r.Private }

// BuiltIn reports whether the gateway answers by itself, as at each function's /health.
func (r Row) BuiltIn() bool { return r.Handler == function.BuiltIn }

// Name is the address as people write it.
func (r Row) Name() string {
	return strings.TrimSpace(r.Of + " " + strings.TrimSpace(r.Method+" "+r.Path))
}

// Where something comes from.
const (
	FromGateway    = "gateway"
	FromDefault    = "default" // nobody said anything: closed
	FromManifest   = "manifest"
	FromAuthExport = "auth export"
	FromCallback   = "callback" // guarded by signature for its name
	FromPolicy     = "policy"
	FromGroup      = "group" // what the policy says of a group
)

// Table lists every address of functions, and of the upstreams of a policy, as
// it is under that policy; nil is none. d is the policy's document, for lines;
// it may be nil. A function that the policy does not fit is left out: it is shut.
func Table(functions []platform.ActiveFunction, p *platform.Policy, d *Document) []Row {
	var rows []Row
	if p == nil {
		p = &platform.Policy{}
	}
	for _, f := range functions {
		over := function.PolicyOf(p, f.Function.Name)
		hs, err := function.Govern(f.Deployment.Handlers, over, p.Groups)
		if err != nil {
			continue
		}
		private := function.VisibilityOf(f.Deployment, over) != platform.Public
		for _, r := range function.Describe(hs) {
			rows = append(rows, rowOf(f, hs, r, over, private, d))
		}
	}
	for _, u := range p.Upstreams {
		for _, r := range u.Routes {
			rows = append(rows, upstreamRow(u, r, p, d))
		}
	}
	return rows
}

func rowOf(f platform.ActiveFunction, hs []platform.Handler, r function.RouteRow, over *platform.FunctionPolicy, private bool, d *Document) Row {
	out := Row{Of: f.Function.Name, Method: r.Method, Path: r.Path, Handler: r.Handler, Private: private, From: map[string]string{"auth": FromGateway}}
	i := slices.IndexFunc(hs, func(h platform.Handler) bool { return answers(h, r) })
	if i < 0 || r.Path == "/health" { // which is open whatever anybody says
		out.Guard = platform.GuardOpen
		return out
	}
	now, was := hs[i], f.Deployment.Handlers[i]
	out.Door = now.Name
	path := "function/" + f.Function.Name + "/handler/" + now.Name
	rule, before, guard, guardBefore, loosened := now.Rule, was.Rule, now.Guard, was.Guard, false
	if at := slices.IndexFunc(now.Routes, func(x platform.Route) bool { return x.Pattern == strings.TrimSpace(r.Method+" "+r.Path) }); at >= 0 {
		rule, before, guard, guardBefore, loosened = now.Routes[at].Rule, was.Routes[at].Rule, now.Routes[at].Guard, was.Routes[at].Guard, was.Routes[at].Loosened
		out.Pattern = now.Routes[at].Pattern
		path = "function/" + f.Function.Name + "/route/" + out.Pattern
	}
	out.Guard, out.Rule = guard, rule
	out.From["auth"] = guardFrom(was, guardBefore, loosened, f.Deployment.Declaration)
	if said := guardSaid(over, now.Name, path); said != nil {
		out.From["auth"] = FromPolicy
	}
	out.sources(before, rule, f.Function.Name)
	if d != nil {
		out.Line = d.at[path].line
	}
	return out
}

// answers reports whether a row is of a handler. That of a WebSocket is told by
// its path.
func answers(h platform.Handler, r function.RouteRow) bool {
	if h.Kind == platform.HandlerSocket {
		return r.Handler == "WebSocket" && h.Name == r.Path
	}
	return h.Name == r.Handler
}

// guardSaid is the guard that a policy names for a door, of whichever entry.
func guardSaid(over *platform.FunctionPolicy, handler, path string) (g *platform.Guard) {
	for _, e := range over.Handlers {
		if e.Name == handler {
			g = e.Guard
		}
	}
	for _, e := range over.Routes {
		if strings.HasSuffix(path, "/route/"+e.Name) && e.Guard != nil {
			g = e.Guard
		}
	}
	return g
}

// guardFrom is who of the function decided a guard.
func guardFrom(h platform.Handler, g platform.Guard, loosened bool, d platform.Declaration) string {
	switch {
	case loosened, g != h.Guard:
		return FromManifest
	case g == platform.GuardSignature && h.Signature == nil:
		return FromCallback
	case g == platform.GuardSignature, g == platform.GuardOpen && slices.Contains(function.Unsigned([]platform.Handler{h}), h.Name):
		return FromManifest
	case d.Auth.Present:
		return FromAuthExport
	case g == platform.GuardKey:
		return FromDefault
	}
	return FromManifest
}

// sources says where what is in force comes from, by what it was before.
func (r *Row) sources(before, now platform.Rule, name string) {
	say := func(field string, there, same bool) {
		if there && same {
			r.From[field] = FromManifest
		} else if there {
			r.From[field] = FromPolicy
		}
	}
	if r.Guard == platform.GuardKey {
		r.Group = cmp.Or(now.Group, name)
		say("group", true, now.Group == before.Group)
		if now.Group == "" {
			r.From["group"] = FromDefault
		}
	}
	say("scopes", len(now.Scopes) > 0, len(now.Scopes) == len(before.Scopes))
	say("credentials", len(now.Methods) > 0, slices.Equal(now.Methods, before.Methods))
	say("addresses", len(now.Addresses) > 0, slices.Equal(now.Addresses, before.Addresses))
	say("cors", now.CORS != nil, now.CORS == before.CORS)
	say("signature", now.Signature != nil, now.Signature == before.Signature)
	say("bodyLimit", now.BodyLimit > 0, now.BodyLimit == before.BodyLimit)
	say("timeout", now.Timeout > 0, now.Timeout == before.Timeout)
	for _, l := range now.Limits {
		from := FromPolicy
		switch pool, _, _ := strings.Cut(l.Pool, ":"); {
		case pool == FromGroup:
			from = FromGroup
		case slices.Contains(before.Limits, l):
			from = FromManifest
		}
		r.From["rate "+function.FormatRate(l)] = from
	}
}

func upstreamRow(u platform.Upstream, r platform.UpstreamRoute, p *platform.Policy, d *Document) Row {
	out := Row{Of: u.Name, Upstream: true, Handler: u.URL, Guard: r.Guard, Private: u.Visibility != platform.Public, Rule: r.Rule, Door: u.Name, Pattern: r.Pattern, From: map[string]string{"auth": FromPolicy}}
	var ok bool
	if out.Method, out.Path, ok = strings.Cut(r.Pattern, " "); !ok {
		out.Method, out.Path = "", r.Pattern
	}
	if hs, err := function.GovernUpstream(u, p.Groups); err == nil {
		for _, x := range hs[0].Routes {
			if x.Pattern == r.Pattern {
				out.Rule = x.Rule
			}
		}
	}
	out.sources(platform.Rule{}, out.Rule, u.Name)
	if d != nil {
		out.Line = d.at["upstream/"+u.Name+"/route/"+r.Pattern].line
	}
	return out
}

// Limits are the rates of a row as people write them.
func (r Row) Limits() []string { return texts(r.Rule.Limits, function.FormatRate) }

// Addresses are the ranges of a row as people write them.
func (r Row) Addresses() []string { return texts(r.Rule.Addresses, networkText) }

// TimeoutSeconds is the row's timeout in seconds; 0: the gateway's.
func (r Row) TimeoutSeconds() float64 { return float64(r.Rule.Timeout) / float64(time.Second) }
