package signature_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
)

// What is signed here is taken by the verifier of the same scheme, once, and by no
// verifier if a byte of it is another.
func TestSign_IsVerified(t *testing.T) {
	t.Parallel()
	const base64Secret = "c2VjcmV0IG9mIGEgc2VuZGVyLCAzMiBieXRlcyBsb25n"
	custom := &platform.Signature{Scheme: "custom", Secrets: []string{"S"}, Custom: &platform.SignatureScheme{Header: "X-Sign", Encoding: "base64", Hash: "sha512", TimestampHeader: "X-When", Signed: "{timestamp}/{body}"}}
	for name, tc := range map[string]struct {
		signature *platform.Signature
		secret    string
	}{
		"voice-v1":          {&platform.Signature{Scheme: "voice-v1", Secrets: []string{"S"}}, base64Secret},
		"voice-v2":          {&platform.Signature{Scheme: "voice-v2", Secrets: []string{"S"}}, base64Secret},
		"conversation":      {&platform.Signature{Scheme: "conversation", Secrets: []string{"S"}}, "words"},
		"numbers":           {&platform.Signature{Scheme: "numbers", Secrets: []string{"S"}}, "words"},
		"standard-webhooks": {&platform.Signature{Scheme: "standard-webhooks", Secrets: []string{"S"}}, "whsec_" + base64Secret},
		"stripe":            {&platform.Signature{Scheme: "stripe", Secrets: []string{"S"}}, "whsec_words"},
		"github":            {&platform.Signature{Scheme: "github", Secrets: []string{"S"}}, "words"},
		"slack":             {&platform.Signature{Scheme: "slack", Secrets: []string{"S"}}, "words"},
		"custom":            {custom, "words"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			guard, err := signature.Named(tc.signature)
			if err != nil {
				t.Fatal(err)
			}
			keys := guard.Keys(func(name string) string {
				if name == "S" {
					return tc.secret
				}
				return "the-key"
			})
			verifier, err := signature.New(signature.Config{Scheme: guard.Scheme, Keys: keys, Memory: signature.NewReplays(1000)})
			if err != nil {
				t.Fatal(err)
			}
			for _, body := range []string{`{"a":1}`, ""} {
				r := &signature.Request{Method: "POST", Path: "/a%20b/ice", Query: "x=1", Header: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte(body), Now: time.Now()}
				if err := signature.Sign(guard.Scheme, keys[0], "id-1", r); err != nil {
					t.Fatal(err)
				}
				other := *r
				other.Body = []byte(body + " ")
				if _, err := verifier.Verify(t.Context(), &other); !errors.Is(err, signature.ErrSignature) {
					t.Errorf("another body: %v", err)
				}
				if v, err := verifier.Verify(t.Context(), r); err != nil || v.Scheme != guard.Scheme.Name() {
					t.Errorf("%+v: %v\n%v", v, err, r.Header)
				}
				if _, err := verifier.Verify(t.Context(), r); !errors.Is(err, signature.ErrReplayed) {
					t.Errorf("a second time: %v", err)
				}
			}
		})
	}
}

// A public key signs nothing, and an error tells no secret.
func TestSign_Refuses(t *testing.T) {
	t.Parallel()
	r := &signature.Request{Method: "POST", Path: "/", Header: map[string][]string{}, Now: time.Now()}
	public := signature.Key{ID: "S", Secret: signature.NewSecret("whpk_" + "MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")}
	if err := signature.Sign(signature.Standard(), public, "id", r); !errors.Is(err, signature.ErrPrivate) {
		t.Errorf("a public key: %v", err)
	}
	bad := signature.Key{ID: "app", Secret: signature.NewSecret("%%% no base64")}
	if err := signature.Sign(signature.VoiceV1(), bad, "", r); err == nil || strings.Contains(err.Error(), "%%%") {
		t.Errorf("a bad secret: %v", err)
	}
}
