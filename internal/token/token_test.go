package token_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern.dev/postern/internal/token"
)

const issuer = "https://postern.example"

var (
	now = time.Unix(1_800_000_000, 0).UTC()

	seed   = ed25519.NewKeyFromSeed([]byte("thirty-two bytes that all know.."))
	known  = token.PublicKey{KID: "k1", Algorithm: token.EdDSA, Key: seed.Public()}
	keys   = token.NewKeySet(known)
	expect = token.Expect{Issuer: issuer, Now: now, Leeway: 5 * time.Second}
)

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// sealed is a token with any header and payload, signed properly by k1.
func sealed(header, payload string) string {
	signed := b64(header) + "." + b64(payload)
	return signed + "." + b64(string(ed25519.Sign(seed, []byte(signed))))
}

const (
	goodHeader = `{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}`
	goodClaims = `{"iss":"https://postern.example","iat":1799999990,"exp":1800003590}`
)

func claims() token.Claims {
	return token.Claims{
		Issuer: issuer, Subject: "pak_1", ClientID: "pak_1", ID: "jti-1", Audience: []string{"https://fn.example"},
		Scope: "functions:invoke keys:read", ProjectID: "prj_1", Generation: 3,
		IssuedAt: now, ExpiresAt: now.Add(time.Hour),
	}
}

