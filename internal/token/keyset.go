package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// KeySet is an immutable set of public keys, each found by its ID. A nil set is
// empty. It is safe for concurrent use.
type KeySet struct {
	keys map[string]PublicKey
	ids  []string // in the order given
}

// NewKeySet returns a set of keys. Of two with one ID the later stays.
func NewKeySet(keys ...PublicKey) *KeySet {
	ks := &KeySet{keys: make(map[string]PublicKey, len(keys))}
	for _, k := range keys {
		if _, again := ks.keys[k.KID]; !again {
			ks.ids = append(ks.ids, k.KID)
		}
		ks.keys[k.KID] = k
	}
	return ks
}

// Len is the number of keys.
func (ks *KeySet) Len() int {
	if ks == nil {
		return 0
	}
	return len(ks.keys)
}

func (ks *KeySet) byID(kid string) (PublicKey, bool) {
	if ks == nil || kid == "" {
		return PublicKey{}, false
	}
	k, ok := ks.keys[kid]
	return k, ok
}

// JWKS is the set as a JSON document (RFC 7517), made anew at each call.
func (ks *KeySet) JWKS() []byte {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	if ks != nil {
		for _, id := range ks.ids {
			k := ks.keys[id]
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Key, KeyID: k.KID, Algorithm: string(k.Algorithm), Use: "sig"})
		}
	}
	text, err := json.Marshal(set)
	if err != nil { // a key that is none of the kinds of PublicKey
		panic("token: " + err.Error())
	}
	return text
}

const (
	maxJWKS    = 1 << 20
	minRSABits = 2048
	maxRSABits = 4096 // a longer one costs us more to check than it adds
)

// ParseJWKS reads another issuer's set. It takes keys with an ID for EdDSA over
// Ed25519, ES256, RS256 and PS256 with 2048 to 4096 bits, and skips the others,
// as RFC 7517 §5 asks. It refuses a set of which two such keys have one ID, for
// nobody can say which was meant, and one of over 1 MiB.
func ParseJWKS(data []byte) (*KeySet, error) {
	if len(data) > maxJWKS {
		return nil, fmt.Errorf("read a key set: it is over %d bytes", maxJWKS)
	}
	var list []json.RawMessage
	err := members(data, func(name, value []byte) error {
		if string(name) != "keys" {
			return nil
		}
		if value[0] != '[' {
			return ErrMalformed
		}
		return json.Unmarshal(value, &list)
	})
	if err != nil || list == nil {
		return nil, errors.New("read a key set: it is no JSON object with a list of keys")
	}
	var keys []PublicKey
	seen := map[string]bool{}
	for _, data := range list {
		key, err := parseJWK(data, "")
		if err != nil || key.KID == "" {
			continue
		}
		if seen[key.KID] {
			return nil, fmt.Errorf("read a key set: two keys have the ID %q", key.KID)
		}
		seen[key.KID] = true
		keys = append(keys, key)
	}
	return NewKeySet(keys...), nil
}

var errKey = errors.New("the key is of no use")

// parseJWK reads one public key. A key that names no algorithm is for alg, or
// if that is "" for the usual one. Private and symmetric ones are refused before
// go-jose sees them: that a private key was published makes it nobody's, and
// checking one costs more than the sender paid.
func parseJWK(data []byte, alg Algorithm) (PublicKey, error) {
	var use string
	ops := []string{"verify"}
	err := members(data, func(name, value []byte) error {
		switch string(name) {
		case "use":
			return text(value, &use)
		case "alg":
			return algorithm(value, &alg)
		case "key_ops":
			return texts(value, &ops)
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv":
			return errKey
		}
		return nil
	})
	if err != nil || use != "" && use != "sig" || !slices.Contains(ops, "verify") {
		return PublicKey{}, errKey
	}
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(data); err != nil {
		return PublicKey{}, errKey
	}
	if alg == "" {
		alg = usual(k.Key)
	}
	key := PublicKey{KID: k.KeyID, Algorithm: alg, Key: k.Key}
	if !key.usable() {
		return PublicKey{}, errKey
	}
	return key, nil
}

// usual is the algorithm of a key that names none, as Microsoft's do. There is
// one for each, so that the sender of a token has no choice.
func usual(key any) Algorithm {
	switch key.(type) {
	case ed25519.PublicKey:
		return EdDSA
	case *ecdsa.PublicKey:
		return ES256
	case *rsa.PublicKey:
		return rs256
	}
	return ""
}

func (k PublicKey) usable() bool {
	switch key := k.Key.(type) {
	case ed25519.PublicKey:
		return k.Algorithm == EdDSA
	case *ecdsa.PublicKey:
		return k.Algorithm == ES256 && key.Curve == elliptic.P256()
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		return (k.Algorithm == rs256 || k.Algorithm == ps256) && bits >= minRSABits && bits <= maxRSABits && key.N.Bit(0) == 1 && key.E&1 == 1 && key.E < 1<<31
	}
	return false
}
