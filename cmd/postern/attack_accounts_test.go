package main_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/platform"
)

const (
	housePassword = "correct horse battery"
	sessionName   = "postern-console"
)

// house is a vault with its console, spoken to by bytes.
type house struct {
	*vault
	host    string
	project string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	v := newVault(t)
	return &house{vault: v, host: strings.TrimPrefix(v.control, "http://"), project: v.key["POSTERN_PROJECT_ID"]}
}

// ask sends a request to the control listener.
func (h *house) ask(method, path, body string, lines ...string) (*http.Response, string) {
	h.Helper()
	if body != "" || method == "POST" {
		lines = append(lines, "Content-Length: "+strconv.Itoa(len(body)))
	}
	res, text := h.send(h.control, method+" "+path+" HTTP/1.1\r\nHost: "+h.host+"\r\nConnection: close\r\n"+strings.Join(append(lines, "", ""), "\r\n")+body, nil)
	if res == nil {
		res = &http.Response{Header: http.Header{}}
	}
	return res, text
}

const formType = "Content-Type: application/x-www-form-urlencoded"

// form sends a form.
func (h *house) form(path string, form url.Values, lines ...string) (*http.Response, string) {
	h.Helper()
	return h.ask("POST", path, form.Encode(), append(lines, formType)...)
}

var csrfInForm = regexp.MustCompile(`name="csrf" value="([A-Za-z0-9_-]+)"`)

// door is a form for who is not signed in: its cookie, and its token.
func (h *house) door(path string, lines ...string) (cookie, token string) {
	h.Helper()
	res, body := h.ask("GET", path, "", lines...)
	m := csrfInForm.FindStringSubmatch(body)
	if m == nil {
		h.Fatalf("%s has no form: %d %.300s", path, res.StatusCode, body)
	}
	return "Cookie: " + set(res, sessionName+"-form"), m[1]
}

// set is a cookie that an answer sets, as it is sent back; empty: it sets none.
func set(res *http.Response, name string) (pair string) {
	for _, c := range res.Cookies() {
		if c.Name == name && c.Value != "" && c.MaxAge >= 0 {
			pair = name + "=" + c.Value
		}
	}
	return pair
}

// enter signs in with a form, and returns the answer and the session's cookie.
func (h *house) enter(form url.Values, lines ...string) (*http.Response, string) {
	h.Helper()
	cookie, token := h.door("/console/signin")
	form.Set("csrf", token)
	for i, l := range lines {
		if more, ok := strings.CutPrefix(l, "Cookie: "); ok {
			lines[i], cookie = "X-None: 1", cookie+"; "+more
		}
	}
	res, _ := h.form("/console/signin", form, append(lines, cookie)...)
	return res, set(res, sessionName)
}

func asBasic(id, secret string) string { return strings.TrimSpace(basicLine(id, secret)) }

func byUser(name, word string) url.Values {
	return url.Values{"username": {name}, "password": {word}}
}

func byKey(id, secret string) url.Values { return url.Values{"key-id": {id}, "key-secret": {secret}} }

// in signs in, or fails.
func (h *house) in(form url.Values) (cookie, token string) {
	h.Helper()
	res, pair := h.enter(form)
	if res.StatusCode != 303 || pair == "" {
		h.Fatalf("not signed in: %d %v", res.StatusCode, res.Header)
	}
	return "Cookie: " + pair, h.token("Cookie: " + pair)
}

// token is that of a session's forms.
func (h *house) token(cookie string) string {
	h.Helper()
	_, body := h.ask("GET", "/console/account", "", cookie)
	m := csrfInForm.FindStringSubmatch(body)
	if m == nil {
		h.Fatalf("no session: %.300s", body)
	}
	return m[1]
}

// opens reports whether a request's lines open the console, and the API behind it,
// which must agree. Its oracle is the content of the page.
func (h *house) opens(lines ...string) bool {
	h.Helper()
	page, body := h.ask("GET", "/console/p/"+h.project+"/users", "", lines...)
	inside, told := h.ask("GET", "/console/api/v1/projects/"+h.project+"/users", "", lines...)
	open := page.StatusCode == 200 && strings.Contains(body, "Add a user")
	if open != (inside.StatusCode == 200) || open != strings.Contains(told, `"users":`) {
		h.Errorf("the page says %d, the API %d", page.StatusCode, inside.StatusCode)
	}
	return open
}

