package token_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/internal/token"
)

type vectors struct {
	NumberOfTests int
	TestGroups    []struct {
		Public json.RawMessage
		Tests  []struct {
			TcID    int
			Comment string
			JWS     any
			Result  string
		}
	}
}

func readVectors(t *testing.T, name string, want int) vectors {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "wycheproof", name))
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, g := range v.TestGroups {
		ran += len(g.Tests)
	}
	if v.NumberOfTests != want || ran != want {
		t.Fatalf("%s has %d vectors and says %d; want %d", name, ran, v.NumberOfTests, want)
	}
	return v
}

// keySet reads a group's public key or keys as a set. A key that we do not
// take, such as a symmetric one, leaves it empty.
func keySet(t *testing.T, public json.RawMessage) *token.KeySet {
	t.Helper()
	if public == nil {
		return nil
	}
	if !bytes.Contains(public, []byte(`"keys"`)) {
		public = []byte(`{"keys":[` + string(public) + `]}`)
	}
	ks, err := token.ParseJWKS(public)
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

// Every vector is run. One that is invalid must be refused; one that is valid
// must pass if it is for an algorithm that we take, and is refused else: HMAC,
// and SHA-384 and SHA-512 with RSA and ECDSA.
func TestWycheproof_Signatures(t *testing.T) {
	t.Parallel()
	v := readVectors(t, "json_web_signature_test.json", 401)
	taken, applies, foreign := 0, 0, 0
	for _, g := range v.TestGroups {
		ks := keySet(t, g.Public)
		for _, tc := range g.Tests {
			raw, ok := tc.JWS.(string)
			if !ok {
				text, err := json.Marshal(tc.JWS)
				if err != nil {
					t.Fatal(err)
				}
				raw = string(text)
			}
			want := tc.Result == "valid"
			switch {
			case ks.Len() == 0:
				foreign, want = foreign+1, false
			case want && !ours(raw):
				foreign, want = foreign+1, false
			default:
				applies++
			}
			_, err := token.Open(ks, raw)
			if (err == nil) != want {
				t.Errorf("%d %s (%s): %v", tc.TcID, tc.Comment, tc.Result, err)
			}
			if err == nil {
				taken++
			}
		}
	}
	if taken != 16 || applies != 320 || foreign != 81 {
		t.Errorf("%d vectors apply, %d do not, %d tokens were taken", applies, foreign, taken)
	}
}

// ours reports whether the header of a vector names an algorithm of ours.
func ours(raw string) bool {
	head, _, _ := strings.Cut(raw, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	var header struct{ Alg string }
	if err != nil || json.Unmarshal(text, &header) != nil {
		return false
	}
	switch header.Alg {
	case "EdDSA", "ES256", "RS256", "PS256":
		return true
	}
	return false
}

func TestWycheproof_Keys(t *testing.T) {
	t.Parallel()
	v := readVectors(t, "json_web_key_test.json", 26)
	for _, g := range v.TestGroups {
		ks := keySet(t, g.Public)
		for _, tc := range g.Tests {
			_, err := token.Open(ks, tc.JWS.(string))
			// 5 is the one valid vector with a public key. 7 is signed by a chip
			// whose RSA keys can be broken (ROCA): nobody looks for those here.
			if want := tc.TcID == 5 || tc.TcID == 7; (err == nil) != want {
				t.Errorf("%d %s: %v", tc.TcID, tc.Comment, err)
			}
		}
	}
}

// The examples of the RFCs.
func TestRFCVectors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, jwk, jws, payload string }{
		{
			"RFC 8037 A.4 and A.5, Ed25519",
			`{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
			"Example of Ed25519 signing",
		},
		{
			"RFC 7515 A.3, ES256",
			`{"kty":"EC","crv":"P-256","kid":"k","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
			"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
			"{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}",
		},
	} {
		payload, err := token.OpenWith(tc.jwk, tc.jws)
		if err != nil || string(payload) != tc.payload {
			t.Errorf("%s: %q, %v", tc.name, payload, err)
		}
		if _, err := token.OpenWith(tc.jwk, tc.jws[:len(tc.jws)-3]+"AAA"); err == nil {
			t.Errorf("%s: altered, it passes", tc.name)
		}
		// The examples name no key, and so are nothing to Verify.
		if _, err := token.Open(keySet(t, json.RawMessage(tc.jwk)), tc.jws); !errors.Is(err, token.ErrUnknownKey) {
			t.Errorf("%s without kid: %v", tc.name, err)
		}
	}
	for _, tc := range []struct{ name, jwk, want string }{
		{
			"RFC 7638 §3.1",
			`{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`,
			"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
		},
		{
			"RFC 8037 A.3",
			`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
		},
		{
			"RFC 9449 §6.1",
			`{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}`,
			"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
		},
	} {
		if got, err := token.Thumbprint(tc.jwk); err != nil || got != tc.want {
			t.Errorf("%s: %q, %v", tc.name, got, err)
		}
	}
}
