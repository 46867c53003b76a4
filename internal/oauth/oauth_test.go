package oauth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/oauth"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
)

// world is a token server on stores in memory.
type world struct {
	*oauth.Server
	auth    *auth.Authenticator
	mu      sync.Mutex
	dir     *auth.Directory
	keys    []platform.SigningKey
	away    error
	records []oauth.Decision
	log     bytes.Buffer
}

func (w *world) SigningKeys(_ context.Context, now time.Time) (out []platform.SigningKey, err error) {
	for _, k := range w.keys {
		if k.ExpiresAt.IsZero() || k.ExpiresAt.After(now) {
			out = append(out, k)
		}
	}
	return out, w.away
}

func (w *world) AddSigningKey(_ context.Context, k platform.SigningKey, newest string, expires time.Time) (int64, error) {
	for i := range w.keys {
		if w.keys[i].ExpiresAt.IsZero() {
			if w.keys[i].KID != newest {
				return 0, nil
			}
			w.keys[i].ExpiresAt = expires
		}
	}
	w.keys = append(w.keys, k)
	return int64(len(w.keys)), w.away
}

func (w *world) RevokeToken(_ context.Context, r platform.RevokedToken, at time.Time) (int64, error) {
	if w.away != nil {
		return 0, w.away
	}
	w.directory().Revoke(at, r)
	return 1, nil
}

// Seal and Open bind to a name, as a box does.
func (w *world) Seal(_ context.Context, bind string, plain []byte) ([]byte, error) {
	return append([]byte(bind+"\x00"), plain...), nil
}

func (w *world) Open(_ context.Context, bind string, sealed []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, []byte(bind+"\x00"))
	if !ok {
		return nil, errors.New("does not open")
	}
	return plain, nil
}

func (w *world) directory() *auth.Directory {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dir
}

const issuer, gatewayURL = "http://control", "http://gateway"

