// Package oauth is the token server: it gives access tokens for access keys
// (RFC 6749 §4.4), tells and ends them (RFC 7662, RFC 7009), and publishes what
// verifies them (RFC 8414, RFC 7517).
//
// [Server] is an http.Handler for the paths of [Paths]. Each grant is one file;
// what all grants have in common (one client, recognised once, within its
// limit) is done in token.go before a grant is asked, and no grant can skip it.
// [Ring] holds the signing keys and replaces them in time.
//
// Answers follow RFC 6749 to the letter, with what clients in the field need
// besides: scope is always there, an error has a hint and a verbose text where
// older servers had them, and the challenge
// of a 401 has its name in lower case.
package oauth

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/limit"
	"postern.dev/postern/internal/platform"
)

// The paths of the token server.
const (
	TokenPath      = "/oauth2/token"
	IntrospectPath = "/oauth2/introspect"
	RevokePath     = "/oauth2/revoke"
	MetadataPath   = "/.well-known/oauth-authorization-server"
	JWKSPath       = "/.well-known/jwks.json"
)

// Store keeps which tokens were revoked.
type Store interface {
	RevokeToken(ctx context.Context, r platform.RevokedToken, at time.Time) (seq int64, err error)
}

// Options are what a Server works with. Lifetime and Record may be left out.
type Options struct {
	Issuer string // the URL that this server is reached at, without a path
	// Gateway is the gateway's URL, and Function the URL of the function that an
	// address names, in the form in which the gateway takes it; empty: none.
	Gateway  string
	Function func(address string) string
	Ring     *Ring
	Lifetime time.Duration // of an access token, unless its key ends before; 0: one hour
	Store    Store
	Auth     *auth.Authenticator
	// Directory returns the live keys, as the gateway knows them.
	Directory func() *auth.Directory
	// Applied waits until the gateway of this process knows of a change.
	Applied func(ctx context.Context, seq int64) error
	Log     *slog.Logger
	// Record is told of each decision; nil: nobody is.
	Record func(Decision)
}

// Decision is what became of one call.
type Decision struct {
	RequestID string
	Endpoint  string // a path
	KeyID     string // as far as the caller was recognised, or claimed to be
	ProjectID string
	Remote    string
	Status    int
	Code      string // the OAuth error; empty: none
	Scope     string // of the token that was given
	Repeated  bool   // the same mistake a moment later, which counts as one
}

// Server answers the token server's paths. It is safe for concurrent use.
type Server struct {
	o        Options
	grants   map[string]grant
	granted  *limit.Book[string] // by key
	failed   *limit.Book[string] // by address
	failures *failures
	// described is the metadata, which does not change.
	described []byte
}

// The limits of the token endpoint: so many a second, and so many at once.
const (
	tokensPerSecond = 10
	tokensAtOnce    = 30
	limitedNames    = 100_000
)

// New makes a server.
func New(o Options) *Server {
	if o.Record == nil {
		o.Record = func(Decision) {}
	}
	if o.Lifetime == 0 {
		o.Lifetime = usualLifetime
	}
	return &Server{o: o, grants: map[string]grant{"client_credentials": clientCredentials},
		granted: limit.NewBook[string](tokensPerSecond, tokensAtOnce, limitedNames), failed: limit.NewBook[string](tokensPerSecond, tokensAtOnce, limitedNames), failures: newFailures(), described: metadata(o.Issuer)}
}

// Paths are those that the server answers.
func Paths() []string {
	return []string{TokenPath, IntrospectPath, RevokePath, MetadataPath, JWKSPath}
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Decision: Decision{RequestID: httpx.NewRequestID(), Endpoint: r.URL.Path, Remote: r.RemoteAddr}, r: r, now: time.Now()}
	w.Header()["X-Request-Id"] = []string{c.RequestID}
	switch r.URL.Path {
	case TokenPath:
		s.answer(w, c, s.token)
	case IntrospectPath:
		s.answer(w, c, s.introspect)
	case RevokePath:
		s.answer(w, c, s.revoke)
	case MetadataPath:
		s.document(w, r, s.described)
	case JWKSPath:
		s.document(w, r, s.o.Directory().JWKS(c.now))
	default:
		http.NotFound(w, r)
	}
}