// state is all that forms of the console could have changed.
func (h *house) state() string {
	h.Helper()
	users, err := h.db.Users(h.Context(), h.project, "", 1000)
	if err != nil {
		h.Fatal(err)
	}
	keys, err := h.db.Keys(h.Context(), h.project, "", 1000, true)
	if err != nil {
		h.Fatal(err)
	}
	text := ""
	for _, u := range users {
		text += fmt.Sprint(u.ID, u.Password, u.Generation, u.TOTP)
	}
	for _, k := range keys {
		text += fmt.Sprint(k.ID, k.DisplayName, k.SecretHash, k.RevokedAt)
	}
	return text
}

func (h *house) user(name string) api.User {
	h.Helper()
	u, err := h.own().CreateUser(h.Context(), api.CreateUserRequest{Name: name, Password: housePassword})
	if err != nil {
		h.Fatal(err)
	}
	return u
}

// Forms that another site makes a browser send, or that are sent in another way:
// nothing is changed, and nobody is signed out.
func TestAttack_ConsoleForms(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.user("ann")
	cookie, token := h.in(byUser("ann", housePassword))
	other, otherToken := h.in(byKey(h.key["POSTERN_KEY_ID"], h.key["POSTERN_KEY_SECRET"]))
	doorCookie, doorToken := h.door("/console/signin")
	users := "/console/p/" + h.project + "/users"
	body := func(csrf string) string {
		return url.Values{"csrf": {csrf}, "username": {"mallory"}, "new-password": {housePassword}, "again": {housePassword}}.Encode()
	}
	const own, cross = "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"
	for _, a := range []struct {
		name, method, path, body string
		lines                    []string
		status                   int
	}{
		{"no token", "POST", users, strings.Replace(body(""), "csrf=&", "", 1), []string{cookie, formType, own}, 403},
		{"an empty token", "POST", users, body(""), []string{cookie, formType, own}, 403},
		{"another session's token", "POST", users, body(otherToken), []string{cookie, formType, own}, 403},
		{"another session's cookie", "POST", users, body(token), []string{other, formType, own}, 403},
		{"the token of the sign-in", "POST", users, body(doorToken), []string{cookie + "; " + strings.TrimPrefix(doorCookie, "Cookie: "), formType, own}, 403},
		{"a part of the token", "POST", users, body(token[:len(token)-1]), []string{cookie, formType, own}, 403},
		{"the token in another case", "POST", users, body(strings.ToUpper(token)), []string{cookie, formType, own}, 403},
		{"the cookie as the token", "POST", users, body(strings.TrimPrefix(cookie, "Cookie: "+sessionName+"=")), []string{cookie, formType, own}, 403},
		{"the token in the query", "POST", users + "?csrf=" + token, body(""), []string{cookie, formType, own}, 403},
		{"the token in a header alone", "POST", users, body(""), []string{cookie, formType, own, "X-CSRF-Token: " + token}, 403},
		{"the token behind another", "POST", users, "csrf=x&" + body(token), []string{cookie, formType, own}, 403},
		{"no session", "POST", users, body(token), []string{formType, own}, 303},
		{"another site", "POST", users, body(token), []string{cookie, formType, cross}, 403},
		{"a sibling site", "POST", users, body(token), []string{cookie, formType, "Sec-Fetch-Site: same-site"}, 403},
		{"two sites", "POST", users, body(token), []string{cookie, formType, own, cross}, 403},
		{"a site of no word", "POST", users, body(token), []string{cookie, formType, "Sec-Fetch-Site: SAME-ORIGIN"}, 403},
		{"another origin", "POST", users, body(token), []string{cookie, formType, "Origin: http://evil.example"}, 403},
		{"another port", "POST", users, body(token), []string{cookie, formType, "Origin: http://127.0.0.1:1"}, 403},
		{"the gateway's origin", "POST", users, body(token), []string{cookie, formType, "Origin: " + h.gateway}, 403},
		{"another scheme", "POST", users, body(token), []string{cookie, formType, "Origin: https://" + h.host}, 403},
		{"two origins", "POST", users, body(token), []string{cookie, formType, "Origin: " + h.control, "Origin: http://evil.example"}, 403},
		{"a host that a proxy tells", "POST", users, body(token), []string{cookie, formType, "Origin: http://evil.example", "X-Forwarded-Host: evil.example", "Forwarded: host=evil.example"}, 403},
		{"by GET", "GET", users + "?" + body(token), "", []string{cookie, own}, 200},
		{"by GET, overridden", "GET", users + "?_method=POST&" + body(token), "", []string{cookie, own, "X-HTTP-Method-Override: POST", "X-Method-Override: POST"}, 200},
		{"by HEAD", "HEAD", users + "?" + body(token), "", []string{cookie, own}, 200},
		{"by PUT", "PUT", users, body(token), []string{cookie, formType, own}, 404},
		{"by PATCH", "PATCH", users, body(token), []string{cookie, formType, own}, 404},
		{"as JSON", "POST", users, `{"csrf":"` + token + `","username":"mallory","new-password":"` + housePassword + `","again":"` + housePassword + `"}`, []string{cookie, "Content-Type: application/json", own}, 403},
		{"as JSON in a form's name", "POST", users, `{"csrf":"` + token + `","x":"="}`, []string{cookie, formType, own}, 403},
		{"as plain text", "POST", users, body(token), []string{cookie, "Content-Type: text/plain", own}, 403},
		{"of no type", "POST", users, body(token), []string{cookie, own}, 403},
		{"in parts", "POST", users, "--b\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n" + token + "\r\n--b--\r\n", []string{cookie, "Content-Type: multipart/form-data; boundary=b", own}, 403},
		{"a removal without a token", "POST", users + "/usr_x/remove", "a=1", []string{cookie, formType, own}, 403},
		{"a password without a token", "POST", "/console/account/password", "password=" + url.QueryEscape(housePassword) + "&new-password=aaaabbbbccccdddd&again=aaaabbbbccccdddd", []string{cookie, formType, own}, 403},
		{"sessions without a token", "POST", "/console/account/sessions", "a=1", []string{cookie, formType, own}, 403},
		{"a sign-out without a token", "POST", "/console/signout", "", []string{cookie, formType, own}, 403},
		{"a sign-out from another site", "POST", "/console/signout", "csrf=" + token, []string{cookie, formType, cross}, 403},
		{"a sign-out by GET", "GET", "/console/signout?csrf=" + token, "", []string{cookie, own}, 404},
		{"a key by the API without a token", "POST", "/console/api/v1/projects/" + h.project + "/accessKeys", `{"displayName":"mallory"}`, []string{cookie, "Content-Type: application/json", own}, 403},
		{"a key by the API, a token of elsewhere", "POST", "/console/api/v1/projects/" + h.project + "/accessKeys", `{"displayName":"mallory"}`, []string{cookie, "Content-Type: application/json", own, "X-CSRF-Token: " + otherToken}, 403},
		{"a key by the API from another site", "POST", "/console/api/v1/projects/" + h.project + "/accessKeys", `{"displayName":"mallory"}`, []string{cookie, "Content-Type: application/json", cross, "X-CSRF-Token: " + token}, 403},
		{"a key by the API, the token in its query", "POST", "/console/api/v1/projects/" + h.project + "/accessKeys?csrf=" + token, `{"displayName":"mallory"}`, []string{cookie, "Content-Type: application/json", own}, 403},
		{"a key's end by the API without a token", "DELETE", "/console/api/v1/projects/" + h.project + "/accessKeys/" + h.key["POSTERN_KEY_ID"], "", []string{cookie, own}, 403},
		{"a read by the API from another site", "GET", "/console/api/v1/whoami", "", []string{cookie, cross, "Sec-Fetch-Mode: cors"}, 403},
		{"a WebSocket by the API from another site", "GET", "/console/api/v1/projects/" + h.project + "/tunnels", "", []string{cookie, cross, "Upgrade: websocket"}, 403},
	} {
		tried(t, a.name, a.method+a.path+a.body+strings.Join(a.lines, "\n"))
		before := h.state()
		res, text := h.ask(a.method, a.path, a.body, a.lines...)
		if res.StatusCode != a.status || a.status == 403 && strings.Contains(text, "usr_") {
			t.Errorf("%s: %d %.200s, want %d", a.name, res.StatusCode, text, a.status)
		}
		if h.state() != before {
			t.Errorf("%s: something was changed", a.name)
		}
		if strings.Contains(text, housePassword) {
			t.Errorf("%s: the answer has the password", a.name)
		}
	}
	if !h.opens(cookie) || !h.opens(other) {
		t.Fatal("somebody was signed out")
	}
	before := h.state()
	if res, _ := h.ask("POST", users, body(token), cookie, formType, "Origin: "+h.control); res.StatusCode != 303 || h.state() == before {
		t.Errorf("the right form: %d", res.StatusCode)
	}
	if res, _ := h.ask("POST", "/console/api/v1/projects/"+h.project+"/accessKeys", `{"displayName":"good"}`, cookie, "Content-Type: application/json", own, "X-CSRF-Token: "+token); res.StatusCode != 200 {
		t.Errorf("the right call: %d", res.StatusCode)
	}
}

