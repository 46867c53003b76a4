package oauth_test

import (
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/oauth"
	"postern.dev/postern/internal/token"
)

// Nodes need not have the same time. One that is behind the maker of the first
// key signs with it all the same: there is no other.
func TestRing_ClockBehind(t *testing.T) {
	t.Parallel()
	w := &world{}
	r, err := oauth.OpenRing(t.Context(), oauth.RingOptions{Store: w, Sealer: w, Algorithm: token.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	behind := time.Now().Add(-time.Hour)
	if k, err := r.Current(behind); err != nil || k.KID() != w.keys[0].KID {
		t.Errorf("the first key: %v, %v", k, err)
	}
	if err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if k, err := r.Current(behind); err != nil || k.KID() != w.keys[0].KID {
		t.Errorf("the oldest key: %v, %v", k, err)
	}
	w.keys[1].ActiveAt = time.Now().Add(100 * time.Hour)
	w.keys[1].ExpiresAt = w.keys[0].ExpiresAt
	if r, err = oauth.OpenRing(t.Context(), oauth.RingOptions{Store: w, Sealer: w, Algorithm: token.EdDSA}); err != nil {
		t.Fatal(err)
	}
	if k, err := r.Current(time.Now().Add(50 * time.Hour)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a key that has expired signs: %v, %v", k, err)
	}
}

// What passes is told from what is broken, and neither is quoted.
func TestRevoke_StoreAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, token.EdDSA)
	k, secret := w.mint(nil)
	form := url.Values{"token": {w.post(oauth.TokenPath, grantForm, as(k.ID, secret)).body["access_token"].(string)}}.Encode()
	for _, tc := range []struct {
		err    error
		status int
		code   string
	}{
		{errors.New("disk full: /secret/path"), 500, "server_error"},
		{fault.New(fault.Unavailable, "dial /secret/path"), 503, "temporarily_unavailable"},
	} {
		w.away = tc.err
		if a := w.post(oauth.RevokePath, form, as(k.ID, secret)); a.status != tc.status || a.body["error"] != tc.code || strings.Contains(a.raw, "secret") {
			t.Errorf("%v: %d %s", tc.err, a.status, a.raw)
		}
	}
}

// Tokens can be bound to certificates only where clients are asked for one.
func TestMetadata_PromisesCertificatesOverTLSOnly(t *testing.T) {
	t.Parallel()
	for scheme, want := range map[string]bool{"http": false, "https": true} {
		w := newWorld(t, token.EdDSA, func(o *oauth.Options) { o.Issuer = scheme + "://control" })
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, httptest.NewRequest("GET", oauth.MetadataPath, nil))
		if got := strings.Contains(rec.Body.String(), `"tls_client_certificate_bound_access_tokens":true`); got != want {
			t.Errorf("%s: %s", scheme, rec.Body)
		}
	}
}

// What is shown of the keys has no private part, and says which one signs.
func TestRing_Published(t *testing.T) {
	t.Parallel()
	w := &world{}
	r, err := oauth.OpenRing(t.Context(), oauth.RingOptions{Store: w, Sealer: w, Algorithm: token.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, signs := r.Published(time.Now())
	if len(keys) != 2 || keys[0].KID != w.keys[1].KID || signs != w.keys[0].KID {
		t.Fatalf("%d keys, %s signs", len(keys), signs)
	}
	for _, k := range keys {
		if k.Sealed != nil || len(k.Public) == 0 {
			t.Errorf("%+v", k)
		}
	}
	if k, err := r.Current(time.Now()); err != nil || k.KID() != signs {
		t.Error("showing the keys has changed them:", err)
	}
	if keys, signs = r.Published(keys[1].ExpiresAt); len(keys) != 1 || signs != keys[0].KID {
		t.Errorf("after the end of the first: %d keys, %s signs", len(keys), signs)
	}
}
