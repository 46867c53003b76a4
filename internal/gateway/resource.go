package gateway

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
)

// wellKnown is where a protected resource describes itself (RFC 9728 §3): the
// path of the resource follows it.
const wellKnown = "/.well-known/oauth-protected-resource"

// resource is a function as OAuth sees it: the names that a token may be for,
// and what a caller without one is told.
type resource struct {
	audiences []string
	// byPath and byHost are for callers that used /fn/<slug> and the host name.
	byPath, byHost described
}

// described is one address of a function, described.
type described struct {
	document  []byte // RFC 9728; nil: the function guards nothing
	challenge []string
	metadata  string // where the document is
}

// describe makes what is said of a function.
func (t *target) describe(o Options) {
	urls := o.URLs(t.function.Slug)
	t.audiences = append(append([]string{o.URL}, urls...), o.URLs(t.function.ID)...) // it answers by its ID as well
	t.byPath, t.byHost = t.describeAt(o, urls[0]), t.describeAt(o, urls[len(urls)-1])
}

func (t *target) describeAt(o Options, address string) described {
	guarded := slices.ContainsFunc(t.deployment.Handlers, guardedByKey)
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || o.Issuer == "" || !guarded {
		return described{challenge: []string{auth.Challenge(auth.ErrNone, "")}}
	}
	doc, err := json.Marshal(struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported"`
		Methods  []string `json:"bearer_methods_supported"`
		Name     string   `json:"resource_name"`
		Proofs   []string `json:"dpop_signing_alg_values_supported"`
		Bound    bool     `json:"tls_client_certificate_bound_access_tokens"`
	}{address, []string{o.Issuer}, []string{string(platform.ScopeInvoke)}, []string{"header"}, t.function.Name, token.ProofAlgorithms(), u.Scheme == "https"})
	if err != nil {
		return described{challenge: []string{auth.Challenge(auth.ErrNone, "")}}
	}
	metadata := u.Scheme + "://" + u.Host + wellKnown + u.EscapedPath()
	return described{append(doc, '\n'), []string{auth.Challenge(auth.ErrNone, metadata)}, metadata}
}

// guardedByKey reports whether a handler asks for an access key at any of its addresses.
func guardedByKey(h platform.Handler) bool {
	if len(h.Routes) == 0 {
		return h.Guard == platform.GuardKey
	}
	return slices.ContainsFunc(h.Routes, func(r platform.Route) bool { return r.Guard == platform.GuardKey })
}

var errNoMetadata = fault.New(fault.NotFound, "no protected function answers at this address").WithCode("function_not_found")

// routeMetadata is step 2 for the description of a function.
func (g *Gateway) routeMetadata(x *exchange) error {
	rest := x.path[len(wellKnown):]
	if rest == "" {
		rest = "/"
	}
	t, own := g.find(x, rest)
	for ; t != nil; t = t.candidate { // either may be what asked the caller to look here
		if !g.hides(t) && t.described(rest != "/").document != nil {
			break
		}
	}
	if t == nil || own != "/" {
		return errNoMetadata
	}
	x.target, x.own, x.match.Guard, x.door = t, own, platform.GuardOpen, &plain
	return nil
}

func (g *Gateway) metadata(x *exchange) {
	x.w.Header()["Cache-Control"] = []string{"max-age=300"}
	x.json(x.target.described(len(x.path) > len(wellKnown)).document)
}

func (t *target) described(byPath bool) *described {
	if byPath {
		return &t.byPath
	}
	return &t.byHost
}

// challenge is what a 401 asks for.
func (x *exchange) challenge(err error) []string {
	text := auth.Challenge(err, "")
	if x.target != nil && text == auth.Offer {
		if byPath := x.own != x.path; x.door != nil && x.door.byPath != nil {
			return x.quiet(x.door.offers(byPath))
		}
		return x.quiet(x.target.described(x.own != x.path).challenge)
	}
	return []string{text}
}

// credentials is what the caller's credentials are checked against.
func (x *exchange) credentials(g *Gateway) *auth.Request {
	x.shown = auth.Request{Header: x.r.Header, Method: x.r.Method, Audiences: x.target.audiences, PlanID: planOf(x.own), Now: x.began, Proven: x.shown.Proven, ProvenAt: x.shown.ProvenAt}
	if x.r.TLS != nil && len(x.r.TLS.PeerCertificates) > 0 {
		x.shown.Cert = x.r.TLS.PeerCertificates[0]
	}
	if len(x.r.Header["Dpop"]) > 0 {
		// As it was sent: what x.path has decoded, "?" for one, would mean
		// something else in an address.
		x.shown.Origin, x.shown.Path = g.origin(x.r), x.r.URL.EscapedPath()
	}
	return &x.shown
}

// origin is the scheme and host for which a proof has to be made: those that
// the caller used, if the host is ours for certain, else those of the public
// URL. A host is not ours because the caller names it: another server, to which
// somebody showed token and proof, would name itself and be let in.
func (g *Gateway) origin(r *http.Request) string {
	u, err := url.Parse(g.options.URL)
	if err != nil {
		return ""
	}
	host := r.Host
	if _, own := below(host, g.options.BaseDomain); !own && (g.options.Public || !httpx.ArrivedAt(r, host)) {
		host = u.Host
	}
	return u.Scheme + "://" + host
}

// planOf is the SMS service plan that a function's own path names: the
// segment after /xms/v1/.
func planOf(own string) string {
	plan, ok := strings.CutPrefix(own, "/xms/v1/")
	if !ok {
		return ""
	}
	plan, _, _ = strings.Cut(plan, "/")
	return plan
}
