package token_test

import (
	"crypto/ed25519"
	"testing"

	"postern.dev/postern/internal/token"
)

// Sign and Verify stand on the way of every token; what they allocate beside
// the signature is kept near what was measured, 5 and 19; the race detector
// makes it a little more.
func TestAllocations(t *testing.T) {
	k := newKey(t, token.EdDSA)
	ks, c := token.NewKeySet(k.Public()), claims()
	raw, err := token.Sign(k, c)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _, err = token.Sign(k, c) }); n > 8 || err != nil {
		t.Errorf("Sign allocates %v times (%v)", n, err)
	}
	if n := testing.AllocsPerRun(100, func() { _, err = token.Verify(ks, raw, expect) }); n > 24 || err != nil {
		t.Errorf("Verify allocates %v times (%v)", n, err)
	}
}

// BenchmarkBareSignature is what Sign is measured against.
func BenchmarkBareSignature(b *testing.B) {
	message := make([]byte, 400)
	b.ReportAllocs()
	for b.Loop() {
		ed25519.Sign(seed, message)
	}
}

func BenchmarkSign(b *testing.B) {
	for _, alg := range []token.Algorithm{token.EdDSA, token.ES256} {
		k, c := newKey(b, alg), claims()
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := token.Sign(k, c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []token.Algorithm{token.EdDSA, token.ES256} {
		k := newKey(b, alg)
		ks := token.NewKeySet(k.Public())
		raw, err := token.Sign(k, claims())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := token.Verify(ks, raw, expect); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a flood of tokens with an unknown key costs.
func BenchmarkVerify_Refusal(b *testing.B) {
	raw := sealed(`{"alg":"EdDSA","typ":"at+jwt","kid":"k2"}`, goodClaims)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := token.Verify(keys, raw, expect); err == nil {
			b.Fatal("passes")
		}
	}
}

func BenchmarkPeek(b *testing.B) {
	raw := sealed(goodHeader, goodClaims)
	b.ReportAllocs()
	for b.Loop() {
		token.Peek(raw)
	}
}

func BenchmarkVerifyProof(b *testing.B) {
	raw, e := sealed(proofHeader, proofClaims), proofExpect()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := token.VerifyProof(raw, e); err != nil {
			b.Fatal(err)
		}
	}
}
