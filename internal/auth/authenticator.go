package auth

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
)

// Request is what a caller's credentials are checked against.
type Request struct {
	// Header has names in net/http's canonical form, and each credential
	// header at most once (CheckDuplicates).
	Header map[string][]string
	Method string
	// Origin and Path are the request's URL without its query, as a DPoP proof
	// must name it (RFC 9449 §4.3): "https://host" and the path as it was sent.
	Origin, Path string
	// Audiences are the names that this door answers to, the most usual first.
	Audiences []string
	// PlanID is the SMS service plan that the path names; empty: none.
	PlanID string
	// Cert is the client's certificate; nil: none was shown.
	Cert *x509.Certificate
	Now  time.Time

	// Proven is set by Authenticate when it has taken the request's proof. The
	// same request may then be checked again, and no other.
	Proven   bool
	ProvenAt time.Time
}

// Foreign is another issuer, whose tokens open handlers of one project. Its
// tokens never control anything.
type Foreign interface {
	// Verify checks a token without I/O, its audience included.
	Verify(raw string, now time.Time) (token.Claims, error)
}

// Trust is another issuer and what its tokens are good for.
type Trust struct {
	Foreign
	Issuer    string // as its tokens give it
	ProjectID string
	Scope     string // a token needs it; empty: any token of the issuer will do
}

// Authenticator recognises callers by access key or by token. It is safe for
// concurrent use; there is one for all doors of a server, which share its
// memory of verified tokens and of proofs.
type Authenticator struct {
	issuer string
	trust  map[string]Trust
	cache  cache
	proofs proofs
}

// NewAuthenticator makes an authenticator that takes the tokens of its own
// issuer, and of others.
func NewAuthenticator(issuer string, trust ...Trust) *Authenticator {
	a := &Authenticator{issuer: issuer, trust: map[string]Trust{}}
	for _, t := range trust {
		a.trust[t.Issuer] = t
	}
	return a
}

// Authenticate recognises the caller by a token (RFC 6750, RFC 9449), HTTP
// Basic (RFC 7617), X-API-Key, or the static token of a service plan.
func (a *Authenticator) Authenticate(d *Directory, r *Request) (Principal, error) {
	authorization := r.Header["Authorization"]
	if len(authorization) == 0 {
		return Authenticate(d, r.Header, r.Now)
	}
	scheme, credential, _ := strings.Cut(authorization[0], " ")
	credential = strings.TrimLeft(credential, " ")
	var p Principal
	var err error
	switch {
	case strings.EqualFold(scheme, "bearer"):
		if len(r.Header["X-Api-Key"]) > 0 && a.foreignToken(strings.TrimRight(credential, " ")) {
			return byAPIKey(d, r)
		}
		p, err = a.bearer(d, credential, false, r)
	case strings.EqualFold(scheme, "dpop"):
		p, err = a.bearer(d, credential, true, r)
	default:
		return Authenticate(d, r.Header, r.Now)
	}
	if err != nil {
		return Principal{}, err
	}
	if apiKey := r.Header["X-Api-Key"]; len(apiKey) > 0 {
		if k := bySecret(d, apiKey[0], r.Now); k == nil || !k.bare() {
			return Principal{}, ErrInvalid
		} else if k != p.Key {
			return Principal{}, ErrConflicting
		}
	}
	return p, nil
}

// byAPIKey recognises the caller by X-API-Key alone: the token beside it is of
// a user of the handler's.
func byAPIKey(d *Directory, r *Request) (Principal, error) {
	k := bySecret(d, r.Header["X-Api-Key"][0], r.Now)
	switch {
	case k == nil:
		return Principal{}, ErrInvalid
	case !k.bare():
		return Principal{}, ErrBare
	}
	return Principal{Key: k, Method: MethodAPIKey}, nil
}

// bearer recognises the caller by a token, or by the static one of a plan.
func (a *Authenticator) bearer(d *Directory, raw string, proven bool, r *Request) (Principal, error) {
	if len(raw) == accesskey.SecretLen {
		k := bySecret(d, raw, r.Now)
		if k == nil || proven || r.PlanID == "" || k.rest().planID != r.PlanID {
			return Principal{}, ErrToken
		}
		return Principal{Key: k, Method: MethodPlan}, nil
	}
	t, k, err := a.verified(d, raw, r.Now)
	if err != nil {
		return Principal{}, err
	}
	if !t.meant(r.Audiences) {
		return Principal{}, ErrToken
	}
	if t.x5t != "" && (r.Cert == nil || token.CertThumbprint(r.Cert) != t.x5t) {
		return Principal{}, ErrToken
	}
	if proven != (t.jkt != "") {
		return Principal{}, ErrProof
	}
	if !proven {
		return Principal{Key: k, Method: MethodBearer, Token: t}, nil
	}
	if err := a.proof(raw, t, r); err != nil {
		return Principal{}, err
	}
	return Principal{Key: k, Method: MethodDPoP, Token: t}, nil
}