func newWorld(t testing.TB, alg token.Algorithm, change ...func(*oauth.Options)) *world {
	t.Helper()
	w := &world{dir: auth.NewDirectory(), auth: auth.NewAuthenticator(issuer)}
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	ring, err := oauth.OpenRing(t.Context(), oauth.RingOptions{Store: w, Sealer: w, Algorithm: alg, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if w.dir, err = w.dir.WithSigning(w.keys); err != nil {
		t.Fatal(err)
	}
	o := oauth.Options{Issuer: issuer, Gateway: gatewayURL, Ring: ring, Store: w, Auth: w.auth, Directory: w.directory, Log: log,
		Function: func(a string) string {
			if strings.HasPrefix(a, gatewayURL+"/fn/") {
				return a
			}
			return ""
		},
		Applied: func(context.Context, int64) error { return nil },
		Record:  func(d oauth.Decision) { w.mu.Lock(); defer w.mu.Unlock(); w.records = append(w.records, d) }}
	for _, c := range change {
		c(&o)
	}
	w.Server = oauth.New(o)
	return w
}

func (w *world) mint(change func(*platform.AccessKey)) (platform.AccessKey, string) {
	s := accesskey.NewSecret()
	k := platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: "prj_a", SecretHash: s.Hash(), Generation: 1, Scopes: []platform.Scope{platform.ScopeInvoke, platform.ScopeControl}}
	if change != nil {
		change(&k)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dir = w.dir.With(k)
	return k, s.Reveal()
}

// answer is what an endpoint answered.
type answer struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

func (w *world) post(path, form string, change func(*http.Request)) answer {
	r := httptest.NewRequest("POST", path, strings.NewReader(form))
	r.Host = "control"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(r)
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	a := answer{status: rec.Code, header: rec.Header(), raw: rec.Body.String()}
	json.Unmarshal(rec.Body.Bytes(), &a.body)
	return a
}

func as(id, secret string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(id, secret) }
}

const grantForm = "grant_type=client_credentials"

func TestToken(t *testing.T) {
	t.Parallel()
	for _, alg := range []token.Algorithm{token.EdDSA, token.ES256} {
		w := newWorld(t, alg)
		k, secret := w.mint(nil)
		a := w.post(oauth.TokenPath, grantForm, as(k.ID, secret))
		if a.status != 200 || a.body["token_type"] != "bearer" || a.body["scope"] != "invoke control" || a.body["expires_in"] != 3599.0 || len(a.body) != 4 {
			t.Fatalf("%s: %d %s", alg, a.status, a.raw)
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: header %v", alg, a.header)
		}
		raw := a.body["access_token"].(string)
		c, err := token.Verify(w.directory().Signing(), raw, token.Expect{Issuer: issuer, Now: time.Now()})
		if err != nil || c.Subject != k.ID || c.ClientID != k.ID || c.ProjectID != "prj_a" || c.Generation != 1 || c.ID == "" || !slices.Equal(c.Audience, []string{gatewayURL, issuer}) {
			t.Errorf("%s: %+v, %v", alg, c, err)
		}
		if again := w.post(oauth.TokenPath, grantForm, as(k.ID, secret)); again.body["access_token"] == raw {
			t.Errorf("%s: the same token twice", alg)
		}
		if bytes.Contains(w.log.Bytes(), []byte(raw)) || bytes.Contains(w.log.Bytes(), []byte(secret)) {
			t.Errorf("%s: a secret is in the log", alg)
		}
	}
}

// Every wrong call gets the one answer that RFC 6749 has for it, and no token.
func TestToken_Refuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, token.EdDSA)
	k, secret := w.mint(nil)
	invokeOnly, invokeSecret := w.mint(func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeInvoke} })
	dead, deadSecret := w.mint(func(k *platform.AccessKey) { k.ExpiresAt = time.Now().Add(-time.Second) })
	plan, planSecret := w.mint(func(k *platform.AccessKey) { k.ServicePlanID = "p" })
	dpop, dpopSecret := w.mint(func(k *platform.AccessKey) { k.Binding = platform.BindingDPoP })
	mtls, mtlsSecret := w.mint(func(k *platform.AccessKey) { k.Binding = platform.BindingMTLS })
	cidr, cidrSecret := w.mint(func(k *platform.AccessKey) { k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	credentials := url.Values{"client_id": {k.ID}, "client_secret": {secret}}.Encode()
	ok := as(k.ID, secret)
	header := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { ok(r); r.Header[name] = values }
	}
	for name, tc := range map[string]struct {
		form   string
		change func(*http.Request)
		status int
		code   string
	}{
		"by GET":                  {grantForm, func(r *http.Request) { ok(r); r.Method = "GET" }, 405, "invalid_request"},
		"by PUT":                  {grantForm, func(r *http.Request) { ok(r); r.Method = "PUT" }, 405, "invalid_request"},
		"as JSON":                 {`{"grant_type":"client_credentials"}`, header("Content-Type", "application/json"), 400, "invalid_request"},
		"as nothing":              {grantForm, header("Content-Type"), 400, "invalid_request"},
		"in the address":          {"", func(r *http.Request) { ok(r); r.URL.RawQuery = grantForm }, 400, "invalid_request"},
		"secret in the address":   {grantForm, func(r *http.Request) { r.URL.RawQuery = credentials }, 400, "invalid_request"},
		"no form":                 {"%zz", ok, 400, "invalid_request"},
		"much too long":           {grantForm + "&x=" + strings.Repeat("x", 20_000), ok, 400, "invalid_request"},
		"no grant":                {"", ok, 400, "invalid_request"},
		"an empty grant":          {"grant_type=", ok, 400, "invalid_request"},
		"grant twice":             {grantForm + "&" + grantForm, ok, 400, "invalid_request"},
		"scope twice":             {grantForm + "&scope=invoke&scope=control", ok, 400, "invalid_request"},
		"unknown twice":           {grantForm + "&x=1&x=2", ok, 400, "invalid_request"},
		"password":                {"grant_type=password&username=a&password=b", ok, 400, "unsupported_grant_type"},
		"authorization code":      {"grant_type=authorization_code&code=x", ok, 400, "unsupported_grant_type"},
		"in capitals":             {"grant_type=CLIENT_CREDENTIALS", ok, 400, "unsupported_grant_type"},
		"an unknown scope":        {grantForm + "&scope=admin", ok, 400, "invalid_scope"},
		"a scope too many":        {grantForm + "&scope=invoke+control+admin", ok, 400, "invalid_scope"},
		"a wider scope":           {grantForm + "&scope=control", as(invokeOnly.ID, invokeSecret), 400, "invalid_scope"},
		"a scope in capitals":     {grantForm + "&scope=INVOKE", ok, 400, "invalid_scope"},
		"another resource":        {grantForm + "&resource=https://other", ok, 400, "invalid_target"},
		"a resource that begins":  {grantForm + "&resource=http://gateway.evil", ok, 400, "invalid_target"},
		"one resource too many":   {grantForm + "&resource=http://gateway&resource=https://other", ok, 400, "invalid_target"},
		"a resource of no form":   {grantForm + "&resource=gateway", ok, 400, "invalid_target"},
		"nobody":                  {grantForm, nil, 401, "invalid_client"},
		"ID alone":                {grantForm + "&client_id=" + k.ID, nil, 401, "invalid_client"},
		"unknown key":             {grantForm, as(accesskey.NewID(time.Now()), secret), 401, "invalid_client"},
		"wrong secret":            {grantForm, as(k.ID, accesskey.NewSecret().Reveal()), 401, "invalid_client"},
		"another key's secret":    {grantForm, as(k.ID, invokeSecret), 401, "invalid_client"},
		"no secret":               {grantForm, as(k.ID, ""), 401, "invalid_client"},
		"expired key":             {grantForm, as(dead.ID, deadSecret), 401, "invalid_client"},
		"a plan's token":          {grantForm, as(plan.ID, planSecret), 401, "invalid_client"},
		"a scheme unknown":        {grantForm, func(r *http.Request) { r.Header.Set("Authorization", "Digest x") }, 401, "invalid_client"},
		"base64 that is not":      {grantForm, func(r *http.Request) { r.Header.Set("Authorization", "Basic !") }, 401, "invalid_client"},
		"two headers":             {grantForm, header("Authorization", basic(k.ID, secret), basic(k.ID, secret)), 400, "invalid_request"},
		"header and body":         {grantForm + "&" + credentials, ok, 400, "invalid_request"},
		"header and another ID":   {grantForm + "&client_id=" + invokeOnly.ID, ok, 400, "invalid_request"},
		"from a wrong address":    {grantForm, as(cidr.ID, cidrSecret), 400, "unauthorized_client"},
		"bound, without proof":    {grantForm, as(dpop.ID, dpopSecret), 400, "invalid_dpop_proof"},
		"a proof that is none":    {grantForm, header("Dpop", "x.y.z"), 400, "invalid_dpop_proof"},
		"two proofs":              {grantForm, header("Dpop", "x", "y"), 400, "invalid_request"},
		"bound to no certificate": {grantForm, as(mtls.ID, mtlsSecret), 401, "invalid_client"},
	} {
		a := w.post(oauth.TokenPath, tc.form, tc.change)
		if a.status != tc.status || a.body["error"] != tc.code || a.body["access_token"] != nil {
			t.Errorf("%s: %d %s, want %d %s", name, a.status, a.raw, tc.status, tc.code)
		}
		if a.body["error_description"] == "" || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v %s", name, a.header, a.raw)
		}
		if told := a.header["www-authenticate"]; (a.status == 401) != (len(told) == 1) || len(told) == 1 && strings.Contains(told[0], "expired") {
			t.Errorf("%s: challenge %q", name, told)
		}
		for _, s := range []string{secret, invokeSecret, deadSecret, planSecret} {
			if strings.Contains(a.raw, s) || strings.Contains(w.log.String(), s) || strings.Contains(fmt.Sprint(w.records), s) {
				t.Errorf("%s: a secret comes back", name)
			}
		}
	}
}

