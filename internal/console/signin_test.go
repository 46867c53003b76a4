package console_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"postern.dev/postern/internal/api"
)

const password = "correct horse battery"

// stranger is a site with nobody signed in to it.
func stranger(t *testing.T) *site {
	s := newSite(t)
	s.post("/signout", nil)
	return s
}

// door sends one of the forms that are for who is not signed in.
func (s *site) door(path string, form url.Values) page {
	s.Helper()
	form.Set("csrf", s.csrf(s.get(path)))
	return s.send("POST", path, form)
}

func (s *site) asUser(name, word string) page {
	s.Helper()
	return s.door("/signin", url.Values{"username": {name}, "password": {word}, "next": {"/console/p/" + s.project + "/users?page=x"}})
}

func TestSignIn_Refuses(t *testing.T) {
	s := stranger(t)
	if _, err := s.api.CreateUser(t.Context(), api.CreateUserRequest{Name: "ann", Password: password}); err != nil {
		t.Fatal(err)
	}
	if p := s.get("users"); p.status != 303 || p.header.Get("Location") != "/console/signin?next="+url.QueryEscape("/console/p/"+s.project+"/users") {
		t.Errorf("a stranger: %d %s", p.status, p.header.Get("Location"))
	}
	wrong := s.asUser("ann", "not the password")
	s.want(wrong, 401, "the user or the password is wrong", `value="ann"`, `aria-invalid="true"`, `role="alert"`)
	s.no(wrong, "not the password", "Sign out")
	if nobody := s.asUser("ben", "not the password"); strings.Replace(csrfField.ReplaceAllString(nobody.body, ""), "ben", "ann", 1) != csrfField.ReplaceAllString(wrong.body, "") || nobody.status != wrong.status {
		t.Errorf("who is not there is told otherwise: %s", nobody.text())
	}
	byKey := s.door("/signin", url.Values{"key-id": {s.api.KeyID}, "key-secret": {"psk_wrong"}})
	s.want(byKey, 401, "the key ID or the key secret is wrong", s.api.KeyID)
	s.no(byKey, "psk_wrong")
	s.want(s.door("/signin", url.Values{"username": {`"><script>alert(1)</script>`}, "password": {"x"}}), 401, "&lt;script&gt;")
	s.want(s.send("POST", "/signin", url.Values{"username": {"ann"}, "password": {password}, "csrf": {"x"}}), 403, "did not come from this page")
	for _, field := range []string{"username", "password", "key-id", "next"} { // a stranger's megabytes are neither read nor sent back
		if large := s.door("/signin", url.Values{field: {strings.Repeat("a", 20<<10)}}); large.status != 400 || len(large.body) > 10<<10 {
			t.Errorf("a form with a long %s: %d, and %d bytes", field, large.status, len(large.body))
		}
	}
	for range 8 {
		wrong = s.asUser("carol", "not the password")
	}
	s.want(wrong, 429, "Too many attempts", "second")
	if wrong.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	s.want(s.get("users"), 303)
}

// The ways through the sign-in end where they began, and nowhere else.
func TestSignIn_Next(t *testing.T) {
	s := stranger(t)
	for asked, want := range map[string]string{
		"/console/p/x/keys?q=a+b": "/console/p/x/keys?q=a+b", "/console/p/x/keys#part": "/console/p/x/keys", "": "/console/", "/console/": "/console/", "/console": "/console/", "/": "/console/", "//evil": "/console/", "/console//evil": "/console/",
		`/console/\evil`: "/console/", `\evil`: "/console/", "https://evil/console/": "/console/", "javascript:alert(1)": "/console/", "/console/../v1/whoami": "/console/", "/console/%2e%2e/v1": "/console/", "/console/%5cevil": "/console/", "/console/%0d%0aSet-Cookie:a": "/console/",
		"/console/\r\nSet-Cookie: a=b": "/console/", "/console/api/v1/whoami": "/console/", "///console/": "/console/", "/consoles/": "/console/", "/console/%zz": "/console/", "//u@evil/console/": "/console/",
	} {
		p := s.door("/signin", url.Values{"key-id": {s.api.KeyID}, "key-secret": {s.api.Secret}, "next": {asked}})
		if got := p.header.Get("Location"); p.status != 303 || got != want {
			t.Errorf("%q leads to %d %q, want %q", asked, p.status, got, want)
		}
		s.token = s.csrf(s.get("/account"))
		s.want(s.post("/signout", nil), 303)
	}
}

