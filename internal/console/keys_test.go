package console_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
)

var (
	secretText = regexp.MustCompile(`psk_[0-9A-Za-z]{49}`)
	hiddenID   = regexp.MustCompile(`name="id" value="(pak_[0-9a-z]{26})"`)
	hiddenSeen = regexp.MustCompile(`name="seen" value="([^"]+)"`)
)

// field is the value of a hidden field.
func (s *site) field(p page, what *regexp.Regexp) string {
	s.Helper()
	m := what.FindStringSubmatch(p.body)
	if m == nil {
		s.Fatalf("the page has no %s:\n%s", what, p.text())
	}
	return html.UnescapeString(m[1])
}

// newKeyForm is the form of a new key with a display name.
func (s *site) newKeyForm(name string) url.Values {
	s.Helper()
	p := s.get("keys/new")
	s.want(p, 200, "Display name", "More options", "Confirm")
	return url.Values{"id": {s.field(p, hiddenID)}, "displayName": {name}, "scope": {"invoke"}}
}

// S3: a display name and Confirm; Key ID and Key Secret once; back on the list the
// new key is there, and its secret nowhere.
func TestKeys_MadeAndShownOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deploy("orders", `export async function status() { return "ok" }`)
	s.want(s.get("keys"), 200, "New key", s.project, "This project")
	form := s.newKeyForm("Acme billing")
	made := s.post("keys/new", form)
	s.want(made, 200, "Key ID", "Key Secret", "it will not be shown again", "Confirm", "curl -u "+form.Get("id")+" ", "/status")
	secret := secretText.FindString(made.body)
	if !accesskey.WellFormed(secret) || made.header.Get("Cache-Control") != "no-store" || strings.Contains(made.body, "curl -u "+form.Get("id")+":") {
		t.Fatalf("the secret %d characters, Cache-Control %q:\n%s", len(secret), made.header.Get("Cache-Control"), made.text())
	}
	own := &api.Client{Server: s.api.Server, ProjectID: s.project, KeyID: form.Get("id"), Secret: secret}
	if _, err := own.WhoAmI(t.Context()); err == nil || strings.Contains(err.Error(), "401") {
		t.Errorf("a key for invoking controls, or is not known: %v", err)
	}
	// A reload sends the form again.
	for name, again := range map[string]url.Values{"the same": form, "another name": {"id": form["id"], "displayName": {"other"}, "scope": {"invoke"}}} {
		p := s.post("keys/new", again)
		s.want(p, http.StatusConflict, "This form was sent before", "not shown again")
		s.no(p, "psk_")
		if t.Failed() {
			t.Fatal(name)
		}
	}
	list := s.get("keys?new=" + form.Get("id"))
	s.want(list, 200, `<tr class="new">`, "Acme billing", form.Get("id"))
	if n := strings.Count(list.body, "Acme billing"); n != 1 {
		t.Errorf("the list has the key %d times", n)
	}
	one := "keys/" + form.Get("id")
	for _, path := range []string{"keys", one, one + "/edit", one + "/rotate", one + "/revoke", "keys/new", "/api/v1/projects/" + s.project + "/accessKeys", "/api/v1/projects/" + s.project + "/audit"} {
		s.no(s.get(path), secret, secret[4:47])
	}
	if log := s.log.String(); !strings.Contains(log, "createAccessKey") || strings.Contains(log, secret[4:47]) {
		t.Error("the log has not who made a key, or has its secret")
	}
}

