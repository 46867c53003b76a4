package function_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

func guard(g platform.Guard) *platform.Guard { return &g }

func governed(name string, g *platform.Guard, r platform.Rule) platform.Governed {
	return platform.Governed{Name: name, Guard: g, Rule: r}
}

func prefixes(texts ...string) (ps []netip.Prefix) {
	for _, s := range texts {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// orders is a function with each kind of door.
func orders() []platform.Handler {
	return []platform.Handler{
		{Name: "customers", Rule: platform.Rule{BodyLimit: 500, Timeout: 20 * time.Second}, Routes: []platform.Route{
			{Pattern: "GET /customers/{id}", Rule: platform.Rule{Group: "partner"}},
			{Pattern: "GET /prices", Guard: platform.GuardOpen, Loosened: true},
			{Pattern: "POST /customers", Rule: platform.Rule{BodyLimit: 900, Methods: []string{"bearer", "dpop"}}}}},
		{Name: "ice", Kind: platform.HandlerCallback, Guard: platform.GuardSignature},
		{Name: "refund", Rule: platform.Rule{Timeout: 10 * time.Second}},
		{Name: "status", Guard: platform.GuardOpen},
	}
}

func rate(text string) platform.RateLimit {
	l, err := function.ParseRate(text)
	if err != nil {
		panic(err)
	}
	return l
}

func pooled(text, pool string) platform.RateLimit {
	l := rate(text)
	l.Pool = pool
	return l
}

// doorsOf lists what is at each door of handlers, by its name.
func doorsOf(hs []platform.Handler) map[string]platform.Handler {
	out := map[string]platform.Handler{}
	for _, d := range function.NewTable(hs).Doors() {
		if d.Handler != nil {
			name := d.Pattern
			if name == "" {
				name = d.Handler.Name
			}
			out[name] = *d.Handler
		}
	}
	return out
}

func TestGovern(t *testing.T) {
	t.Parallel()
	ten := prefixes("10.0.0.0/8", "192.168.0.0/16")
	one := prefixes("10.1.0.0/16")
	p := &platform.FunctionPolicy{Name: "orders", Rule: platform.Rule{Methods: []string{"dpop", "basic"}, Limits: []platform.RateLimit{rate("100/s")}, BodyLimit: 700},
		Handlers: []platform.Governed{
			governed("customers", nil, platform.Rule{Limits: []platform.RateLimit{rate("7/s by key")}, Addresses: ten}),
			governed("refund", nil, platform.Rule{Group: "admin", Scopes: []platform.Scope{platform.ScopeControl}, Timeout: time.Hour}),
			governed("status", guard(platform.GuardKey), platform.Rule{})},
		Routes: []platform.Governed{
			governed("GET /customers/{id}", nil, platform.Rule{Addresses: one, Limits: []platform.RateLimit{rate("1/s")}}),
			governed("GET /prices", guard(platform.GuardKey), platform.Rule{}),
			governed("POST /customers", guard(platform.GuardOpen), platform.Rule{CORS: &platform.CORS{Origins: []string{"*"}}})}}
	groups := []platform.GroupPolicy{{Name: "partner", Rule: platform.Rule{Limits: []platform.RateLimit{rate("5/s by address")}}},
		{Name: "admin", Rule: platform.Rule{Methods: []string{"dpop"}, Addresses: one}}, {Name: "orders", Rule: platform.Rule{Timeout: time.Second}}, {Name: "other", Rule: platform.Rule{BodyLimit: 1}}}
	in := orders()
	hs, err := function.Govern(in, p, groups)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(orders(), in); diff != "" {
		t.Error("what was handed in was changed: ", diff)
	}
	all := pooled("100/s", "function:orders")
	of := pooled("7/s by key", "handler:orders/customers")
	got := map[string]platform.Handler{}
	for name, h := range doorsOf(hs) {
		got[name] = platform.Handler{Guard: h.Guard, Rule: h.Rule}
	}
	want := map[string]platform.Handler{
		"GET /customers/{id}": {Rule: platform.Rule{Group: "partner", Methods: []string{"dpop", "basic"}, Addresses: one, BodyLimit: 500, Timeout: 20 * time.Second,
			Limits: []platform.RateLimit{all, of, rate("1/s"), pooled("5/s by address", "group:partner")}}},
		"GET /prices": {Rule: platform.Rule{Methods: []string{"dpop", "basic"}, Addresses: ten, BodyLimit: 500, Timeout: time.Second, Limits: []platform.RateLimit{all, of}}},
		"POST /customers": {Guard: platform.GuardOpen, Rule: platform.Rule{Addresses: ten, BodyLimit: 700, Timeout: time.Second, Limits: []platform.RateLimit{all, of},
			CORS: &platform.CORS{Origins: []string{"*"}}}},
		"ice": {Guard: platform.GuardSignature, Rule: platform.Rule{BodyLimit: 700, Timeout: time.Second, Limits: []platform.RateLimit{all}}},
		"refund": {Rule: platform.Rule{Group: "admin", Scopes: []platform.Scope{platform.ScopeControl}, Methods: []string{"dpop"}, Addresses: one, BodyLimit: 700, Timeout: 10 * time.Second,
			Limits: []platform.RateLimit{all}}},
		"status": {Rule: platform.Rule{Methods: []string{"dpop", "basic"}, BodyLimit: 700, Timeout: time.Second, Limits: []platform.RateLimit{all}}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
	if open := function.Loosened(hs); !slices.Equal(open, []string{"POST /customers"}) {
		t.Errorf("opened: %v", open)
	}
	if same, err := function.Govern(in, nil, nil); err != nil || !cmp.Equal(doorsOf(same), doorsOf(in)) {
		t.Error("no policy changes something", err)
	}
}

// Each refusal names the entry that does not fit, and what to write.
func TestGovern_Refuses(t *testing.T) {
	t.Parallel()
	ten := prefixes("10.0.0.0/8")
	doc := prefixes("192.0.2.0/24")
	narrow := orders()
	narrow[2].Addresses = ten
	route := func(name string, g *platform.Guard, r platform.Rule) *platform.FunctionPolicy {
		return &platform.FunctionPolicy{Name: "orders", Routes: []platform.Governed{governed(name, g, r)}}
	}
	handler := func(name string, g *platform.Guard, r platform.Rule) *platform.FunctionPolicy {
		return &platform.FunctionPolicy{Name: "orders", Handlers: []platform.Governed{governed(name, g, r)}}
	}
	key, none, sign := guard(platform.GuardKey), guard(platform.GuardOpen), guard(platform.GuardSignature)
	for name, tc := range map[string]struct {
		p      *platform.FunctionPolicy
		groups []platform.GroupPolicy
		says   string
		at     function.PolicyError
	}{
		"a handler that is not there":       {handler("refnud", key, platform.Rule{}), nil, `did you mean "refund"?`, function.PolicyError{Handler: "refnud"}},
		"a route that is not there":         {route("GET /price", key, platform.Rule{}), nil, `did you mean "GET /prices"?`, function.PolicyError{Route: "GET /price"}},
		"a route in another spelling":       {route("GET /customers/{customer}", key, platform.Rule{}), nil, "GET /customers/{id}", function.PolicyError{Route: "GET /customers/{customer}"}},
		"all routes of a handler":           {handler("customers", none, platform.Rule{}), nil, "one exact route", function.PolicyError{Handler: "customers"}},
		"a key for a callback":              {handler("ice", key, platform.Rule{}), nil, "never by key", function.PolicyError{Handler: "ice"}},
		"a signature by no scheme":          {handler("refund", sign, platform.Rule{}), nil, "nothing says by which", function.PolicyError{Handler: "refund"}},
		"another group":                     {route("GET /customers/{id}", nil, platform.Rule{Group: "admin"}), nil, "its function says partner", function.PolicyError{Route: "GET /customers/{id}"}},
		"another group by the handler":      {handler("customers", nil, platform.Rule{Group: "admin"}), nil, "its function says partner", function.PolicyError{Handler: "customers"}},
		"another group by the function":     {&platform.FunctionPolicy{Name: "orders", Rule: platform.Rule{Group: "admin"}}, nil, "its function says partner", function.PolicyError{}},
		"a group for everyone":              {handler("status", nil, platform.Rule{Group: "admin"}), nil, "asks for no access key", function.PolicyError{Handler: "status"}},
		"scopes for what it opens":          {handler("refund", none, platform.Rule{Scopes: []platform.Scope{platform.ScopeControl}}), nil, "write auth: key", function.PolicyError{Handler: "refund"}},
		"methods for a callback":            {handler("ice", nil, platform.Rule{Methods: []string{"basic"}}), nil, "asks for no access key", function.PolicyError{Handler: "ice"}},
		"methods that it has not":           {route("POST /customers", nil, platform.Rule{Methods: []string{"basic"}}), nil, "bearer, dpop", function.PolicyError{Route: "POST /customers"}},
		"methods of a group that it lacks":  {handler("refund", nil, platform.Rule{Group: "a", Methods: []string{"basic"}}), []platform.GroupPolicy{{Name: "a", Rule: platform.Rule{Methods: []string{"dpop"}}}}, "group a", function.PolicyError{Group: "a"}},
		"addresses that it has not":         {handler("refund", nil, platform.Rule{Addresses: doc}), nil, "no address", function.PolicyError{Handler: "refund"}},
		"a signature where there is none":   {handler("refund", nil, platform.Rule{Signature: &platform.Signature{Scheme: "standard"}}), nil, "auth: signature", function.PolicyError{Handler: "refund"}},
		"a guard that there is not":         {handler("refund", guard(99), platform.Rule{}), nil, "there is not", function.PolicyError{Handler: "refund"}},
		"a route that is a handler's name":  {route("refund", key, platform.Rule{}), nil, "has no route", function.PolicyError{Route: "refund"}},
		"a handler that is a route":         {handler("GET /prices", none, platform.Rule{}), nil, "has no handler", function.PolicyError{Handler: "GET /prices"}},
		"a group of which nobody has a key": {&platform.FunctionPolicy{Name: "orders", Rule: platform.Rule{Addresses: doc}}, nil, "no address", function.PolicyError{}},
	} {
		tc.at.Function = "orders"
		hs, err := function.Govern(narrow, tc.p, tc.groups)
		e, ok := errors.AsType[*function.PolicyError](err)
		if !ok || hs != nil {
			t.Errorf("%s: %v, %v", name, hs, err)
			continue
		}
		if said := e.Text + " " + e.Hint; !strings.Contains(said, tc.says) {
			t.Errorf("%s: %s", name, said)
		}
		if e.Text, e.Hint = "", ""; *e != tc.at {
			t.Errorf("%s: at %+v, want %+v", name, *e, tc.at)
		}
	}
	all := []platform.Handler{{Name: "a", Guard: platform.GuardOpen}, {Name: "b", Guard: platform.GuardOpen, Routes: []platform.Route{{Pattern: "/b", Guard: platform.GuardOpen}}}}
	for name, p := range map[string]*platform.FunctionPolicy{"a function": {Rule: platform.Rule{Methods: []string{"basic"}}}, "a handler": handler("b", nil, platform.Rule{Group: "a"})} {
		if _, err := function.Govern(all, p, nil); err == nil {
			t.Errorf("%s that is open to everyone can be asked for a key's qualities", name)
		}
	}
}

var (
	patterns  = []string{"GET /a", "POST /a", "/b/{x}", "GET /c/{rest...}"}
	allNets   = []string{"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24", "2001:db8::/32", "::/0"}
	addresses = []string{"10.1.2.3", "10.200.0.1", "192.0.2.9", "203.0.113.5", "2001:db8::1", "2001:db9::1"}
	groupSet  = []string{"", "admin", "partner"}
)

func drawRule(t *rapid.T, groups []string) (r platform.Rule) {
	r.Group = rapid.SampledFrom(groups).Draw(t, "group")
	if rapid.IntRange(0, 3).Draw(t, "scoped") == 0 {
		r.Scopes = []platform.Scope{platform.ScopeControl}
	}
	r.Methods = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"basic", "bearer", "dpop", "apikey"}), 0, 3, rapid.ID[string]).Draw(t, "methods")
	for _, n := range rapid.SliceOfNDistinct(rapid.SampledFrom(allNets), 0, 2, rapid.ID[string]).Draw(t, "addresses") {
		r.Addresses = append(r.Addresses, netip.MustParsePrefix(n))
	}
	for range rapid.IntRange(0, 2).Draw(t, "limits") {
		r.Limits = append(r.Limits, platform.RateLimit{Requests: rapid.IntRange(1, 9).Draw(t, "requests"), Per: time.Second, By: platform.LimitByKey})
	}
	r.BodyLimit, r.Timeout = rapid.Int64Range(0, 3).Draw(t, "body"), time.Duration(rapid.Int64Range(0, 3).Draw(t, "timeout"))
	if rapid.IntRange(0, 3).Draw(t, "signed") == 0 {
		r.Signature = &platform.Signature{Scheme: "standard"}
	}
	return r
}

var anyGuard = rapid.SampledFrom([]platform.Guard{platform.GuardKey, platform.GuardOpen, platform.GuardSignature})

func drawEntry(t *rapid.T, name string) platform.Governed {
	g := platform.Governed{Name: name, Rule: drawRule(t, groupSet)}
	if rapid.Bool().Draw(t, "guarded") {
		g.Guard = guard(anyGuard.Draw(t, "guard"))
	}
	return g
}

func drawHandlers(t *rapid.T) (hs []platform.Handler) {
	left := slices.Clone(patterns)
	for _, name := range []string{"h", "i"} {
		h := platform.Handler{Name: name, Guard: anyGuard.Draw(t, "guard"), Rule: drawRule(t, groupSet)}
		for range rapid.IntRange(0, 2).Draw(t, "routes") {
			h.Routes = append(h.Routes, platform.Route{Pattern: left[0], Guard: anyGuard.Draw(t, "guard"), Rule: drawRule(t, groupSet)})
			left = left[1:]
		}
		hs = append(hs, h)
	}
	return hs
}

// admits reports whether a door's addresses let a client in.
func admits(ps []netip.Prefix, a netip.Addr) bool {
	return len(ps) == 0 || slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(a) })
}

