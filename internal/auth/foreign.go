package auth

import (
	"strings"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/token"
)

// Foreign reports whether an Authorization value is none of ours, and so the
// handler's to judge: a user's token or password. In doubt it is ours, and goes
// no further: what has the look of a key of ours, a token that does not parse,
// and any scheme but Basic and Bearer.
func (a *Authenticator) Foreign(authorization string) bool {
	scheme, credential, _ := strings.Cut(authorization, " ")
	credential = strings.Trim(credential, " ")
	switch {
	case strings.EqualFold(scheme, "bearer") && strings.Contains(credential, "."):
		return a.foreignToken(credential)
	case credential == "" || accesskey.In(authorization):
		return false
	case strings.EqualFold(scheme, "bearer"):
		return true // has no issuer, and ours have
	case strings.EqualFold(scheme, "basic"):
		plain, err := strictBase64.DecodeString(credential)
		return err == nil && !accesskey.In(string(plain))
	}
	return false
}

// foreignToken reports whether a text is a token of an issuer that is neither
// ours nor trusted. Nothing of it is verified: who lies about the issuer has a
// token that opens nothing here.
func (a *Authenticator) foreignToken(raw string) bool {
	_, issuer, ok := token.Peek(raw)
	_, trusted := a.trust[issuer]
	return ok && issuer != a.issuer && !trusted
}
