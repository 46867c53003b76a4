package token_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/internal/token"
)

// A fuzz test whose seeds went missing would pass and check nothing.
func TestFuzzSeedsExist(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"FuzzVerify", "FuzzVerify_Signed", "FuzzVerifyProof", "FuzzParseJWKS"} {
		seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", name, "*"))
		if err != nil || len(seeds) < 3 {
			t.Errorf("%s has %d seeds (%v)", name, len(seeds), err)
		}
		for _, f := range seeds {
			if data, err := os.ReadFile(f); err != nil || !strings.HasPrefix(string(data), "go test fuzz v1\n") {
				t.Errorf("%s is no seed: %v", f, err)
			}
		}
	}
}

// What passes has three parts of which there is one spelling, and a signature
// that another reading of the text finds good too.
func FuzzVerify(f *testing.F) {
	f.Add(sealed(goodHeader, goodClaims))
	f.Fuzz(func(t *testing.T, raw string) {
		_, err := token.Verify(keys, raw, expect)
		kid, _, peeked := token.Peek(raw)
		if err != nil {
			return
		}
		part := strings.Split(raw, ".")
		if len(part) != 3 || !peeked || kid != "k1" {
			t.Fatalf("%q passes; it names %q", raw, kid)
		}
		for _, p := range part {
			if text, err := base64.RawURLEncoding.DecodeString(p); err != nil || base64.RawURLEncoding.EncodeToString(text) != p {
				t.Fatalf("%q passes (%v)", raw, err)
			}
		}
		signature, _ := base64.RawURLEncoding.DecodeString(part[2])
		if !ed25519.Verify(seed.Public().(ed25519.PublicKey), []byte(part[0]+"."+part[1]), signature) {
			t.Fatalf("%q passes, and is not signed", raw)
		}
	})
}

// Whatever is signed: what passes is read alike by encoding/json, in whichever
// case it looks for the names.
func FuzzVerify_Signed(f *testing.F) {
	f.Add(goodHeader, goodClaims)
	f.Fuzz(func(t *testing.T, header, payload string) {
		c, err := token.Verify(keys, sealed(header, payload), expect)
		if err != nil {
			return
		}
		var h struct{ Alg, Typ, Kid string }
		var p struct {
			Iss, Sub, Scope string
			Exp, Iat        float64
			ProjectID       string `json:"project_id"`
			Gen             int
		}
		if err := json.Unmarshal([]byte(header), &h); err != nil || h.Alg != "EdDSA" || h.Kid != "k1" || !strings.HasSuffix(strings.ToLower(h.Typ), "at+jwt") {
			t.Fatalf("the header %q passes: %+v, %v", header, h, err)
		}
		if err := json.Unmarshal([]byte(payload), &p); err != nil {
			t.Fatalf("the claims %q pass: %v", payload, err)
		}
		if p.Iss != c.Issuer || p.Sub != c.Subject || p.Scope != c.Scope || p.ProjectID != c.ProjectID || p.Gen != c.Generation || int64(p.Exp) != c.ExpiresAt.Unix() || int64(p.Iat) != c.IssuedAt.Unix() {
			t.Fatalf("the claims %q are read as %+v and %+v", payload, c, p)
		}
	})
}

func FuzzVerifyProof(f *testing.F) {
	f.Add(proofHeader, proofClaims)
	thumb, err := token.Thumbprint(seedJWK)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header, payload string) {
		p, err := token.VerifyProof(sealed(header, payload), proofExpect())
		if err != nil {
			return
		}
		var c struct{ Jti, Htm, Htu, Ath string }
		if err := json.Unmarshal([]byte(payload), &c); err != nil || c.Jti != p.ID || c.Htm != "POST" || c.Ath != shownTokenH || !strings.HasPrefix(strings.ToLower(c.Htu), "https://fn.example") {
			t.Fatalf("the proof %q passes: %+v, %v", payload, c, err)
		}
		if p.JKT != thumb || p.ID == "" || len(p.ID) > 256 {
			t.Fatalf("the proof is read as %+v", p)
		}
	})
}

// What is read from a set can be published, and is read from that again.
func FuzzParseJWKS(f *testing.F) {
	f.Add(string(keys.JWKS()))
	f.Fuzz(func(t *testing.T, text string) {
		ks, err := token.ParseJWKS([]byte(text))
		if err != nil {
			return
		}
		again, err := token.ParseJWKS(ks.JWKS())
		if err != nil || again.Len() != ks.Len() {
			t.Fatalf("%q: %d keys, then %v", text, ks.Len(), err)
		}
	})
}
