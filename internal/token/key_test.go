package token_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"postern.dev/postern/internal/token"
)

func pkcs8(t *testing.T, private any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestSigningKey_NeverPrintsItself(t *testing.T) {
	t.Parallel()
	for _, alg := range []token.Algorithm{token.EdDSA, token.ES256} {
		k := newKey(t, alg)
		der := k.PKCS8()
		var out bytes.Buffer
		holder := struct {
			Key    token.SigningKey
			hidden token.SigningKey
		}{k, k}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", k, &k, holder)
		}
		text, err := json.Marshal(holder)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", k, "holder", holder)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", k, "holder", holder)
		if !strings.Contains(out.String(), k.KID()+" [redacted]") {
			t.Errorf("%s: %s", alg, out.String())
		}
		// Every stretch of eight bytes is looked for, as hex and as numbers.
		lower := strings.ToLower(out.String())
		for i := 0; i+8 <= len(der); i++ {
			part := der[i : i+8]
			for _, form := range []string{hex.EncodeToString(part), strings.Trim(fmt.Sprint(part), "[]"), strings.Trim(fmt.Sprintf("%#v", part), "[]byte{}")} {
				if strings.Contains(lower, form) {
					t.Fatalf("%s: bytes %d of the private key are printed", alg, i)
				}
			}
		}
	}
	var none token.SigningKey
	if got := fmt.Sprint(none, none.KID(), none.Algorithm()); !strings.Contains(got, "[redacted]") {
		t.Errorf("the zero value prints %q", got)
	}
}

func TestSigningKey_IDs(t *testing.T) {
	t.Parallel()
	a, b := newKey(t, token.EdDSA), newKey(t, token.EdDSA)
	if a.KID() == b.KID() || !strings.HasPrefix(a.KID(), "20270115-") || len(a.KID()) != 9+22 {
		t.Errorf("the IDs are %s and %s", a.KID(), b.KID())
	}
	if bytes.Equal(a.PKCS8(), b.PKCS8()) {
		t.Error("two keys are one")
	}
	if p := a.Public(); p.KID != a.KID() || p.Algorithm != token.EdDSA || a.Algorithm() != token.EdDSA {
		t.Errorf("the public half is %+v", p)
	}
}

func TestSigningKey_Refuses(t *testing.T) {
	t.Parallel()
	for _, alg := range []token.Algorithm{"", "none", "HS256", "RS256", "eddsa", "Ed25519"} {
		if _, err := token.NewSigningKey(alg, now); err == nil {
			t.Errorf("a key for %q is made", alg)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ed, ec := newKey(t, token.EdDSA).PKCS8(), newKey(t, token.ES256).PKCS8()
	for _, tc := range []struct {
		name, kid string
		alg       token.Algorithm
		der       []byte
	}{
		{"Ed25519 as ES256", "k", token.ES256, ed},
		{"P-256 as EdDSA", "k", token.EdDSA, ec},
		{"P-384 as ES256", "k", token.ES256, pkcs8(t, p384)},
		{"RSA as EdDSA", "k", token.EdDSA, pkcs8(t, long)},
		{"RSA as RS256", "k", "RS256", pkcs8(t, long)},
		{"no algorithm", "k", "", ed},
		{"no name", "", token.EdDSA, ed},
		{"nothing", "k", token.EdDSA, nil},
		{"cut", "k", token.EdDSA, ed[:len(ed)-1]},
		{"a public key", "k", token.EdDSA, []byte("MCowBQYDK2VwAyEA")},
	} {
		k, err := token.ParseSigningKey(tc.kid, tc.alg, tc.der)
		if err == nil || k.KID() != "" {
			t.Errorf("%s: taken", tc.name)
		}
		if raw, err := token.Sign(k, claims()); err == nil {
			t.Errorf("%s: signs %s", tc.name, raw)
		}
	}
}
