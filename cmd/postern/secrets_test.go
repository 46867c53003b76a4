package main_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/token/tokentest"
)

// forms are the ways in which a secret may stand in bytes: as it is, in base64
// at each of the three places at which it may begin, in hex, in a URL, in JSON.
func forms(secret []byte) map[string][]byte {
	out := map[string][]byte{"raw": secret, "hex": []byte(hex.EncodeToString(secret)), "HEX": []byte(strings.ToUpper(hex.EncodeToString(secret)))}
	for shift := range 3 {
		for name, e := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			// What stands before and after decides the characters at the ends.
			whole := e.EncodeToString(append(make([]byte, shift), secret...))
			from, to := (shift*8+5)/6, len(whole)
			if (shift+len(secret))%3 != 0 {
				to--
			}
			out[fmt.Sprint(name, " ", shift)] = []byte(whole[from:to])
		}
	}
	if text := string(secret); len(text) < 200 {
		out["escaped"] = []byte(url.QueryEscape(text))
		quoted, _ := json.Marshal(text)
		out["in JSON"] = bytes.Trim(quoted, `"`)
		var all, entities strings.Builder
		for _, c := range secret {
			fmt.Fprintf(&all, "%%%02X", c)
			fmt.Fprintf(&entities, `\u%04x`, c)
		}
		out["all escaped"], out["all escaped in JSON"] = []byte(all.String()), []byte(entities.String())
	}
	return out
}

func TestForms(t *testing.T) {
	t.Parallel()
	secret := []byte("psk_0123456789abcdefghijklmnopqrstuvwxyz")
	for before := range 7 {
		text := strings.Repeat("x", before) + string(secret) + "yz"
		for name, encoded := range map[string]string{"raw": text, "hex": hex.EncodeToString([]byte(text)), "base64": base64.StdEncoding.EncodeToString([]byte(text)), "base64url": base64.RawURLEncoding.EncodeToString([]byte(text)), "escaped": url.QueryEscape(text)} {
			if found := leaks([]byte("a"+encoded+"b"), map[string][]byte{"s": secret}); len(found) == 0 {
				t.Errorf("%s, after %d bytes: not found in %s", name, before, encoded)
			}
		}
	}
}

// leaks says which secrets are in the bytes, and in which form.
func leaks(in []byte, secrets map[string][]byte) (found []string) {
	for name, secret := range secrets {
		for form, text := range forms(secret) {
			if i := bytes.Index(in, text); i >= 0 {
				found = append(found, fmt.Sprintf("%s (%s): …%q", name, form, in[max(0, i-80):i]))
				break
			}
		}
	}
	return found
}

// loud writes down all that it is given.
const loud = `
export const auth = ['webhook'];
export const webhook = (c: any, r: any) => { console.log(JSON.stringify(r.headers)); console.log(JSON.stringify(r.identity ?? {})); throw new Error('with ' + JSON.stringify(r.headers)); };
`

