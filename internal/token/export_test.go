package token

import "context"

// Open is what Verify does before it looks at typ and claims.
func Open(ks *KeySet, raw string) (payload []byte, err error) {
	t, err := ks.open(raw)
	return t.payload, err
}

// OpenWith is Open with one key, for examples that name none.
func OpenWith(jwk, raw string) ([]byte, error) {
	k, err := parseJWK([]byte(jwk), "")
	if err != nil {
		return nil, err
	}
	t, err := parse(raw)
	if err != nil {
		return nil, err
	}
	if !k.signed(t) {
		return nil, ErrSignature
	}
	return t.payload, nil
}

// Thumbprint is the RFC 7638 thumbprint of a JWK's key.
func Thumbprint(jwk string) (string, error) {
	k, err := parseJWK([]byte(jwk), "")
	if err != nil {
		return "", err
	}
	return thumbprint(k.Key)
}

// Fetch is one fetch of Run.
func (i *Issuer) Fetch(ctx context.Context) error { return i.fetch(ctx) }