func TestSetup(t *testing.T) {
	s := stranger(t)
	s.want(s.get("/signin"), 200, "Make the first user", `autocomplete="username"`, `autocomplete="current-password"`)
	form := func(change ...string) url.Values {
		v := url.Values{"key-id": {s.api.KeyID}, "key-secret": {s.api.Secret}, "username": {"Ann@example.com"}, "new-password": {password}, "again": {password}}
		for i := 0; i < len(change); i += 2 {
			v.Set(change[i], change[i+1])
		}
		return v
	}
	small, err := s.api.CreateKey(t.Context(), api.CreateKeyRequest{DisplayName: "small", Scopes: []string{"control"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		form   url.Values
		status int
		text   string
	}{
		"a wrong secret":       {form("key-secret", "psk_x"), 401, "the key secret is wrong"},
		"no key":               {form("key-id", "", "key-secret", ""), 422, "key is missing"},
		"no secret":            {form("key-secret", ""), 422, "key is missing"},
		"all of it wrong":      {form("username", "<b>", "new-password", "short", "again", "other"), 422, "fewer than 12 characters"},
		"a key with less":      {form("key-id", small.AccessKey.AccessKeyID, "key-secret", small.Secret), 403, "which the key that asks is not"},
		"two passwords":        {form("again", password+"!"), 422, "not alike"},
		"a short password":     {form("new-password", "short", "again", "short"), 422, "fewer than 12 characters"},
		"a name that is none":  {form("username", "<b>"), 422, "none that a user can have"},
		"a token of elsewhere": {nil, 403, "did not come from this page"},
	} {
		p := s.send("POST", "/setup", url.Values{"csrf": {"x"}})
		if tc.form != nil {
			p = s.door("/setup", tc.form)
		}
		if p.status != tc.status || !strings.Contains(p.body, tc.text) {
			t.Errorf("%s: %d %s", name, p.status, p.text())
		}
		if tc.form != nil && (strings.Contains(p.body, tc.form.Get("key-secret")) && tc.form.Get("key-secret") != "" || strings.Contains(p.body, password)) {
			t.Errorf("%s: the page tells a secret", name)
		}
	}
	s.want(s.door("/setup", form("username", "<b>", "new-password", "short", "again", "other")), 422, "none that a user can have", "fewer than 12 characters", "not alike", `id="username" name="username" value="&lt;b&gt;"`)
	if users, err := s.api.Users(t.Context(), ""); err != nil || len(users.Users) != 0 {
		t.Fatalf("something was made: %v %v", users, err)
	}
	p := s.door("/setup", form())
	if p.status != 303 || p.header.Get("Location") != "/console/account?said=user-first" {
		t.Fatalf("%d %s %s", p.status, p.header, p.text())
	}
	s.want(s.get("/account?said=user-first"), 200, "You are the first user", "ann@example.com", "Set it up", "this one")
	s.want(s.get("/setup"), 404, "there is no such page")
	s.want(s.send("POST", "/setup", form("csrf", "x")), 403)
	s.no(s.get("/signin"), "Make the first user")
}

var sealedField = regexp.MustCompile(`name="enrolment" value="([^"]+)"`)

// A user's whole way: another password, a second factor, its recovery, and sessions
// elsewhere.
func TestAccount(t *testing.T) {
	s := stranger(t)
	u, err := s.api.CreateUser(t.Context(), api.CreateUserRequest{Name: "ann", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	in := func(word string) {
		t.Helper()
		if p := s.asUser("ann", word); p.status != 303 || !strings.HasSuffix(p.header.Get("Location"), "/users?page=x") {
			t.Fatalf("%d %s", p.status, p.text())
		}
		s.token = s.csrf(s.get("/account"))
	}
	in(password)
	const next = "another horse battery"
	s.want(s.post("/account/password", url.Values{"password": {"wrong"}, "new-password": {next}, "again": {next}}), 422, "the current password is wrong")
	s.want(s.post("/account/password", url.Values{"password": {password}, "new-password": {next}, "again": {"x"}}), 422, "not alike")
	s.want(s.post("/account/password", url.Values{"password": {password}, "new-password": {next}, "again": {next}}), 303)
	s.token = s.csrf(s.get("/account"))

	// The second factor.
	p := s.get("/account/code")
	s.want(p, 200, `src="data:image/png;base64,`, `autocomplete="one-time-code"`)
	sealed := html.UnescapeString(sealedField.FindStringSubmatch(p.body)[1])
	secret := strings.ReplaceAll(regexp.MustCompile(`<code>([A-Z2-7 ]{39})</code>`).FindStringSubmatch(p.body)[1], " ", "")
	again := s.post("/account/code", url.Values{"enrolment": {sealed}, "code": {"000"}, "password": {next}})
	s.want(again, 401, "the code is wrong", "set the clock", sealed[:40])
	s.no(again, "recovery")
	code, err := totp.GenerateCode(secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	done := s.post("/account/code", url.Values{"enrolment": {sealed}, "code": {code}, "password": {next}})
	s.want(done, 200, "The second factor is on", "will not be shown again")
	recovery := regexp.MustCompile(`<li><code>([a-z2-7-]{19})</code>`).FindAllStringSubmatch(done.body, -1)
	if len(recovery) != 10 || done.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d recovery codes, %s", len(recovery), done.header)
	}
	s.want(s.get("/account"), 200, "You show a code")
	s.want(s.get("/account/code"), 303)
	reload := s.post("/account/code", url.Values{"enrolment": {sealed}, "code": {code}, "password": {next}})
	if to := reload.header.Get("Location"); reload.status != 303 || to != "/console/account?said=code-on" {
		t.Errorf("the page of the recovery codes, loaded again: %d %s", reload.status, to)
	}
	s.post("/signout", nil)

	// Half a sign-in opens nothing.
	half := s.asUser("ann", next)
	if to := half.header.Get("Location"); half.status != 303 || !strings.HasPrefix(to, "/console/signin/code?next=") {
		t.Fatalf("%d %s", half.status, to)
	}
	s.want(s.get("/account"), 303)
	s.want(s.get("/api/v1/whoami"), 401)
	ask := s.get("/signin/code?next=" + url.QueryEscape("/console/account"))
	s.want(ask, 200, `autocomplete="one-time-code"`, "recovery codes")
	s.want(s.send("POST", "/signin/code", url.Values{"csrf": {s.csrf(ask)}, "code": {code}}), 401, "was used before")
	s.want(s.send("POST", "/signin/code", url.Values{"csrf": {s.csrf(ask)}, "code": {recovery[0][1]}, "next": {"/console/account"}}), 303)
	s.token = s.csrf(s.get("/account"))

	// An administrator takes it away, and then the user.
	s.want(s.get("users"), 200, "ann", "you", ">on<")
	s.want(s.get("users/"+u.UserID), 200, "Remove this user", "Turn the second factor off")
	s.want(s.post("users/"+u.UserID+"/code", nil), 303)
	s.want(s.post("users", url.Values{"username": {"ann"}, "new-password": {next}, "again": {next}}), 409, "exists")
	s.want(s.post("users", url.Values{"username": {"ben"}, "new-password": {next}, "again": {next}}), 303)
	s.want(s.get("users?said=user-added"), 200, "The user is there", "ben")
	s.want(s.get("audit"), 200, `/users/`+u.UserID+`">ann</a>`, "<code>pak_")
	s.want(s.get("users/usr_none"), 404, "no such user")
	s.want(s.post("users/"+u.UserID+"/remove", nil), 422, "not confirmed")
	s.want(s.post("users/"+u.UserID+"/remove", url.Values{"sure": {"yes"}}), 303)
	if p := s.get("users"); p.status != http.StatusSeeOther || !strings.HasPrefix(p.header.Get("Location"), "/console/signin") {
		t.Errorf("who removed themselves is signed in: %d", p.status)
	}
	s.want(s.asUser("ann", next), 401, "the user or the password is wrong")
}

// A form that somebody took an hour to fill in: what they come to says that nothing was
// done, and leads back to the form.
func TestSignIn_AfterAForm(t *testing.T) {
	s := stranger(t)
	form := "/console/p/" + s.project + "/keys/new"
	for _, c := range []struct{ name, from, to string }{
		{"from its page", s.url + form, "said=signed-out-before&next=" + url.QueryEscape(form)},
		{"from nowhere", "", "said=signed-out-before"},
		{"from another site", "https://example.org" + form, "said=signed-out-before"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+form, strings.NewReader("displayName=Acme"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Referer": {c.from}}
		res, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.Header.Get("Location"); res.StatusCode != 303 || got != "/console/signin?"+c.to {
			t.Errorf("%s: %d %s", c.name, res.StatusCode, got)
		}
	}
	s.want(s.send("GET", "/signin?said=signed-out-before", nil), 200, "nothing was done")
}