// Secrets, right and wrong, are shown in every way that a caller may think of.
// Afterwards none of them is in an answer, in the log, in what a function
// wrote, in the metrics, or in any byte of any file of the data directory.
func TestSecrets_StayOut(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.deploy("loud", loud)
	k, secret := v.mint(nil)
	v.settle()
	wrong := accesskey.NewSecret().Reveal()
	raw, _ := v.grant(k.ID, secret, "", "", nil)
	p := tokentest.NewProver(t)
	bound, _ := v.grant(k.ID, secret, "DPoP: "+p.Proof("", "POST", v.control+"/oauth2/token", nil)+"\r\n", "", nil)
	_, d, err := v.activeFunction("loud")
	if err != nil {
		t.Fatal(err)
	}
	own, err := v.box.Open(t.Context(), d.ID, d.SealedKeySecret)
	if err != nil {
		t.Fatal(err)
	}
	sealing, err := os.ReadFile(filepath.Join(v.data, "sealing.key"))
	if err != nil {
		t.Fatal(err)
	}
	signature := func(raw string) []byte { return []byte(raw[strings.LastIndexByte(raw, '.')+1:]) }
	proof := p.Proof(bound, "GET", v.gateway+"/fn/loud/webhook", nil)
	secrets := map[string][]byte{
		"the administrator's": []byte(v.key["POSTERN_KEY_SECRET"]), "a key's": []byte(secret), "a wrong one": []byte(wrong), "a function's own": own,
		"a token's signature": signature(raw), "a bound token's signature": signature(bound), "a proof's signature": signature(proof),
		"the signing key": v.pkcs8, "the signing key's seed": v.private.Seed(),
	}

	var answers bytes.Buffer
	shoot := func(door, request string) {
		res, body := v.send(door, request, nil)
		if res != nil {
			fmt.Fprintln(&answers, res.Status, res.Header)
		}
		answers.WriteString(body)
	}
	get := func(path, header string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: h\r\n" + header + "Connection: close\r\n\r\n"
	}
	keys := "/v1/projects/" + k.ProjectID + "/accessKeys"
	admin := "Authorization: Bearer " + v.token(k, nil) + "\r\n"
	post := func(path, body string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n" + admin + fmt.Sprintf("Content-Length: %d\r\nConnection: close\r\n\r\n", len(body)) + body
	}
	for _, s := range []string{secret, wrong, v.key["POSTERN_KEY_SECRET"]} {
		headers := []string{basicLine(k.ID, s), basicLine(s, k.ID), basicLine(s, s), basicLine(s, ""), "X-API-Key: " + s + "\r\n", "Authorization: Bearer " + s + "\r\n", "Authorization: DPoP " + s + "\r\n",
			"Authorization: " + s + "\r\n", "Authorization: Basic " + s + "\r\n", "Proxy-Authorization: Basic " + s + "\r\n", basicLine(k.ID, s) + "X-API-Key: " + s + "\r\n", "X-API-Key: " + s + "\r\nX-API-Key: " + s + "\r\n",
			"DPoP: " + s + "\r\n", "X_API_Key: " + s + "\r\n", "X-API-Key: " + s + " \r\n", "X-API-Key: " + k.ID + ":" + s + "\r\n"}
		for _, h := range headers {
			shoot(v.gateway, get("/fn/loud/webhook", h))
			shoot(v.gateway, get("/fn/loud/nope", h))
			shoot(v.control, get(keys, h))
			shoot(v.control, get("/nope", h))
			shoot(v.control, form("/oauth2/token", h, grantForm+"&scope=none"))
		}
		for _, h := range []string{"Cookie: key=" + s + "\r\n", "X-Secret: " + s + "\r\n", "User-Agent: " + s + "\r\n", "Referer: http://h/" + s + "\r\n", "X-Request-Id: " + s + "\r\n", "Expect: " + s + "\r\n", "Upgrade: " + s + "\r\n", "Content-Length: " + s + "\r\n", s + ": x\r\n", "Origin: http://" + s + "\r\n", "traceparent: " + s + "\r\n"} {
			v.send(v.gateway, get("/fn/f/status", h), nil) // answers with what it was given, which is its right
			shoot(v.gateway, get("/fn/f/nope", h))
			shoot(v.control, get(keys, h))
		}
		for _, door := range []string{v.gateway, v.control} {
			for _, path := range []string{"/fn/loud/webhook?key=" + s, "/fn/loud/" + s, "/fn/" + s + "/webhook", "/" + s, "/fn/loud/webhook/" + s, "/fn/loud/%70sk_" + s[4:], "/fn/loud/..%2f" + s, "/fn/loud/%zz" + s, "/.well-known/oauth-protected-resource/fn/" + s,
				keys + "/" + s, keys + "?pageToken=" + s, keys + "?pageSize=" + s, "/v1/projects/" + s + "/accessKeys", "/v1/projects/" + k.ProjectID + "/functions/" + s, "/oauth2/token?client_secret=" + s, "/" + s + "/oauth2/token", "http://" + k.ID + ":" + s + "@h/fn/loud/webhook"} {
				shoot(door, get(path, ""))
				shoot(door, get(path, admin))
			}
			shoot(door, strings.Replace(get("/fn/loud/webhook", ""), "Host: h", "Host: "+s, 1))
			shoot(door, strings.Replace(get("/fn/loud/webhook", ""), "Host: h", "Host: "+s+".localhost", 1))
			shoot(door, strings.Replace(get("/fn/loud/webhook", ""), "GET", s, 1))
			shoot(door, strings.Replace(get("/fn/loud/webhook", ""), "HTTP/1.1", s, 1))
		}
		for _, f := range []string{grantForm + "&client_id=" + k.ID + "&client_secret=" + s, grantForm + "&client_id=" + s + "&client_secret=" + s, grantForm + "&client_id=" + s, "grant_type=" + s, grantForm + "&scope=" + s, grantForm + "&resource=" + s, s + "=1&" + s + "=2", s, "token=" + s, "token=" + s + "&token_type_hint=" + s} {
			for _, path := range []string{"/oauth2/introspect", "/oauth2/revoke", "/oauth2/token"} {
				if strings.Contains(f, "&client_secret="+secret) && path == "/oauth2/token" {
					continue // a right answer, which has a token
				}
				shoot(v.control, form(path, "", f))
				if !strings.Contains(f, "client_secret") {
					shoot(v.control, form(path, "Authorization: "+v.basic+"\r\n", f))
				}
			}
		}
		quoted := `"` + s + `"`
		for _, body := range []string{`{"displayName":` + quoted + `}`, `{"displayName":"x` + s + `y"}`, `{"displayName":"a","scopes":[` + quoted + `]}`, `{"displayName":"a","allowedCidrs":[` + quoted + `]}`, `{"displayName":"a","expireTime":` + quoted + `}`,
			`{"displayName":"a","ratePerSecond":` + quoted + `}`, `{"displayName":"a",` + quoted + `:1}`, `{"displayName":"a","secret":` + quoted + `}`, `{"displayName":"a","metadata":{"k":` + quoted + `}}`, `{"displayName":"a","metadata":{` + quoted + `:"v"}}`,
			`{"displayName":"a","groups":[` + quoted + `]}`, `{"displayName":"a","groups":["` + s + ` "]}`, `{"displayName":"a","servicePlanId":` + quoted + `}`, `{"displayName":"a","binding":` + quoted + `}`, `{"displayName":"a","certThumbprint":` + quoted + `}`, quoted, s, `{"displayName":"a"` + s, `{"displayName":"function:` + s + `"}`} {
			shoot(v.control, post(keys, body))
			shoot(v.control, strings.Replace(post(keys+"/"+k.ID, body), "POST", "PATCH", 1))
			shoot(v.control, post(keys+"/"+k.ID+"/rotate", body))
			shoot(v.control, post("/v1/projects/"+k.ProjectID+"/subprojects", strings.Replace(body, "metadata", "labels", 1)))
		}
	}
	shoot(v.gateway, get("/fn/loud/webhook", "Authorization: Bearer "+raw+"\r\n"))
	shoot(v.gateway, get("/fn/loud/webhook", "Authorization: Bearer "+raw+"x\r\n"))
	shoot(v.gateway, strings.Replace(get("/fn/loud/webhook", "Authorization: DPoP "+bound+"\r\nDPoP: "+proof+"\r\n"), "Host: h", "Host: "+hostOf(v.gateway), 1))
	shoot(v.gateway, get("/fn/loud/webhook?access_token="+raw, ""))
	shoot(v.control, get(keys+"?access_token="+raw, "Authorization: Bearer "+raw+"\r\n"))
	shoot(v.control, form("/oauth2/introspect", "Authorization: "+v.basic+"\r\n", "token="+raw))
	shoot(v.control, form("/oauth2/revoke", "Authorization: "+v.basic+"\r\n", "token="+raw))
	// What is remembered of all that, and what would be.
	project := "/v1/projects/" + k.ProjectID
	explained := 0
	for i, id := range regexp.MustCompile("req_[0-9a-z]{20}").FindAllString(answers.String(), -1) {
		if i%8 == 0 {
			if explained++; v.status(v.control, get(project+"/explain/"+id, admin)) == 200 {
				shoot(v.control, get(project+"/explain/"+id, admin))
			}
		}
	}
	for _, s := range []string{secret, wrong} {
		for _, in := range []map[string]string{{"url": "/fn/loud/" + s}, {"url": "/fn/" + s + "/webhook"}, {"url": "http://u:" + s + "@h/fn/loud/webhook?x=" + s}, {"url": "/fn/loud/webhook", "method": s}, {"url": "/fn/loud/webhook", "accessKeyId": s}, {"url": "/fn/loud/webhook", "from": s}, {"url": s}, {s: s}} {
			body, _ := json.Marshal(in)
			shoot(v.control, post(project+"/explain", string(body)))
		}
		for _, query := range []string{"accessKeyId", "action", "outcome", "requestId", "pageToken", "since", "pageSize"} {
			shoot(v.control, get(project+"/audit?"+query+"="+s, admin))
		}
		shoot(v.control, get(project+"/explain/"+s, admin))
	}
	shoot(v.control, get(project+"/audit?pageSize=1000", admin))
	if !strings.Contains(answers.String(), `"events":[{`) || explained < 20 {
		t.Errorf("no audit events, or only %d requests to explain", explained)
	}
	// A key that is made shows its secret this once; it is nowhere else.
	madeID, made := v.createKey("Made through the API")
	secrets["one made through the API"] = []byte(made)
	shoot(v.gateway, get("/fn/loud/webhook", basicLine(madeID, made)))
	logs := v.must("functions", "logs", "loud")
	if !strings.Contains(logs, "accept") && !strings.Contains(logs, "host") && !strings.Contains(logs, "{") {
		t.Fatalf("the function was not loud: %q", logs)
	}
	shoot(v.control, get("/metrics", ""))
	shoot(v.control, get("/readyz", ""))
	shoot(v.control, get("/openapi.json", ""))

	check := func(where string, in []byte) {
		t.Helper()
		for _, found := range leaks(in, secrets) {
			t.Errorf("in %s: %s", where, found)
		}
	}
	files := func(dir string) (n int) {
		t.Helper()
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil // a worker's files come and go
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			n++
			check(path[len(dir):], data)
			if e.Name() != "sealing.key" && bytes.Contains(data, sealing) {
				t.Errorf("the sealing key is in %s", path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	check("answers", answers.Bytes())
	check("what functions wrote", []byte(logs))
	if n := files(v.data); n < 4 { // with the log of the database beside it
		t.Errorf("%d files only", n)
	}
	backup := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(v.data, "postern.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "VACUUM INTO ?", filepath.Join(backup, "copy.db")); err != nil {
		t.Fatal(err)
	}
	files(backup)
	if err := v.stop(); err != nil {
		t.Error(err)
	}
	files(v.data)
	secrets["the administrator's"] = []byte(v.key["POSTERN_KEY_SECRET"])
	check("the log", []byte(v.log()))
	if text := v.log(); !strings.Contains(text, k.ID) || !strings.Contains(text, "/fn/loud/webhook") {
		t.Error("the log does not say what was done")
	}
}
