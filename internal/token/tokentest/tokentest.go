// Package tokentest makes what tests show to a door: proofs of possession, and
// tokens that no honest issuer would make.
package tokentest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"
	"time"
)

var base64url = base64.RawURLEncoding

// Forge writes a text in compact serialisation, whatever the header and the
// payload say. sign is given what a signature is over.
func Forge(header, payload string, sign func(text []byte) []byte) string {
	text := base64url.EncodeToString([]byte(header)) + "." + base64url.EncodeToString([]byte(payload))
	return text + "." + base64url.EncodeToString(sign([]byte(text)))
}

// Prover is a client that proves possession of a key (RFC 9449).
type Prover struct {
	Key ed25519.PrivateKey
	JWK string // the public key, in the form whose hash is its thumbprint
}

// NewProver makes a client with a key of its own.
func NewProver(t testing.TB) Prover {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Prover{private, `{"crv":"Ed25519","kty":"OKP","x":"` + base64url.EncodeToString(public) + `"}`}
}

// JKT is the key's thumbprint (RFC 7638).
func (p Prover) JKT() string { return hash(p.JWK) }

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64url.EncodeToString(sum[:])
}

// Proof makes a proof for one request with a token; without one if raw is
// empty. A change replaces claims, and removes those that are nil.
func (p Prover) Proof(raw, method, url string, change map[string]any) string {
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": time.Now().Unix()}
	if raw != "" {
		claims["ath"] = hash(raw)
	}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err) // a change of the test's own that is no JSON
	}
	return Forge(`{"typ":"dpop+jwt","alg":"EdDSA","jwk":`+p.JWK+`}`, string(text), func(text []byte) []byte { return ed25519.Sign(p.Key, text) })
}
