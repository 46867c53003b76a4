package main_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/platform"
)

const grantForm = "grant_type=client_credentials"

func basicLine(id, secret string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret)) + "\r\n"
}

// Whatever is wrong with a call to the token endpoint, there is no token, and
// one answer of RFC 6749.
func TestAttack_TokenEndpoint(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	k, secret := v.mint(nil)
	other, otherSecret := v.mint(func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeInvoke} })
	plan, planSecret := v.mint(func(k *platform.AccessKey) { k.ServicePlanID = "plan" })
	v.settle()
	const path = "/oauth2/token"
	ok := basicLine(k.ID, secret)
	own := url.Values{"client_id": {k.ID}, "client_secret": {secret}}.Encode()
	typed := func(kind, body string) string {
		return strings.Replace(form(path, ok, body), "application/x-www-form-urlencoded", kind, 1)
	}
	method := func(m string) string { return strings.Replace(form(path, ok, grantForm), "POST", m, 1) }
	for name, c := range map[string]struct {
		request string
		status  int
		code    string // the OAuth error; empty: net/http's own answer
	}{
		"GET":                         {method("GET"), 405, "invalid_request"},
		"PUT":                         {method("PUT"), 405, "invalid_request"},
		"DELETE":                      {method("DELETE"), 405, "invalid_request"},
		"OPTIONS":                     {method("OPTIONS"), 405, "invalid_request"},
		"a method of its own":         {method("TOKEN"), 405, "invalid_request"},
		"GET with all in the address": {"GET " + path + "?" + grantForm + "&" + own + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 405, "invalid_request"},
		"overridden":                  {strings.Replace(method("GET"), "\r\n", "\r\nX-HTTP-Method-Override: POST\r\n", 1), 405, "invalid_request"},
		"JSON":                        {typed("application/json", `{"grant_type":"client_credentials"}`), 400, "invalid_request"},
		"a form that says JSON":       {typed("application/json", grantForm), 400, "invalid_request"},
		"JSON that says form":         {form(path, ok, `{"grant_type":"client_credentials"}`), 400, "invalid_request"},
		"multipart":                   {typed("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nclient_credentials\r\n--x--\r\n"), 400, "invalid_request"},
		"two types":                   {typed("application/json, application/x-www-form-urlencoded", grantForm), 400, "invalid_request"},
		"no body":                     {form(path, ok, ""), 400, "invalid_request"},
		"a body too long":             {form(path, ok, grantForm+"&x="+strings.Repeat("x", 64<<10)), 400, "invalid_request"},
		"a body of a mebibyte":        {form(path, ok, grantForm+"&x="+strings.Repeat("x", 1<<20)), 400, "invalid_request"},
		"a header of two mebibytes":   {form(path, "X-A: "+strings.Repeat("x", 2<<20)+"\r\n", grantForm), 431, ""},
		"grant in the address":        {strings.Replace(form(path, ok, ""), path, path+"?"+grantForm, 1), 400, "invalid_request"},
		"secret in the address":       {strings.Replace(form(path, "", grantForm), path, path+"?"+own, 1), 400, "invalid_request"},
		"grant twice":                 {form(path, ok, grantForm+"&"+grantForm), 400, "invalid_request"},
		"scope twice":                 {form(path, ok, grantForm+"&scope=invoke&scope=control"), 400, "invalid_request"},
		"ID twice":                    {form(path, "", grantForm+"&"+own+"&client_id="+other.ID), 400, "invalid_request"},
		"secret twice":                {form(path, "", grantForm+"&"+own+"&client_secret=x"), 400, "invalid_request"},
		"a name encoded, twice":       {form(path, ok, grantForm+"&grant%5Ftype=password"), 400, "invalid_request"},
		"a semicolon":                 {form(path, ok, grantForm+";scope=control"), 400, "invalid_request"},
		"a bad escape":                {form(path, ok, grantForm+"&x=%zz"), 400, "invalid_request"},
		"header and body":             {form(path, ok, grantForm+"&"+own), 400, "invalid_request"},
		"header and another in body":  {form(path, ok, grantForm+"&"+url.Values{"client_id": {other.ID}, "client_secret": {otherSecret}}.Encode()), 400, "invalid_request"},
		"header and another ID":       {form(path, ok, grantForm+"&client_id="+other.ID), 400, "invalid_request"},
		"header and a secret":         {form(path, ok, grantForm+"&client_secret="+secret), 400, "invalid_request"},
		"two headers":                 {form(path, ok+ok, grantForm), 400, "invalid_request"},
		"two headers, one wrong":      {form(path, ok+basicLine(k.ID, "x"), grantForm), 400, "invalid_request"},
		"no grant":                    {form(path, ok, "scope=invoke"), 400, "invalid_request"},
		"password":                    {form(path, ok, "grant_type=password&username=a&password=b"), 400, "unsupported_grant_type"},
		"refresh token":               {form(path, ok, "grant_type=refresh_token&refresh_token=x"), 400, "unsupported_grant_type"},
		"token exchange":              {form(path, ok, "grant_type=urn:ietf:params:oauth:grant-type:token-exchange"), 400, "unsupported_grant_type"},
		"a grant and a NUL":           {form(path, ok, grantForm+"%00"), 400, "unsupported_grant_type"},
		"a grant and a space":         {form(path, ok, grantForm+"+"), 400, "unsupported_grant_type"},
		"a wider scope":               {form(path, basicLine(other.ID, otherSecret), grantForm+"&scope=control"), 400, "invalid_scope"},
		"a scope of everything":       {form(path, ok, grantForm+"&scope=*"), 400, "invalid_scope"},
		"another resource":            {form(path, ok, grantForm+"&resource=https://evil.example"), 400, "invalid_target"},
		"a resource that begins":      {form(path, ok, grantForm+"&resource="+v.gateway+".evil"), 400, "invalid_target"},
		"a resource with a user":      {form(path, ok, grantForm+"&resource=http://"+hostOf(v.gateway)+"@evil"), 400, "invalid_target"},
		"nine resources":              {form(path, ok, grantForm+strings.Repeat("&resource="+url.QueryEscape(v.gateway), 9)), 400, "invalid_target"},
		"nobody":                      {form(path, "", grantForm), 401, "invalid_client"},
		"ID alone":                    {form(path, "", grantForm+"&client_id="+k.ID), 401, "invalid_client"},
		"secret alone":                {form(path, "", grantForm+"&client_secret="+secret), 401, "invalid_client"},
		"X-API-Key":                   {form(path, "X-API-Key: "+secret+"\r\n", grantForm), 401, "invalid_client"},
		"Bearer":                      {form(path, "Authorization: Bearer "+secret+"\r\n", grantForm), 401, "invalid_client"},
		"a token for a token":         {form(path, "Authorization: Bearer "+v.token(k, nil)+"\r\n", grantForm), 401, "invalid_client"},
		"unknown key":                 {form(path, basicLine(accesskey.NewID(time.Now()), accesskey.NewSecret().Reveal()), grantForm), 401, "invalid_client"},
		"unknown key, right secret":   {form(path, basicLine(accesskey.NewID(time.Now()), secret), grantForm), 401, "invalid_client"},
		"wrong secret":                {form(path, basicLine(k.ID, accesskey.NewSecret().Reveal()), grantForm), 401, "invalid_client"},
		"another key's secret":        {form(path, basicLine(k.ID, otherSecret), grantForm), 401, "invalid_client"},
		"exchanged":                   {form(path, basicLine(secret, k.ID), grantForm), 401, "invalid_client"},
		"empty secret":                {form(path, basicLine(k.ID, ""), grantForm), 401, "invalid_client"},
		"secret and a NUL":            {form(path, basicLine(k.ID, secret+"\x00"), grantForm), 401, "invalid_client"},
		"secret encoded twice":        {form(path, basicLine(k.ID, strings.ReplaceAll(secret, "_", "%255F")), grantForm), 401, "invalid_client"},
		"ID in capitals":              {form(path, basicLine(strings.ToUpper(k.ID), secret), grantForm), 401, "invalid_client"},
		"SQL for an ID":               {form(path, basicLine("' OR '1'='1", secret), grantForm), 401, "invalid_client"},
		"the token of a plan":         {form(path, basicLine(plan.ID, planSecret), grantForm), 401, "invalid_client"},
		"at the gateway":              {"", 404, ""},
	} {
		tried(t, name, c.request)
		var status int
		var body string
		if c.request == "" {
			res, text := v.send(v.gateway, form(path, ok, grantForm), nil)
			status, body = res.StatusCode, text
		} else if res, text := v.send(v.control, c.request, nil); res != nil {
			status, body = res.StatusCode, text
			told := strings.Join(res.Header["Www-Authenticate"], "")
			if (status == 401) != (told != "") || strings.Contains(told, "expired") || c.code != "" && (res.Header.Get("Content-Type") != "application/json" || res.Header.Get("Cache-Control") != "no-store") {
				t.Errorf("%s: header %v", name, res.Header)
			}
		}
		var got struct{ Error string }
		json.Unmarshal([]byte(body), &got)
		if status != c.status || c.code != "" && got.Error != c.code || strings.Contains(body, "access_token") {
			t.Errorf("%s: %d %.200s, want %d %s", name, status, body, c.status, c.code)
		}
		for _, s := range []string{secret, otherSecret, planSecret} {
			if strings.Contains(body, s) {
				t.Errorf("%s: a secret comes back", name)
			}
		}
	}
	if raw, _ := v.grant(k.ID, secret, "", "", nil); raw == "" {
		t.Error("after all that the right call gets nothing")
	}
}

