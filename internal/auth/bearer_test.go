package auth_test

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
)

const issuer, door = "http://control", "http://gateway"

// signer is a signing key, as a directory knows it and as it signs.
type signer struct{ token.SigningKey }

func newSigner(t testing.TB, alg token.Algorithm) signer {
	t.Helper()
	k, err := token.NewSigningKey(alg, now)
	if err != nil {
		t.Fatal(err)
	}
	return signer{k}
}

func (s signer) row(t testing.TB) platform.SigningKey {
	t.Helper()
	public, err := x509.MarshalPKIXPublicKey(s.Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	return platform.SigningKey{KID: s.KID(), Algorithm: string(s.Algorithm()), Public: public}
}

// token makes a token for a key, changed at will.
func (s signer) token(t testing.TB, k platform.AccessKey, change func(*token.Claims)) string {
	t.Helper()
	c := token.Claims{Issuer: issuer, Subject: k.ID, ClientID: k.ID, ID: accesskey.NewID(now), ProjectID: k.ProjectID, Generation: max(k.Generation, 1), Audience: []string{door, issuer}, Scope: "invoke",
		IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	if change != nil {
		change(&c)
	}
	raw, err := token.Sign(s.SigningKey, c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func signed(t testing.TB, d *auth.Directory, keys ...signer) *auth.Directory {
	t.Helper()
	var rows []platform.SigningKey
	for _, k := range keys {
		rows = append(rows, k.row(t))
	}
	d, err := d.WithSigning(rows)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func bearer(raw string, at time.Time) *auth.Request {
	return &auth.Request{Header: map[string][]string{"Authorization": {"Bearer " + raw}}, Audiences: []string{door, door + "/fn/a"}, Now: at}
}

func TestBearer(t *testing.T) {
	t.Parallel()
	ed, es, retired := newSigner(t, token.EdDSA), newSigner(t, token.ES256), newSigner(t, token.EdDSA)
	k, secret := mint(nil)
	both, _ := mint(func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeInvoke, platform.ScopeControl} })
	gone, _ := mint(nil)
	dead, _ := mint(func(k *platform.AccessKey) { k.ExpiresAt = now })
	plan, planSecret := mint(func(k *platform.AccessKey) { k.ServicePlanID = "plan" })
	bound, boundSecret := mint(func(k *platform.AccessKey) { k.Binding = platform.BindingDPoP })
	d := signed(t, auth.NewDirectory().With(k).With(both).With(gone).With(dead).With(plan).With(bound).Without(gone.ID), ed, es)
	good := ed.token(t, k, nil)
	claims := func(change func(*token.Claims)) string { return ed.token(t, k, change) }
	for name, tc := range map[string]struct {
		shown string
		want  error
	}{
		"EdDSA":                    {"Bearer " + good, nil},
		"ES256":                    {"Bearer " + es.token(t, k, nil), nil},
		"scheme in capitals":       {"BEARER " + good, nil},
		"many spaces":              {"Bearer   " + good, nil},
		"for this function":        {"Bearer " + claims(func(c *token.Claims) { c.Audience = []string{door + "/fn/a"} }), nil},
		"with a scope unknown":     {"Bearer " + claims(func(c *token.Claims) { c.Scope = "other invoke" }), nil},
		"a space after it":         {"Bearer " + good + " ", auth.ErrToken},
		"two":                      {"Bearer " + good + ", Bearer " + good, auth.ErrToken},
		"tab":                      {"Bearer\t" + good, auth.ErrInvalid},
		"none":                     {"Bearer ", auth.ErrToken},
		"only the scheme":          {"Bearer", auth.ErrToken},
		"a dot more":               {"Bearer " + good + ".", auth.ErrToken},
		"cut off":                  {"Bearer " + good[:len(good)-1], auth.ErrToken},
		"a megabyte":               {"Bearer " + strings.Repeat("a", 1<<20), auth.ErrToken},
		"a retired key's":          {"Bearer " + retired.token(t, k, nil), auth.ErrToken},
		"another issuer's":         {"Bearer " + claims(func(c *token.Claims) { c.Issuer = "http://other" }), auth.ErrToken},
		"for another audience":     {"Bearer " + claims(func(c *token.Claims) { c.Audience = []string{"http://other"} }), auth.ErrToken},
		"for another function":     {"Bearer " + claims(func(c *token.Claims) { c.Audience = []string{door + "/fn/b"} }), auth.ErrToken},
		"for the control plane":    {"Bearer " + claims(func(c *token.Claims) { c.Audience = []string{issuer} }), auth.ErrToken},
		"for nobody":               {"Bearer " + claims(func(c *token.Claims) { c.Audience = nil }), auth.ErrToken},
		"another project":          {"Bearer " + claims(func(c *token.Claims) { c.ProjectID = "prj_b" }), auth.ErrToken},
		"no project":               {"Bearer " + claims(func(c *token.Claims) { c.ProjectID = "" }), auth.ErrToken},
		"an older secret's":        {"Bearer " + claims(func(c *token.Claims) { c.Generation = 0 }), auth.ErrToken},
		"a later secret's":         {"Bearer " + claims(func(c *token.Claims) { c.Generation = 2 }), auth.ErrToken},
		"expired":                  {"Bearer " + claims(func(c *token.Claims) { c.IssuedAt, c.ExpiresAt = now.Add(-time.Hour), now }), auth.ErrExpired},
		"expired of a gone key":    {"Bearer " + ed.token(t, gone, func(c *token.Claims) { c.IssuedAt, c.ExpiresAt = now.Add(-time.Hour), now.Add(-time.Minute) }), auth.ErrToken},
		"not yet":                  {"Bearer " + claims(func(c *token.Claims) { c.NotBefore = now.Add(time.Minute) }), auth.ErrToken},
		"a revoked key's":          {"Bearer " + ed.token(t, gone, nil), auth.ErrToken},
		"an expired key's":         {"Bearer " + ed.token(t, dead, nil), auth.ErrToken},
		"an unknown key's":         {"Bearer " + claims(func(c *token.Claims) { c.Subject = accesskey.NewID(now) }), auth.ErrToken},
		"a bare secret":            {"Bearer " + secret, auth.ErrToken},
		"a plan's secret, no plan": {"Bearer " + planSecret, auth.ErrToken},
		"unbound of a bound key":   {"Bearer " + ed.token(t, bound, nil), auth.ErrToken},
		"bound without a proof":    {"Bearer " + ed.token(t, bound, func(c *token.Claims) { c.JKT = strings.Repeat("A", 43) }), auth.ErrProof},
		"proof of an unbound one":  {"DPoP " + good, auth.ErrProof},
		"bound to a certificate":   {"Bearer " + claims(func(c *token.Claims) { c.X5T = strings.Repeat("A", 43) }), auth.ErrToken},
		"Basic of a bound key":     {basic(bound.ID, boundSecret)[0], auth.ErrBare},
		"Basic of a plan":          {basic(plan.ID, planSecret)[0], auth.ErrBare},
	} {
		r := bearer("", now)
		r.Header["Authorization"] = []string{tc.shown}
		a := auth.NewAuthenticator(issuer)
		for range 2 { // also from memory
			p, err := a.Authenticate(d, r)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("%s: %v, want %v", name, err, tc.want)
			}
			if err == nil && (p.Key.ID() != k.ID || p.Method != auth.MethodBearer || p.Scopes() != "invoke") {
				t.Errorf("%s: %+v", name, p)
			}
			if told := auth.Challenge(err, ""); strings.Contains(told, "expired") != (tc.want == auth.ErrExpired) {
				t.Errorf("%s: challenge %s", name, told)
			}
		}
	}
}

// What a token may do is what both it and its key may, as the key is now.
func TestBearer_NeverMoreThanItsKey(t *testing.T) {
	t.Parallel()
	s := newSigner(t, token.EdDSA)
	k, _ := mint(func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeInvoke, platform.ScopeControl} })
	d := signed(t, auth.NewDirectory().With(k), s)
	a := auth.NewAuthenticator(issuer)
	wide, narrow, none := s.token(t, k, func(c *token.Claims) { c.Scope = "control invoke" }), s.token(t, k, nil), s.token(t, k, func(c *token.Claims) { c.Scope = "" })
	scopes := func(d *auth.Directory, raw string) string {
		p, err := a.Authenticate(d, bearer(raw, now))
		if err != nil {
			t.Fatal(err)
		}
		return p.Scopes()
	}
	if scopes(d, wide) != "invoke control" || scopes(d, narrow) != "invoke" || scopes(d, none) != "" {
		t.Errorf("%q, %q and %q", scopes(d, wide), scopes(d, narrow), scopes(d, none))
	}
	k.Scopes = []platform.Scope{platform.ScopeControl}
	if d = d.With(k); scopes(d, wide) != "control" || scopes(d, narrow) != "" {
		t.Errorf("after the key lost invoke: %q and %q", scopes(d, wide), scopes(d, narrow))
	}
	p, _ := a.Authenticate(d, bearer(narrow, now))
	if err := auth.Decide(p, auth.Need{ProjectID: k.ProjectID, Scope: platform.ScopeInvoke, RemoteAddr: "192.0.2.1:1"}); !errors.Is(err, auth.ErrScope) {
		t.Errorf("invoke without the scope: %v", err)
	}
}