// What is no session, was one, or is one somewhere else.
func TestAttack_ConsoleSessions(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ann := h.user("ann")
	cookie, _ := h.in(byUser("ann", housePassword))
	value := strings.TrimPrefix(cookie, "Cookie: "+sessionName+"=")
	for name, lines := range map[string][]string{
		"none":                        {},
		"twice in a line":             {cookie + "; " + sessionName + "=" + value},
		"twice in two lines":          {cookie, cookie},
		"behind another's":            {"Cookie: " + sessionName + "=x; " + sessionName + "=" + value},
		"before another's":            {cookie + "; " + sessionName + "="},
		"under the name of HTTPS":     {"Cookie: __Host-" + sessionName + "=" + value},
		"in another case":             {"Cookie: Postern-Console=" + value},
		"in quotes":                   {"Cookie: " + sessionName + `="` + value + `"`},
		"shorter":                     {cookie[:len(cookie)-1]},
		"longer":                      {cookie + "A"},
		"altered":                     {"Cookie: " + sessionName + "=" + flip(value)},
		"escaped":                     {"Cookie: " + sessionName + "=%" + value},
		"as a form's":                 {"Cookie: " + sessionName + "-form=" + value},
		"as a function's":             {"Cookie: postern-session=" + value},
		"as a bearer":                 {"Authorization: Bearer " + value},
		"as a basic":                  {asBasic(ann.UserID, value)},
		"as a key":                    {"X-API-Key: " + value},
		"as Cookie2":                  {"Cookie2: " + sessionName + "=" + value},
		"a name":                      {"Cookie: " + sessionName + "=ann"},
		"an ID":                       {"Cookie: " + sessionName + "=" + ann.UserID},
		"SQL":                         {"Cookie: " + sessionName + "=' OR ''='" + strings.Repeat("x", 32)},
		"zeros":                       {"Cookie: " + sessionName + "=" + strings.Repeat("A", 43)},
		"an administrator's key":      {asBasic(h.key["POSTERN_KEY_ID"], h.key["POSTERN_KEY_SECRET"])},
		"an administrator's key ID":   {"Cookie: " + sessionName + "=" + h.key["POSTERN_KEY_ID"]},
		"an administrator's secret":   {"Cookie: " + sessionName + "=" + h.key["POSTERN_KEY_SECRET"]},
		"the hash that the store has": {"Cookie: " + sessionName + "=" + h.hashed(ann.UserID)},
	} {
		tried(t, name, strings.Join(lines, "\n"))
		if h.opens(lines...) {
			t.Errorf("%s: it opens", name)
		}
	}
	if !h.opens(cookie) {
		t.Fatal("the right one does not open")
	}
	h.attackElsewhere(cookie, value)
	h.attackFixation(cookie, value)
	h.attackEnds()
}