func newKey(t testing.TB, alg token.Algorithm) token.SigningKey {
	t.Helper()
	k, err := token.NewSigningKey(alg, now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSignVerify(t *testing.T) {
	t.Parallel()
	plain := claims()
	bound := claims()
	bound.JKT, bound.X5T = strings.Repeat("A", 43), strings.Repeat("A", 42)+"E"
	two := claims()
	two.Audience = append(two.Audience, issuer)
	later := claims()
	later.NotBefore = now.Add(-time.Minute)
	bare := token.Claims{Issuer: issuer, IssuedAt: now, ExpiresAt: now.Add(time.Second)}
	odd := claims()
	odd.Subject = "<&>\"\\\u2028 é"
	for _, alg := range []token.Algorithm{token.EdDSA, token.ES256} {
		k := newKey(t, alg)
		restored, err := token.ParseSigningKey(k.KID(), alg, k.PKCS8())
		if err != nil {
			t.Fatal(err)
		}
		published, err := token.ParseJWKS(token.NewKeySet(k.Public()).JWKS())
		if err != nil || published.Len() != 1 {
			t.Fatalf("the published set: %v", err)
		}
		for name, c := range map[string]token.Claims{"plain": plain, "bound": bound, "two audiences": two, "not before": later, "bare": bare, "odd letters": odd} {
			raw, err := token.Sign(restored, c)
			if err != nil {
				t.Fatalf("%s, %s: %v", alg, name, err)
			}
			for _, ks := range []*token.KeySet{token.NewKeySet(known, k.Public()), published} {
				got, err := token.Verify(ks, raw, expect)
				if diff := cmp.Diff(c, got); err != nil || diff != "" {
					t.Errorf("%s, %s: %v %s", alg, name, err, diff)
				}
			}
			if kid, iss, ok := token.Peek(raw); !ok || kid != k.KID() || iss != issuer {
				t.Errorf("%s, %s: peeked %q %q %v", alg, name, kid, iss, ok)
			}
			if _, err := token.Verify(keys, raw, expect); !errors.Is(err, token.ErrUnknownKey) {
				t.Errorf("%s, %s, signed by a retired key: %v", alg, name, err)
			}
		}
	}
}

func TestSign_Refuses(t *testing.T) {
	t.Parallel()
	k := newKey(t, token.EdDSA)
	if _, err := token.Sign(token.SigningKey{}, claims()); err == nil {
		t.Error("no key signs")
	}
	for name, c := range map[string]token.Claims{
		"nothing":          {},
		"no issuer":        {IssuedAt: now, ExpiresAt: now.Add(time.Hour)},
		"no time of issue": {Issuer: issuer, ExpiresAt: now},
		"no expiry":        {Issuer: issuer, IssuedAt: now},
		"expired at birth": {Issuer: issuer, IssuedAt: now, ExpiresAt: now},
		"before 1970":      {Issuer: issuer, IssuedAt: time.Unix(-9, 0), ExpiresAt: now},
		"valid from 1969":  {Issuer: issuer, IssuedAt: now, NotBefore: time.Unix(-9, 0), ExpiresAt: now.Add(time.Hour)},
		"generation below": {Issuer: issuer, IssuedAt: now, ExpiresAt: now.Add(time.Hour), Generation: -1},
		"bound to a word":  {Issuer: issuer, IssuedAt: now, ExpiresAt: now.Add(time.Hour), JKT: "x"},
		"bound to a line":  {Issuer: issuer, IssuedAt: now, ExpiresAt: now.Add(time.Hour), X5T: strings.Repeat("A", 43) + "\n"},
		"year 10000":       {Issuer: issuer, IssuedAt: now, ExpiresAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"too long":         {Issuer: issuer, IssuedAt: now, ExpiresAt: now.Add(time.Hour), Scope: strings.Repeat("scope ", 1100)},
	} {
		if raw, err := token.Sign(k, c); !errors.Is(err, token.ErrMalformed) || raw != "" {
			t.Errorf("%s: %q, %v", name, raw, err)
		}
	}
}

// What is signed is what is verified.
func TestSignVerify_Property(t *testing.T) {
	t.Parallel()
	k := newKey(t, token.EdDSA)
	ks := token.NewKeySet(k.Public())
	word, sum := rapid.StringN(0, 20, 60), rapid.SampledFrom([]string{"", strings.Repeat("A", 43), strings.Repeat("_", 42) + "8"})
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(1, 4e9).Draw(t, "iat"), 0).UTC()
		c := token.Claims{
			Issuer: "i" + word.Draw(t, "iss"), Subject: word.Draw(t, "sub"), ClientID: word.Draw(t, "client_id"), ID: word.Draw(t, "jti"),
			Audience: rapid.SliceOfN(word, 1, 4).Draw(t, "aud"), Scope: word.Draw(t, "scope"), ProjectID: word.Draw(t, "project_id"),
			Generation: rapid.IntRange(0, 1<<40).Draw(t, "gen"), IssuedAt: at, ExpiresAt: at.Add(time.Hour),
			JKT: sum.Draw(t, "jkt"), X5T: sum.Draw(t, "x5t"),
		}
		raw, err := token.Sign(k, c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := token.Verify(ks, raw, token.Expect{Issuer: c.Issuer, Now: at})
		if diff := cmp.Diff(c, got); err != nil || diff != "" {
			t.Fatalf("%v %s", err, diff)
		}
		late, err := token.Verify(ks, raw, token.Expect{Issuer: c.Issuer, Now: c.ExpiresAt})
		if diff := cmp.Diff(c, late); !errors.Is(err, token.ErrExpired) || diff != "" {
			t.Fatalf("an hour later: %v %s", err, diff)
		}
	})
}

// Everything here is signed properly, so that only the text can be at fault.
func TestVerify_WhatTheTextSays(t *testing.T) {
	t.Parallel()
	header := func(more string) string { return `{"alg":"EdDSA","typ":"at+jwt","kid":"k1",` + more + `}` }
	body := func(more string) string { return strings.TrimSuffix(goodClaims, "}") + "," + more + "}" }
	for _, tc := range []struct {
		name, header, claims string
		want                 error
	}{
		{"as it should be", goodHeader, goodClaims, nil},
		{"type with application", `{"alg":"EdDSA","typ":"application/at+jwt","kid":"k1"}`, goodClaims, nil},
		{"type in capitals", `{"alg":"EdDSA","typ":"APPLICATION/AT+JWT","kid":"k1"}`, goodClaims, nil},
		{"alg by its newer name", `{"alg":"Ed25519","typ":"at+jwt","kid":"k1"}`, goodClaims, nil},
		{"white space in JSON", "{ \"alg\":\"EdDSA\",\n\"typ\":\"at+jwt\",\t\"kid\":\"k1\" }", goodClaims, nil},
		{"members that nobody knows", header(`"x":{"a":[1,2]},"cty":"x","x5t":"x"`), body(`"x":{"a":1,"A":2}`), nil},
		{"header of 100 members", header(numbered(97)), goodClaims, nil},
		{"escaped name", `{"\u0061lg":"EdDSA","typ":"at+jwt","kid":"k1"}`, goodClaims, nil},
		{"fraction of a second", goodHeader, `{"iss":"https://postern.example","iat":1799999990.25,"exp":1800003590.5}`, nil},
		{"valid since 1970, as some issuers say", goodHeader, body(`"nbf":0`), nil},
		{"expired within the leeway", goodHeader, `{"iss":"https://postern.example","iat":1,"exp":1799999996}`, nil},
		{"issued ahead within the leeway", goodHeader, `{"iss":"https://postern.example","iat":1800000005,"exp":1800003590}`, nil},

		{"alg none", `{"alg":"none","typ":"at+jwt","kid":"k1"}`, goodClaims, token.ErrSignature},
		{"alg None", `{"alg":"None","typ":"at+jwt","kid":"k1"}`, goodClaims, token.ErrSignature},
		{"alg NONE", `{"alg":"NONE","typ":"at+jwt","kid":"k1"}`, goodClaims, token.ErrSignature},
		{"alg nOnE", `{"alg":"nOnE","typ":"at+jwt","kid":"k1"}`, goodClaims, token.ErrSignature},
		{"alg none and a space", `{"alg":"none ","typ":"at+jwt","kid":"k1"}`, goodClaims, token.ErrSignature},
		{"alg empty", `{"alg":"","typ":"at+jwt","kid":"k1"}`, goodClaims, token.ErrSignature},
		{"alg missing", `{"typ":"at+jwt","kid":"k1"}`, goodClaims, token.ErrSignature},
		{"alg in another case", `{"alg":"eddsa","typ":"at+jwt","kid":"k1"}`, goodClaims, token.ErrSignature},
		{"alg by its newer name in another case", `{"alg":"ed25519","typ":"at+jwt","kid":"k1"}`, goodClaims, token.ErrSignature},
		{"another algorithm", `{"alg":"ES256","typ":"at+jwt","kid":"k1"}`, goodClaims, token.ErrSignature},
		{"HS256", `{"alg":"HS256","typ":"at+jwt","kid":"k1"}`, goodClaims, token.ErrSignature},
		{"name of alg in another case", `{"ALG":"EdDSA","typ":"at+jwt","kid":"k1"}`, goodClaims, token.ErrSignature},
		{"alg is null", `{"alg":null,"typ":"at+jwt","kid":"k1"}`, goodClaims, token.ErrMalformed},
		{"alg is a list", `{"alg":["EdDSA"],"typ":"at+jwt","kid":"k1"}`, goodClaims, token.ErrMalformed},

		{"kid unknown", `{"alg":"EdDSA","typ":"at+jwt","kid":"k2"}`, goodClaims, token.ErrUnknownKey},
		{"kid in another case", `{"alg":"EdDSA","typ":"at+jwt","kid":"K1"}`, goodClaims, token.ErrUnknownKey},
		{"kid missing", `{"alg":"EdDSA","typ":"at+jwt"}`, goodClaims, token.ErrUnknownKey},
		{"kid empty", `{"alg":"EdDSA","typ":"at+jwt","kid":""}`, goodClaims, token.ErrUnknownKey},
		{"kid is a path", `{"alg":"EdDSA","typ":"at+jwt","kid":"../../../../dev/null"}`, goodClaims, token.ErrUnknownKey},
		{"kid is a path to a key", `{"alg":"EdDSA","typ":"at+jwt","kid":"./k1"}`, goodClaims, token.ErrUnknownKey},
		{"kid is SQL", `{"alg":"EdDSA","typ":"at+jwt","kid":"k1' OR '1'='1"}`, goodClaims, token.ErrUnknownKey},
		{"kid with NUL", `{"alg":"EdDSA","typ":"at+jwt","kid":"k1\u0000"}`, goodClaims, token.ErrUnknownKey},
		{"kid is a URL", `{"alg":"EdDSA","typ":"at+jwt","kid":"http://127.0.0.1/k1"}`, goodClaims, token.ErrUnknownKey},
		{"kid is a number", `{"alg":"EdDSA","typ":"at+jwt","kid":1}`, goodClaims, token.ErrMalformed},

		{"a type of another use", `{"alg":"EdDSA","typ":"dpop+jwt","kid":"k1"}`, goodClaims, token.ErrMalformed},
		{"type JWT", `{"alg":"EdDSA","typ":"JWT","kid":"k1"}`, goodClaims, token.ErrMalformed},
		{"type missing", `{"alg":"EdDSA","kid":"k1"}`, goodClaims, token.ErrMalformed},
		{"type twice application", `{"alg":"EdDSA","typ":"application/application/at+jwt","kid":"k1"}`, goodClaims, token.ErrMalformed},

		{"jwk", header(`"jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`), goodClaims, token.ErrMalformed},
		{"jwk is null", header(`"jwk":null`), goodClaims, token.ErrMalformed},
		{"jku", header(`"jku":"https://evil.example/keys"`), goodClaims, token.ErrMalformed},
		{"x5u", header(`"x5u":"https://evil.example/cert"`), goodClaims, token.ErrMalformed},
		{"x5c", header(`"x5c":["AAAA"]`), goodClaims, token.ErrMalformed},
		{"crit", header(`"crit":["exp"],"exp":1`), goodClaims, token.ErrMalformed},
		{"crit of nothing", header(`"crit":[]`), goodClaims, token.ErrMalformed},
		{"crit is null", header(`"crit":null`), goodClaims, token.ErrMalformed},
		{"b64", header(`"b64":false,"crit":["b64"]`), goodClaims, token.ErrMalformed},
		{"b64 alone", header(`"b64":true`), goodClaims, token.ErrMalformed},

		{"alg twice", header(`"alg":"EdDSA"`), goodClaims, token.ErrMalformed},
		{"alg again in another case", header(`"Alg":"none"`), goodClaims, token.ErrMalformed},
		{"kid again, escaped", header(`"\u006bid":"k1"`), goodClaims, token.ErrMalformed},
		{"kid again with the sign of Kelvin", header(`"\u212aid":"k2"`), goodClaims, token.ErrMalformed},
		{"an unknown member twice", header(`"x":1,"x":1`), goodClaims, token.ErrMalformed},
		{"header is a list", `["EdDSA"]`, goodClaims, token.ErrMalformed},
		{"header is null", `null`, goodClaims, token.ErrMalformed},
		{"header is empty", ``, goodClaims, token.ErrMalformed},
		{"header with more behind it", goodHeader + `{}`, goodClaims, token.ErrMalformed},
		{"header with a comma behind it", goodHeader + `,`, goodClaims, token.ErrMalformed},
		{"header with a comment", goodHeader + `//`, goodClaims, token.ErrMalformed},
		{"header with a comma too many", `{"alg":"EdDSA","typ":"at+jwt","kid":"k1",}`, goodClaims, token.ErrMalformed},
		{"header not closed", strings.TrimSuffix(goodHeader, "}"), goodClaims, token.ErrMalformed},
		{"header is not UTF-8", header("\"x\":\"\xff\""), goodClaims, token.ErrMalformed},
		{"header with a byte order mark", "\ufeff" + goodHeader, goodClaims, token.ErrMalformed},
		{"header of 101 members", header(numbered(98)), goodClaims, token.ErrMalformed},

		{"issuer twice", goodHeader, body(`"iss":"https://postern.example"`), token.ErrMalformed},
		{"expiry again in another case", goodHeader, body(`"EXP":1900000000`), token.ErrMalformed},
		{"issuer again with a long s", goodHeader, body(`"i\u017f\u017f":"https://evil.example"`), token.ErrMalformed},
		{"claims are a string", goodHeader, `"x"`, token.ErrMalformed},
		{"claims are empty", goodHeader, ``, token.ErrMalformed},
		{"claims with more behind them", goodHeader, goodClaims + goodClaims, token.ErrMalformed},
		{"claims are not UTF-8", goodHeader, body("\"sub\":\"\xc3\x28\""), token.ErrMalformed},
		{"no claims", goodHeader, `{}`, token.ErrMalformed},
		{"no expiry", goodHeader, `{"iss":"https://postern.example","iat":1799999990}`, token.ErrMalformed},
		{"no time of issue", goodHeader, `{"iss":"https://postern.example","exp":1800003590}`, token.ErrMalformed},
		{"expiry is null", goodHeader, `{"iss":"https://postern.example","iat":1799999990,"exp":null}`, token.ErrMalformed},
		{"expiry is a string", goodHeader, `{"iss":"https://postern.example","iat":1799999990,"exp":"1800003590"}`, token.ErrMalformed},
		{"expiry is true", goodHeader, `{"iss":"https://postern.example","iat":1799999990,"exp":true}`, token.ErrMalformed},
		{"expiry beyond all numbers", goodHeader, `{"iss":"https://postern.example","iat":1799999990,"exp":1e999}`, token.ErrMalformed},
		{"expiry beyond time", goodHeader, `{"iss":"https://postern.example","iat":1799999990,"exp":1e18}`, token.ErrMalformed},
		{"expiry of 20 digits", goodHeader, `{"iss":"https://postern.example","iat":1799999990,"exp":18446744073709551616}`, token.ErrMalformed},
		{"negative expiry", goodHeader, `{"iss":"https://postern.example","iat":-9,"exp":-1}`, token.ErrMalformed},
		{"expiry in milliseconds", goodHeader, `{"iss":"https://postern.example","iat":1799999990000,"exp":1800003590000}`, token.ErrMalformed},
		{"expiry before issue", goodHeader, `{"iss":"https://postern.example","iat":1800003590,"exp":1799999990}`, token.ErrMalformed},
		{"expiry is issue", goodHeader, `{"iss":"https://postern.example","iat":1799999990,"exp":1799999990}`, token.ErrMalformed},
		{"subject is a number", goodHeader, body(`"sub":1`), token.ErrMalformed},
		{"scope is a list", goodHeader, body(`"scope":["a"]`), token.ErrMalformed},
		{"audience is an object", goodHeader, body(`"aud":{}`), token.ErrMalformed},
		{"audience is null", goodHeader, body(`"aud":null`), token.ErrMalformed},
		{"audience with a number", goodHeader, body(`"aud":["a",1]`), token.ErrMalformed},
		{"generation is a fraction", goodHeader, body(`"gen":1.5`), token.ErrMalformed},
		{"generation is negative", goodHeader, body(`"gen":-1`), token.ErrMalformed},
		{"generation is a string", goodHeader, body(`"gen":"1"`), token.ErrMalformed},
		{"bound to nothing", goodHeader, body(`"cnf":{}`), token.ErrMalformed},
		{"bound to null", goodHeader, body(`"cnf":null`), token.ErrMalformed},
		{"bound to an empty thumbprint", goodHeader, body(`"cnf":{"jkt":""}`), token.ErrMalformed},
		{"bound to a short thumbprint", goodHeader, body(`"cnf":{"jkt":"AAAA"}`), token.ErrMalformed},
		{"bound in a way that nobody knows", goodHeader, body(`"cnf":{"kid":"x"}`), token.ErrMalformed},
		{"bound in two ways, one of which nobody knows", goodHeader, body(`"cnf":{"jkt":"` + strings.Repeat("A", 43) + `","kid":"x"}`), token.ErrMalformed},
		{"bound twice", goodHeader, body(`"cnf":{"jkt":"` + strings.Repeat("A", 43) + `","JKT":"x"}`), token.ErrMalformed},

		{"another issuer", goodHeader, `{"iss":"https://evil.example","iat":1799999990,"exp":1800003590}`, token.ErrIssuer},
		{"issuer with a slash more", goodHeader, `{"iss":"https://postern.example/","iat":1799999990,"exp":1800003590}`, token.ErrIssuer},
		{"no issuer", goodHeader, `{"iat":1799999990,"exp":1800003590}`, token.ErrIssuer},
		{"not yet valid", goodHeader, body(`"nbf":1800000006`), token.ErrNotYet},
		{"issued in the future", goodHeader, `{"iss":"https://postern.example","iat":1800000006,"exp":1800003590}`, token.ErrNotYet},
		{"expired", goodHeader, `{"iss":"https://postern.example","iat":1,"exp":1799999995}`, token.ErrExpired},
		{"expired long ago", goodHeader, `{"iss":"https://postern.example","iat":1,"exp":2}`, token.ErrExpired},

		// "expired" makes a client fetch another token: never said where that would not help.
		{"expired, of another issuer", goodHeader, `{"iss":"https://evil.example","iat":1,"exp":2}`, token.ErrIssuer},
		{"expired, of another type", `{"alg":"EdDSA","typ":"JWT","kid":"k1"}`, `{"iss":"https://postern.example","iat":1,"exp":2}`, token.ErrMalformed},
		{"expired, of an unknown key", `{"alg":"EdDSA","typ":"at+jwt","kid":"k2"}`, `{"iss":"https://postern.example","iat":1,"exp":2}`, token.ErrUnknownKey},
		{"expired and not yet valid", goodHeader, `{"iss":"https://postern.example","iat":1,"exp":2,"nbf":1900000000}`, token.ErrNotYet},
		{"expired, bound to nothing", goodHeader, `{"iss":"https://postern.example","iat":1,"exp":2,"cnf":{}}`, token.ErrMalformed},
	} {
		got, err := token.Verify(keys, sealed(tc.header, tc.claims), expect)
		if !errors.Is(err, tc.want) || tc.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if given := got.Issuer != ""; given != (tc.want == nil || tc.want == token.ErrExpired) {
			t.Errorf("%s: the claims are %+v", tc.name, got)
		}
		if err != nil && strings.Contains(err.Error(), "expired") != (tc.want == token.ErrExpired) {
			t.Errorf("%s: the word expired is in %q", tc.name, err)
		}
	}
}

// numbered is so many members of which no two have one name.
func numbered(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"m%d":%d`, i, i)
	}
	return strings.Join(list, ",")
}

// Everything here is a good token that somebody bent on the way.
func TestVerify_BentTexts(t *testing.T) {
	t.Parallel()
	good := sealed(goodHeader, goodClaims)
	part := strings.Split(good, ".")
	h, c, s := part[0], part[1], part[2]
	other := strings.Split(sealed(goodHeader, `{"iss":"https://postern.example","iat":1,"exp":1900000000}`), ".")
	for _, tc := range []struct {
		name, raw string
		want      error
	}{
		{"nothing", "", token.ErrMalformed},
		{"a word", "token", token.ErrMalformed},
		{"dots alone", "..", token.ErrMalformed},
		{"one part", h, token.ErrMalformed},
		{"two parts", h + "." + c, token.ErrMalformed},
		{"no signature", h + "." + c + ".", token.ErrSignature},
		{"a dot more", good + ".", token.ErrMalformed},
		{"a dot before", "." + good, token.ErrMalformed},
		{"a part more", good + "." + s, token.ErrMalformed},
		{"five parts, as if encrypted", good + "." + s + "." + s, token.ErrMalformed},
		{"truncated by one", good[:len(good)-1], token.ErrMalformed},
		{"truncated by two", good[:len(good)-2], token.ErrSignature},
		{"half", good[:len(good)/2], token.ErrMalformed},
		{"1 MiB", strings.Repeat("A", 1<<20), token.ErrMalformed},
		{"1 MiB of dots", strings.Repeat(".", 1<<20), token.ErrMalformed},
		{"signed, but over 8 KiB", sealed(goodHeader, strings.TrimSuffix(goodClaims, "}")+`,"x":"`+strings.Repeat("x", 8192)+`"}`), token.ErrMalformed},
		{"padding", good + "==", token.ErrMalformed},
		{"padded header", h + "=." + c + "." + s, token.ErrMalformed},
		{"space before", " " + good, token.ErrMalformed},
		{"line break behind", good + "\n", token.ErrMalformed},
		{"line break in the signature", h + "." + c + "." + s[:20] + "\r\n" + s[20:], token.ErrMalformed},
		{"line break in the header", h[:4] + "\n" + h[4:] + "." + c + "." + s, token.ErrMalformed},
		{"NUL behind", good + "\x00", token.ErrMalformed},
		{"the other base64 alphabet", h + "." + c + "." + s[:84] + "+/", token.ErrMalformed},
		{"bits after the last byte", good[:len(good)-1] + "B", token.ErrMalformed},
		{"claims of another token", h + "." + other[1] + "." + s, token.ErrSignature},
		{"header with a space more", b64(goodHeader+" ") + "." + c + "." + s, token.ErrSignature},
		{"signature of zeros", h + "." + c + "." + b64(strings.Repeat("\x00", 64)), token.ErrSignature},
		{"signature a byte longer", h + "." + c + "." + b64(string(ed25519.Sign(seed, []byte(h+"."+c)))+"\x00"), token.ErrSignature},
		{"parts in another order", c + "." + h + "." + s, token.ErrUnknownKey},
		{"JSON serialisation", `{"payload":"` + c + `","protected":"` + h + `","signature":"` + s + `"}`, token.ErrMalformed},
	} {
		if _, err := token.Verify(keys, tc.raw, expect); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	if _, err := token.Verify(nil, good, expect); !errors.Is(err, token.ErrUnknownKey) {
		t.Errorf("no keys at all: %v", err)
	}
	for _, raw := range []string{good, sealed(goodHeader, `{"iat":1799999990,"exp":1800003590}`)} {
		if _, err := token.Verify(keys, raw, token.Expect{Now: now}); !errors.Is(err, token.ErrIssuer) {
			t.Errorf("no issuer expected: %v", err)
		}
	}
	if _, err := token.Verify(keys, good, token.Expect{Issuer: issuer, Now: now, Type: "dpop+jwt"}); !errors.Is(err, token.ErrMalformed) {
		t.Errorf("another type expected: %v", err)
	}
}

// No other byte at any place makes another token that passes, nor does any cut.
func TestVerify_RefusesEverySingleChange(t *testing.T) {
	t.Parallel()
	for _, alg := range []token.Algorithm{token.EdDSA, token.ES256} {
		k := newKey(t, alg)
		ks := token.NewKeySet(k.Public())
		raw, err := token.Sign(k, token.Claims{Issuer: issuer, IssuedAt: now, ExpiresAt: now.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			for _, b := range []byte{raw[i] ^ 1, raw[i] ^ 0x20, 'A', '.', '=', 0} {
				if b == raw[i] {
					continue
				}
				if _, err := token.Verify(ks, raw[:i]+string(b)+raw[i+1:], expect); err == nil {
					t.Errorf("%s: byte %d changed to %q passes", alg, i, b)
				}
			}
			if _, err := token.Verify(ks, raw[:i], expect); err == nil {
				t.Errorf("%s: cut to %d bytes it passes", alg, i)
			}
		}
	}
}

// A key verifies with its own algorithm and no other, whatever the header says.
func TestVerify_KeyConfusion(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ks := token.NewKeySet(known, token.PublicKey{KID: "ec", Algorithm: token.ES256, Key: private.Public()})
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	claims := b64(goodClaims)
	for name, secret := range map[string][]byte{"DER": der, "point": point, "Ed25519": seed.Public().(ed25519.PublicKey), "JWKS": ks.JWKS(), "empty": nil} {
		for _, kid := range []string{"ec", "k1"} {
			signed := b64(`{"alg":"HS256","typ":"at+jwt","kid":"`+kid+`"}`) + "." + claims
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(signed))
			if _, err := token.Verify(ks, signed+"."+b64(string(mac.Sum(nil))), expect); !errors.Is(err, token.ErrSignature) {
				t.Errorf("HS256 with the %s of %s as secret: %v", name, kid, err)
			}
		}
	}
	signed := b64(`{"alg":"ES256","typ":"at+jwt","kid":"ec"}`) + "." + claims
	digest := sha256.Sum256([]byte(signed))
	asn1, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	zero, order := strings.Repeat("\x00", 32), string(elliptic.P256().Params().N.Bytes())
	r, z, err := ecdsa.Sign(rand.Reader, private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	whole := string(r.FillBytes(make([]byte, 32))) + string(z.FillBytes(make([]byte, 32)))
	if _, err := token.Verify(ks, signed+"."+b64(whole), expect); err != nil {
		t.Errorf("a good ES256 signature: %v", err)
	}
	for name, signature := range map[string]string{
		"a byte longer": whole + "\x00", "a zero before": "\x00" + whole, "a byte shorter": whole[:63], "halves swapped": whole[32:] + whole[:32],
		"all zero": zero + zero, "R zero": zero + order[:31] + "\x01", "S zero": order[:31] + "\x01" + zero, "order": order + order,
		"empty": "", "one byte": "\x00", "63 bytes": zero + zero[1:], "65 bytes": zero + zero + "\x00", "96 bytes": zero + zero + zero, "ASN.1": string(asn1),
	} {
		if _, err := token.Verify(ks, signed+"."+b64(signature), expect); !errors.Is(err, token.ErrSignature) {
			t.Errorf("ES256 signature %s: %v", name, err)
		}
	}
	// A key that was entered under an algorithm that is not its own is of no use.
	for _, alg := range []token.Algorithm{token.ES256, "RS256", "HS256", "none", ""} {
		wrong := token.NewKeySet(token.PublicKey{KID: "k1", Algorithm: alg, Key: seed.Public()})
		raw := sealed(`{"alg":"`+string(alg)+`","typ":"at+jwt","kid":"k1"}`, goodClaims)
		if _, err := token.Verify(wrong, raw, expect); !errors.Is(err, token.ErrSignature) {
			t.Errorf("an Ed25519 key entered as %q: %v", alg, err)
		}
	}
	for _, alg := range []token.Algorithm{token.EdDSA, "RS256", "ES384"} {
		wrong := token.NewKeySet(token.PublicKey{KID: "ec", Algorithm: alg, Key: private.Public()})
		signed := b64(`{"alg":"`+string(alg)+`","typ":"at+jwt","kid":"ec"}`) + "." + claims
		digest := sha256.Sum256([]byte(signed))
		r, z, err := ecdsa.Sign(rand.Reader, private, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		whole := string(r.FillBytes(make([]byte, 32))) + string(z.FillBytes(make([]byte, 32)))
		if _, err := token.Verify(wrong, signed+"."+b64(whole), expect); !errors.Is(err, token.ErrSignature) {
			t.Errorf("a P-256 key entered as %q: %v", alg, err)
		}
	}
}

func TestPeek_SaysNothingOfWhatIsBroken(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"nothing": "", "a word": "x", "no claims": b64(goodHeader) + "..", "a list": b64(goodHeader) + "." + b64("[]") + ".",
		"issuer twice": b64(goodHeader) + "." + b64(`{"iss":"a","iss":"b"}`) + ".", "issuer is a number": b64(goodHeader) + "." + b64(`{"iss":1}`) + ".",
		"crit": b64(`{"kid":"a","crit":["x"]}`) + "." + b64(`{"iss":"a"}`) + ".", "too long": b64(goodHeader) + "." + b64(`{"iss":"`+strings.Repeat("a", 8192)+`"}`) + ".",
	} {
		if kid, iss, ok := token.Peek(raw); ok || kid != "" || iss != "" {
			t.Errorf("%s: %q %q", name, kid, iss)
		}
	}
	if kid, iss, ok := token.Peek(b64(`{"kid":"a"}`) + "." + b64(`{"iss":"b"}`) + "."); !ok || kid != "a" || iss != "b" {
		t.Errorf("an unsigned token names %q %q %v", kid, iss, ok)
	}
}

// What others decode from our tokens with their own parser.
func TestSign_WireForm(t *testing.T) {
	t.Parallel()
	c := claims()
	c.JKT = strings.Repeat("A", 43)
	k := newKey(t, token.EdDSA)
	raw, err := token.Sign(k, c)
	if err != nil {
		t.Fatal(err)
	}
	var got [2]map[string]any
	for i, part := range strings.Split(raw, ".")[:2] {
		text, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &got[i]); err != nil {
			t.Fatal(err)
		}
	}
	want := [2]map[string]any{
		{"alg": "EdDSA", "typ": "at+jwt", "kid": k.KID()},
		{
			"iss": issuer, "sub": "pak_1", "client_id": "pak_1", "jti": "jti-1", "aud": "https://fn.example", "scope": "functions:invoke keys:read",
			"project_id": "prj_1", "gen": 3.0, "iat": 1.8e9, "exp": 1.8e9 + 3600, "cnf": map[string]any{"jkt": c.JKT},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