func TestToken_Accepts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, token.EdDSA)
	k, secret := w.mint(nil)
	ok := as(k.ID, secret)
	for name, tc := range map[string]struct {
		form   string
		change func(*http.Request)
		scope  string
		aud    []string
	}{
		"by the form":         {grantForm + "&" + url.Values{"client_id": {k.ID}, "client_secret": {secret}}.Encode(), nil, "invoke control", nil},
		"with its ID besides": {grantForm + "&client_id=" + k.ID, ok, "invoke control", nil},
		"fully form-encoded":  {grantForm, as(strings.ReplaceAll(k.ID, "_", "%5F"), strings.ReplaceAll(secret, "_", "%5F")), "invoke control", nil},
		"with a charset": {grantForm, func(r *http.Request) {
			ok(r)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
		}, "invoke control", nil},
		"narrowed":               {grantForm + "&scope=invoke", ok, "invoke", nil},
		"scopes in other order":  {grantForm + "&scope=control+invoke", ok, "invoke control", nil},
		"an empty scope":         {grantForm + "&scope=", ok, "invoke control", nil},
		"parameters not known":   {grantForm + "&nonce=1", ok, "invoke control", nil},
		"for the gateway":        {grantForm + "&resource=http://gateway/", ok, "invoke control", []string{gatewayURL}},
		"for the control plane":  {grantForm + "&audience=http://control", ok, "invoke control", []string{issuer}},
		"for a function":         {grantForm + "&resource=http://gateway/fn/orders", ok, "invoke control", []string{gatewayURL + "/fn/orders"}},
		"for two":                {grantForm + "&resource=http://gateway/fn/a&resource=http://gateway/fn/b", ok, "invoke control", []string{gatewayURL + "/fn/a", gatewayURL + "/fn/b"}},
		"the scheme in any case": {grantForm, func(r *http.Request) { r.Header.Set("Authorization", "bASIC"+basic(k.ID, secret)[5:]) }, "invoke control", nil},
	} {
		a := w.post(oauth.TokenPath, tc.form, tc.change)
		if a.status != 200 || a.body["scope"] != tc.scope {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
			continue
		}
		c, err := token.Verify(w.directory().Signing(), a.body["access_token"].(string), token.Expect{Issuer: issuer, Now: time.Now()})
		if tc.aud == nil {
			tc.aud = []string{gatewayURL, issuer}
		}
		if err != nil || !slices.Equal(c.Audience, tc.aud) || c.Scope != tc.scope {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

// A token never outlives its key.
func TestToken_EndsWithItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, token.EdDSA)
	k, secret := w.mint(func(k *platform.AccessKey) { k.ExpiresAt = time.Now().Add(90 * time.Second) })
	if a := w.post(oauth.TokenPath, grantForm, as(k.ID, secret)); a.status != 200 || a.body["expires_in"].(float64) > 90 {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestToken_Limits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, token.EdDSA)
	k, secret := w.mint(nil)
	other, otherSecret := w.mint(nil)
	count := func(n int, form string, change func(*http.Request)) (got map[int]int, last answer) {
		got = map[int]int{}
		for range n {
			a := w.post(oauth.TokenPath, form, change)
			if got[a.status]++; a.status == 429 {
				last = a
			}
		}
		return got, last
	}
	got, last := count(60, grantForm, as(k.ID, secret))
	if got[200] < 30 || got[200] > 45 || got[429] == 0 {
		t.Errorf("a burst: %v", got)
	}
	if last.header.Get("Retry-After") != "1" || last.body["error"] != "temporarily_unavailable" || len(last.header["www-authenticate"]) != 0 {
		t.Errorf("over the limit: %v %s", last.header, last.raw)
	}
	if got, _ := count(5, grantForm, as(other.ID, otherSecret)); got[200] != 5 {
		t.Errorf("another key is limited too: %v", got)
	}
	// Wrong secrets are limited by address, and take nothing from the key.
	got = map[int]int{}
	for range 1000 {
		got[w.post(oauth.TokenPath, grantForm, as(other.ID, accesskey.NewSecret().Reveal())).status]++
	}
	if got[401] < 30 || got[401] > 60 || got[401]+got[429] != 1000 {
		t.Errorf("a thousand wrong secrets: %v", got)
	}
	if a := w.post(oauth.TokenPath, grantForm, as(other.ID, otherSecret)); a.status != 200 {
		t.Errorf("the right secret after them: %d %s", a.status, a.raw)
	}
}