// hashed is the hash of a user's session.
func (h *house) hashed(owner string) string {
	h.Helper()
	list, err := h.db.Sessions(h.Context(), owner, time.Now())
	if err != nil || len(list) == 0 {
		h.Fatal(list, err)
	}
	return fmt.Sprintf("%x", list[0].Hash)
}

// attackElsewhere shows the session where it is none: to the API itself, to the
// token server and at the gateway.
func (h *house) attackElsewhere(cookie, value string) {
	h.Helper()
	for name, lines := range map[string][]string{"as a cookie": {cookie}, "as a bearer": {cookie, "Authorization: Bearer " + value}, "as a key": {"X-API-Key: " + value}, "from its own page": {cookie, "Sec-Fetch-Site: same-origin", "Referer: " + h.control + "/console/"}} {
		for _, path := range []string{"/v1/whoami", "/v1/projects/" + h.project + "/users", "/v1/projects/" + h.project + "/accessKeys", "//v1/whoami", "/console/../v1/whoami"} {
			tried(h.T, name+" at "+path, strings.Join(lines, "\n"))
			if res, body := h.ask("GET", path, "", lines...); res.StatusCode < 300 || strings.Contains(body, h.project) {
				h.Errorf("%s at %s: %d %s", name, path, res.StatusCode, body)
			}
		}
	}
	before, _ := h.ran()
	for name, line := range map[string]string{"a cookie": cookie, "a cookie of HTTPS": "Cookie: __Host-" + sessionName + "=" + value, "a bearer": "Authorization: Bearer " + value, "a key": "X-API-Key: " + value} {
		tried(h.T, name+" at the gateway", line)
		if got := h.raw("GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + line + "\r\n\r\n"); got != 401 {
			h.Errorf("%s at the gateway: %d", name, got)
		}
	}
	if after, _ := h.ran(); after != before {
		h.Errorf("%d handlers ran", after-before)
	}
	both := cookie + "; theme=dark; __Host-" + sessionName + "=" + value + "; " + sessionName + "-form=x"
	if got := h.raw("GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: " + h.basic + "\r\n" + both + "\r\n\r\n"); got != 200 {
		h.Errorf("a call with the cookie beside its key: %d", got)
	}
	if _, _, headers := h.told(); headers["cookie"] != "theme=dark" {
		h.Errorf("a function sees %q", headers["cookie"])
	}
}

