// Package token makes and checks what bearers show: access tokens (RFC 9068),
// the proofs that bind them to a key (RFC 9449) or a certificate (RFC 8705),
// and the tokens of other issuers whose keys are fetched from their JWKS URL.
//
// [Sign] and [Verify] are the functions to know. A token is checked by one
// parser, the one in jws.go, which refuses what it need not understand: the key
// is found by its kid, which is a map key and nothing else, and the key alone
// says with which algorithm it signs. go-jose reads and writes keys; it does
// not parse tokens, because its parser takes what this one must refuse (line
// breaks inside base64, bits after the last byte) and needs ten times the
// allocations of Sign.
//
// The package does not know whether the access key behind a token still lives,
// for whom a token may act, or which audience a door has: that is for the
// caller to check in the claims. Only [Issuer] does I/O, in its Run.
package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The ways in which a token is refused. Nothing but these, wrapped or not, is
// returned by Verify.
var (
	ErrMalformed  = errors.New("the token is malformed")
	ErrUnknownKey = errors.New("the token names a key that is not known")
	ErrSignature  = errors.New("the token's signature is wrong")
	ErrIssuer     = errors.New("the token is of another issuer")
	ErrAudience   = errors.New("the token is for another audience")
	ErrNotYet     = errors.New("the token is not valid yet")
	ErrExpired    = errors.New("the token has expired")
)

// Claims is what a token says. Times have whole seconds on the wire.
type Claims struct {
	Issuer, Subject, ClientID, ID  string
	Audience                       []string
	Scope, ProjectID               string
	Generation                     int // of the access key when the token was made
	IssuedAt, NotBefore, ExpiresAt time.Time
	JKT                            string // set: to be shown with a DPoP proof by the key of this thumbprint
	X5T                            string // set: to be shown over TLS with the certificate of this thumbprint
}

const typeAccessToken = "at+jwt"

// wire is Claims as they are written. Reading goes by another way, see
// Claims.set: encoding/json would take a member in any case, and twice.
type wire struct {
	Issuer       string        `json:"iss"`
	Subject      string        `json:"sub"`
	Audience     any           `json:"aud,omitempty"` // one is a string, several are a list
	ExpiresAt    int64         `json:"exp"`
	NotBefore    int64         `json:"nbf,omitempty"`
	IssuedAt     int64         `json:"iat"`
	ID           string        `json:"jti"`
	ClientID     string        `json:"client_id"`
	Scope        string        `json:"scope,omitempty"`
	ProjectID    string        `json:"project_id,omitempty"`
	Generation   int           `json:"gen,omitempty"`
	Confirmation *confirmation `json:"cnf,omitempty"`
}

type confirmation struct {
	JKT string `json:"jkt,omitempty"`
	X5T string `json:"x5t#S256,omitempty"`
}

// Sign makes an access token. It refuses claims that Verify would not take: an
// issuer, a time of issue and a later expiry there must be, and all of it must
// fit into the longest token that Verify reads.
func Sign(k SigningKey, c Claims) (string, error) {
	if k.private == nil {
		return "", errors.New("sign a token: there is no key")
	}
	w := wire{
		Issuer: c.Issuer, Subject: c.Subject, ExpiresAt: c.ExpiresAt.Unix(), IssuedAt: c.IssuedAt.Unix(),
		ID: c.ID, ClientID: c.ClientID, Scope: c.Scope, ProjectID: c.ProjectID, Generation: c.Generation,
	}
	switch len(c.Audience) {
	case 0:
	case 1:
		w.Audience = c.Audience[0]
	default:
		w.Audience = c.Audience
	}
	if !c.NotBefore.IsZero() {
		w.NotBefore = c.NotBefore.Unix()
	}
	if c.JKT != "" || c.X5T != "" {
		w.Confirmation = &confirmation{c.JKT, c.X5T}
	}
	if !w.sound() {
		return "", fmt.Errorf("sign a token: no issuer, times out of order, or bound to no thumbprint: %w", ErrMalformed)
	}
	payload, err := json.Marshal(&w)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	raw, err := k.key().sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	if len(raw) > maxToken {
		return "", fmt.Errorf("sign a token: %d bytes are too many: %w", len(raw), ErrMalformed)
	}
	return raw, nil
}

// sound reports whether Verify would read the claims.
func (w *wire) sound() bool {
	if b := w.Confirmation; b != nil && (b.JKT != "" && !isThumbprint(b.JKT) || b.X5T != "" && !isThumbprint(b.X5T)) {
		return false
	}
	return w.Issuer != "" && w.Generation >= 0 && w.IssuedAt > 0 && w.ExpiresAt > w.IssuedAt && w.ExpiresAt < endOfTime &&
		w.NotBefore >= 0 && w.NotBefore < endOfTime
}

