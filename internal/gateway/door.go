package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// door is what one address of a function gives to the steps, made ready when
// the function came into the snapshot.
type door struct {
	ways      []string // in which a credential may be shown; empty: all
	addresses []netip.Prefix
	limits    []*limiter
	cors      *cors
	// byPath and byHost are what a 401 asks for; nil: what is asked for at any
	// door of the function.
	byPath, byHost []string
}

// plain is a door that gives nothing.
var plain door

// doors makes the doors of a version, which is described.
func (g *Gateway) doors(t *target, sets *limitSet) []door {
	table := t.routes.Doors()
	made := make([]door, len(table))
	for i, d := range table {
		if d.Handler == nil {
			continue
		}
		r := &d.Handler.Rule
		made[i] = door{ways: r.Methods, addresses: r.Addresses, cors: newCORS(r.CORS, d.Pattern)}
		for _, l := range r.Limits {
			made[i].limits = sets.add(made[i].limits, d, l)
		}
		if len(r.Methods) > 0 {
			made[i].byPath, made[i].byHost = []string{auth.Offers(r.Methods, t.byPath.metadata)}, []string{auth.Offers(r.Methods, t.byHost.metadata)}
		}
	}
	return made
}

// offers is what a 401 at the door asks for.
func (d *door) offers(byPath bool) []string {
	if byPath {
		return d.byPath
	}
	return d.byHost
}

// remote is the address and port of who calls, as net/http gives it. All that
// looks at an address asks here.
func (x *exchange) remote() string { return x.r.RemoteAddr }

// address is the address of who calls; invalid, and in no network, where there
// is none.
func (x *exchange) address() netip.Addr { return platform.CallerAddr(x.remote()) }

var (
	errWay     = fault.New(fault.Unauthenticated, "this route does not take a credential that is shown in this way").WithCode("credential_not_taken")
	errAddress = fault.New(fault.Denied, "this route is not for callers from this address").WithCode("address_not_allowed")
	errOrigin  = fault.New(fault.Denied, "pages of this origin may not call this route").WithCode("origin_not_allowed")
)

// takesWay refuses a credential for the way in which it is shown, before it is
// looked at: whether it is right is not told where it would open nothing.
func (g *Gateway) takesWay(x *exchange) error {
	if len(x.door.ways) == 0 || x.question != nil {
		return nil
	}
	shown := g.options.Auth.ShownAs(x.credentials(g))
	if shown == auth.MethodNone || x.door.takes(shown) || shown == auth.MethodBasic && x.door.takes(auth.MethodAdmin) {
		return nil
	}
	return errWay
}

func (d *door) takes(m auth.Method) bool {
	return len(d.ways) == 0 || slices.Contains(d.ways, string(m))
}

// recogniseAt is recognise of what the door takes.
func (g *Gateway) recogniseAt(x *exchange) (auth.Principal, error) {
	if x.call != nil { // whose caller is known: it showed a token
		if !x.door.takes(auth.MethodBearer) {
			return auth.Principal{}, errWay
		}
		return x.principal, nil
	}
	if err := g.takesWay(x); err != nil {
		return auth.Principal{}, err
	}
	p, err := g.recognise(x)
	switch {
	case err != nil || x.door.takes(p.Method):
		return p, err
	case x.question != nil: // nothing was shown: it is about the first way that the door takes
		return x.shownAsTaken(p.Key)
	}
	return auth.Principal{}, auth.ErrInvalid // as of a credential that is not
}

// shownAsTaken is who a key is, shown in the first of its ways that the door
// takes. It is for questions.
func (x *exchange) shownAsTaken(k *auth.Key) (auth.Principal, error) {
	for _, m := range k.Ways(planOf(x.own)) {
		if x.door.takes(m) {
			return auth.Principal{Key: k, Method: m}, nil
		}
	}
	return auth.Principal{}, errWay
}

// comesFrom refuses callers from elsewhere, also where nobody is asked who they are.
func (x *exchange) comesFrom() error {
	if !x.door.admits(x) {
		return errAddress
	}
	return nil
}

// admits reports whether the door is for callers from where a request comes from.
func (d *door) admits(x *exchange) bool {
	if len(d.addresses) == 0 {
		return true
	}
	from := x.address()
	return slices.ContainsFunc(d.addresses, func(p netip.Prefix) bool { return p.Contains(from) })
}

// decorate puts on an answer, the handler's or a refusal, what the door says of
// limits and to browsers.
func (g *Gateway) decorate(x *exchange, h http.Header) {
	if t := &x.told; t.who != "" {
		h["Ratelimit-Policy"] = g.fields.get(field{who: t.who, a: t.requests, b: t.period, policy: true})
		h["Ratelimit"] = g.fields.get(field{who: t.who, a: t.left, b: t.reset})
	}
	if x.door != nil && x.door.cors != nil {
		x.door.cors.decorate(h, x.r.Header["Origin"])
	}
}

// methodsOf is what a route of a pattern answers to, for a preflight.
func methodsOf(pattern string) []string {
	switch method, _, ok := strings.Cut(pattern, " "); {
	case !ok:
		return []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}
	case method == http.MethodGet:
		return []string{http.MethodGet, http.MethodHead}
	default:
		return []string{method}
	}
}