// attackFixation signs in with a value that somebody else chose or had.
func (h *house) attackFixation(cookie, value string) {
	h.Helper()
	chosen := strings.Repeat("B", len(value))
	for name, before := range map[string]string{"a value of one's choice": sessionName + "=" + chosen, "both names": "__Host-" + sessionName + "=" + chosen + "; " + sessionName + "=" + chosen, "a session of before": strings.TrimPrefix(cookie, "Cookie: ")} {
		tried(h.T, "fixation: "+name, before)
		res, pair := h.enter(byUser("ann", housePassword), "Cookie: "+before)
		if res.StatusCode != 303 || pair == "" || strings.Contains(before, pair) || h.opens("Cookie: "+before) || !h.opens("Cookie: "+pair) {
			h.Errorf("%s: %d, then %q", name, res.StatusCode, pair)
		}
		for _, line := range res.Header["Set-Cookie"] {
			if !regexp.MustCompile(`^postern-console=[A-Za-z0-9_-]{43}; Path=/console; Max-Age=43200; HttpOnly; SameSite=Lax$`).MatchString(line) && !strings.HasPrefix(line, sessionName+"-form=") {
				h.Errorf("%s: it sets %q", name, line)
			}
			if !strings.Contains(line, "HttpOnly") || !strings.Contains(line, "SameSite=") || strings.Contains(line, "Domain") {
				h.Errorf("%s: it sets %q", name, line)
			}
		}
	}
}