// A client that tries one wrong secret by Basic and then by the form has made
// one mistake.
func TestToken_OneMistakeCountsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, token.EdDSA)
	k, _ := w.mint(nil)
	for i := range 25 { // fifty calls
		wrong := accesskey.NewSecret().Reveal()
		if i%2 == 1 {
			wrong += "+/=" // which RFC 6749 §2.3.1 has encoded before Basic
		}
		for _, a := range []answer{w.post(oauth.TokenPath, grantForm, as(k.ID, url.QueryEscape(wrong))), w.post(oauth.TokenPath, grantForm+"&"+url.Values{"client_id": {k.ID}, "client_secret": {wrong}}.Encode(), nil)} {
			if a.status != 401 {
				t.Fatalf("%d %s", a.status, a.raw)
			}
		}
	}
	for i, d := range w.records {
		if d.Repeated != (i%2 == 1) {
			t.Fatalf("call %d: %+v", i, d)
		}
	}
}

func TestToken_LivesAsLongAsIsSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, token.EdDSA, func(o *oauth.Options) { o.Lifetime = 2 * time.Minute })
	k, secret := w.mint(nil)
	a := w.post(oauth.TokenPath, grantForm, as(k.ID, secret))
	if s, _ := a.body["expires_in"].(float64); s < 118 || s > 120 {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestIntrospectAndRevoke(t *testing.T) {
	t.Parallel()
	w := newWorld(t, token.EdDSA)
	k, secret := w.mint(nil)
	mate, mateSecret := w.mint(nil)
	stranger, strangerSecret := w.mint(func(k *platform.AccessKey) { k.ProjectID = "prj_b" })
	raw := w.post(oauth.TokenPath, grantForm+"&scope=invoke", as(k.ID, secret)).body["access_token"].(string)
	form := url.Values{"token": {raw}}.Encode()
	active := func(change func(*http.Request), form string) any {
		return w.post(oauth.IntrospectPath, form, change).body["active"]
	}
	a := w.post(oauth.IntrospectPath, form, as(mate.ID, mateSecret))
	if a.status != 200 || a.body["active"] != true || a.body["client_id"] != k.ID || a.body["scope"] != "invoke" || a.body["iss"] != issuer || a.body["token_type"] != "bearer" {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if a := w.post(oauth.IntrospectPath, form, as(stranger.ID, strangerSecret)); a.raw != "{\"active\":false}\n" {
		t.Errorf("another project's: %s", a.raw)
	}
	for _, form := range []string{"token=x", "token=" + secret, "token=" + raw + "x"} {
		if got := active(as(k.ID, secret), form); got != false {
			t.Errorf("%.20s: active %v", form, got)
		}
	}
	for _, path := range []string{oauth.IntrospectPath, oauth.RevokePath} {
		for name, tc := range map[string]struct {
			form   string
			change func(*http.Request)
			status int
		}{"nobody": {form, nil, 401}, "wrong": {form, as(k.ID, mateSecret), 401}, "no token": {"", as(k.ID, secret), 400}, "by GET": {form, func(r *http.Request) { as(k.ID, secret)(r); r.Method = "GET" }, 405}} {
			if a := w.post(path, tc.form, tc.change); a.status != tc.status || a.body["error"] == nil {
				t.Errorf("%s, %s: %d %s", path, name, a.status, a.raw)
			}
		}
	}
	if a := w.post(oauth.RevokePath, form, as(mate.ID, mateSecret)); a.status != 400 || a.body["error"] != "unauthorized_client" {
		t.Errorf("revoked by another: %d %s", a.status, a.raw)
	}
	if active(as(k.ID, secret), form) != true {
		t.Error("another ended it")
	}
	w.away = errors.New("disk full: /secret/path")
	if a := w.post(oauth.RevokePath, form, as(k.ID, secret)); a.status != 500 || strings.Contains(a.raw, "disk") {
		t.Errorf("with the store away: %d %s", a.status, a.raw)
	}
	w.away = nil
	for range 2 {
		if a := w.post(oauth.RevokePath, form, as(k.ID, secret)); a.status != 200 || a.raw != "" {
			t.Errorf("revoke: %d %q", a.status, a.raw)
		}
	}
	if active(as(k.ID, secret), form) != false {
		t.Error("a revoked token is active")
	}
	if a := w.post(oauth.RevokePath, "token=rubbish", as(k.ID, secret)); a.status != 200 {
		t.Errorf("revoke rubbish: %d", a.status)
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	w := newWorld(t, token.ES256)
	for path, member := range map[string]string{oauth.MetadataPath: "token_endpoint", oauth.JWKSPath: "keys"} {
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		var body map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil || rec.Code != 200 || body[member] == nil {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
		if text := rec.Body.String(); strings.Contains(text, `"d"`) || strings.Contains(text, `"k"`) {
			t.Errorf("%s shows a private member: %s", path, text)
		}
		rec = httptest.NewRecorder()
		if w.ServeHTTP(rec, httptest.NewRequest("POST", path, nil)); rec.Code != 405 {
			t.Errorf("POST %s: %d", path, rec.Code)
		}
	}
}

// A signing key is published before it is used, and verifies what it signed
// until that has expired.
func TestRing_Rotates(t *testing.T) {
	t.Parallel()
	w := &world{}
	open := func(alg token.Algorithm) *oauth.Ring {
		r, err := oauth.OpenRing(t.Context(), oauth.RingOptions{Store: w, Sealer: w, Algorithm: alg})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	current := func(r *oauth.Ring, after time.Duration) string {
		k, err := r.Current(time.Now().Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return k.KID()
	}
	r := open(token.EdDSA)
	first := current(r, 0)
	if open(token.EdDSA); len(w.keys) != 1 {
		t.Fatalf("%d keys after two starts", len(w.keys))
	}
	if err := r.Rotate(t.Context()); err != nil || len(w.keys) != 2 {
		t.Fatalf("%d keys, %v", len(w.keys), err)
	}
	if err := r.Rotate(t.Context()); err != nil || len(w.keys) != 2 {
		t.Fatalf("rotated again before the next is in use: %d keys, %v", len(w.keys), err)
	}
	second := w.keys[1].KID
	if current(r, 0) != first || current(r, 11*time.Minute) != second {
		t.Errorf("%s now and %s later; made were %s and %s", current(r, 0), current(r, 11*time.Minute), first, second)
	}
	if end := time.Until(w.keys[0].ExpiresAt); end < 70*time.Minute || end > 90*time.Minute {
		t.Errorf("the first key ends in %v", end)
	}
	if open(token.EdDSA); len(w.keys) != 2 {
		t.Errorf("a start in between made a key: %d", len(w.keys))
	}
	w.keys[1].ActiveAt = time.Now().Add(-time.Hour)
	if open(token.ES256); len(w.keys) != 3 || w.keys[2].Algorithm != "ES256" {
		t.Errorf("another algorithm: %+v", w.keys)
	}
	w.keys[0].Sealed = []byte("signing-key/other\x00")
	w.keys[0].ExpiresAt = time.Time{}
	if _, err := oauth.OpenRing(t.Context(), oauth.RingOptions{Store: w, Sealer: w, Algorithm: token.EdDSA}); err == nil {
		t.Error("a key that does not open is passed over")
	}
}

func BenchmarkToken(b *testing.B) {
	w := newWorld(b, token.EdDSA)
	var ids [][2]string
	for range 1 << 14 { // each stays within its limit
		k, s := w.mint(nil)
		ids = append(ids, [2]string{k.ID, s})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if a := w.post(oauth.TokenPath, grantForm, as(ids[i%len(ids)][0], ids[i%len(ids)][1])); a.status != 200 {
			b.Fatal(a.raw)
		}
	}
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

// A caller that takes the secret for the ID is told nothing by what is
// recorded, and nobody who reads that learns the secret.
func TestRecord_HoldsNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, token.EdDSA)
	k, secret := w.mint(nil)
	for _, as := range []func(*http.Request){as(secret, k.ID), as(secret, secret), as("Basic "+secret, "x"), as(secret, "")} {
		if a := w.post(oauth.TokenPath, grantForm, as); a.status != 401 {
			t.Errorf("%d %s", a.status, a.raw)
		}
	}
	w.post(oauth.TokenPath, grantForm+"&client_id="+secret+"&client_secret="+k.ID, nil)
	if text := fmt.Sprintf("%+v", w.records) + w.log.String(); len(w.records) != 5 || strings.Contains(text, secret) {
		t.Error(text)
	}
	if w.post(oauth.TokenPath, grantForm, as(k.ID, "x")); w.records[5].KeyID != k.ID {
		t.Errorf("who was tried is not recorded: %+v", w.records[5])
	}
}
