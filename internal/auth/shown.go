package auth

import (
	"crypto/sha256"
	"slices"
	"strings"

	"postern.dev/postern/internal/accesskey"
)

// ShownAs says in which way a request shows a credential, by its form alone:
// nothing is looked up, so that who is told of the way learns nothing of the
// credential. MethodNone: none is shown, or in no way that a header has.
func (a *Authenticator) ShownAs(r *Request) Method {
	authorization, apiKey := r.Header["Authorization"], r.Header["X-Api-Key"]
	if len(authorization) > 0 {
		scheme, credential, _ := strings.Cut(authorization[0], " ")
		credential = strings.Trim(credential, " ")
		switch {
		case strings.EqualFold(scheme, "basic"):
			return MethodBasic
		case strings.EqualFold(scheme, "dpop"):
			return MethodDPoP
		case !strings.EqualFold(scheme, "bearer"):
			return MethodNone
		case len(credential) == accesskey.SecretLen && r.PlanID != "":
			return MethodPlan
		case len(apiKey) == 0 || !a.foreignToken(credential):
			return MethodBearer
		}
	}
	if len(apiKey) > 0 {
		return MethodAPIKey
	}
	return MethodNone
}

// Offers is the challenge of a route that takes credentials in some ways only;
// of none, Offer. For X-API-Key no scheme is registered: the one that is sent
// names the header.
func Offers(ways []string, metadata string) string {
	var offers []string
	takes := func(offer string, ms ...Method) {
		if slices.ContainsFunc(ms, func(m Method) bool { return slices.Contains(ways, string(m)) }) {
			offers = append(offers, offer)
		}
	}
	takes(OfferBasic, MethodBasic, MethodAdmin)
	takes(`Bearer realm="postern"`, MethodBearer, MethodPlan)
	takes(`DPoP realm="postern"`, MethodDPoP)
	takes(`ApiKey realm="postern", header="X-API-Key"`, MethodAPIKey)
	if len(offers) == 0 {
		return Challenge(ErrNone, metadata)
	}
	if tokens := slices.Contains(ways, string(MethodBearer)) || slices.Contains(ways, string(MethodDPoP)); !tokens {
		metadata = ""
	}
	return withMetadata(strings.Join(offers, ", "), metadata)
}

// Packed is 16 bytes that stand for the principal: those of a key's ID, and of
// whoever has none a hash of their name.
func (p Principal) Packed() [16]byte {
	switch {
	case p.Key != nil:
		return p.Key.id
	case p.Token != nil:
		return p.Token.packed
	case p.User != nil:
		packed, _ := packID(p.User.ID)
		return packed
	}
	var named [64]byte
	n := copy(named[:], p.Method)
	n += copy(named[n:], p.ProjectID())
	sum := sha256.Sum256(named[:n])
	return [16]byte(sum[:])
}

// PerSecond is how many requests the key may make in a second; 0: no limit of
// its own.
func (k *Key) PerSecond() int { return k.rest().perSecond }
