package oauth

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
)

// usualLifetime is how long an access token lives where nothing else is set.
const usualLifetime = time.Hour

// grant decides what a client, recognised and within its limit, may have.
type grant func(s *Server, c *call) (granted, error)

// granted is what a grant gives.
type granted struct {
	scope    string
	audience []string
}

// response is RFC 6749 §5.1. Scope is always there: clients exist that need it.
type response struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"`
	Scope       string `json:"scope"`
	TokenType   string `json:"token_type"`
}

// token is the token endpoint (RFC 6749 §3.2).
func (s *Server) token(c *call) (any, error) {
	if wait, ok := s.granted.Allow(c.client.ID(), c.now); !ok {
		return nil, tooMany(wait)
	}
	name := c.form.Get("grant_type")
	if name == "" {
		return nil, invalidRequest("grant_type is missing")
	}
	g, ok := s.grants[name]
	if !ok {
		return nil, badRequest("unsupported_grant_type", "the grant is not client_credentials", "send grant_type=client_credentials")
	}
	give, err := g(s, c)
	if err != nil {
		return nil, err
	}
	claims := token.Claims{Issuer: s.o.Issuer, Subject: c.client.ID(), ClientID: c.client.ID(), ProjectID: c.client.ProjectID(), Generation: c.secret, ID: rand.Text(),
		Audience: give.audience, Scope: give.scope, IssuedAt: c.now, ExpiresAt: c.now.Add(s.o.Lifetime)}
	if end := c.client.ExpiresAt(); !end.IsZero() && end.Before(claims.ExpiresAt) {
		claims.ExpiresAt = end
	}
	out := response{Scope: give.scope, TokenType: "bearer"}
	if err := s.bind(c, &claims); err != nil {
		return nil, err
	}
	if claims.JKT != "" {
		out.TokenType = "DPoP"
	}
	// On the wire are whole seconds: count down to the one that is there.
	if out.ExpiresIn = int64(claims.ExpiresAt.Truncate(time.Second).Sub(c.now) / time.Second); out.ExpiresIn <= 0 {
		return nil, errClient // the key ends within this second
	}
	k, err := s.o.Ring.Current(c.now)
	if err != nil {
		return nil, err
	}
	if out.AccessToken, err = token.Sign(k, claims); err != nil {
		return nil, err
	}
	c.Scope = give.scope
	return out, nil
}

// bind binds a token to the client's key (RFC 9449 §5) or certificate (RFC
// 8705 §3), where the client asks for it or its access key demands it.
func (s *Server) bind(c *call, claims *token.Claims) (err error) {
	if shown := c.r.Header["Dpop"]; len(shown) == 1 {
		if claims.JKT, err = s.o.Auth.Proof(c.client.ProjectID(), shown[0], c.r.Method, httpx.Origin(c.r, s.o.Issuer)+c.r.URL.EscapedPath(), c.now); err != nil {
			return badRequest("invalid_dpop_proof", "the DPoP proof is not valid for this request", "make a new proof for each request, with htm POST and this endpoint's URL as htu, by a clock that is right")
		}
	}
	demanded := c.client.Bound()
	if tls := c.r.TLS; demanded == platform.BindingMTLS && tls != nil && len(tls.PeerCertificates) > 0 {
		claims.X5T = token.CertThumbprint(tls.PeerCertificates[0])
	}
	switch want := c.client.Thumbprint(); {
	case demanded == platform.BindingDPoP && claims.JKT == "":
		return badRequest("invalid_dpop_proof", "this key's tokens are bound to a key of the client's: send a DPoP proof", "add the header DPoP (RFC 9449), with htm POST and this endpoint's URL as htu")
	case demanded == platform.BindingMTLS && (claims.X5T == "" || want != "" && want != claims.X5T):
		return &oauthError{status: 401, code: "invalid_client", text: "this key's tokens are bound to the client's certificate: send it over TLS"}
	}
	return nil
}

// introspection is RFC 7662 §2.2. Of a token that is not good it says no more.
type introspection struct {
	Active    bool           `json:"active"`
	Scope     string         `json:"scope,omitempty"`
	ClientID  string         `json:"client_id,omitempty"`
	TokenType string         `json:"token_type,omitempty"`
	Expires   int64          `json:"exp,omitempty"`
	Subject   string         `json:"sub,omitempty"`
	Audience  []string       `json:"aud,omitempty"`
	Issuer    string         `json:"iss,omitempty"`
	ID        string         `json:"jti,omitempty"`
	ProjectID string         `json:"project_id,omitempty"`
	Confirm   map[string]any `json:"cnf,omitempty"`
}

// introspect tells a client of a project about a token of that project.
func (s *Server) introspect(c *call) (any, error) {
	raw := c.form.Get("token")
	if raw == "" {
		return nil, invalidRequest("token is missing")
	}
	p, confirm, err := s.o.Auth.Introspect(s.o.Directory(), raw, c.now)
	if err != nil || p.ProjectID() != c.client.ProjectID() || p.Key == nil {
		return introspection{}, nil
	}
	t := p.Token
	out := introspection{Active: true, Scope: p.Scopes(), ClientID: p.Key.ID(), TokenType: "bearer", Expires: t.ExpiresAt().Unix(), Subject: p.Key.ID(),
		Audience: t.Audience(), Issuer: s.o.Issuer, ID: t.ID(), ProjectID: p.ProjectID(), Confirm: confirm}
	if confirm["jkt"] != nil {
		out.TokenType = "DPoP"
	}
	return out, nil
}

// revoke ends a token of the client's own (RFC 7009 §2.1). One that is not good
// any more is ended already (§2.2).
func (s *Server) revoke(c *call) (any, error) {
	raw := c.form.Get("token")
	if raw == "" {
		return nil, invalidRequest("token is missing")
	}
	p, _, err := s.o.Auth.Introspect(s.o.Directory(), raw, c.now)
	if err != nil || p.Key == nil {
		return nil, nil
	}
	if p.Key.ID() != c.client.ID() {
		return nil, badRequest("unauthorized_client", "the token is another client's", "end it with the access key that it was got with")
	}
	seq, err := s.o.Store.RevokeToken(c.r.Context(), platform.RevokedToken{ID: p.Token.ID(), ExpiresAt: p.Token.ExpiresAt()}, c.now)
	if err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(c.r.Context(), appliedWithin)
	defer cancel()
	if err := s.o.Applied(wait, seq); err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the gateway is late to apply a change")
	}
	return nil, nil
}

// appliedWithin is how long the end of a token may take to be in force here.
const appliedWithin = 5 * time.Second

// scopesOf narrows a key's scopes to those asked for, and never widens them
// (RFC 6749 §3.3).
func scopesOf(k *auth.Key, asked string) (string, error) {
	if asked == "" {
		return k.Scopes(), nil
	}
	words := strings.Fields(asked)
	for _, word := range words {
		if !k.Has(platform.Scope(word)) {
			return "", badRequest("invalid_scope", "a scope is not known, or this key does not have it", "ask for scopes of the key, or leave scope out to have all of them")
		}
	}
	var out []string
	for _, s := range []platform.Scope{platform.ScopeInvoke, platform.ScopeControl} {
		if slices.Contains(words, string(s)) {
			out = append(out, string(s))
		}
	}
	return strings.Join(out, " "), nil
}