// Expect is what a token must be for Verify to take it.
type Expect struct {
	Issuer string        // exactly
	Type   string        // the header's typ; "" is at+jwt
	Now    time.Time     // when it is
	Leeway time.Duration // by which clocks may differ
}

// Verify checks a token against a set of keys and returns its claims. The
// audience, the project and the key behind it are the caller's to check.
//
// ErrExpired comes last, when signature and all else are right, and is the one
// error that comes with the claims: whoever says "expired" to a client makes it
// fetch a new token, so the caller can first see whether that one would do.
func Verify(ks *KeySet, raw string, e Expect) (Claims, error) {
	if e.Type == "" {
		e.Type = typeAccessToken
	}
	t, err := ks.open(raw)
	if err != nil {
		return Claims{}, err
	}
	if !isType(t.typ, e.Type) {
		return Claims{}, ErrMalformed
	}
	c, err := parseClaims(t.payload, false)
	if err != nil {
		return Claims{}, err
	}
	return c.check(e)
}

// isType compares media types as RFC 7515 §4.1.9 has it: in any case, with or
// without "application/".
func isType(typ, want string) bool {
	const prefix = "application/"
	if len(typ) > len(prefix) && strings.EqualFold(typ[:len(prefix)], prefix) {
		typ = typ[len(prefix):]
	}
	return strings.EqualFold(typ, want)
}

// check compares the claims with what is expected, the expiry last.
func (c Claims) check(e Expect) (Claims, error) {
	switch {
	case c.Issuer == "" || c.Issuer != e.Issuer:
		return Claims{}, ErrIssuer
	case c.IssuedAt.After(e.Now.Add(e.Leeway)), c.NotBefore.After(e.Now.Add(e.Leeway)):
		return Claims{}, ErrNotYet
	case !c.ExpiresAt.After(e.Now.Add(-e.Leeway)):
		return c, ErrExpired
	}
	return c, nil
}

// Peek says which key and which issuer a token names, for choosing who is to
// verify it. Nothing of it is verified: it is what the sender wrote.
func Peek(raw string) (kid, issuer string, ok bool) {
	t, err := parse(raw)
	if err != nil {
		return "", "", false
	}
	err = members(t.payload, func(name, value []byte) error {
		if string(name) == "iss" {
			return text(value, &issuer)
		}
		return nil
	})
	if err != nil {
		return "", "", false
	}
	return t.kid, issuer, true
}

// parseClaims reads the claims of a token. In a foreign one ours have no meaning.
func parseClaims(payload []byte, foreign bool) (Claims, error) {
	var c Claims
	err := members(payload, func(name, value []byte) error {
		if foreign && (string(name) == "project_id" || string(name) == "gen") {
			return nil
		}
		return c.set(name, value)
	})
	if err != nil {
		return Claims{}, err
	}
	if c.IssuedAt.IsZero() || !c.ExpiresAt.After(c.IssuedAt) {
		return Claims{}, ErrMalformed
	}
	return c, nil
}

// set takes one member of the claims. What has a name of ours has our type.
func (c *Claims) set(name, value []byte) error {
	switch string(name) {
	case "iss":
		return text(value, &c.Issuer)
	case "sub":
		return text(value, &c.Subject)
	case "client_id":
		return text(value, &c.ClientID)
	case "jti":
		return text(value, &c.ID)
	case "scope":
		return text(value, &c.Scope)
	case "project_id":
		return text(value, &c.ProjectID)
	case "gen":
		return decimal(value, &c.Generation)
	case "aud":
		return texts(value, &c.Audience)
	case "iat":
		return date(value, &c.IssuedAt)
	case "nbf":
		return date(value, &c.NotBefore)
	case "exp":
		return date(value, &c.ExpiresAt)
	case "cnf":
		return c.setBinding(value)
	}
	return nil
}

// setBinding takes what a token is bound to. A binding that is empty or not
// understood cannot be checked, and a token must not become freer by that.
func (c *Claims) setBinding(value []byte) error {
	err := members(value, func(name, value []byte) error {
		switch string(name) {
		case "jkt":
			return thumb(value, &c.JKT)
		case "x5t#S256":
			return thumb(value, &c.X5T)
		}
		return ErrMalformed
	})
	if err == nil && c.JKT == "" && c.X5T == "" {
		return ErrMalformed
	}
	return err
}

var base64url = base64.RawURLEncoding.Strict()
