package auth

import (
	"slices"
	"time"
)

// CallAudience is the audience of the tokens with which functions call one
// another. No other door answers to it, and the token endpoint gives none for
// it: such a token is good where only workers of this machine can show it.
const CallAudience = "urn:postern:calls"

// Function recognises the function that calls by the token that it was given
// for that, and by nothing else: not by another token of its key, nor by the
// key itself.
func (a *Authenticator) Function(d *Directory, raw string, now time.Time) (Principal, error) {
	t, k, err := a.verified(d, raw, now)
	switch {
	case err != nil:
		return Principal{}, err
	case k == nil, k.FunctionID() == "", t.jkt != "", t.x5t != "", !slices.Contains(t.audience, CallAudience):
		return Principal{}, ErrToken
	}
	return Principal{Key: k, Method: MethodBearer, Token: t}, nil
}