// A token dies with its key, its secret, or by itself, from one request to the
// next, also when it is in memory.
func TestBearer_DiesAtOnce(t *testing.T) {
	t.Parallel()
	s, next := newSigner(t, token.EdDSA), newSigner(t, token.EdDSA)
	rotated := func(grace time.Duration) func(*auth.Directory, platform.AccessKey) *auth.Directory {
		return func(d *auth.Directory, k platform.AccessKey) *auth.Directory {
			k.PreviousHash, k.PreviousUntil, k.SecretHash, k.Generation = k.SecretHash, now.Add(grace), accesskey.NewSecret().Hash(), 2
			return d.With(k)
		}
	}
	for name, tc := range map[string]struct {
		change func(*auth.Directory, platform.AccessKey) *auth.Directory
		at     time.Time
		want   error
	}{
		"nothing":         {func(d *auth.Directory, k platform.AccessKey) *auth.Directory { return d }, now, nil},
		"renamed":         {func(d *auth.Directory, k platform.AccessKey) *auth.Directory { k.DisplayName = "x"; return d.With(k) }, now, nil},
		"another key":     {func(d *auth.Directory, k platform.AccessKey) *auth.Directory { o, _ := mint(nil); return d.With(o) }, now, nil},
		"a signing key":   {func(d *auth.Directory, k platform.AccessKey) *auth.Directory { return signed(t, d, s, next) }, now, nil},
		"in its grace":    {rotated(time.Minute), now.Add(time.Minute - 1), nil},
		"after its grace": {rotated(time.Minute), now.Add(time.Minute), auth.ErrToken},
		"without grace":   {rotated(0), now, auth.ErrToken},
		"key revoked":     {func(d *auth.Directory, k platform.AccessKey) *auth.Directory { return d.Without(k.ID) }, now, auth.ErrToken},
		"key expires": {func(d *auth.Directory, k platform.AccessKey) *auth.Directory {
			k.ExpiresAt = now.Add(time.Second)
			return d.With(k)
		}, now.Add(time.Second), auth.ErrToken},
		"key made bound": {func(d *auth.Directory, k platform.AccessKey) *auth.Directory {
			k.Binding = platform.BindingDPoP
			return d.With(k)
		}, now, auth.ErrToken},
		"signing key gone": {func(d *auth.Directory, k platform.AccessKey) *auth.Directory { return signed(t, d, next) }, now, auth.ErrToken},
		"an hour":          {func(d *auth.Directory, k platform.AccessKey) *auth.Directory { return d }, now.Add(time.Hour), auth.ErrExpired},
		"token revoked": {func(d *auth.Directory, k platform.AccessKey) *auth.Directory {
			d.Revoke(now, platform.RevokedToken{ID: "jti", ExpiresAt: now.Add(time.Hour)})
			return d
		}, now, auth.ErrToken},
		"another token revoked": {func(d *auth.Directory, k platform.AccessKey) *auth.Directory {
			d.Revoke(now, platform.RevokedToken{ID: "other", ExpiresAt: now.Add(time.Hour)})
			return d
		}, now, nil},
		"token revoked, keys read anew": {func(d *auth.Directory, k platform.AccessKey) *auth.Directory {
			d.Revoke(now, platform.RevokedToken{ID: "jti", ExpiresAt: now.Add(time.Hour)})
			b := auth.Rebuild(d)
			b.Add(k)
			return b.Directory()
		}, now, auth.ErrToken},
	} {
		k, _ := mint(nil)
		d := signed(t, auth.NewDirectory().With(k), s)
		a := auth.NewAuthenticator(issuer)
		r := bearer(s.token(t, k, func(c *token.Claims) { c.ID = "jti" }), now)
		if _, err := a.Authenticate(d, r); err != nil {
			t.Fatal(name, err)
		}
		r.Now = tc.at
		if _, err := a.Authenticate(tc.change(d, k), r); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// During a rotation's grace both secrets open, and after it the new one.
func TestRotation(t *testing.T) {
	t.Parallel()
	k, old := mint(nil)
	fresh := accesskey.NewSecret()
	until := now.Add(time.Minute)
	k.PreviousHash, k.PreviousUntil, k.SecretHash, k.Generation = k.SecretHash, until, fresh.Hash(), 2
	d := auth.NewDirectory().With(k)
	for name, tc := range map[string]struct {
		secret string
		at     time.Time
		want   error
		gen    int
	}{
		"new": {fresh.Reveal(), now, nil, 2}, "old": {old, now, nil, 1}, "old at the last moment": {old, until.Add(-time.Microsecond), nil, 1},
		"old when it is over": {old, until, auth.ErrInvalid, 0}, "new when it is over": {fresh.Reveal(), until, nil, 2}, "neither": {accesskey.NewSecret().Reveal(), now, auth.ErrInvalid, 0},
	} {
		if _, err := auth.Authenticate(d, map[string][]string{"Authorization": basic(k.ID, tc.secret)}, tc.at); !errors.Is(err, tc.want) {
			t.Errorf("%s, Basic: %v", name, err)
		}
		if _, err := auth.Authenticate(d, map[string][]string{"X-Api-Key": {tc.secret}}, tc.at); !errors.Is(err, tc.want) {
			t.Errorf("%s, X-API-Key: %v", name, err)
		}
		if client, gen := auth.Client(d, k.ID, tc.secret, tc.at); gen != tc.gen || (client != nil) != (tc.want == nil) {
			t.Errorf("%s at the token endpoint: %v, generation %d", name, client, gen)
		}
	}
	if d.Without(k.ID).Len() != 0 {
		t.Error("a rotated key does not go")
	}
	if _, err := auth.Authenticate(d.Without(k.ID), map[string][]string{"X-Api-Key": {old}}, now); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("the old secret of a revoked key: %v", err)
	}
}

func TestPlanToken(t *testing.T) {
	t.Parallel()
	k, secret := mint(func(k *platform.AccessKey) { k.ServicePlanID = "plan" })
	other, otherSecret := mint(nil)
	d := auth.NewDirectory().With(k).With(other)
	a := auth.NewAuthenticator(issuer)
	for name, tc := range map[string]struct {
		shown, plan string
		want        error
	}{
		"its own": {"Bearer " + secret, "plan", nil}, "another plan": {"Bearer " + secret, "plan2", auth.ErrToken}, "no plan": {"Bearer " + secret, "", auth.ErrToken},
		"a key's secret": {"Bearer " + otherSecret, "plan", auth.ErrToken}, "by DPoP": {"DPoP " + secret, "plan", auth.ErrToken}, "by Basic": {basic(k.ID, secret)[0], "plan", auth.ErrBare},
	} {
		r := &auth.Request{Header: map[string][]string{"Authorization": {tc.shown}}, PlanID: tc.plan, Now: now}
		p, err := a.Authenticate(d, r)
		if !errors.Is(err, tc.want) || err == nil && (p.Method != auth.MethodPlan || p.Key.ID() != k.ID) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if client, _ := auth.Client(d, k.ID, secret, now); client != nil {
		t.Error("the token of a plan gets tokens")
	}
}

type foreign struct {
	claims token.Claims
	err    error
}

func (f foreign) Verify(string, time.Time) (token.Claims, error) { return f.claims, f.err }

func TestForeignIssuer(t *testing.T) {
	t.Parallel()
	s := newSigner(t, token.EdDSA)
	raw := s.token(t, platform.AccessKey{ID: "u"}, func(c *token.Claims) { c.Issuer = "http://idp" })
	d := auth.NewDirectory()
	good := token.Claims{Subject: "user", Scope: "read orders", ExpiresAt: now.Add(time.Minute)}
	for name, tc := range map[string]struct {
		f     foreign
		scope string
		want  error
	}{
		"good": {foreign{claims: good}, "", nil}, "with its scope": {foreign{claims: good}, "orders", nil}, "without": {foreign{claims: good}, "order", auth.ErrToken},
		"bad": {foreign{err: token.ErrSignature}, "", auth.ErrToken}, "expired": {foreign{claims: good, err: token.ErrExpired}, "", auth.ErrExpired}, "expired, and without its scope": {foreign{claims: good, err: token.ErrExpired}, "other", auth.ErrToken},
		"of nobody": {foreign{claims: token.Claims{ExpiresAt: now.Add(time.Minute)}}, "", auth.ErrToken},
	} {
		a := auth.NewAuthenticator(issuer, auth.Trust{Foreign: tc.f, Issuer: "http://idp", ProjectID: "prj_a", Scope: tc.scope})
		p, err := a.Authenticate(d, bearer(raw, now))
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if err != nil {
			continue
		}
		if p.ID() != "http://idp#user" || p.Scopes() != "invoke" {
			t.Errorf("%s: %q may %q", name, p.ID(), p.Scopes())
		}
		for need, want := range map[auth.Need]error{{ProjectID: "prj_a", Scope: platform.ScopeInvoke}: nil, {ProjectID: "prj_b", Scope: platform.ScopeInvoke}: auth.ErrProject, {ProjectID: "prj_a", Scope: platform.ScopeControl}: auth.ErrScope} {
			if err := auth.Decide(p, need); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%s: %+v: %v", name, need, err)
			}
		}
	}
	if _, err := auth.NewAuthenticator(issuer).Authenticate(d, bearer(raw, now)); !errors.Is(err, auth.ErrToken) {
		t.Errorf("an issuer that is not trusted: %v", err)
	}
}

func TestUses(t *testing.T) {
	t.Parallel()
	k, _ := mint(func(k *platform.AccessKey) { k.Quota = platform.Quota{Limit: 3, Per: platform.PerDay} })
	plain, _ := mint(nil)
	d := auth.NewDirectory().With(k).With(plain)
	var u auth.Uses
	call := func(at time.Time) bool {
		key := d.ByID(k.ID)
		_, ok := key.Quota().Take(at)
		u.Mark(key, at)
		u.Mark(d.ByID(plain.ID), at)
		return ok
	}
	if !call(now) || !call(now.Add(time.Second)) {
		t.Fatal("within the quota")
	}
	if got := u.Take(); len(got) != 2 || !got[plain.ID].LastUsedAt.Equal(now) {
		t.Errorf("first: %+v", got)
	}
	d = d.With(k) // a change of the key does not give it a fresh quota
	if !call(now.Add(2*time.Second)) || call(now.Add(3*time.Second)) {
		t.Error("the quota is not 3 a day")
	}
	if got := u.Take(); len(got) != 0 {
		t.Errorf("second: %+v", got)
	}
	if !call(now.Add(24 * time.Hour)) {
		t.Error("the next day")
	}
	if got := u.Take(); len(got) != 2 {
		t.Errorf("third: %+v", got)
	}
	k.Used = platform.Usage{Since: now, Count: 3} // as it is read after a restart
	if _, ok := auth.NewDirectory().With(k).ByID(k.ID).Quota().Take(now.Add(time.Hour)); ok {
		t.Error("a restart gave a fresh quota")
	}
}

func TestBearer_Allocations(t *testing.T) {
	s := newSigner(t, token.EdDSA)
	k, _ := mint(nil)
	d := signed(t, auth.NewDirectory().With(k), s)
	a := auth.NewAuthenticator(issuer)
	r := bearer(s.token(t, k, nil), now)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := a.Authenticate(d, r); err != nil {
			t.Fatal(err)
		}
	}); n > 2 {
		t.Errorf("a token in memory allocates %v times, want at most 2", n)
	}
}

