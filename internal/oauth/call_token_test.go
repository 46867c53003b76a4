package oauth_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/oauth"
	"postern.dev/postern/internal/token"
)

// A token for calls says whose it is and where it is good, and not for long.
func TestCallToken(t *testing.T) {
	t.Parallel()
	w := &world{}
	r, err := oauth.OpenRing(t.Context(), oauth.RingOptions{Store: w, Sealer: w, Algorithm: token.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second).UTC()
	seen := map[string]bool{}
	for range 3 {
		raw, err := r.CallToken("http://control", "pak_1", "prj_1", now)
		if err != nil {
			t.Fatal(err)
		}
		k, err := r.Current(now)
		if err != nil {
			t.Fatal(err)
		}
		c, err := token.Verify(token.NewKeySet(k.Public()), raw, token.Expect{Issuer: "http://control", Now: now})
		if seen[c.ID] || c.ID == "" || err != nil {
			t.Errorf("the ID %q: %v", c.ID, err)
		}
		seen[c.ID] = true
		c.ID = ""
		if d := cmp.Diff(token.Claims{Issuer: "http://control", Subject: "pak_1", ClientID: "pak_1", ProjectID: "prj_1", Audience: []string{auth.CallAudience}, Scope: "invoke", Generation: 1,
			IssuedAt: now, ExpiresAt: now.Add(5 * time.Minute)}, c); d != "" {
			t.Error(d)
		}
	}
}

// A token of one request is of one audience and of one secret of its key, and
// lives for seconds.
func TestSentToken(t *testing.T) {
	t.Parallel()
	w := &world{}
	r, err := oauth.OpenRing(t.Context(), oauth.RingOptions{Store: w, Sealer: w, Algorithm: token.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second).UTC()
	raw, err := r.SentToken("http://control", "pak_1", "prj_1", 3, "http://gw/fn/f", now)
	if err != nil {
		t.Fatal(err)
	}
	k, err := r.Current(now)
	if err != nil {
		t.Fatal(err)
	}
	c, err := token.Verify(token.NewKeySet(k.Public()), raw, token.Expect{Issuer: "http://control", Now: now})
	if err != nil || c.ID == "" {
		t.Fatal(c, err)
	}
	c.ID = ""
	if d := cmp.Diff(token.Claims{Issuer: "http://control", Subject: "pak_1", ClientID: "pak_1", ProjectID: "prj_1", Audience: []string{"http://gw/fn/f"}, Scope: "invoke", Generation: 3,
		IssuedAt: now, ExpiresAt: now.Add(10 * time.Second)}, c); d != "" {
		t.Error(d)
	}
	if _, err := token.Verify(token.NewKeySet(k.Public()), raw, token.Expect{Issuer: "http://control", Now: now.Add(11 * time.Second)}); !errors.Is(err, token.ErrExpired) {
		t.Errorf("later: %v", err)
	}
}