// proof checks that the request proves possession of the key to which its
// token is bound, and that the proof was not shown before.
func (a *Authenticator) proof(raw string, t *Token, r *Request) error {
	shown := r.Header["Dpop"]
	if len(shown) != 1 {
		return ErrProof
	}
	taken := r.Now
	if r.Proven && !r.ProvenAt.IsZero() {
		taken = r.ProvenAt // by now it may be too old
	}
	proof, err := token.VerifyProof(shown[0], token.ProofExpect{Method: r.Method, URL: r.Origin + r.Path, AccessToken: raw, Now: taken, Window: proofWindow, JKT: t.jkt})
	if err != nil || !r.Proven && a.proofs.seen(t.projectID, proof, r.Now) {
		return ErrProof
	}
	r.Proven, r.ProvenAt = true, taken
	return nil
}

// Proof checks a proof of a client of a project at the token endpoint, which
// has no token yet, and returns the thumbprint of its key.
func (a *Authenticator) Proof(projectID, shown, method, url string, now time.Time) (jkt string, err error) {
	proof, err := token.VerifyProof(shown, token.ProofExpect{Method: method, URL: url, Now: now, Window: proofWindow})
	if err != nil || a.proofs.seen(projectID, proof, now) {
		return "", ErrProof
	}
	return proof.JKT, nil
}

// verified returns what a token says, and its key, from memory if it was seen
// before. The memory is bound to the key as it is: when the key changes in any
// way the token is verified again, and when the key has ended so has the token.
func (a *Authenticator) verified(d *Directory, raw string, now time.Time) (*Token, *Key, error) {
	sum := hashToken(raw)
	if t := a.cache.get(sum); t != nil && t.signing == d.signing {
		if k := d.same(t.key); k != nil || now.Before(t.again) {
			return t, k, t.good(d, k, now)
		}
	}
	t, err := a.verify(d, raw, now)
	if err != nil {
		return nil, nil, err
	}
	k := d.same(t.key)
	if err := t.good(d, k, now); err != nil {
		return nil, nil, err
	}
	a.cache.put(sum, t)
	return t, k, nil
}

// verify checks a token that is not in memory.
func (a *Authenticator) verify(d *Directory, raw string, now time.Time) (*Token, error) {
	kid, issuer, ok := token.Peek(raw)
	if !ok {
		return nil, ErrToken
	}
	if issuer != a.issuer {
		return a.verifyForeign(d, issuer, raw, now)
	}
	c, err := token.Verify(d.signing.set, raw, token.Expect{Issuer: a.issuer, Now: now, Leeway: leeway})
	expired := errors.Is(err, token.ErrExpired)
	if err != nil && !expired {
		return nil, ErrToken
	}
	k := d.ByID(c.Subject)
	if k == nil || k.ProjectID() != c.ProjectID || !k.live(now) || !k.honours(c.Generation, now) || !k.binds(c) || d.revoked.has(c.ID) {
		return nil, ErrToken // also of one that expired: a new one could not be had
	}
	if expired {
		return nil, ErrExpired
	}
	t := newToken(d, c)
	t.key, t.kid, t.generation, t.projectID, t.subject = k.identity(), kid, c.Generation, c.ProjectID, c.Subject
	t.invoke, t.control = parseScopes(c.Scope)
	return t, nil
}

// leeway is how far another machine's clock may be ahead of ours.
const leeway = 5 * time.Second

// binds reports whether a token is bound as the key demands.
func (k *Key) binds(c token.Claims) bool {
	switch m := k.rest(); m.binding {
	case platform.BindingNone:
		return true
	case platform.BindingDPoP:
		return c.JKT != ""
	case platform.BindingMTLS:
		return c.X5T != "" && (m.thumbprint == "" || m.thumbprint == c.X5T)
	}
	return false
}

func (a *Authenticator) verifyForeign(d *Directory, issuer, raw string, now time.Time) (*Token, error) {
	trust, ok := a.trust[issuer]
	if !ok {
		return nil, ErrToken
	}
	c, err := trust.Verify(raw, now)
	expired := errors.Is(err, token.ErrExpired)
	if err != nil && !expired || c.Subject == "" || trust.Scope != "" && !slices.Contains(strings.Fields(c.Scope), trust.Scope) {
		return nil, ErrToken // also of one that expired: a new one would not do
	}
	if expired {
		return nil, ErrExpired
	}
	t := newToken(d, c)
	t.again = now.Add(foreignFor)
	t.issuer, t.subject, t.projectID, t.invoke = issuer, issuer+"#"+c.Subject, trust.ProjectID, true
	t.packed, _ = packID(t.subject)
	return t, nil
}

// foreignFor is how long a token of another issuer is remembered: it may have
// withdrawn a key meanwhile.
const foreignFor = time.Minute

// Introspect says whose token this is and to what it is bound, for a door that
// does not use it: audience and proof are not looked at.
func (a *Authenticator) Introspect(d *Directory, raw string, now time.Time) (Principal, map[string]any, error) {
	t, k, err := a.verified(d, raw, now)
	if err != nil {
		return Principal{}, nil, err
	}
	confirm := map[string]any{}
	if t.jkt != "" {
		confirm["jkt"] = t.jkt
	}
	if t.x5t != "" {
		confirm["x5t#S256"] = t.x5t
	}
	return Principal{Key: k, Method: MethodBearer, Token: t}, confirm, nil
}
