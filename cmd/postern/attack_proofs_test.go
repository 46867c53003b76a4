package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token/tokentest"
)

func hostOf(url string) string { _, host, _ := strings.Cut(url, "://"); return host }

// grant asks for a token and returns it; empty when there was none.
func (v *vault) grant(id, secret, header, params string, cert *tls.Certificate) (raw, kind string) {
	v.Helper()
	basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret)) + "\r\n"
	request := strings.Replace(form("/oauth2/token", basic+header, "grant_type=client_credentials"+params), "Host: control", "Host: "+hostOf(v.control), 1)
	_, body := v.send(v.control, request, cert)
	var got struct {
		Token string `json:"access_token"`
		Kind  string `json:"token_type"`
	}
	json.Unmarshal([]byte(body), &got)
	return got.Token, got.Kind
}

// guarded is a request to a guarded handler, or to another path of the gateway.
func (v *vault) guarded(path, header string) string {
	return "GET /fn/f/" + path + " HTTP/1.1\r\nHost: " + hostOf(v.gateway) + "\r\n" + header + "Connection: close\r\n\r\n"
}

// expect sends a request and fails if the handler ran or the status is another.
func (v *vault) expect(name, request string, cert *tls.Certificate, want int) {
	v.Helper()
	tried(v, name, "")
	before, _ := v.ran()
	res, body := v.send(v.gateway, request, cert)
	after, _ := v.ran()
	if res == nil || res.StatusCode != want {
		v.Errorf("%s: %v %.200s, want %d", name, res, body, want)
		return
	}
	if (after > before) != (want == 200) {
		v.Errorf("%s: the handler ran %d times", name, after-before)
	}
	if told := strings.Join(res.Header["Www-Authenticate"], ""); (want == 401) != (told != "") || strings.Contains(told, "expired") {
		v.Errorf("%s: challenge %q", name, told)
	}
}

