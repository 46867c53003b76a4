package auth_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/platform"
)

// fuzzSecret opens nothing: what the fuzzer learns of it must hold in its next run.
const fuzzSecret = "psk_789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn3vTAWe"

// FuzzAuthenticate: of all that may stand in the two headers, only the one
// spelling of the one credential lets in: no lenient reader of base64, no
// second colon, nothing round it.
func FuzzAuthenticate(f *testing.F) {
	parsed, err := accesskey.ParseSecret(fuzzSecret)
	if err != nil {
		f.Fatal(err)
	}
	secret := parsed.Reveal()
	key := platform.AccessKey{ID: "pak_01kaj0000000000000000000fz", ProjectID: "prj_a", SecretHash: parsed.Hash(), Scopes: []platform.Scope{platform.ScopeInvoke}}
	d := auth.NewDirectory().With(key)
	right := base64.StdEncoding.EncodeToString([]byte(key.ID + ":" + secret))
	seeds := [][2]string{{"Basic " + right, ""}, {"basic  " + right, ""}, {"", secret}, {"Basic " + right, secret}, {"Basic " + right + "=", ""}, {"Bearer " + secret, ""},
		{"Basic " + strings.ToLower(right), ""}, {"Basic\t" + right, ""}, {"Basic " + right[:8] + "\n" + right[8:], ""}, {"Basic Og==", ""}, {"", secret + " "}, {"", strings.ToUpper(secret)}}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, authorization, apiKey string) {
		header := map[string][]string{}
		if authorization != "" {
			header["Authorization"] = []string{authorization}
		}
		if apiKey != "" {
			header["X-Api-Key"] = []string{apiKey}
		}
		p, err := auth.Authenticate(d, header, now)
		if (err == nil) != (p.Key != nil) {
			t.Fatalf("%v, and an error %v", p, err)
		}
		if err != nil {
			if text := err.Error(); strings.Contains(text, secret) || len(apiKey) > 8 && strings.Contains(text, apiKey) {
				t.Fatalf("the refusal repeats what was sent: %s", text)
			}
			return
		}
		scheme, credential, _ := strings.Cut(authorization, " ")
		if basic := strings.EqualFold(scheme, "basic") && strings.TrimLeft(credential, " ") == right; authorization != "" && !basic || authorization == "" && apiKey != secret || apiKey != "" && apiKey != secret {
			t.Fatalf("let in by %q and %q", authorization, apiKey)
		}
		if p.ID() != key.ID || !accesskey.ValidID(p.ID()) {
			t.Fatalf("%q was taken for another", p.ID())
		}
	})
}