// What the API refuses the form says beside the field, and has what was typed.
func TestKeys_FormRefuses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	taken := s.post("keys/new", s.newKeyForm("taken"))
	s.want(taken, 200, "Key Secret")
	for name, tc := range map[string]struct {
		set    url.Values
		field  string
		status int
	}{
		"no name":              {url.Values{"displayName": {" "}}, "displayName", 422},
		"a name that is long":  {url.Values{"displayName": {strings.Repeat("x", 101)}}, "displayName", 422},
		"a name that is taken": {url.Values{"displayName": {"taken"}}, "displayName", 409},
		"a secret as a name":   {url.Values{"displayName": {secretText.FindString(taken.body)}}, "displayName", 422},
		"no scope":             {url.Values{"scope": {"fly"}}, "scopes", 422},
		"no group":             {url.Values{"groups": {"a b\n!"}}, "groups", 422},
		"no address":           {url.Values{"allowedCidrs": {"10.0.0.1 nowhere"}}, "allowedCidrs", 422},
		"no time":              {url.Values{"expireTime": {"tomorrow"}}, "expireTime", 422},
		"a time that passed":   {url.Values{"expireTime": {"2020-01-01T00:00"}}, "expireTime", 422},
		"no number":            {url.Values{"ratePerSecond": {"many"}}, "ratePerSecond", 422},
		"a rate below 0":       {url.Values{"ratePerSecond": {"-1"}}, "ratePerSecond", 422},
		"a rate too large":     {url.Values{"ratePerSecond": {"99999999999"}}, "ratePerSecond", 422},
		"no quota":             {url.Values{"quota": {"1.5"}}, "quota", 422},
		"a quota of no time":   {url.Values{"quota": {"5"}, "per": {"year"}}, "quota", 422},
		"no binding":           {url.Values{"binding": {"rope"}}, "binding", 422},
		"a certificate alone":  {url.Values{"binding": {"none"}, "certThumbprint": {"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}}, "certThumbprint", 422},
		"a certificate not so": {url.Values{"binding": {"mtls"}, "certThumbprint": {"quota"}}, "certThumbprint", 422},
		"a name twice":         {url.Values{"metadataName": {"a", "a"}, "metadataValue": {"1", "2"}}, "metadata", 422},
		"a value of no name":   {url.Values{"metadataName": {""}, "metadataValue": {"1"}}, "metadata", 422},
		"a value too long":     {url.Values{"metadataName": {"scopes"}, "metadataValue": {strings.Repeat("x", 257)}}, "metadata", 422},
		"a secret in metadata": {url.Values{"metadataName": {"a"}, "metadataValue": {secretText.FindString(taken.body)}}, "metadata", 422},
		"too much metadata":    {url.Values{"metadataName": strings.Split("abcdefghijklmnopqrstuvwxyzABCDEFG", ""), "metadataValue": {""}}, "metadata", 422},
	} {
		form := s.newKeyForm("typed <b>" + name)
		form.Set("groups", "partners")
		for k, v := range tc.set {
			form[k] = v
		}
		p := s.post("keys/new", form)
		if p.status != tc.status || !strings.Contains(p.body, `id="wrong-`+tc.field+`"`) || !strings.Contains(p.body, `aria-invalid="true"`) || strings.Contains(p.body, "Key Secret</dt>") {
			t.Errorf("%s: %d\n%s", name, p.status, p.text())
			continue
		}
		if twice := strings.Contains(p.body, "a name twice"); twice != (name == "a name twice") {
			t.Errorf("%s: that a name is there twice is told: %v", name, twice)
		}
		if strings.Contains(p.body, `id="wrong-`+tc.field+`">`+tc.field) {
			t.Errorf("%s: the form has no %s, its reader sees other words\n%s", name, tc.field, p.text())
		}
		if tc.field != "displayName" && !strings.Contains(p.body, html.EscapeString("typed <b>"+name)) || !strings.Contains(p.body, form.Get("id")) || tc.field != "groups" && !strings.Contains(p.body, ">partners<") || !strings.Contains(p.body, "<details open>") {
			t.Errorf("%s: what was typed is gone, or folded away\n%s", name, p.text())
		}
	}
	for name, form := range map[string]url.Values{"no token": {"csrf": {""}, "displayName": {"x"}}, "another's token": {"csrf": {"of others"}, "displayName": {"x"}}} {
		if p := s.post("keys/new", form); p.status != 403 {
			t.Errorf("%s: %d", name, p.status)
		}
	}
	if p := s.post("keys/new", url.Values{"id": {"pak_mine"}, "displayName": {"x"}, "scope": {"invoke"}}); p.status != 422 {
		t.Errorf("an ID that is none: %d", p.status)
	}
	if list, err := s.api.FindKeys(t.Context(), api.KeyQuery{WithTotal: true}); err != nil || list.Total.Count != 2 {
		t.Errorf("%+v keys were made, %v", list.Total, err)
	}
}

// What is folded away under More is kept as it was typed, and taken as it is there.
func TestKeys_BindingAndMetadata(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	form := s.newKeyForm("bound")
	form["binding"], form["certThumbprint"] = []string{"mtls"}, []string{" 47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU "}
	form["metadataName"], form["metadataValue"] = []string{"", "a=b", "", `<i>"owner"</i>`}, []string{"", "c=d ", "", "Ann & Ben"}
	form.Set("ratePerSecond", "many")
	wrong := s.post("keys/new", form)
	s.want(wrong, 422, `<details open><summary>More</summary>`, `value="mtls" selected`, `value="a=b"`, `value="c=d "`, "&lt;i&gt;", "Ann &amp; Ben")
	form.Set("ratePerSecond", "")
	s.want(s.post("keys/new", form), 200, "The secret opens nothing by itself", "bound by mtls")
	one := "keys/" + form.Get("id")
	read := func() api.AccessKey {
		t.Helper()
		k, err := s.api.Key(t.Context(), form.Get("id"))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	before := read()
	if before.Binding != "mtls" || before.CertThumbprint == "" || len(before.Metadata) != 2 || before.Metadata["a=b"] != "c=d " {
		t.Fatalf("%+v", before)
	}
	edit := s.get(one + "/edit")
	s.want(edit, 200, `<details open><summary>More</summary>`, `value="mtls" selected`, `value="a=b"`, "47DEQpj8HBSa")
	same := url.Values{"seen": {s.field(edit, hiddenSeen)}, "displayName": {"bound"}, "scope": {"invoke"}}
	s.want(s.post(one+"/edit", same), 303)
	if k := read(); k.Binding != "mtls" || len(k.Metadata) != 2 {
		t.Errorf("a form without these fields took them away: %+v", k)
	}
	none := url.Values{"seen": {s.field(s.get(one+"/edit"), hiddenSeen)}, "displayName": {"bound"}, "scope": {"invoke"}, "binding": {"none"}, "certThumbprint": {""}, "metadataName": {"", ""}, "metadataValue": {"", ""}}
	s.want(s.post(one+"/edit", none), 303)
	if k := read(); k.Binding != "" || k.CertThumbprint != "" || len(k.Metadata) != 0 {
		t.Errorf("what was taken away is there: %+v", k)
	}
	s.no(s.get(one+"/edit"), "<details open>")
	s.no(s.get("keys/new"), "<details open>")
}

// Names full of markup are text, wherever they stand.
func TestKeys_HostileNames(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, name := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'}};{{.Session.CSRF}}`, `javascript:alert(1)`, `a&lt;b`, strings.Repeat("W", 100), "pay\u200bpal"} {
		form := s.newKeyForm(name)
		made := s.post("keys/new", form)
		one := "keys/" + form.Get("id")
		for _, p := range []page{made, s.get("keys"), s.get("keys?q=" + url.QueryEscape(name)), s.get(one), s.get(one + "/edit"), s.get(one + "/rotate"), s.get(one + "/revoke")} {
			s.want(p, 200)
			if strings.Contains(p.body, "<script>alert") || strings.Contains(p.body, "<img") {
				t.Errorf("%q is markup:\n%s", name, p.text())
			}
		}
	}
	s.want(s.get("keys?q="+url.QueryEscape(`"><b>`)), 200, "No key is like that", "&#34;&gt;&lt;b&gt;")
	s.want(s.get("keys?q="+strings.Repeat("x", 101)), 422, "query")
	s.want(s.get("keys?state=dead"), 422, "state")
	s.want(s.get("keys?page=nowhere"), 422, "pageToken")
	s.want(s.get("keys?q=%00"), 200, "No key is like that")
}

func TestKeys_ChangedRotatedRevoked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deploy("orders", `export async function status() { return "ok" }`)
	form := s.newKeyForm("life")
	form.Set("expireTime", time.Now().Add(240*time.Hour).UTC().Format("2006-01-02T15:04"))
	form.Set("allowedCidrs", "127.0.0.1, 2001:db8::/32")
	first := secretText.FindString(s.post("keys/new", form).body)
	one := "keys/" + form.Get("id")
	s.want(s.get(one), 200, "life", "expiring", "127.0.0.1/32", "It opens 1 route", "never used", "nobody can read it again")

	edit := s.get(one + "/edit")
	change := url.Values{"seen": {s.field(edit, hiddenSeen)}, "displayName": {"life II"}, "scope": {"invoke"}, "groups": {"orders\nother"}, "ratePerSecond": {"7"}, "quota": {"1000"}, "per": {"month"}, "expireTime": {form.Get("expireTime")}}
	bad := url.Values{"seen": change["seen"], "displayName": {""}, "scope": {"invoke"}, "groups": {"kept"}}
	s.want(s.post(one+"/edit", bad), 422, `id="wrong-displayName"`, ">kept<")
	if p := s.post(one+"/edit", change); p.status != 303 || !strings.HasSuffix(p.header.Get("Location"), "/keys/"+form.Get("id")+"?said=key-changed") {
		t.Fatalf("%d %s\n%s", p.status, p.header.Get("Location"), p.text())
	}
	k, err := s.api.Key(t.Context(), form.Get("id"))
	if err != nil || k.DisplayName != "life II" || fmt.Sprint(k.Groups) != "[orders other]" || k.RatePerSecond != 7 || k.Quota == nil || k.Quota.Per != "month" || len(k.AllowedCIDRs) != 0 || k.ExpireTime == nil {
		t.Errorf("%+v, %v", k, err)
	}
	s.want(s.post(one+"/edit", change), 409, "changed after it was read")
	s.want(s.get(one+"?said=key-changed"), 200, "life II", "The key is changed", "1,000 a month, at most 0 used")

	ask := s.get(one + "/rotate")
	rotate := url.Values{"seen": {s.field(ask, hiddenSeen)}, "grace": {"3600"}}
	rotated := s.post(one+"/rotate", rotate)
	s.want(rotated, 200, "The new Key Secret", "The old secret stays good until", "it will not be shown again")
	second := secretText.FindString(rotated.body)
	if second == first || rotated.header.Get("Cache-Control") != "no-store" {
		t.Error("the secret is the one before, or may be kept")
	}
	again := s.post(one+"/rotate", rotate)
	s.want(again, 409, "Nothing was rotated", "A secret from before the last rotation is still good")
	s.no(again, second)
	for _, wrong := range []url.Values{{"seen": {"x"}}, {"seen": {s.field(again, hiddenSeen)}, "grace": {"soon"}}, {"seen": {s.field(again, hiddenSeen)}, "grace": {"-1"}}, {"seen": {s.field(again, hiddenSeen)}, "grace": {"99999999"}}} {
		if p := s.post(one+"/rotate", wrong); p.status != 422 && p.status != 403 || strings.Contains(p.body, "psk_") {
			t.Errorf("%v: %d", wrong, p.status)
		}
	}

	s.want(s.get(one+"/revoke"), 200, "Revoke life II?", "never used", "It opens 1 route", "/status", "Revoke this key for ever")
	if p := s.post(one+"/revoke", nil); p.status != 303 || !strings.Contains(p.header.Get("Location"), "/keys?said=key-revoked") {
		t.Fatalf("%d %s", p.status, p.text())
	}
	s.want(s.get("keys?said=key-revoked"), 200, "The key is revoked")
	s.no(s.get("keys"), "life II")
	s.want(s.get("keys?state=revoked"), 200, `/keys/`+form.Get("id")+`">life II</a>`, "revoked")
	gone := s.get(one)
	s.want(gone, 200, "life II", `<span class="tag bad">revoked</span>`, `by <a href="/console/p/`+s.project+"/keys/"+s.api.KeyID+`">administrator</a>`, "orders, other", "1,000 a month", "<dt>Revoked</dt>", "<dt>Last used</dt>", "make a new key")
	s.no(gone, "/edit", "/rotate", one+"/revoke", "Older secret", "nobody can read it again", `method="post" action="/console/p/`)
	for _, does := range []string{"edit", "rotate", "revoke"} {
		for _, p := range []page{s.get(one + "/" + does), s.post(one+"/edit", change), s.post(one+"/rotate", rotate)} {
			if to := p.header.Get("Location"); p.status != 303 || !strings.HasSuffix(to, "/keys/"+form.Get("id")+"?said=key-ended") {
				t.Errorf("%s of a key that has ended: %d %s", does, p.status, to)
			}
		}
	}
	s.want(s.get(one+"?said=key-ended"), 200, "Nothing was done: the key was revoked")
	for _, path := range []string{"keys/nothing", "keys/pak_00000000000000000000000000", "/p/prj_00000000000000000000000000/" + one} {
		if p := s.get(path); p.status != 404 && p.status != 403 {
			t.Errorf("%s: %d", path, p.status)
		}
	}
	s.want(s.post(one+"/revoke", nil), 303) // it has ended already
	s.want(s.post("keys/nothing/revoke", nil), 404)
}

// The keys of functions and of policies are shown, and are others' to change.
func TestKeys_OfFunctionsAndPolicies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deploy("orders", `export async function status() { return "ok" }`)
	id := accesskey.NewID(time.Now())
	if _, err := s.api.ApplyPolicy(t.Context(), api.ApplyPolicyRequest{Document: "version: 1\nkeys:\n  - id: " + id + "\n    name: by policy\n    digest: sha256:" + strings.Repeat("ab", 32) + "\n"}, false); err != nil {
		t.Fatal(err)
	}
	s.no(s.get("keys"), "function:orders")
	all := s.get("keys?functions=1")
	s.want(all, 200, "function:orders", "of a function", "by the policy")
	list, err := s.api.FindKeys(t.Context(), api.KeyQuery{Query: "function:", Functions: true})
	if err != nil || len(list.AccessKeys) != 1 {
		t.Fatal(list, err)
	}
	for key, words := range map[string][2]string{list.AccessKeys[0].AccessKeyID: {"given to a function by its deploy", "only a deploy changes it"}, id: {"policy made this key", "only a policy changes it"}} {
		p := s.get("keys/" + key)
		s.want(p, 200, words[0])
		s.no(p, "/rotate\">Rotate", "/edit\">Change")
		seen := url.Values{"seen": {s.field(s.get("keys/"+key+"/rotate"), hiddenSeen)}, "grace": {"0"}, "displayName": {"x"}, "scope": {"invoke"}}
		s.want(s.post("keys/"+key+"/rotate", seen), 422, words[1])
		s.want(s.post("keys/"+key+"/edit", seen), 422, words[1])
		s.want(s.get("keys/"+key+"/revoke"), 200, "Revoke this key")
	}
}

