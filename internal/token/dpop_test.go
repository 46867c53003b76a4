package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/token"
)

// The proofs of RFC 9449 §4.1 and §7.1.
const (
	rfcJKT        = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	rfcToken      = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	rfcHeader     = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
	rfcTokenProof = rfcHeader + ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	rfcProof      = rfcHeader + ".eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)

func TestVerifyProof_RFCExamples(t *testing.T) {
	t.Parallel()
	at := time.Unix(1562262620, 0)
	atTokenEndpoint := token.ProofExpect{Method: "POST", URL: "https://server.example.com/token", Now: at, Window: time.Minute}
	p, err := token.VerifyProof(rfcTokenProof, atTokenEndpoint)
	if err != nil || p.JKT != rfcJKT || p.ID != "-BwC3ESc6acc2lTc" || p.IssuedAt.Unix() != 1562262616 {
		t.Errorf("at the token endpoint: %+v, %v", p, err)
	}
	atResource := token.ProofExpect{Method: "GET", URL: "https://resource.example.org/protectedresource?x=1", AccessToken: rfcToken, Now: at, Window: time.Minute, JKT: rfcJKT}
	p, err = token.VerifyProof(rfcProof, atResource)
	if err != nil || p.JKT != rfcJKT || p.ID != "e1j3V_bKic8-LAEB" {
		t.Errorf("at a resource: %+v, %v", p, err)
	}
	if _, err := token.VerifyProof(rfcProof, atTokenEndpoint); !errors.Is(err, token.ErrProof) {
		t.Errorf("of the one at the other: %v", err)
	}
	atResource.AccessToken += "x"
	if _, err := token.VerifyProof(rfcProof, atResource); !errors.Is(err, token.ErrProof) {
		t.Errorf("with another token: %v", err)
	}
}

const (
	proofURL     = "https://fn.example/orders"
	shownToken   = "a.b.c"
	shownTokenH  = "hF4wRIgJ4ryJWOsCW_x5UjXROwd6U9DDq70jhRcNybg"
	proofClaims  = `{"jti":"p1","htm":"POST","htu":"https://fn.example/orders","iat":1800000000,"ath":"` + shownTokenH + `"}`
	proofNoToken = `{"jti":"p1","htm":"POST","htu":"https://fn.example/orders","iat":1800000000}`
)

var (
	seedX       = b64(string(seed.Public().(ed25519.PublicKey)))
	seedJWK     = `{"kty":"OKP","crv":"Ed25519","x":"` + seedX + `"}`
	proofHeader = `{"typ":"dpop+jwt","alg":"EdDSA","jwk":` + seedJWK + `}`
)

func proofExpect() token.ProofExpect {
	return token.ProofExpect{Method: "POST", URL: proofURL, AccessToken: shownToken, Now: now, Window: time.Minute}
}

// Everything here is signed properly by the key that the header names.
func TestVerifyProof_WhatTheTextSays(t *testing.T) {
	t.Parallel()
	thumb, err := token.Thumbprint(seedJWK)
	if err != nil {
		t.Fatal(err)
	}
	header := func(jwk string) string { return `{"typ":"dpop+jwt","alg":"EdDSA","jwk":` + jwk + `}` }
	with := func(more string) string { return header(strings.TrimSuffix(seedJWK, "}") + "," + more + "}") }
	swap := func(old, new string) string {
		if !strings.Contains(proofClaims, old) {
			t.Fatalf("there is no %s", old)
		}
		return strings.Replace(proofClaims, old, new, 1)
	}
	const htu, iat, ath = `"htu":"https://fn.example/orders"`, `"iat":1800000000`, `"ath":"` + shownTokenH + `"`
	for _, tc := range []struct {
		name, header, claims string
		ok                   bool
	}{
		{"as it should be", proofHeader, proofClaims, true},
		{"jwk with more to say", with(`"kid":"x","use":"sig","alg":"EdDSA","key_ops":["verify"],"ext":true`), proofClaims, true},
		{"htu with query and fragment", proofHeader, swap(htu, `"htu":"https://fn.example/orders?a=b#c"`), true},
		{"htu with its port", proofHeader, swap(htu, `"htu":"https://fn.example:443/orders"`), true},
		{"htu in capitals where that says nothing", proofHeader, swap(htu, `"htu":"HTTPS://FN.Example/orders"`), true},
		{"htu with letters encoded", proofHeader, swap(htu, `"htu":"https://fn.example/%6frders"`), true},
		{"oldest in the window", proofHeader, swap(iat, `"iat":1799999940`), true},
		{"newest in the window", proofHeader, swap(iat, `"iat":1800000060`), true},
		{"members that nobody knows", proofHeader, swap(iat, iat+`,"nonce":"x","exp":1`), true},

		{"type missing", `{"alg":"EdDSA","jwk":` + seedJWK + `}`, proofClaims, false},
		{"type of an access token", `{"typ":"at+jwt","alg":"EdDSA","jwk":` + seedJWK + `}`, proofClaims, false},
		{"type JWT", `{"typ":"JWT","alg":"EdDSA","jwk":` + seedJWK + `}`, proofClaims, false},
		{"alg none", `{"typ":"dpop+jwt","alg":"none","jwk":` + seedJWK + `}`, proofClaims, false},
		{"alg missing", `{"typ":"dpop+jwt","jwk":` + seedJWK + `}`, proofClaims, false},
		{"alg of another key", `{"typ":"dpop+jwt","alg":"ES256","jwk":` + seedJWK + `}`, proofClaims, false},
		{"HS256", `{"typ":"dpop+jwt","alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`, proofClaims, false},
		{"jwk missing", `{"typ":"dpop+jwt","alg":"EdDSA"}`, proofClaims, false},
		{"jwk missing, kid of ours", `{"typ":"dpop+jwt","alg":"EdDSA","kid":"k1"}`, proofClaims, false},
		{"jwk is null", header("null"), proofClaims, false},
		{"jwk is text", header(`"x"`), proofClaims, false},
		{"jwk empty", header("{}"), proofClaims, false},
		{"jwk of another key", header(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`), proofClaims, false},
		{"jwk of a point of low order", header(`{"kty":"OKP","crv":"Ed25519","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`), proofClaims, false},
		{"jwk for X25519", header(`{"kty":"OKP","crv":"X25519","x":"` + seedX + `"}`), proofClaims, false},
		{"jwk with its private part", with(`"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"`), proofClaims, false},
		{"jwk with an empty private part", with(`"d":""`), proofClaims, false},
		{"jwk with a private part in disguise", with(`"\u0064":null`), proofClaims, false},
		{"jwk with a secret", with(`"k":"AAAA"`), proofClaims, false},
		{"jwk with x twice", with(`"X":"` + seedX + `"`), proofClaims, false},
		{"jwk for encryption", with(`"use":"enc"`), proofClaims, false},
		{"jwk for signing only", with(`"key_ops":["sign"]`), proofClaims, false},
		{"jwk of another algorithm", with(`"alg":"ES256"`), proofClaims, false},
		{"crit", `{"typ":"dpop+jwt","alg":"EdDSA","crit":["x"],"jwk":` + seedJWK + `}`, proofClaims, false},
		{"jku", `{"typ":"dpop+jwt","alg":"EdDSA","jku":"https://e.example","jwk":` + seedJWK + `}`, proofClaims, false},

		{"jti missing", proofHeader, swap(`"jti":"p1",`, ``), false},
		{"jti empty", proofHeader, swap(`"p1"`, `""`), false},
		{"jti too long", proofHeader, swap(`"p1"`, `"`+strings.Repeat("x", 257)+`"`), false},
		{"jti is a number", proofHeader, swap(`"p1"`, `1`), false},
		{"jti twice", proofHeader, swap(iat, iat+`,"jti":"p2"`), false},
		{"htm missing", proofHeader, swap(`"htm":"POST",`, ``), false},
		{"htm of another method", proofHeader, swap(`"POST"`, `"GET"`), false},
		{"htm in another case", proofHeader, swap(`"POST"`, `"post"`), false},
		{"htm again in another case", proofHeader, swap(iat, iat+`,"HTM":"POST"`), false},
		{"htu missing", proofHeader, swap(htu+",", ``), false},
		{"htu of another host", proofHeader, swap(htu, `"htu":"https://other.example/orders"`), false},
		{"htu of another path", proofHeader, swap(htu, `"htu":"https://fn.example/order"`), false},
		{"htu of a path in another case", proofHeader, swap(htu, `"htu":"https://fn.example/Orders"`), false},
		{"htu with a slash behind", proofHeader, swap(htu, `"htu":"https://fn.example/orders/"`), false},
		{"htu with two slashes", proofHeader, swap(htu, `"htu":"https://fn.example//orders"`), false},
		{"htu with dot segments", proofHeader, swap(htu, `"htu":"https://fn.example/x/../orders"`), false},
		{"htu with encoded dot segments", proofHeader, swap(htu, `"htu":"https://fn.example/%2e/orders"`), false},
		{"htu with an encoded slash", proofHeader, swap(htu, `"htu":"https://fn.example%2forders"`), false},
		{"htu without TLS", proofHeader, swap(htu, `"htu":"http://fn.example/orders"`), false},
		{"htu with another port", proofHeader, swap(htu, `"htu":"https://fn.example:8443/orders"`), false},
		{"htu with a user", proofHeader, swap(htu, `"htu":"https://u@fn.example/orders"`), false},
		{"htu is a path", proofHeader, swap(htu, `"htu":"/orders"`), false},
		{"htu is no URL", proofHeader, swap(htu, `"htu":"https://fn.example/%zz"`), false},
		{"iat missing", proofHeader, swap(iat, `"x":1`), false},
		{"iat is text", proofHeader, swap(iat, `"iat":"1800000000"`), false},
		{"iat stale", proofHeader, swap(iat, `"iat":1799999939`), false},
		{"iat ahead", proofHeader, swap(iat, `"iat":1800000061`), false},
		{"iat at the end of time", proofHeader, swap(iat, `"iat":253402300799`), false},
		{"ath missing", proofHeader, proofNoToken, false},
		{"ath of another token", proofHeader, swap(ath, `"ath":"fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"`), false},
		{"ath padded", proofHeader, swap(shownTokenH, shownTokenH+"="), false},
		{"claims are a list", proofHeader, `[]`, false},
		{"nothing", ``, ``, false},
	} {
		p, err := token.VerifyProof(sealed(tc.header, tc.claims), proofExpect())
		if (err == nil) != tc.ok || err != nil && !errors.Is(err, token.ErrProof) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if tc.ok && (p.JKT != thumb || p.ID != "p1" || p.IssuedAt.IsZero()) || !tc.ok && p != (token.Proof{}) {
			t.Errorf("%s: %+v", tc.name, p)
		}
	}
}

func TestVerifyProof_WhatIsExpected(t *testing.T) {
	t.Parallel()
	thumb, err := token.Thumbprint(seedJWK)
	if err != nil {
		t.Fatal(err)
	}
	shown, bare := sealed(proofHeader, proofClaims), sealed(proofHeader, proofNoToken)
	good := proofExpect()
	atToken, ofKey, ofOther, ofNobody, noURL, otherURL, noWindow := good, good, good, good, good, good, good
	atToken.AccessToken = ""
	ofKey.JKT, ofOther.JKT, ofNobody.JKT = thumb, rfcJKT, strings.ToLower(thumb)
	noURL.URL, otherURL.URL = "", "https://fn.example/other"
	noWindow.Window, noWindow.Now = 0, now.Add(time.Millisecond)
	noMethod, noTime, encoded := atToken, atToken, atToken
	noMethod.Method, noTime.Now, encoded.URL = "", time.Time{}, "https://fn.example/caf%C3%A9/%7E"
	for _, tc := range []struct {
		name   string
		raw    string
		expect token.ProofExpect
		ok     bool
	}{
		{"no token yet", bare, atToken, true},
		{"no token yet, and an ath", shown, atToken, true},
		{"encoded otherwise", sealed(proofHeader, `{"jti":"p1","htm":"POST","htu":"https://fn.example/caf%c3%a9/~","iat":1800000000}`), encoded, true},
		{"encoded, of other letters", sealed(proofHeader, `{"jti":"p1","htm":"POST","htu":"https://fn.example/caf%c3%a8/~","iat":1800000000}`), encoded, false},
		{"no method", sealed(proofHeader, `{"jti":"p1","htu":"https://fn.example/orders","iat":1800000000}`), noMethod, false},
		{"no time", sealed(proofHeader, `{"jti":"p1","htm":"POST","htu":"https://fn.example/orders"}`), noTime, false},
		{"by the key", shown, ofKey, true},
		{"by another key", shown, ofOther, false},
		{"by a key in another case", shown, ofNobody, false},
		{"no address", shown, noURL, false},
		{"another address", shown, otherURL, false},
		{"no window", shown, noWindow, false},
		{"nothing expected", shown, token.ProofExpect{}, false},
		{"no token shown, token expected", bare, good, false},
		{"signature cut", shown[:len(shown)-4], good, false},
		{"a dot more", shown + ".", good, false},
		{"1 MiB", strings.Repeat("A", 1<<20), good, false},
		{"empty", "", good, false},
	} {
		if _, err := token.VerifyProof(tc.raw, tc.expect); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// The other kinds of key, whose proofs are good, and what only looks like one.
func TestVerifyProof_OtherKeys(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	n := func(i *big.Int) string { return b64(string(i.Bytes())) }
	point, err := ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	ecJWK := `{"kty":"EC","crv":"P-256","x":"` + b64(string(point[1:33])) + `","y":"` + b64(string(point[33:])) + `"}`
	longJWK := `{"kty":"RSA","e":"AQAB","n":"` + n(long.N) + `"}`
	shortJWK := `{"kty":"RSA","e":"AQAB","n":"` + n(short.N) + `"}`
	boundJWK := `{"kty":"RSA","alg":"PS256","e":"AQAB","n":"` + n(long.N) + `"}`
	for _, tc := range []struct {
		name, alg, jwk string
		key            crypto.Signer
		opts           crypto.SignerOpts
		ok             bool
	}{
		{"ES256", "ES256", ecJWK, ec, crypto.SHA256, true},
		{"RS256", "RS256", longJWK, long, crypto.SHA256, true},
		{"PS256", "PS256", longJWK, long, &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}, true},
		{"PS256 with a short salt", "PS256", longJWK, long, &rsa.PSSOptions{SaltLength: 20, Hash: crypto.SHA256}, false},
		{"RS256 said to be PS256", "PS256", longJWK, long, crypto.SHA256, false},
		{"RS256 by a key for PS256", "RS256", boundJWK, long, crypto.SHA256, false},
		{"RSA of 1024 bits", "RS256", shortJWK, short, crypto.SHA256, false},
		{"RS512", "RS512", longJWK, long, crypto.SHA256, false},
		{"ES256 said to be ES384", "ES384", ecJWK, ec, crypto.SHA256, false},
		{"RSA with an exponent of one", "RS256", strings.Replace(longJWK, "AQAB", "AQ", 1), long, crypto.SHA256, false},
		{"RSA with an even exponent", "RS256", strings.Replace(longJWK, "AQAB", "AQAA", 1), long, crypto.SHA256, false},
		{"a point off the curve", "ES256", strings.NewReplacer(`"x"`, `"y"`, `"y"`, `"x"`).Replace(ecJWK), ec, crypto.SHA256, false},
	} {
		signed := b64(`{"typ":"dpop+jwt","alg":"`+tc.alg+`","jwk":`+tc.jwk+`}`) + "." + b64(proofClaims)
		digest := sha256.Sum256([]byte(signed))
		var signature []byte
		if tc.key == ec {
			r, s, err := ecdsa.Sign(rand.Reader, ec, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		} else if signature, err = tc.key.Sign(rand.Reader, digest[:], tc.opts); err != nil {
			t.Fatal(err)
		}
		if _, err := token.VerifyProof(signed+"."+b64(string(signature)), proofExpect()); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestCertThumbprint(t *testing.T) {
	t.Parallel()
	// SHA-256 of "postern", by another program.
	if got := token.CertThumbprint(&x509.Certificate{Raw: []byte("postern")}); got != "tpbsGbHpU1b0XbjsRzYmbQjMqAtum8nbbcQVWwcPc3Y" {
		t.Error(got)
	}
}