// looser says in what a door is looser than another; empty: in nothing.
func looser(now, before platform.Rule, keyed bool) string {
	for _, a := range addresses {
		if ip := netip.MustParseAddr(a); admits(now.Addresses, ip) && !admits(before.Addresses, ip) {
			return "it lets in " + a
		}
	}
	for _, l := range before.Limits {
		if !slices.Contains(now.Limits, l) {
			return "a limit is gone"
		}
	}
	if before.BodyLimit > 0 && (now.BodyLimit == 0 || now.BodyLimit > before.BodyLimit) || before.Timeout > 0 && (now.Timeout == 0 || now.Timeout > before.Timeout) {
		return "it may take more, or longer"
	}
	if !keyed {
		return ""
	}
	for _, s := range before.Scopes {
		if !slices.Contains(now.Scopes, s) {
			return "a scope is gone"
		}
	}
	for _, m := range []string{"basic", "bearer", "dpop", "apikey"} {
		if (len(now.Methods) == 0 || slices.Contains(now.Methods, m)) && len(before.Methods) > 0 && !slices.Contains(before.Methods, m) {
			return "it takes " + m
		}
	}
	if before.Group != "" && now.Group != before.Group {
		return "it has left its group"
	}
	return ""
}

// No door comes out looser than the function or the policy says, but for the
// one thing that the policy opens by its name. What the group shares is there.
func TestGovern_NeverLooser(t *testing.T) {
	t.Parallel()
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		hs := drawHandlers(t)
		before := doorsOf(hs)
		p := &platform.FunctionPolicy{Name: "f", Rule: drawRule(t, []string{"", "", "admin"})}
		for _, name := range []string{"h", "i"} {
			if rapid.Bool().Draw(t, "named") {
				p.Handlers = append(p.Handlers, drawEntry(t, name))
			}
		}
		for _, h := range hs {
			for _, r := range h.Routes {
				if rapid.Bool().Draw(t, "named") {
					p.Routes = append(p.Routes, drawEntry(t, r.Pattern))
				}
			}
		}
		var groups []platform.GroupPolicy
		for _, name := range []string{"f", "admin", "partner"} {
			if rapid.Bool().Draw(t, "group") {
				groups = append(groups, platform.GroupPolicy{Name: name, Rule: platform.Rule{Limits: []platform.RateLimit{{Requests: 77, Per: time.Second, By: platform.LimitByAddress}}}})
			}
		}
		frozen, _ := json.Marshal(hs)
		out, err := function.Govern(hs, p, groups)
		if again, _ := json.Marshal(hs); string(again) != string(frozen) {
			t.Fatal("what was handed in was changed")
		}
		if err != nil {
			if _, ok := errors.AsType[*function.PolicyError](err); !ok {
				t.Fatal(err)
			}
			return
		}
		passed++
		opened := func(name string) (said *platform.Guard) {
			for _, e := range append(slices.Clone(p.Handlers), p.Routes...) {
				if e.Name == name && e.Guard != nil {
					said = e.Guard
				}
			}
			return said
		}
		for name, now := range doorsOf(out) {
			was := before[name]
			if now.Guard == platform.GuardOpen && was.Guard != platform.GuardOpen {
				if said := opened(name); said == nil || *said != platform.GuardOpen {
					t.Fatalf("%s was opened, and nothing says so", name)
				}
				if !slices.Contains(function.Loosened(out), name) {
					t.Fatalf("%s was opened, and is not listed", name)
				}
			}
			if now.Guard == platform.GuardKey && was.Guard == platform.GuardSignature {
				t.Fatalf("%s: who signs has no key", name)
			}
			keyed := now.Guard == platform.GuardKey
			if why := looser(now.Rule, was.Rule, keyed); why != "" {
				t.Fatalf("%s: %s: %+v was %+v", name, why, now.Rule, was.Rule)
			}
			layers := []platform.Rule{p.Rule}
			for _, e := range append(slices.Clone(p.Handlers), p.Routes...) {
				if e.Name == name || e.Name == now.Name {
					layers = append(layers, e.Rule)
				}
			}
			for _, l := range layers {
				l.Limits, l.Group = nil, "" // limits come back with their pools; the most exact group wins
				if why := looser(now.Rule, l, keyed); why != "" {
					t.Fatalf("%s: against the policy %s: %+v, policy %+v", name, why, now.Rule, l)
				}
			}
			group := now.Group
			if group == "" {
				group = "f"
			}
			shares := slices.ContainsFunc(groups, func(g platform.GroupPolicy) bool { return g.Name == group })
			if got := slices.ContainsFunc(now.Limits, func(l platform.RateLimit) bool { return l.Pool == "group:"+group }); got != shares {
				t.Fatalf("%s in the group %s shares its limit: %v, want %v", name, group, got, shares)
			}
		}
	})
	if passed == 0 {
		t.Error("every policy was refused: nothing was tested")
	}
}

// A policy hides and never shows; what nobody knows is hidden.
func TestVisibilityOf(t *testing.T) {
	t.Parallel()
	for said, want := range map[[2]platform.Visibility]bool{{platform.Public, platform.Public}: true, {platform.Public, platform.Private}: false, {platform.Private, platform.Public}: false,
		{platform.Private, platform.Private}: false, {"hidden", platform.Public}: false, {platform.Public, "hidden"}: false} {
		got := function.VisibilityOf(platform.Deployment{Visibility: said[0]}, &platform.FunctionPolicy{Visibility: said[1]})
		if (got == platform.Public) != want {
			t.Errorf("%q under %q: %q", said[0], said[1], got)
		}
	}
}