// attackEnds goes on with sessions that have ended, from a page that was open.
func (h *house) attackEnds() {
	h.Helper()
	client, admin := h.own(), byKey(h.key["POSTERN_KEY_ID"], h.key["POSTERN_KEY_SECRET"])
	keys, users := 0, 0
	key := func(in api.CreateKeyRequest) (form url.Values, id string) {
		h.Helper()
		keys++
		in.DisplayName, in.Scopes = fmt.Sprint("a session's ", keys), append(in.Scopes, "control")
		k, err := client.CreateKey(h.Context(), in)
		if err != nil {
			h.Fatal(err)
		}
		return byKey(k.AccessKey.AccessKeyID, k.Secret), k.AccessKey.AccessKeyID
	}
	user := func() (form url.Values, id string) {
		users++
		u := h.user(fmt.Sprint("user", users))
		return byUser(u.Name, housePassword), u.UserID
	}
	for _, tc := range []struct {
		name string
		of   func() (url.Values, string)
		end  func(id, cookie, token string) error
	}{
		{"signed out", user, func(_, cookie, token string) error {
			h.form("/console/signout", url.Values{"csrf": {token}}, cookie)
			return nil
		}},
		{"removed", user, func(id, _, _ string) error { return client.DeleteUser(h.Context(), id) }},
		{"another password", user, func(id, _, _ string) error {
			_, err := client.SetPassword(h.Context(), id, housePassword+"!")
			return err
		}},
		{"another password of one's own", user, func(_, cookie, token string) error {
			h.form("/console/account/password", url.Values{"csrf": {token}, "password": {housePassword}, "new-password": {housePassword + "!"}, "again": {housePassword + "!"}}, cookie)
			return nil
		}},
		{"revoked", func() (url.Values, string) { return key(api.CreateKeyRequest{}) }, func(id, _, _ string) error { return client.RevokeKey(h.Context(), id) }},
		{"rotated", func() (url.Values, string) { return key(api.CreateKeyRequest{}) }, func(id, _, _ string) error {
			_, err := client.RotateKey(h.Context(), id, api.RotateKeyRequest{})
			return err
		}},
		{"without control now", func() (url.Values, string) { return key(api.CreateKeyRequest{Scopes: []string{"invoke"}}) }, func(id, _, _ string) error {
			_, err := client.UpdateKey(h.Context(), id, api.UpdateKeyRequest{Scopes: []string{"invoke"}})
			return err
		}},
		{"of other networks now", func() (url.Values, string) { return key(api.CreateKeyRequest{}) }, func(id, _, _ string) error {
			_, err := client.UpdateKey(h.Context(), id, api.UpdateKeyRequest{AllowedCIDRs: []string{"198.51.100.0/24"}})
			return err
		}},
	} {
		tried(h.T, "after it is "+tc.name, tc.name)
		form, id := tc.of()
		cookie, token := h.in(form)
		if err := tc.end(id, cookie, token); err != nil {
			h.Fatalf("%s: %v", tc.name, err)
		}
		before := h.state()
		if h.opens(cookie) {
			h.Errorf("%s: it opens", tc.name)
		}
		h.form("/console/p/"+h.project+"/users", url.Values{"csrf": {token}, "username": {"mallory"}, "new-password": {housePassword}, "again": {housePassword}}, cookie)
		h.ask("POST", "/console/api/v1/projects/"+h.project+"/accessKeys", `{"displayName":"mallory"}`, cookie, "Content-Type: application/json", "X-CSRF-Token: "+token)
		if h.state() != before {
			h.Errorf("%s: something was changed", tc.name)
		}
	}
	// A key that ends by itself, without anybody who tells of it.
	k, secret := h.mint(func(k *platform.AccessKey) { k.ExpiresAt = time.Now().Add(5 * time.Second) })
	h.settle()
	tried(h.T, "a key that expires", "")
	cookie, _ := h.in(byKey(k.ID, secret))
	eventually(h.T, "the session ends with its key", func() bool { return time.Now().After(k.ExpiresAt) && !h.opens(cookie) })
	if _, pair := h.enter(admin); !h.opens("Cookie: " + pair) {
		h.Error("nobody gets in any more")
	}
}
