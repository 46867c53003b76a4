package auth_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
)

// userToken is a token of a user of the function's, as a JavaScript library makes it.
func userToken(payload string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc([]byte(payload)) + "." + enc([]byte("0123456789abcdef0123456789abcdef"))
}

func TestForeign(t *testing.T) {
	t.Parallel()
	ed := newSigner(t, token.EdDSA)
	k, secret := mint(nil)
	a := auth.NewAuthenticator(issuer, auth.Trust{Issuer: "https://trusted"})
	own := ed.token(t, k, nil)
	plain := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, tc := range map[string]struct {
		shown string
		want  bool
	}{
		"a user's token":              {"Bearer " + userToken(`{"iss":"https://users","sub":"u1"}`), true},
		"a user's token, no issuer":   {"bearer  " + userToken(`{"sub":"u1"}`), true},
		"a user's session":            {"Bearer 0123456789abcdef", true},
		"a user's password":           {plain("alice:secret"), true},
		"our token":                   {"Bearer " + own, false},
		"our token in capitals":       {"BEARER " + own, false},
		"our token, cut off":          {"Bearer " + own[:len(own)-2], false},
		"our token without signature": {"Bearer " + own[:strings.LastIndexByte(own, '.')], false},
		"our token twice":             {"Bearer " + own + ", Bearer " + own, false},
		"our token, then a space":     {"Bearer " + own + " ", false},
		"our token behind a tab":      {"Bearer\t" + own, false},
		"a trusted issuer's":          {"Bearer " + userToken(`{"iss":"https://trusted"}`), false},
		"two issuers":                 {"Bearer " + userToken(`{"iss":"https://users","iss":"`+issuer+`"}`), false},
		"an issuer that is no text":   {"Bearer " + userToken(`{"iss":["`+issuer+`"]}`), false},
		"our issuer, escaped":         {"Bearer " + userToken(`{"iss":"http:\/\/control"}`), false},
		"our secret as a bearer":      {"Bearer " + secret, false},
		"our secret, cut off":         {"Bearer " + secret[:20], false},
		"our key as Basic":            {basic(k.ID, secret)[0], false},
		"our key, wrong secret":       {plain(k.ID + ":x"), false},
		"our secret, other user":      {plain("x:" + secret), false},
		"Basic, not strict":           {plain("alice:secret") + "=", false},
		"bound":                       {"DPoP " + userToken(`{"iss":"https://users"}`), false},
		"another scheme":              {"Digest username=alice", false},
		"our token, another scheme":   {"Token " + own, false},
		"only the scheme":             {"Bearer", false}, "nothing": {"", false}, "a space": {"Bearer ", false},
	} {
		if got := a.Foreign(tc.shown); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A user's token beside a key: the key decides, and nothing else.
func TestAuthenticate_UsersTokenBesideAKey(t *testing.T) {
	t.Parallel()
	ed := newSigner(t, token.EdDSA)
	k, secret := mint(nil)
	other, otherSecret := mint(nil)
	dead, deadSecret := mint(func(k *platform.AccessKey) { k.ExpiresAt = now })
	bound, boundSecret := mint(func(k *platform.AccessKey) { k.Binding = platform.BindingDPoP })
	d := signed(t, auth.NewDirectory().With(k).With(other).With(dead).With(bound), ed)
	a := auth.NewAuthenticator(issuer, auth.Trust{Foreign: foreign{err: token.ErrSignature}, Issuer: "https://trusted", ProjectID: "prj_a"})
	user := userToken(`{"iss":"https://users","sub":"u1"}`)
	for name, tc := range map[string]struct {
		bearer, key string
		want        error
	}{
		"a user's token and a key":      {user, secret, nil},
		"a user's token and no key":     {user, "", auth.ErrToken},
		"an empty key":                  {user, "-", auth.ErrInvalid},
		"a dead key":                    {user, deadSecret, auth.ErrInvalid},
		"an unknown key":                {user, accesskey.NewSecret().Reveal(), auth.ErrInvalid},
		"a bound key":                   {user, boundSecret, auth.ErrBare},
		"our token and its key":         {ed.token(t, k, nil), secret, nil},
		"our token and another's key":   {ed.token(t, k, nil), otherSecret, auth.ErrConflicting},
		"our token, forged, and a key":  {userToken(`{"iss":"` + issuer + `"}`), secret, auth.ErrToken},
		"our token, cut off, and a key": {ed.token(t, k, nil)[:40], secret, auth.ErrToken},
		"a trusted issuer's and a key":  {userToken(`{"iss":"https://trusted"}`), secret, auth.ErrToken},
		"no token and a key":            {"0123456789abcdef", secret, auth.ErrToken},
	} {
		r := bearer(tc.bearer, now)
		if tc.key != "" {
			r.Header["X-Api-Key"] = []string{strings.TrimPrefix(tc.key, "-")}
		}
		p, err := a.Authenticate(d, r)
		if !errors.Is(err, tc.want) || err == nil && (p.Key.ID() != k.ID) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}
