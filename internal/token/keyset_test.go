package token_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/token"
)

func TestJWKS_WireForm(t *testing.T) {
	t.Parallel()
	var got map[string]any
	if err := json.Unmarshal(keys.JWKS(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"keys": []any{map[string]any{"kty": "OKP", "crv": "Ed25519", "x": seedX, "kid": "k1", "alg": "EdDSA", "use": "sig"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	ec := newKey(t, token.ES256)
	ks := token.NewKeySet(known, ec.Public(), known)
	if text := string(ks.JWKS()); ks.Len() != 2 || strings.Count(text, `"kid"`) != 2 || strings.Index(text, "k1") > strings.Index(text, ec.KID()) {
		t.Errorf("%d keys: %s", ks.Len(), text)
	}
	var none *token.KeySet
	for _, ks := range []*token.KeySet{none, token.NewKeySet()} {
		if text := string(ks.JWKS()); text != `{"keys":[]}` || ks.Len() != 0 {
			t.Errorf("an empty set is published as %s", text)
		}
	}
}

const (
	edJWK = `{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	ecJWK = `{"kty":"EC","crv":"P-256","kid":"ec","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	rsaN  = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	rsaK  = `{"kty":"RSA","kid":"rsa","e":"AQAB","n":"` + rsaN + `"}`
)

// A key that is of no use is skipped, and the others stay.
func TestParseJWKS_Keys(t *testing.T) {
	t.Parallel()
	with := func(jwk, more string) string { return strings.TrimSuffix(jwk, "}") + "," + more + "}" }
	for _, tc := range []struct {
		name, jwk string
		taken     bool
	}{
		{"Ed25519", edJWK, true},
		{"P-256", ecJWK, true},
		{"RSA", rsaK, true},
		{"RSA for RS256", with(rsaK, `"alg":"RS256"`), true},
		{"RSA for PS256", with(rsaK, `"alg":"PS256"`), true},
		{"for signatures", with(edJWK, `"use":"sig","key_ops":["verify","x"]`), true},
		{"with a member that nobody knows", with(edJWK, `"ext":true`), true},

		{"no ID", strings.Replace(edJWK, `"kid":"ed",`, "", 1), false},
		{"an empty ID", strings.Replace(edJWK, `"ed"`, `""`, 1), false},
		{"an ID that is a number", strings.Replace(edJWK, `"ed"`, `1`, 1), false},
		{"symmetric", `{"kty":"oct","kid":"a","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, false},
		{"symmetric, for HS256", `{"kty":"oct","kid":"a","alg":"HS256","k":"AAAA"}`, false},
		{"private Ed25519", with(edJWK, `"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"`), false},
		{"private P-256", with(ecJWK, `"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"`), false},
		{"private RSA", with(rsaK, `"d":"AQAB"`), false},
		{"for encryption", with(edJWK, `"use":"enc"`), false},
		{"for signing only", with(edJWK, `"key_ops":["sign"]`), false},
		{"for no operation", with(edJWK, `"key_ops":[]`), false},
		{"Ed25519 for ES256", with(edJWK, `"alg":"ES256"`), false},
		{"P-256 for EdDSA", with(ecJWK, `"alg":"EdDSA"`), false},
		{"RSA for HS256", with(rsaK, `"alg":"HS256"`), false},
		{"RSA for RS512", with(rsaK, `"alg":"RS512"`), false},
		{"RSA for RSA-OAEP", with(rsaK, `"alg":"RSA-OAEP"`), false},
		{"RSA for none", with(rsaK, `"alg":"none"`), false},
		{"Ed25519 of low order", strings.Replace(edJWK, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", strings.Repeat("A", 43), 1), false},
		{"Ed25519 too short", strings.Replace(edJWK, "HURo", "", 1), false},
		{"X25519", strings.Replace(edJWK, "Ed25519", "X25519", 1), false},
		{"Ed448", strings.Replace(edJWK, "Ed25519", "Ed448", 1), false},
		{"P-256 said to be P-384", strings.Replace(ecJWK, "P-256", "P-384", 1), false},
		{"secp256k1", strings.Replace(ecJWK, "P-256", "secp256k1", 1), false},
		{"off the curve", strings.Replace(ecJWK, "x_FE", "x_FF", 1), false},
		{"the point at infinity", `{"kty":"EC","crv":"P-256","kid":"a","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}`, false},
		{"half a point", `{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"}`, false},
		{"RSA of 1024 bits", strings.Replace(rsaK, rsaN, rsaN[:171], 1), false},
		{"RSA of over 4096 bits", strings.Replace(rsaK, rsaN, rsaN+rsaN+rsaN, 1), false},
		{"RSA with an exponent of one", strings.Replace(rsaK, "AQAB", "AQ", 1), false},
		{"RSA with an even exponent", strings.Replace(rsaK, "AQAB", "AQAA", 1), false},
		{"RSA with an even modulus", strings.Replace(rsaK, "KnqDKgw", "KnqDKgA", 1), false},
		{"RSA with an exponent of 33 bits", strings.Replace(rsaK, "AQAB", "AQAAAAE", 1), false},
		{"RSA without an exponent", strings.Replace(rsaK, `"e":"AQAB",`, "", 1), false},
		{"a kind that nobody knows", `{"kty":"new","kid":"a"}`, false},
		{"no kind", `{"kid":"a"}`, false},
		{"kind in another case", strings.Replace(edJWK, "OKP", "okp", 1), false},
		{"x twice", with(edJWK, `"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`), false},
		{"x again in another case", with(edJWK, `"X":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`), false},
		{"a certificate of another key", with(edJWK, `"x5c":["AAAA"]`), false},
		{"text", `"x"`, false},
		{"null", `null`, false},
	} {
		ks, err := token.ParseJWKS([]byte(`{"keys":[{"kty":"new"},` + tc.jwk + `,` + string(mustJWK(t)) + `]}`))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if want := map[bool]int{true: 2, false: 1}[tc.taken]; ks.Len() != want {
			t.Errorf("%s: %d keys, want %d", tc.name, ks.Len(), want)
		}
		if _, err := token.Verify(ks, sealed(goodHeader, goodClaims), expect); err != nil {
			t.Errorf("%s: the good key beside it: %v", tc.name, err)
		}
	}
}

// mustJWK is the one key of the set keys.
func mustJWK(t *testing.T) []byte {
	t.Helper()
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(keys.JWKS(), &set); err != nil || len(set.Keys) != 1 {
		t.Fatal(err)
	}
	return set.Keys[0]
}

func TestParseJWKS_Refuses(t *testing.T) {
	t.Parallel()
	many := make([]string, 0, 200)
	for i := range cap(many) {
		many = append(many, strings.Replace(edJWK, `"ed"`, fmt.Sprintf(`"%d"`, i), 1))
	}
	if ks, err := token.ParseJWKS([]byte(`{"keys":[` + strings.Join(many, ",") + `]}`)); err != nil || ks.Len() != len(many) {
		t.Errorf("%d keys: %v", len(many), err)
	}
	for name, text := range map[string]string{
		"nothing": "", "null": "null", "a list": "[" + edJWK + "]", "one key": edJWK, "no keys": `{"key":[]}`, "keys in another case": `{"KEYS":[]}`,
		"keys are null": `{"keys":null}`, "keys are an object": `{"keys":{}}`, "keys are text": `{"keys":"x"}`, "keys twice": `{"keys":[],"keys":[]}`,
		"HTML": "<html>", "more behind it": `{"keys":[]}{}`, "cut": `{"keys":[`, "not UTF-8": "{\"keys\":[],\"x\":\"\xff\"}",
		"one key twice": `{"keys":[` + edJWK + `,` + edJWK + `]}`, "two keys of one ID": `{"keys":[` + edJWK + `,` + strings.Replace(ecJWK, `"ec"`, `"ed"`, 1) + `]}`,
		"over 1 MiB": `{"keys":[]}` + strings.Repeat(" ", 1<<20), "nested without end": `{"keys":` + strings.Repeat("[", 500_000) + strings.Repeat("]", 500_000) + `}`,
	} {
		ks, err := token.ParseJWKS([]byte(text))
		if err == nil || ks != nil {
			t.Errorf("%s: %v", name, ks)
		}
		if _, err := token.Verify(ks, sealed(goodHeader, goodClaims), expect); !errors.Is(err, token.ErrUnknownKey) {
			t.Errorf("%s: a token: %v", name, err)
		}
	}
}