// The list is in pages, newest first, and a search narrows it.
func TestKeys_PagesAndSearch(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for i := range 45 {
		if _, err := s.api.CreateKey(t.Context(), api.CreateKeyRequest{DisplayName: fmt.Sprintf("caller %02d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	first := s.get("keys")
	s.want(first, 200, "46 keys", "caller 44", "Next page")
	s.no(first, "caller 01", "First page")
	next := regexp.MustCompile(`rel="next" href="([^"]+)"`).FindStringSubmatch(first.body)
	if next == nil {
		t.Fatal(first.text())
	}
	second := s.get("keys" + html.UnescapeString(next[1]))
	s.want(second, 200, "46 keys", "caller 00", "First page")
	s.no(second, "caller 44", "Next page")
	found := s.get("keys?q=LLER+4&state=live")
	s.want(found, 200, "5 keys", "caller 40", `value="LLER 4"`, `value="live" selected`)
	s.no(found, "caller 30", "Next page")
}

// The line to try a key with does in a shell what it says, whatever a route is
// called, and what is copied is what is seen.
func TestKeys_LineIsSafeToPaste(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deployWith("hostile", `export const a = () => 1`, `, "routes": [{"path": "GET /it's;$(id)[1-9]\u009b201~\u202e!!`+"`id`"+`", "handler": "a"}]`, api.DeployRequest{})
	made := s.post("keys/new", url.Values{"id": {accesskey.NewID(time.Now())}, "displayName": {"pasted"}, "scope": {"invoke"}})
	s.want(made, 200)
	copied := regexp.MustCompile(`<code>([^<]*)</code><button[^>]* data-copy="(curl [^"]*)"`).FindStringSubmatch(made.body)
	if copied == nil {
		t.Fatal(made.text())
	}
	line := html.UnescapeString(copied[2])
	if shown := html.UnescapeString(copied[1]); shown != line {
		t.Errorf("shown is %q, copied %q", shown, line)
	}
	if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		t.Errorf("%q has what a terminal may take for a command", line)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `curl() { printf '%s\n' "$@"; }; `+line).CombinedOutput()
	args := strings.Split(strings.TrimSpace(string(out)), "\n")
	u, perr := url.Parse(args[len(args)-1])
	if err != nil || perr != nil || len(args) != 3 || u.Path != "/fn/hostile/it's;$(id)[1-9]\u009b201~\u202e!!`id`" || strings.ContainsAny(args[2], "[]{}") {
		t.Errorf("a shell makes of %s: %q %v %v", line, args, err, perr)
	}
}