func BenchmarkBearer_Cached(b *testing.B) {
	s := newSigner(b, token.EdDSA)
	d, k, _ := build(100_000)
	d = signed(b, d, s)
	a := auth.NewAuthenticator(issuer)
	r := bearer(s.token(b, k, nil), now)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(d, r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBearer_New(b *testing.B) {
	s := newSigner(b, token.EdDSA)
	d, k, _ := build(1000)
	d = signed(b, d, s)
	r := bearer(s.token(b, k, nil), now)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := auth.NewAuthenticator(issuer).Authenticate(d, r); err != nil {
			b.Fatal(err)
		}
	}
}

// A signing key that cannot be read verifies nothing, and takes no other with it.
func TestSigning_LeavesOutWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	good, damaged := newSigner(t, token.EdDSA), newSigner(t, token.EdDSA)
	k, _ := mint(nil)
	row := damaged.row(t)
	row.Public = row.Public[1:]
	d, err := auth.NewDirectory().With(k).WithSigning([]platform.SigningKey{row, good.row(t)})
	if e, ok := errors.AsType[*platform.UnreadableError](err); !ok || e.ID != damaged.KID() || d == nil {
		t.Fatalf("%v, %v", d, err)
	}
	a := auth.NewAuthenticator(issuer)
	if _, err := a.Authenticate(d, bearer(good.token(t, k, nil), now)); err != nil {
		t.Errorf("the other key: %v", err)
	}
	if _, err := a.Authenticate(d, bearer(damaged.token(t, k, nil), now)); !errors.Is(err, auth.ErrToken) {
		t.Errorf("the damaged key: %v", err)
	}
}