func TestAttack_DPoP(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	p, thief := tokentest.NewProver(t), tokentest.NewProver(t)
	k, secret := v.mint(func(k *platform.AccessKey) { k.Binding = platform.BindingDPoP })
	free, freeSecret := v.mint(nil)
	v.settle()
	at := v.control + "/oauth2/token"
	shown := func(proof string) string { return "DPoP: " + proof + "\r\n" }
	for name, header := range map[string]string{
		"no proof": "", "rubbish": shown("x.y.z"), "for the gateway": shown(p.Proof("", "POST", v.gateway+"/oauth2/token", nil)), "for another path": shown(p.Proof("", "POST", v.control+"/oauth2/revoke", nil)),
		"another method": shown(p.Proof("", "GET", at, nil)), "stale": shown(p.Proof("", "POST", at, map[string]any{"iat": time.Now().Add(-2 * time.Minute).Unix()})),
		"of the future": shown(p.Proof("", "POST", at, map[string]any{"iat": time.Now().Add(2 * time.Minute).Unix()})), "without jti": shown(p.Proof("", "POST", at, map[string]any{"jti": nil})),
		"two": shown(p.Proof("", "POST", at, nil)) + shown(p.Proof("", "POST", at, nil)), "two in one": "DPoP: " + p.Proof("", "POST", at, nil) + ", " + p.Proof("", "POST", at, nil) + "\r\n",
	} {
		tried(t, name, "a token")
		if raw, _ := v.grant(k.ID, secret, header, "", nil); raw != "" {
			t.Errorf("a token for a proof: %s", name)
		}
	}
	first := shown(p.Proof("", "POST", at, nil))
	raw, kind := v.grant(k.ID, secret, first, "", nil)
	if raw == "" || kind != "DPoP" {
		t.Fatalf("no token, %q\n%s", kind, v.log())
	}
	if again, _ := v.grant(k.ID, secret, first, "", nil); again != "" {
		t.Error("a token for a proof that was shown before")
	}
	unbound, _ := v.grant(free.ID, freeSecret, "", "", nil)
	other, _ := v.grant(free.ID, freeSecret, shown(p.Proof("", "POST", at, nil)), "", nil)
	url := v.gateway + "/fn/f/webhook"
	with := func(scheme, token, proof string) string {
		return v.guarded("webhook", "Authorization: "+scheme+" "+token+"\r\n"+shown(proof))
	}
	proof := func(change map[string]any) string { return with("DPoP", raw, p.Proof(raw, "GET", url, change)) }
	now := time.Now().Unix()
	_, port, _ := net.SplitHostPort(hostOf(v.gateway))
	used := proof(nil)
	for _, c := range []struct {
		name, request string
		want          int
	}{
		{"right", used, 200},
		{"replayed", used, 401},
		{"scheme in other letters", with("dpOP", raw, p.Proof(raw, "GET", url, nil)), 200},
		{"a jti used twice", proof(map[string]any{"jti": "twice"}), 200},
		{"a jti used twice, again", proof(map[string]any{"jti": "twice"}), 401},
		{"an address with query and fragment", proof(map[string]any{"htu": url + "?a=b#c"}), 200},
		{"the Bearer scheme", with("Bearer", raw, p.Proof(raw, "GET", url, nil)), 401},
		{"the Bearer scheme without proof", v.guarded("webhook", "Authorization: Bearer "+raw+"\r\n"), 401},
		{"no proof", v.guarded("webhook", "Authorization: DPoP "+raw+"\r\n"), 401},
		{"an empty proof", with("DPoP", raw, ""), 401},
		{"two proofs", v.guarded("webhook", "Authorization: DPoP "+raw+"\r\n"+shown(p.Proof(raw, "GET", url, nil))+shown(p.Proof(raw, "GET", url, nil))), 400},
		{"two in one", with("DPoP", raw, p.Proof(raw, "GET", url, nil)+", "+p.Proof(raw, "GET", url, nil)), 401},
		{"another method", proof(map[string]any{"htm": "POST"}), 401},
		{"the method in small letters", proof(map[string]any{"htm": "get"}), 401},
		{"no method", proof(map[string]any{"htm": nil}), 401},
		{"another path", proof(map[string]any{"htu": v.gateway + "/fn/f/status"}), 401},
		{"another host", proof(map[string]any{"htu": "http://evil.example/fn/f/webhook"}), 401},
		{"another port", proof(map[string]any{"htu": v.control + "/fn/f/webhook"}), 401},
		{"another scheme", proof(map[string]any{"htu": "https" + strings.TrimPrefix(url, "http")}), 401},
		{"a user in the address", proof(map[string]any{"htu": "http://u@" + strings.TrimPrefix(url, "http://")}), 401},
		{"no address", proof(map[string]any{"htu": nil}), 401},
		{"a path alone", proof(map[string]any{"htu": "/fn/f/webhook"}), 401},
		{"stale", proof(map[string]any{"iat": now - 90}), 401},
		{"of the future", proof(map[string]any{"iat": now + 90}), 401},
		{"without a time", proof(map[string]any{"iat": nil}), 401},
		{"a time that is a text", proof(map[string]any{"iat": "1"}), 401},
		{"without ath", proof(map[string]any{"ath": nil}), 401},
		{"ath of another token", with("DPoP", raw, p.Proof(other, "GET", url, nil)), 401},
		{"without jti", proof(map[string]any{"jti": nil}), 401},
		{"an empty jti", proof(map[string]any{"jti": ""}), 401},
		{"a jti of 10 kB", proof(map[string]any{"jti": strings.Repeat("j", 10_000)}), 401},
		{"by a thief's key", with("DPoP", raw, thief.Proof(raw, "GET", url, nil)), 401},
		{"a thief's signature", with("DPoP", raw, tokentest.Prover{Key: thief.Key, JWK: p.JWK}.Proof(raw, "GET", url, nil)), 401},
		{"the token as its own proof", with("DPoP", raw, raw), 401},
		{"an unbound token with a proof", with("DPoP", unbound, p.Proof(unbound, "GET", url, nil)), 401},
		{"an unbound token as it should be", v.guarded("webhook", "Authorization: Bearer "+unbound+"\r\n"), 200},
		{"bound at the client's wish", with("DPoP", other, p.Proof(other, "GET", url, nil)), 200},
		{"bound at its wish, as a bearer", v.guarded("webhook", "Authorization: Bearer "+other+"\r\n"), 401},
		{"the bare secret, Basic", v.guarded("webhook", "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(k.ID+":"+secret))+"\r\n"), 401},
		{"the bare secret, X-API-Key", v.guarded("webhook", "X-API-Key: "+secret+"\r\n"), 401},
		{"the bare secret beside the token", v.guarded("webhook", "X-API-Key: "+secret+"\r\nAuthorization: DPoP "+raw+"\r\n"+shown(p.Proof(raw, "GET", url, nil))), 401},
		{"another key's secret beside a token", v.guarded("webhook", "X-API-Key: "+v.key["POSTERN_KEY_SECRET"]+"\r\nAuthorization: Bearer "+unbound+"\r\n"), 400},
		{"its own secret beside a token", v.guarded("webhook", "X-API-Key: "+freeSecret+"\r\nAuthorization: Bearer "+unbound+"\r\n"), 200},
		{"a wrong secret beside a token", v.guarded("webhook", "X-API-Key: psk_x\r\nAuthorization: Bearer "+unbound+"\r\n"), 401},
		{"two tokens", v.guarded("webhook", "Authorization: Bearer "+unbound+"\r\nAuthorization: Bearer "+unbound+"\r\n"), 400},
		{"token and Basic in one", v.guarded("webhook", "Authorization: Bearer "+unbound+", "+v.basic+"\r\n"), 401},
		{"a token in the query", v.guarded("webhook?access_token="+unbound, ""), 401},
		{"a token in X-API-Key", v.guarded("webhook", "X-API-Key: "+unbound+"\r\n"), 401},
		{"a token in Proxy-Authorization", v.guarded("webhook", "Proxy-Authorization: Bearer "+unbound+"\r\n"), 401},
		{"a token in a cookie", v.guarded("webhook", "Cookie: access_token="+unbound+"\r\n"), 401},
		{"right, named as hop-by-hop", strings.Replace(proof(nil), "Connection: close", "Connection: close, authorization, dpop", 1), 200},
		{"replayed, named as hop-by-hop", strings.Replace(used, "Connection: close", "Connection: close, dpop", 1), 401},
		{"a proof that another server was shown", strings.Replace(proof(map[string]any{"htu": "http://evil.example/fn/f/webhook"}), "Host: "+hostOf(v.gateway), "Host: evil.example", 1), 401},
		{"the same, at another port", strings.Replace(proof(map[string]any{"htu": "http://127.0.0.1:1/fn/f/webhook"}), "Host: "+hostOf(v.gateway), "Host: 127.0.0.1:1", 1), 401},
		{"by its name on this machine", strings.Replace(proof(map[string]any{"htu": "http://localhost:" + port + "/fn/f/webhook"}), "Host: "+hostOf(v.gateway), "Host: localhost:"+port, 1), 200},
		{"by the function's own host", strings.Replace(strings.Replace(proof(map[string]any{"htu": "http://f.localhost:" + port + "/webhook"}), "Host: "+hostOf(v.gateway), "Host: f.localhost:"+port, 1), "/fn/f/", "/", 1), 200},
		{"another host named by the request", strings.Replace(proof(map[string]any{"htu": "http://f.localhost/webhook"}), "Host: "+hostOf(v.gateway), "Host: f.localhost", 1), 401},
	} {
		v.expect(c.name, c.request, nil, c.want)
	}
	n, _, headers := v.told()
	if _, there := headers["dpop"]; there || n == 0 {
		t.Errorf("the handler was given the proof: %v", headers)
	}
	if _, there := headers["authorization"]; there {
		t.Errorf("the handler was given the token: %v", headers)
	}
	// On the control plane the same.
	keys := v.control + "/v1/projects/" + k.ProjectID + "/accessKeys"
	for name, c := range map[string]struct {
		header string
		want   int
	}{
		"right": {"Authorization: DPoP " + raw + "\r\n" + shown(p.Proof(raw, "GET", keys, nil)), 200}, "as a bearer": {"Authorization: Bearer " + raw + "\r\n", 401},
		"for the gateway": {"Authorization: DPoP " + raw + "\r\n" + shown(p.Proof(raw, "GET", url, nil)), 401}, "by a thief": {"Authorization: DPoP " + raw + "\r\n" + shown(thief.Proof(raw, "GET", keys, nil)), 401},
	} {
		tried(t, name, "control")
		if got := v.status(v.control, "GET "+strings.TrimPrefix(keys, v.control)+" HTTP/1.1\r\nHost: "+hostOf(v.control)+"\r\n"+c.header+"Connection: close\r\n\r\n"); got != c.want {
			t.Errorf("%s on the control plane: %d, want %d", name, got, c.want)
		}
	}
}

// clientCert makes a client's certificate.
func clientCert(t *testing.T) (*tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, base64.RawURLEncoding.EncodeToString(sum[:])
}

// A token that is bound to a certificate is good with that certificate, over
// TLS, and in no other way.
func TestAttack_CertificateBound(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	mine, thumbprint := clientCert(t)
	theirs, _ := clientCert(t)
	loose, looseSecret := v.mint(func(k *platform.AccessKey) { k.Binding = platform.BindingMTLS })
	pinned, pinnedSecret := v.mint(func(k *platform.AccessKey) {
		k.Binding, k.CertThumbprint = platform.BindingMTLS, thumbprint
	})
	v.settle()
	if raw, _ := v.grant(loose.ID, looseSecret, "", "", nil); raw != "" {
		t.Error("a token without TLS")
	}
	// The same once more, over TLS. The control listener has it where it is
	// reachable from elsewhere.
	if err := v.stop(); err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	transport, err := certify(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	v.start("--control-listen", "0.0.0.0:0", "--tls-cert", cert, "--tls-key", key)
	v.trust = transport.TLSClientConfig.Clone()
	v.trust.ServerName, v.trust.NextProtos = "127.0.0.1", []string{"http/1.1"}
	v.client = &http.Client{Transport: transport}
	if !strings.HasPrefix(v.control, "https://") || !strings.HasPrefix(v.gateway, "https://") {
		t.Fatalf("no TLS: %s, %s", v.control, v.gateway)
	}
	for name, c := range map[string]struct {
		id, secret string
		cert       *tls.Certificate
		want       bool
	}{
		"any, with one": {loose.ID, looseSecret, theirs, true}, "any, with none": {loose.ID, looseSecret, nil, false},
		"its own": {pinned.ID, pinnedSecret, mine, true}, "another": {pinned.ID, pinnedSecret, theirs, false}, "none": {pinned.ID, pinnedSecret, nil, false},
	} {
		tried(t, name, "a token")
		if raw, _ := v.grant(c.id, c.secret, "", "", c.cert); (raw != "") != c.want {
			t.Errorf("a token, %s: %v", name, raw != "")
		}
	}
	raw, _ := v.grant(loose.ID, looseSecret, "", "", mine)
	own, _ := v.grant(pinned.ID, pinnedSecret, "", "", mine)
	if raw == "" || own == "" {
		t.Fatal("no token with the right certificate")
	}
	bearer := func(raw string) string { return v.guarded("webhook", "Authorization: Bearer "+raw+"\r\n") }
	forged := v.token(pinned, map[string]any{"cnf": map[string]any{"x5t#S256": strings.Repeat("A", 43)}})
	spoofed := "X-Client-Cert: x\r\nX-SSL-Client-Cert: x\r\nX-Forwarded-Client-Cert: Hash=" + thumbprint + "\r\n"
	for _, c := range []struct {
		name, request string
		cert          *tls.Certificate
		want          int
	}{
		{"right", bearer(raw), mine, 200}, {"another", bearer(raw), theirs, 401}, {"none", bearer(raw), nil, 401},
		{"pinned", bearer(own), mine, 200}, {"pinned, another", bearer(own), theirs, 401}, {"pinned, none", bearer(own), nil, 401},
		{"a header instead", v.guarded("webhook", spoofed+"Authorization: Bearer "+raw+"\r\n"), nil, 401},
		{"a header besides", v.guarded("webhook", spoofed+"Authorization: Bearer "+raw+"\r\n"), theirs, 401},
		{"as DPoP", v.guarded("webhook", "Authorization: DPoP "+raw+"\r\n"), mine, 401},
		{"unbound, of the key", bearer(v.token(pinned, nil)), mine, 401},
		{"bound to another, of the key", bearer(forged), mine, 401},
		{"the bare secret", v.guarded("webhook", "X-API-Key: "+looseSecret+"\r\n"), mine, 401},
		{"a free key with a certificate", v.guarded("webhook", "Authorization: "+v.basic+"\r\n"), theirs, 200},
	} {
		v.expect(c.name, c.request, c.cert, c.want)
	}
	for name, c := range map[string]struct {
		cert *tls.Certificate
		want int
	}{"right": {mine, 200}, "another": {theirs, 401}, "none": {nil, 401}} {
		tried(t, name, "control")
		res, body := v.send(v.control, "GET /v1/projects/"+loose.ProjectID+"/accessKeys HTTP/1.1\r\nHost: "+hostOf(v.control)+"\r\nAuthorization: Bearer "+raw+"\r\nConnection: close\r\n\r\n", c.cert)
		if res == nil || res.StatusCode != c.want {
			t.Errorf("%s on the control plane: %v %s", name, res, body)
		}
	}
}
