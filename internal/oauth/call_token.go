package oauth

import (
	"crypto/rand"
	"time"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
)

// CallTokenLifetime is how long a token for calls between functions lives, if
// the key that it is of does.
const CallTokenLifetime = 5 * time.Minute

// CallToken makes the token with which a function calls others. Nobody asks for
// it: the server gives it to the function's workers. It is of the function's
// own key, ends with it, and is good at the internal door alone.
func (r *Ring) CallToken(issuer, keyID, projectID string, now time.Time) (string, error) {
	return r.invokeToken(token.Claims{Issuer: issuer, Subject: keyID, ProjectID: projectID, Audience: []string{auth.CallAudience},
		Generation: 1, // a function's key is never rotated: each deploy makes another
		ExpiresAt:  now.Add(CallTokenLifetime)}, now)
}

// sentTokenLifetime is how long a token of one request lives: it is shown in the
// moment in which it is made.
const sentTokenLifetime = 10 * time.Second

// SentToken makes the token of one request that the server sends for whoever has
// an access key. It is bound to one of the key's secrets like any that the token
// endpoint gives, and good for one audience.
func (r *Ring) SentToken(issuer, keyID, projectID string, generation int, audience string, now time.Time) (string, error) {
	return r.invokeToken(token.Claims{Issuer: issuer, Subject: keyID, ProjectID: projectID, Audience: []string{audience}, Generation: generation, ExpiresAt: now.Add(sentTokenLifetime)}, now)
}

func (r *Ring) invokeToken(c token.Claims, now time.Time) (string, error) {
	k, err := r.Current(now)
	if err != nil {
		return "", err
	}
	c.ClientID, c.ID, c.Scope, c.IssuedAt = c.Subject, rand.Text(), string(platform.ScopeInvoke), now
	return token.Sign(k, c)
}