// Thirty tokens at once, then ten a second, for each key by itself; and a
// thousand wrong secrets do not keep the owner of a key out, neither here nor
// at the gateway.
func TestAttack_TokenEndpointLimits(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	k, secret := v.mint(nil)
	other, otherSecret := v.mint(nil)
	v.settle()
	many := func(n int, request func() string) (got map[int]int) {
		got = map[int]int{}
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range n / 8 {
					res, _ := v.send(v.control, request(), nil)
					mu.Lock()
					if res == nil {
						got[0]++
					} else if got[res.StatusCode]++; (res.StatusCode == 429) != (res.Header.Get("Retry-After") != "") {
						t.Errorf("%d with Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		return got
	}
	begun := time.Now()
	got := many(160, func() string { return form("/oauth2/token", basicLine(k.ID, secret), grantForm) })
	if most := 30 + int(10*time.Since(begun).Seconds()) + 1; got[200] < 30 || got[200] > most || got[200]+got[429] != 160 {
		t.Errorf("160 at once in %v: %v, want 30 and 10 a second", time.Since(begun), got)
	}
	got = many(1000, func() string {
		return form("/oauth2/token", basicLine(other.ID, accesskey.NewSecret().Reveal()), grantForm)
	})
	if got[401] < 30 || got[401]+got[429] != 1000 {
		t.Errorf("1,000 wrong secrets: %v", got)
	}
	if raw, _ := v.grant(other.ID, otherSecret, "", "", nil); raw == "" {
		t.Error("after 1,000 wrong secrets the owner gets no token")
	}
	before, _ := v.ran()
	for range 200 {
		if got := v.raw(v.guarded("webhook", basicLine(other.ID, accesskey.NewSecret().Reveal()))); got != 401 {
			t.Fatalf("a wrong secret at the gateway: %d", got)
		}
	}
	if n, _ := v.ran(); n != before {
		t.Error("the handler ran")
	}
	v.expect("after the wrong secrets, the right one", v.guarded("webhook", basicLine(other.ID, otherSecret)), nil, 200)
}
