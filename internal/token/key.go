package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Algorithm is a signature algorithm by its JOSE name.
type Algorithm string

// EdDSA is Ed25519 (RFC 8037) and ES256 is ECDSA over P-256 (RFC 7518): those
// that Postern signs with. From others it takes RS256 and PS256 as well, and
// Ed25519 under its newer name (RFC 9864).
const (
	EdDSA Algorithm = "EdDSA"
	ES256 Algorithm = "ES256"
	rs256 Algorithm = "RS256"
	ps256 Algorithm = "PS256"

	ed25519Name Algorithm = "Ed25519" // RFC 9864's name of EdDSA
)

// ProofAlgorithms are the names of those that a DPoP proof may be signed with.
func ProofAlgorithms() []string {
	return []string{string(EdDSA), string(ed25519Name), string(ES256)}
}

// algorithm reads a name. The two of Ed25519 are one: a key is for it under
// either, and for nothing else.
func algorithm(value []byte, into *Algorithm) error {
	var name string
	err := text(value, &name)
	if *into = Algorithm(name); *into == ed25519Name {
		*into = EdDSA
	}
	return err
}

// SigningKey signs access tokens. It never prints its private part; PKCS8 is
// the one way out. The zero value signs nothing. It is safe for concurrent use.
type SigningKey struct {
	// Behind two pointers: fmt prints the bare contents of unexported fields,
	// for which it cannot call String, and with a verb that does not suit a
	// pointer to a struct it prints the struct.
	private **privateKey
}

type privateKey struct {
	kid    string
	alg    Algorithm
	ed     ed25519.PrivateKey
	ec     *ecdsa.PrivateKey
	prefix string // the header in base64url and a dot, which all tokens of the key begin with
}

// NewSigningKey makes a key. Its ID is the day, for whoever reads a list of
// keys, and half of its thumbprint (RFC 7638), which makes it unique.
func NewSigningKey(alg Algorithm, now time.Time) (SigningKey, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		err = errAlgorithm(alg)
	}
	if err != nil {
		return SigningKey{}, fmt.Errorf("make a signing key: %w", err)
	}
	thumbprint, err := thumbprint(private.Public())
	if err != nil {
		return SigningKey{}, fmt.Errorf("make a signing key: %w", err)
	}
	return newSigningKey(now.UTC().Format("20060102")+"-"+thumbprint[:22], alg, private)
}

// ParseSigningKey reads what PKCS8 returned. The key must be one of the algorithm.
func ParseSigningKey(kid string, alg Algorithm, pkcs8 []byte) (SigningKey, error) {
	private, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		// The cause is left out: it speaks of what is in the key.
		return SigningKey{}, fmt.Errorf("read the signing key %s: it is no PKCS #8 text", kid)
	}
	signer, _ := private.(crypto.Signer)
	return newSigningKey(kid, alg, signer)
}

func newSigningKey(kid string, alg Algorithm, private crypto.Signer) (SigningKey, error) {
	k := &privateKey{kid: kid, alg: alg}
	fits := false
	switch p := private.(type) {
	case ed25519.PrivateKey:
		k.ed, fits = p, alg == EdDSA
	case *ecdsa.PrivateKey:
		k.ec, fits = p, alg == ES256 && p.Curve == elliptic.P256()
	}
	if !fits || kid == "" {
		return SigningKey{}, fmt.Errorf("use the signing key %q: it is no key for %s with a name", kid, alg)
	}
	header, err := json.Marshal(struct {
		Alg Algorithm `json:"alg"`
		Typ string    `json:"typ"`
		Kid string    `json:"kid"`
	}{alg, typeAccessToken, kid})
	if err != nil {
		return SigningKey{}, fmt.Errorf("use the signing key %q: %w", kid, err)
	}
	k.prefix = base64url.EncodeToString(header) + "."
	return SigningKey{&k}, nil
}

func errAlgorithm(alg Algorithm) error {
	return fmt.Errorf("the algorithm is %q, not %s or %s", alg, EdDSA, ES256)
}

// sign returns header, payload and signature in compact serialisation.
func (k *privateKey) sign(payload []byte) (string, error) {
	// One buffer of the final size: 64 bytes of signature are 86 characters.
	out := make([]byte, 0, len(k.prefix)+base64url.EncodedLen(len(payload))+1+86)
	out = append(out, k.prefix...)
	out = base64url.AppendEncode(out, payload)
	var signature [64]byte
	if k.alg == EdDSA {
		copy(signature[:], ed25519.Sign(k.ed, out))
	} else {
		digest := sha256.Sum256(out)
		r, s, err := ecdsa.Sign(rand.Reader, k.ec, digest[:])
		if err != nil {
			return "", err
		}
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
	}
	out = append(out, '.')
	return string(base64url.AppendEncode(out, signature[:])), nil
}

// key is the private part; of the zero value one that has no key.
func (k SigningKey) key() *privateKey {
	if k.private == nil {
		return &privateKey{}
	}
	return *k.private
}

// KID is the key's ID; "" for the zero value.
func (k SigningKey) KID() string { return k.key().kid }

// Algorithm is what the key signs with; "" for the zero value.
func (k SigningKey) Algorithm() Algorithm { return k.key().alg }

// Public is the half of the key that verifies. The key must not be the zero value.
func (k SigningKey) Public() PublicKey {
	return PublicKey{k.KID(), k.Algorithm(), k.key().signer().Public()}
}

// PKCS8 is the private key, to be sealed and stored, and for nothing else. The
// key must not be the zero value.
func (k SigningKey) PKCS8() []byte {
	text, err := x509.MarshalPKCS8PrivateKey(k.key().signer())
	if err != nil { // never of the two kinds of key there are
		panic("token: " + err.Error())
	}
	return text
}

func (k *privateKey) signer() crypto.Signer {
	if k.alg == EdDSA {
		return k.ed
	}
	return k.ec
}

// String, GoString, LogValue and MarshalJSON name the key and keep its private
// part out of logs, errors and answers.
func (k SigningKey) String() string { return "signing key " + k.KID() + " [redacted]" }

// GoString is String, for %#v.
func (k SigningKey) GoString() string { return k.String() }

// LogValue is String, for slog.
func (k SigningKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON is String, for encoding/json.
func (k SigningKey) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }

// PublicKey verifies with one algorithm. Key is an ed25519.PublicKey, an
// *ecdsa.PublicKey on P-256 or, of other issuers, an *rsa.PublicKey.
type PublicKey struct {
	KID       string
	Algorithm Algorithm
	Key       crypto.PublicKey
}

// thumbprint is the JWK thumbprint of RFC 7638, SHA-256 in base64url.
func thumbprint(key crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", errors.New("the key has no thumbprint")
	}
	return base64url.EncodeToString(sum), nil
}
