package main_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token/tokentest"
)

// tokenCase is one token and what becomes of it at the three doors that read
// tokens. Where nothing is said it is refused.
type tokenCase struct {
	shown            string
	gateway, control int  // 401, unless set
	active           bool // as introspection has it
	expired          bool // the challenges say so, and only then
}

// show shows a token at the gateway, on the control plane and to introspection.
func (v *vault) show(name string, c tokenCase) {
	v.Helper()
	tried(v, name, "")
	if c.gateway == 0 {
		c.gateway = 401
	}
	if c.control == 0 {
		c.control = 401
	}
	before, _ := v.ran()
	for _, door := range []struct {
		url, path string
		want      int
	}{{v.gateway, "/fn/f/webhook", c.gateway}, {v.control, "/v1/projects/" + v.key["POSTERN_PROJECT_ID"] + "/accessKeys", c.control}} {
		res, body := v.send(door.url, "GET "+door.path+" HTTP/1.1\r\nHost: "+strings.TrimPrefix(door.url, "http://")+"\r\nAuthorization: Bearer "+c.shown+"\r\nConnection: close\r\n\r\n", nil)
		if res == nil || res.StatusCode != door.want {
			v.Errorf("%s at %s: %v %.200s, want %d", name, door.path, res, body, door.want)
			continue
		}
		told := strings.Join(res.Header["Www-Authenticate"], "\n")
		if (res.StatusCode == 401) != (told != "") || strings.Contains(told, "expired") != (c.expired && res.StatusCode == 401) {
			v.Errorf("%s at %s: %d with the challenge %q", name, door.path, res.StatusCode, told)
		}
		if len(c.shown) > 20 && strings.Contains(body, c.shown) {
			v.Errorf("%s at %s: the token comes back", name, door.path)
		}
	}
	if after, _ := v.ran(); (after > before) != (c.gateway == 200) {
		v.Errorf("%s: the handler ran %d times", name, after-before)
	}
	if len(c.shown) > 16<<10 {
		return // no form is that long
	}
	_, body := v.send(v.control, form("/oauth2/introspect", "Authorization: "+v.basic+"\r\n", "token="+strings.NewReplacer("+", "%2B", "&", "%26", "%", "%25").Replace(c.shown)), nil)
	if active := strings.Contains(body, `"active":true`); active != c.active || !active && strings.TrimSpace(body) != `{"active":false}` && !strings.Contains(body, "token is missing") {
		v.Errorf("%s, introspected: %s", name, body)
	}
}

