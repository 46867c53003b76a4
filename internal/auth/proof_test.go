package auth_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
	"postern.dev/postern/internal/token/tokentest"
)

// A proof is good for one request. That request may be looked at again, as the
// gateway does when a deployment is replaced beneath it; another one may not.
func TestDPoP_OnceForEachRequest(t *testing.T) {
	t.Parallel()
	s, p := newSigner(t, token.EdDSA), tokentest.NewProver(t)
	k, _ := mint(func(k *platform.AccessKey) { k.Binding = platform.BindingDPoP })
	d := signed(t, auth.NewDirectory().With(k), s)
	a := auth.NewAuthenticator(issuer)
	raw := s.token(t, k, func(c *token.Claims) { c.JKT = p.JKT() })
	shown := func() *auth.Request {
		return &auth.Request{Header: map[string][]string{"Authorization": {"DPoP " + raw}}, Audiences: []string{door}, Method: "POST", Origin: door, Path: "/fn/a/b", Now: now}
	}
	r := shown()
	r.Header["Dpop"] = []string{p.Proof(raw, "POST", door+"/fn/a/b", map[string]any{"iat": now.Unix()})}
	for range 2 {
		if got, err := a.Authenticate(d, r); err != nil || got.Method != auth.MethodDPoP {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	again := shown()
	again.Header = r.Header
	if _, err := a.Authenticate(d, again); !errors.Is(err, auth.ErrProof) {
		t.Errorf("a second request with one proof: %v", err)
	}
	if _, err := a.Authenticate(d.Without(k.ID), r); !errors.Is(err, auth.ErrToken) {
		t.Errorf("a request that was proven, of a key that was revoked meanwhile: %v", err)
	}
	r.Path = "/fn/a/c"
	if _, err := a.Authenticate(d, r); !errors.Is(err, auth.ErrProof) {
		t.Errorf("a request that was proven, for another address: %v", err)
	}
}

// A signing key that was replaced ends at its time, whether or not anything
// has been read from the database since.
func TestSigningKey_EndsInMemory(t *testing.T) {
	t.Parallel()
	old, next := newSigner(t, token.EdDSA), newSigner(t, token.ES256)
	k, _ := mint(nil)
	end := now.Add(time.Minute)
	ending := old.row(t)
	ending.ExpiresAt = end
	d, err := auth.NewDirectory().With(k).WithSigning([]platform.SigningKey{ending, next.row(t)})
	if err != nil {
		t.Fatal(err)
	}
	a := auth.NewAuthenticator(issuer)
	raw := old.token(t, k, nil)
	for _, tc := range []struct {
		name string
		a    *auth.Authenticator
		at   time.Time
		want error
	}{
		{"before", a, end.Add(-time.Nanosecond), nil}, {"at the end, from memory", a, end, auth.ErrToken}, {"at the end, not seen before", auth.NewAuthenticator(issuer), end, auth.ErrToken},
	} {
		if _, err := tc.a.Authenticate(d, bearer(raw, tc.at)); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	if _, err := a.Authenticate(d, bearer(next.token(t, k, nil), end)); err != nil {
		t.Errorf("the next key's: %v", err)
	}
	if before, after := d.JWKS(end.Add(-1)), d.JWKS(end); !bytes.Contains(before, []byte(old.KID())) || bytes.Contains(after, []byte(old.KID())) || !bytes.Contains(after, []byte(next.KID())) {
		t.Errorf("published before: %s\nand after: %s", before, after)
	}
}

// Ending a token costs the same, however many were ended before: whoever ends
// many of their own must not hold up what others end.
func TestRevoke_CostsTheSame(t *testing.T) {
	d := auth.NewDirectory()
	for i := range 50_000 {
		d.Revoke(now, platform.RevokedToken{ID: fmt.Sprint(i), ExpiresAt: now.Add(time.Hour)})
	}
	i := 0
	if n := testing.AllocsPerRun(100, func() {
		i++
		d.Revoke(now, platform.RevokedToken{ID: fmt.Sprint("more", i), ExpiresAt: now.Add(time.Hour)})
	}); n > 12 {
		t.Errorf("%.0f allocations", n)
	}
}
