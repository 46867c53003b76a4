package auth

import (
	"errors"
	"strings"

	"postern.dev/postern/internal/token"
)

// ChallengeHeader is the name under which a challenge is sent. It is in lower
// case on purpose: clients exist that look for it so, in what HTTP/1.1 leaves
// as it was written.
const ChallengeHeader = "www-authenticate"

// Offer is the challenge where nothing of use was shown: both schemes, of which
// OfferBasic is the first.
const (
	OfferBasic = `Basic realm="postern", charset="UTF-8"`
	Offer      = OfferBasic + `, Bearer realm="postern"`
)

// Challenge is the challenge of a 401 for an error of this package (RFC 9110
// §11.6.1, RFC 6750 §3, RFC 9449 §7.1), in one line, because clients exist that
// read one. The word "expired" is in it if and only if a token has expired: it
// is what makes clients fetch another. metadata is the URL of the resource's
// metadata (RFC 9728 §5.1); empty: there is none.
func Challenge(err error, metadata string) string {
	switch {
	case errors.Is(err, ErrExpired):
		return `Bearer realm="postern", error="invalid_token", error_description="the access token expired"`
	case errors.Is(err, ErrToken):
		return `Bearer realm="postern", error="invalid_token", error_description="the access token is not valid here"`
	case errors.Is(err, ErrProof):
		return `DPoP realm="postern", error="invalid_dpop_proof", algs="` + strings.Join(token.ProofAlgorithms(), " ") + `"`
	}
	return withMetadata(Offer, metadata)
}

func withMetadata(offer, metadata string) string {
	if metadata != "" && !strings.Contains(metadata, "expired") { // a function may have that name
		offer += `, resource_metadata="` + metadata + `"`
	}
	return offer
}
