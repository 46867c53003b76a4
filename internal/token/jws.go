package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"strings"
)

const maxToken = 8 << 10 // bytes, looked at before anything else

// jws is a signed text in compact serialisation, taken apart but not verified.
type jws struct {
	header
	payload   []byte
	signed    string // what the signature is over
	signature []byte
}

// header is what of a JOSE header is looked at.
type header struct {
	alg      Algorithm
	typ, kid string
	jwk      []byte // only a proof may have it
}

// parse takes a text apart: three parts in base64url of which there is one
// spelling, and a header that asks for nothing.
func parse(raw string) (jws, error) {
	if len(raw) > maxToken || strings.ContainsAny(raw, "\r\n") { // which base64 skips
		return jws{}, ErrMalformed
	}
	last := strings.LastIndexByte(raw, '.')
	if last < 0 {
		return jws{}, ErrMalformed
	}
	head, body, ok := strings.Cut(raw[:last], ".")
	if !ok || strings.IndexByte(body, '.') >= 0 {
		return jws{}, ErrMalformed
	}
	t := jws{signed: raw[:last]}
	var err error
	if t.signature, err = base64url.DecodeString(raw[last+1:]); err != nil {
		return jws{}, ErrMalformed
	}
	if t.payload, err = base64url.DecodeString(body); err != nil {
		return jws{}, ErrMalformed
	}
	decoded, err := base64url.DecodeString(head)
	if err != nil {
		return jws{}, ErrMalformed
	}
	if err := members(decoded, t.header.set); err != nil {
		return jws{}, err
	}
	return t, nil
}

func (h *header) set(name, value []byte) error {
	switch string(name) {
	case "alg":
		return algorithm(value, &h.alg)
	case "typ":
		return text(value, &h.typ)
	case "kid":
		return text(value, &h.kid)
	case "jwk":
		h.jwk = value
	case "jku", "x5u", "x5c": // a key that the sender brings along
		return ErrMalformed
	case "crit", "b64": // RFC 7515 §4.1.11: we understand no extension
		return ErrMalformed
	}
	return nil
}

// open verifies a text's signature with the key that it names. The key says
// which algorithm that is; the header may only agree, or else "none", or HMAC
// with a public key as its secret, would be the sender's to choose.
func (ks *KeySet) open(raw string) (jws, error) {
	t, err := parse(raw)
	if err != nil {
		return jws{}, err
	}
	if t.jwk != nil {
		return jws{}, ErrMalformed
	}
	key, ok := ks.byID(t.kid)
	if !ok {
		return jws{}, ErrUnknownKey
	}
	if !key.signed(t) {
		return jws{}, ErrSignature
	}
	return t, nil
}

// signed reports whether the key signed t with its own algorithm.
func (k PublicKey) signed(t jws) bool {
	if t.alg == "" || t.alg != k.Algorithm {
		return false
	}
	message := []byte(t.signed)
	digest := sha256.Sum256(message)
	switch key := k.Key.(type) {
	case ed25519.PublicKey:
		return k.Algorithm == EdDSA && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, t.signature)
	case *ecdsa.PublicKey:
		// RFC 7518 §3.4: R and S in 32 bytes each, never more or fewer. Verify
		// refuses zero and what is not below the order.
		if k.Algorithm != ES256 || len(t.signature) != 64 {
			return false
		}
		r, s := new(big.Int).SetBytes(t.signature[:32]), new(big.Int).SetBytes(t.signature[32:])
		return ecdsa.Verify(key, digest[:], r, s)
	case *rsa.PublicKey:
		switch k.Algorithm {
		case rs256:
			return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], t.signature) == nil
		case ps256: // RFC 7518 §3.5: the salt is as long as the hash
			return rsa.VerifyPSS(key, crypto.SHA256, digest[:], t.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
	}
	return false
}
