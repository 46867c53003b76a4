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
	k, err := r.Current(now)
	if err != nil {
		return "", err
	}
	return token.Sign(k, token.Claims{Issuer: issuer, Subject: keyID, ClientID: keyID, ProjectID: projectID, ID: rand.Text(), Audience: []string{auth.CallAudience},
		Generation: 1, // a function's key is never rotated: each deploy makes another
		Scope:      string(platform.ScopeInvoke), IssuedAt: now, ExpiresAt: now.Add(CallTokenLifetime)})
}
