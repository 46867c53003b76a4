package main_test

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/secret"
	"postern.dev/postern/internal/store"
	"postern.dev/postern/internal/token/tokentest"
)

// vault is a target whose database and sealing key lie open: tests make keys
// of any kind in it, and sign tokens with the server's own key that the server
// never would.
type vault struct {
	*target
	db      *store.DB
	box     *secret.Box
	signing platform.SigningKey
	pkcs8   []byte
	private ed25519.PrivateKey
	trust   *tls.Config // of clients, when the server has TLS
}

func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{target: newTarget(t)}
	var err error
	if v.db, err = store.Open(t.Context(), "sqlite://"+filepath.Join(v.data, "postern.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.db.Close() })
	if v.box, err = secret.OpenBox(filepath.Join(v.data, "sealing.key")); err != nil {
		t.Fatal(err)
	}
	keys, err := v.db.SigningKeys(t.Context(), time.Now())
	if err != nil || len(keys) != 1 {
		t.Fatalf("%d signing keys, %v", len(keys), err)
	}
	v.signing = keys[0]
	if v.pkcs8, err = v.box.Open(t.Context(), "signing-key/"+v.signing.KID, v.signing.Sealed); err != nil {
		t.Fatal(err)
	}
	v.private = v.parse(v.pkcs8).(ed25519.PrivateKey)
	return v
}

func (v *vault) parse(pkcs8 []byte) any {
	v.Helper()
	k, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		v.Fatal(err)
	}
	return k
}

// deploy deploys the function that counts under another name.
func (v *vault) deploy(name, source string) {
	v.Helper()
	v.deployed(`{"name":"`+name+`","runtime":"node"}`, source)
}

// mint makes a key beneath the server, which learns of it within a second.
func (v *vault) mint(change func(*platform.AccessKey)) (k platform.AccessKey, secret string) {
	v.Helper()
	s := accesskey.NewSecret()
	k = platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: v.key["POSTERN_PROJECT_ID"], SecretHash: s.Hash(), Generation: 1, CreatedAt: time.Now(),
		Scopes: []platform.Scope{platform.ScopeInvoke, platform.ScopeControl}}
	k.DisplayName = k.ID
	if change != nil {
		change(&k)
	}
	if _, err := v.db.CreateKey(v.Context(), k); err != nil {
		v.Fatal(err)
	}
	return k, s.Reveal()
}

// settle waits until the server knows of all that was done to the database.
func (v *vault) settle() {
	v.Helper()
	_, s := v.mint(nil)
	eventually(v.T, "a key that was made last opens", func() bool {
		return v.status(v.gateway, "GET /fn/f/nope HTTP/1.1\r\nHost: h\r\n\r\n") == 404 && v.status(v.gateway, "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nX-API-Key: "+s+"\r\n\r\n") == 200
	})
}

// claims are those of a good token of a key, changed. Claims that are nil go.
func (v *vault) claims(k platform.AccessKey, change map[string]any) string {
	v.Helper()
	at := time.Now()
	c := map[string]any{"iss": v.control, "sub": k.ID, "client_id": k.ID, "project_id": k.ProjectID, "gen": 1, "jti": rand.Text(), "aud": []string{v.gateway, v.control},
		"scope": "invoke control", "iat": at.Unix(), "exp": at.Add(time.Hour).Unix()}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	text, err := json.Marshal(c)
	if err != nil {
		v.Fatal(err)
	}
	return string(text)
}

// header is that of a good token.
func (v *vault) header() string {
	return `{"alg":"EdDSA","typ":"at+jwt","kid":"` + v.signing.KID + `"}`
}

func (v *vault) sign(text []byte) []byte { return ed25519.Sign(v.private, text) }

// token is a good token of a key but for what is changed.
func (v *vault) token(k platform.AccessKey, change map[string]any) string {
	v.Helper()
	return tokentest.Forge(v.header(), v.claims(k, change), v.sign)
}

// send sends bytes to a URL's host, on a connection of their own, and returns
// the first answer; nil when there was none. cert is shown over TLS; it may be nil.
func (v *vault) send(url, request string, cert *tls.Certificate) (*http.Response, string) {
	v.Helper()
	scheme, addr, _ := strings.Cut(url, "://")
	conn, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		v.Fatal(err)
	}
	if scheme == "https" {
		config := v.trust.Clone()
		if cert != nil {
			config.Certificates = []tls.Certificate{*cert}
		}
		conn = tls.Client(conn, config)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	go io.WriteString(conn, request) // a large request may be answered before it is read
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res, string(body)
}

func (v *vault) status(url, request string) int {
	v.Helper()
	res, _ := v.send(url, request, nil)
	if res == nil {
		return 0
	}
	return res.StatusCode
}

// form is a POST of a form to the token server.
func form(path, header, body string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: control\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n" + header + "Connection: close\r\n\r\n" + body
}