func TestAttack_Tokens(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.deploy("g", counting)
	k, _ := v.mint(nil)
	invoke, _ := v.mint(func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeInvoke} })
	gone, _ := v.mint(nil)
	dead, _ := v.mint(func(k *platform.AccessKey) { k.ExpiresAt = time.Now().Add(time.Millisecond) })
	bound, _ := v.mint(func(k *platform.AccessKey) { k.Binding = platform.BindingDPoP })
	rotated, _ := v.mint(nil)
	elsewhere := platform.Project{ID: "prj_" + strings.TrimPrefix(accesskey.NewID(time.Now()), "pak_"), Name: "elsewhere", CreatedAt: time.Now()}
	if err := v.db.CreateProject(t.Context(), elsewhere); err != nil {
		t.Fatal(err)
	}
	foreign, _ := v.mint(func(k *platform.AccessKey) { k.ProjectID = elsewhere.ID })
	f, d, err := v.activeFunction("f")
	if err != nil {
		t.Fatal(err)
	}
	own := platform.AccessKey{ID: d.KeyID, ProjectID: f.ProjectID}

	// Two more signing keys: one that ends in a moment, and one for ES256.
	retiring, es := v.signingKey("EdDSA"), v.signingKey("ES256")
	retiresAt := time.Now().Add(3 * time.Second)
	if _, err := v.db.AddSigningKey(t.Context(), retiring.row, v.signing.KID, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.db.AddSigningKey(t.Context(), es.row, retiring.row.KID, retiresAt); err != nil {
		t.Fatal(err)
	}
	if _, err := v.db.RevokeKey(t.Context(), gone.ProjectID, gone.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.db.UpdateKey(t.Context(), rotated.ProjectID, rotated.ID, time.Now(), func(k *platform.AccessKey) error {
		k.SecretHash, k.Generation = accesskey.NewSecret().Hash(), 2
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	v.settle()

	good := v.token(k, nil)
	head, payload, signature := split(good)
	claims := v.claims(k, nil)
	retired := tokentest.Forge(`{"alg":"EdDSA","typ":"at+jwt","kid":"`+retiring.row.KID+`"}`, claims, retiring.sign)
	tried(t, "a key that is about to retire", "")
	if time.Now().Before(retiresAt.Add(-time.Second)) { // else this machine is too slow to see it work
		v.show("a key that is about to retire", tokenCase{shown: retired, gateway: 200, control: 200, active: true})
	}
	header := func(text string) string { return tokentest.Forge(text, claims, v.sign) }
	kid := func(id string) string { return header(`{"alg":"EdDSA","typ":"at+jwt","kid":` + id + `}`) }
	with := func(member string) string {
		return header(`{"alg":"EdDSA","typ":"at+jwt","kid":"` + v.signing.KID + `",` + member + `}`)
	}
	said := func(name string, value any) string { return v.token(k, map[string]any{name: value}) }
	unsigned := func(alg string) string {
		return tokentest.Forge(`{"alg":"`+alg+`","typ":"at+jwt","kid":"`+v.signing.KID+`"}`, claims, func([]byte) []byte { return nil })
	}
	hs256 := func(key []byte, id string) string {
		return tokentest.Forge(`{"alg":"HS256","typ":"at+jwt","kid":"`+id+`"}`, claims, func(text []byte) []byte {
			mac := hmac.New(sha256.New, key)
			mac.Write(text)
			return mac.Sum(nil)
		})
	}
	mine := tokentest.NewProver(t)
	byMe := func(text []byte) []byte { return ed25519.Sign(mine.Key, text) }
	esHeader := `{"alg":"ES256","typ":"at+jwt","kid":"` + es.row.KID + `"}`
	zeros := func(n int) func([]byte) []byte { return func([]byte) []byte { return make([]byte, n) } }
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: v.signing.Public})
	edRaw := v.private.Public().(ed25519.PublicKey)
	hour := time.Now().Add(-2 * time.Hour).Unix()

	for name, c := range map[string]tokenCase{
		"good":                          {shown: good, gateway: 200, control: 200, active: true},
		"good by ES256":                 {shown: tokentest.Forge(esHeader, claims, es.sign), gateway: 200, control: 200, active: true},
		"typ with application":          {shown: header(`{"alg":"EdDSA","typ":"application/at+jwt","kid":"` + v.signing.KID + `"}`), gateway: 200, control: 200, active: true},
		"a function's own key":          {shown: v.token(own, map[string]any{"scope": "invoke"}), gateway: 200, control: 403, active: true},
		"its own key, claiming control": {shown: v.token(own, nil), gateway: 200, control: 403, active: true},
		"narrowed to invoke":            {shown: said("scope", "invoke"), gateway: 200, control: 403, active: true},
		"narrowed to control":           {shown: said("scope", "control"), gateway: 403, control: 200, active: true},
		"no scope":                      {shown: said("scope", nil), gateway: 403, control: 403, active: true},
		"a scope that begins with one":  {shown: said("scope", "invoker controller"), gateway: 403, control: 403, active: true},
		"scopes with a comma":           {shown: said("scope", "invoke,control"), gateway: 403, control: 403, active: true},
		"more than its key":             {shown: v.token(invoke, nil), gateway: 200, control: 403, active: true},
		"for the control plane":         {shown: said("aud", v.control), control: 200, active: true},
		"for the gateway":               {shown: said("aud", v.gateway), gateway: 200, active: true},
		"for this function":             {shown: said("aud", v.gateway+"/fn/f"), gateway: 200, active: true},
		"for another function":          {shown: said("aud", v.gateway+"/fn/g"), active: true},
		"for its path":                  {shown: said("aud", v.gateway+"/fn/f/webhook"), active: true},
		"for an audience that begins":   {shown: said("aud", []string{v.gateway + ".evil", v.control + "@evil", v.gateway[:len(v.gateway)-1]}), active: true},
		"for nobody":                    {shown: said("aud", nil), active: true},
		"another project's key":         {shown: v.token(foreign, nil), gateway: 403, control: 403},

		"alg none":                   {shown: unsigned("none")},
		"alg None":                   {shown: unsigned("None")},
		"alg NONE":                   {shown: unsigned("NONE")},
		"alg nOnE":                   {shown: unsigned("nOnE")},
		"alg empty":                  {shown: unsigned("")},
		"alg none with a space":      {shown: unsigned("none ")},
		"alg none, signed":           {shown: header(`{"alg":"none","typ":"at+jwt","kid":"` + v.signing.KID + `"}`)},
		"no alg":                     {shown: header(`{"typ":"at+jwt","kid":"` + v.signing.KID + `"}`)},
		"alg a number":               {shown: header(`{"alg":0,"typ":"at+jwt","kid":"` + v.signing.KID + `"}`)},
		"alg in small letters":       {shown: header(`{"alg":"eddsa","typ":"at+jwt","kid":"` + v.signing.KID + `"}`)},
		"alg by its newer name":      {shown: header(`{"alg":"Ed25519","typ":"at+jwt","kid":"` + v.signing.KID + `"}`), gateway: 200, control: 200, active: true},
		"alg twice":                  {shown: header(`{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"` + v.signing.KID + `"}`)},
		"alg and ALG":                {shown: with(`"ALG":"none"`)},
		"alg of the other key":       {shown: header(`{"alg":"ES256","typ":"at+jwt","kid":"` + v.signing.KID + `"}`)},
		"HS256 with the PEM":         {shown: hs256(publicPEM, v.signing.KID)},
		"HS256 with the PEM trimmed": {shown: hs256([]byte(strings.TrimSpace(string(publicPEM))), v.signing.KID)},
		"HS256 with the DER":         {shown: hs256(v.signing.Public, v.signing.KID)},
		"HS256 with the bare key":    {shown: hs256(edRaw, v.signing.KID)},
		"HS256 with the JWK's x":     {shown: hs256([]byte(base64.RawURLEncoding.EncodeToString(edRaw)), v.signing.KID)},
		"HS256 with nothing":         {shown: hs256(nil, "")},
		"no kid":                     {shown: header(`{"alg":"EdDSA","typ":"at+jwt"}`)},
		"an empty kid":               {shown: kid(`""`)},
		"an unknown kid":             {shown: kid(`"20260101-AAAAAAAAAAAAAAAAAAAAAA"`)},
		"a kid that is a path":       {shown: kid(`"../../../../dev/null"`)},
		"a kid that is a file":       {shown: kid(`"file:///dev/null"`)},
		"a kid that is a URL":        {shown: kid(`"http://127.0.0.1:1/key"`)},
		"a kid that is SQL":          {shown: kid(`"x' UNION SELECT public FROM signing_keys --"`)},
		"a kid that is always true":  {shown: kid(`"' OR '1'='1"`)},
		"a kid with a NUL":           {shown: kid(`"` + v.signing.KID + `\u0000"`)},
		"a kid with a space":         {shown: kid(`"` + v.signing.KID + ` "`)},
		"a kid in other letters":     {shown: kid(`"` + strings.ToUpper(v.signing.KID) + `"`)},
		"a kid that is a list":       {shown: kid(`["` + v.signing.KID + `"]`)},
		"jku":                        {shown: with(`"jku":"http://127.0.0.1:1/jwks.json"`)},
		"x5u":                        {shown: with(`"x5u":"http://127.0.0.1:1/cert.pem"`)},
		"x5c":                        {shown: with(`"x5c":["AAAA"]`)},
		"jwk of ours":                {shown: with(`"jwk":` + mine.JWK)},
		"jwk, signed by it":          {shown: tokentest.Forge(`{"alg":"EdDSA","typ":"at+jwt","jwk":`+mine.JWK+`}`, claims, byMe)},
		"jwk beside the kid":         {shown: tokentest.Forge(`{"alg":"EdDSA","typ":"at+jwt","kid":"`+v.signing.KID+`","jwk":`+mine.JWK+`}`, claims, byMe)},
		"crit":                       {shown: with(`"crit":["exp"],"exp":1`)},
		"crit, empty":                {shown: with(`"crit":[]`)},
		"b64":                        {shown: with(`"b64":false,"crit":["b64"]`)},
		"b64 without crit":           {shown: with(`"b64":false`)},
		"typ JWT":                    {shown: header(`{"alg":"EdDSA","typ":"JWT","kid":"` + v.signing.KID + `"}`)},
		"no typ":                     {shown: header(`{"alg":"EdDSA","kid":"` + v.signing.KID + `"}`)},
		"typ of a proof":             {shown: header(`{"alg":"EdDSA","typ":"dpop+jwt","kid":"` + v.signing.KID + `"}`)},
		"typ twice":                  {shown: header(`{"alg":"EdDSA","typ":"JWT","typ":"at+jwt","kid":"` + v.signing.KID + `"}`)},

		"signed by another":            {shown: tokentest.Forge(v.header(), claims, byMe)},
		"no signature":                 {shown: head + "." + payload + "."},
		"no signature, no dot":         {shown: head + "." + payload},
		"a signature of zeros":         {shown: tokentest.Forge(v.header(), claims, zeros(64))},
		"ES256, zeros":                 {shown: tokentest.Forge(esHeader, claims, zeros(64))},
		"ES256, DER zeros":             {shown: tokentest.Forge(esHeader, claims, func([]byte) []byte { return []byte{0x30, 6, 2, 1, 0, 2, 1, 0} })},
		"ES256, nothing":               {shown: tokentest.Forge(esHeader, claims, zeros(0))},
		"ES256, a byte more":           {shown: tokentest.Forge(esHeader, claims, func(text []byte) []byte { return append(es.sign(text), 0) })},
		"ES256, in DER":                {shown: tokentest.Forge(esHeader, claims, es.signDER)},
		"ES256, r is the order":        {shown: tokentest.Forge(esHeader, claims, func([]byte) []byte { return append(elliptic.P256().Params().N.Bytes(), make([]byte, 32)...) })},
		"another token's payload":      {shown: head + "." + base64.RawURLEncoding.EncodeToString([]byte(v.claims(invoke, nil))) + "." + signature},
		"a bit of the payload changed": {shown: head + "." + flip(payload) + "." + signature},
		"a bit of the signature":       {shown: head + "." + payload + "." + flip(signature)},
		"bits after the last byte":     {shown: good[:len(good)-1] + malleable(good[len(good)-1])},
		"cut off by one":               {shown: good[:len(good)-1]},
		"half":                         {shown: good[:len(good)/2]},
		"a dot more":                   {shown: good + "."},
		"a dot before":                 {shown: "." + good},
		"a part more":                  {shown: good + "." + signature},
		"five parts":                   {shown: head + ".." + payload + ".." + signature},
		"padding":                      {shown: good + "=="},
		"other alphabet":               {shown: head + "." + payload + "." + strings.NewReplacer("-", "+", "_", "/").Replace(signature) + "+/"},
		"a space inside":               {shown: head + " ." + payload + "." + signature},
		"a mebibyte":                   {shown: strings.Repeat("A", 1<<20), gateway: 431, control: 431},
		"sixty thousand bytes":         {shown: good + strings.Repeat("A", 60_000), gateway: 401, control: 401},
		"a mebibyte of dots":           {shown: strings.Repeat(".", 12_000)},
		"deep JSON":                    {shown: tokentest.Forge(v.header(), `{"a":`+strings.Repeat("[", 2500)+strings.Repeat("]", 2500)+`}`, v.sign)},
		"no JSON":                      {shown: tokentest.Forge(v.header(), `exp`, v.sign)},
		"a list":                       {shown: tokentest.Forge(v.header(), `[`+claims+`]`, v.sign)},
		"two objects":                  {shown: tokentest.Forge(v.header(), claims+claims, v.sign)},
		"null":                         {shown: tokentest.Forge(v.header(), `null`, v.sign)},
		"not UTF-8":                    {shown: tokentest.Forge(v.header(), strings.Replace(claims, "invoke", "invoke\xff", 1), v.sign)},
		"a claim twice":                {shown: tokentest.Forge(v.header(), strings.Replace(claims, `{`, `{"sub":"`+foreign.ID+`",`, 1), v.sign)},
		"a claim twice, escaped":       {shown: tokentest.Forge(v.header(), strings.Replace(claims, `{`, `{"\u0073ub":"`+foreign.ID+`",`, 1), v.sign)},
		"a claim twice, in capitals":   {shown: tokentest.Forge(v.header(), strings.Replace(claims, `{`, `{"EXP":1,`, 1), v.sign)},

		"expired":                     {shown: v.token(k, map[string]any{"iat": hour, "exp": hour + 3600}), expired: true},
		"expired, of a key that died": {shown: v.token(gone, map[string]any{"iat": hour, "exp": hour + 3600})},
		"expires before its time":     {shown: v.token(k, map[string]any{"exp": hour})},
		"not yet valid":               {shown: said("nbf", time.Now().Add(time.Minute).Unix())},
		"issued in the future":        {shown: said("iat", time.Now().Add(time.Minute).Unix())},
		"no expiry":                   {shown: said("exp", nil)},
		"expiry null":                 {shown: tokentest.Forge(v.header(), strings.Replace(claims, `"exp":`, `"exp":null,"x":`, 1), v.sign)},
		"expiry a text":               {shown: said("exp", "9999999999")},
		"expiry without end":          {shown: tokentest.Forge(v.header(), strings.Replace(claims, `"exp":`, `"exp":1e400,"x":`, 1), v.sign)},
		"expiry negative":             {shown: said("exp", -1)},
		"no time of issue":            {shown: said("iat", nil)},
		"another issuer":              {shown: said("iss", "http://127.0.0.1:1")},
		"the issuer with a slash":     {shown: said("iss", v.control+"/")},
		"no issuer":                   {shown: said("iss", nil)},
		"an issuer list":              {shown: said("iss", []string{v.control})},
		"another project":             {shown: said("project_id", elsewhere.ID)},
		"no project":                  {shown: said("project_id", nil)},
		"another's key in a project":  {shown: v.token(foreign, map[string]any{"project_id": k.ProjectID})},
		"no subject":                  {shown: said("sub", nil)},
		"an unknown subject":          {shown: said("sub", accesskey.NewID(time.Now()))},
		"the subject with a space":    {shown: said("sub", k.ID+" ")},
		"an older secret's":           {shown: said("gen", 0)},
		"a later secret's":            {shown: said("gen", 2)},
		"no generation":               {shown: said("gen", nil)},
		"a generation that is a text": {shown: said("gen", "1")},
		"of a secret rotated away":    {shown: v.token(rotated, nil)},
		"of a key that was revoked":   {shown: v.token(gone, nil)},
		"of a key that has expired":   {shown: v.token(dead, nil)},
		"unbound, of a bound key":     {shown: v.token(bound, nil)},
		"bound to nothing":            {shown: said("cnf", map[string]any{})},
		"bound to what is not known":  {shown: said("cnf", map[string]any{"kid": "x"})},
		"bound to half a thumbprint":  {shown: said("cnf", map[string]any{"jkt": "AAAA"})},
		"bound to a certificate":      {shown: said("cnf", map[string]any{"x5t#S256": strings.Repeat("A", 43)}), active: true},
		"the ID of a key":             {shown: k.ID},
		"a secret":                    {shown: v.key["POSTERN_KEY_SECRET"]},
		"nothing":                     {shown: ""},
	} {
		v.show(name, c)
	}

	// What is in memory dies too: of the token, of its key, of its signing key.
	once := said("jti", "once")
	v.show("before it is revoked", tokenCase{shown: once, gateway: 200, control: 200, active: true})
	if status := v.status(v.control, form("/oauth2/revoke", "Authorization: "+v.basic+"\r\n", "token="+once)); status != 400 {
		t.Errorf("revoked by another key: %d", status)
	}
	if _, err := v.db.RevokeToken(t.Context(), platform.RevokedToken{ID: "once", ExpiresAt: time.Now().Add(time.Hour)}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.db.RevokeKey(t.Context(), invoke.ProjectID, invoke.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	v.settle()
	v.show("after it was revoked", tokenCase{shown: once})
	v.show("after its key was revoked", tokenCase{shown: v.token(invoke, nil)})
	eventually(t, "the retiring key's time has come", func() bool { return time.Now().After(retiresAt) })
	v.show("of a signing key that has retired", tokenCase{shown: retired})
	v.show("after all that", tokenCase{shown: good, gateway: 200, control: 200, active: true})
	if _, jwks := v.send(v.control, "GET /.well-known/jwks.json HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", nil); strings.Contains(jwks, retiring.row.KID) || !strings.Contains(jwks, es.row.KID) {
		t.Errorf("published: %s", jwks)
	}
}

func split(raw string) (head, payload, signature string) {
	parts := strings.Split(raw, ".")
	return parts[0], parts[1], parts[2]
}

// flip changes a bit in the middle of a base64url text.
func flip(text string) string {
	i := len(text) / 2
	other := "A"
	if text[i] == 'A' {
		other = "B"
	}
	return text[:i] + other + text[i+1:]
}

// malleable is another last character for the same bytes: 64 bytes leave four
// bits of it unused.
func malleable(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^1])
}

// madeKey is a signing key that a test made.
type madeKey struct {
	row     platform.SigningKey
	sign    func([]byte) []byte
	signDER func([]byte) []byte
}

func (v *vault) signingKey(alg string) madeKey {
	v.Helper()
	m := madeKey{row: platform.SigningKey{KID: rand.Text(), Algorithm: alg, CreatedAt: time.Now(), ActiveAt: time.Now().Add(time.Hour)}}
	var private, public any
	if alg == "EdDSA" {
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			v.Fatal(err)
		}
		private, public = key, pub
		m.sign = func(text []byte) []byte { return ed25519.Sign(key, text) }
	} else {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			v.Fatal(err)
		}
		private, public = key, key.Public()
		m.signDER = func(text []byte) []byte {
			sum := sha256.Sum256(text)
			der, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
			if err != nil {
				v.Fatal(err)
			}
			return der
		}
		m.sign = func(text []byte) []byte {
			sum := sha256.Sum256(text)
			r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
			if err != nil {
				v.Fatal(err)
			}
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		v.Fatal(err)
	}
	if m.row.Public, err = x509.MarshalPKIXPublicKey(public); err != nil {
		v.Fatal(err)
	}
	if m.row.Sealed, err = v.box.Seal(v.Context(), "signing-key/"+m.row.KID, pkcs8); err != nil {
		v.Fatal(err)
	}
	return m
}

func (v *vault) activeFunction(name string) (platform.Function, platform.Deployment, error) {
	f, err := v.db.Function(v.Context(), v.key["POSTERN_PROJECT_ID"], name)
	if err != nil {
		return f, platform.Deployment{}, err
	}
	return v.db.ActiveFunction(v.Context(), f.ID)
}
