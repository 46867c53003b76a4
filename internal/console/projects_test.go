package console_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"postern.dev/postern/internal/api"
)

func TestServicePlans(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.want(s.get("service-plans"), 200, "No API tokens yet", "SERVICE_PLAN_ID", "/xms/v1/")
	open := func() url.Values {
		return url.Values{"id": {s.field(s.get("service-plans/new"), hiddenID)}, "displayName": {"SMS"}}
	}
	for name, tc := range map[string]struct{ plan, field string }{"no plan": {"", "servicePlanId"}, "blanks": {"  ", "servicePlanId"}, "no ID": {"a/b", "servicePlanId"}, "too long": {strings.Repeat("a", 65), "servicePlanId"}} {
		form := open()
		form.Set("servicePlanId", tc.plan)
		p := s.post("service-plans/new", form)
		if p.status != 422 || !strings.Contains(p.body, `id="wrong-`+tc.field+`"`) || !strings.Contains(p.body, `value="SMS"`) || strings.Contains(p.body, "psk_") {
			t.Errorf("%s: %d %s", name, p.status, p.text())
		}
	}
	form := open()
	form.Set("servicePlanId", "plan_1")
	made := s.post("service-plans/new", form)
	s.want(made, 200, "Service plan ID", "API token", "plan_1", "/xms/v1/plan", "it will not be shown again", "service-plans?new=")
	secret := secretText.FindString(made.body)
	s.want(s.post("service-plans/new", form), http.StatusConflict, "This form was sent before")
	form = open()
	form.Set("servicePlanId", "plan_1")
	s.want(s.post("service-plans/new", form), http.StatusConflict, `id="wrong-displayName"`)
	if _, err := s.api.CreateKey(t.Context(), api.CreateKeyRequest{DisplayName: "no plan"}); err != nil {
		t.Fatal(err)
	}
	list := s.get("service-plans")
	s.want(list, 200, "plan_1", "SMS")
	s.no(list, secret, "no plan")
	k, err := s.api.FindKeys(t.Context(), api.KeyQuery{Plans: true})
	if err != nil || len(k.AccessKeys) != 1 || strings.Join(k.AccessKeys[0].Scopes, " ") != "invoke" {
		t.Fatalf("%+v, %v", k, err)
	}
	s.want(s.get("keys/"+k.AccessKeys[0].AccessKeyID), 200, "service plan", "plan_1")
}

func TestSubprojects(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.want(s.get("subprojects"), 200, "No subprojects yet", s.project)
	for name, typed := range map[string]string{"no name": " ", "too long": strings.Repeat("x", 256), "a line break": "a\nb"} {
		p := s.post("subprojects", url.Values{"displayName": {typed}})
		if p.status != 422 || !strings.Contains(p.body, `id="wrong-displayName"`) {
			t.Errorf("%s: %d %s", name, p.status, p.text())
		}
	}
	hostile := `<b onclick="x">&'`
	made := s.post("subprojects", url.Values{"displayName": {hostile}})
	id := regexp.MustCompile(`/subprojects/(prj_[0-9a-z]{26})\?said=subproject-made$`).FindStringSubmatch(made.header.Get("Location"))
	if made.status != 303 || id == nil {
		t.Fatalf("%d %s", made.status, made.header.Get("Location"))
	}
	one := "subprojects/" + id[1]
	for _, p := range []page{s.get(one + "?said=subproject-made"), s.get("subprojects"), s.get("keys"), s.get(one + "/delete"), s.get("/p/" + id[1] + "/subprojects")} {
		s.want(p, 200, html.EscapeString(hostile), id[1])
		s.no(p, hostile)
	}
	s.want(s.get("/p/"+id[1]+"/subprojects"), 200, "This is a subproject", "Your project", s.project)
	s.want(s.get("/p/"+id[1]+"/keys"), 200, "No access keys yet")
	s.want(s.post(one, url.Values{"displayName": {""}}), 422, `id="wrong-displayName"`)
	if p := s.post(one, url.Values{"displayName": {"Acme"}}); p.status != 303 {
		t.Fatalf("rename: %d %s", p.status, p.text())
	}
	s.want(s.get(one), 200, "Acme")
	for _, path := range []string{"subprojects/prj_none", "subprojects/" + s.project, "/p/" + id[1] + "/" + one, "subprojects/x/delete"} {
		s.want(s.get(path), 404, "no such subproject")
	}
	s.want(s.post(one+"/delete", nil), 303)
	s.no(s.get("subprojects"), "Acme")
	s.want(s.post(one+"/delete", nil), 404)
	s.want(s.get("/p/"+id[1]+"/keys"), 403)
}

// One with functions is not deleted, and the page says so where it was asked.
func TestSubprojects_NotEmpty(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	made, err := s.api.CreateSubproject(t.Context(), api.CreateSubprojectRequest{DisplayName: "full"})
	if err != nil {
		t.Fatal(err)
	}
	own := s.api.ProjectID
	s.api.ProjectID = made.SubprojectID
	s.deploy("orders", `export async function status() { return "ok" }`)
	s.api.ProjectID = own
	s.want(s.post("subprojects/"+made.SubprojectID+"/delete", nil), 422, "has 1 functions", "Keep it")
	s.want(s.get("/p/"+made.SubprojectID+"/keys?functions=1"), 200, "function:orders")
}

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.get("signing-keys")
	s.want(p, 200, "EdDSA", "signing", "/.well-known/jwks.json", "it is replaced", "Rotate now")
	s.no(p, `<span class="tag">next`)
	if p := s.post("signing-keys/rotate", nil); p.status != 303 || !strings.HasSuffix(p.header.Get("Location"), "said=signing-key-made") {
		t.Fatalf("%d %s", p.status, p.header.Get("Location"))
	}
	s.want(s.get("signing-keys?said=signing-key-made"), 200, "The next key is published", "next", "signing")
	if p := s.post("signing-keys/rotate", nil); !strings.HasSuffix(p.header.Get("Location"), "said=signing-key-waits") {
		t.Errorf("%d %s", p.status, p.header.Get("Location"))
	}
	if p := s.post("signing-keys/rotate", url.Values{"csrf": {"of others"}}); p.status != 403 {
		t.Errorf("forged: %d", p.status)
	}
}

// A key of a subproject sees its own project, and no other.
func TestProjects_OfTenants(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	made, err := s.api.CreateSubproject(t.Context(), api.CreateSubprojectRequest{DisplayName: "tenant"})
	if err != nil {
		t.Fatal(err)
	}
	parent := s.project
	s.api.ProjectID = made.SubprojectID
	k, err := s.api.CreateKey(t.Context(), api.CreateKeyRequest{DisplayName: "tenant's own", Scopes: []string{"control", "invoke"}})
	if err != nil {
		t.Fatal(err)
	}
	s.want(s.post("/signout", nil), 303)
	s.signIn(url.Values{"key-id": {k.AccessKey.AccessKeyID}, "key-secret": {k.Secret}})
	for _, path := range []string{"keys", "subprojects", "service-plans", "signing-keys"} {
		s.want(s.get("/p/"+made.SubprojectID+"/"+path), 200)
		if path != "signing-keys" {
			s.want(s.get("/p/"+parent+"/"+path), 403)
		}
	}
	s.want(s.post("/p/"+made.SubprojectID+"/signing-keys/rotate", nil), 403, "not for keys of a subproject", "EdDSA")
	s.want(s.post("/p/"+parent+"/keys/new", url.Values{"displayName": {"x"}, "scope": {"invoke"}}), 403)
	s.want(s.post("/p/"+made.SubprojectID+"/subprojects", url.Values{"displayName": {"below"}}), 422, "a subproject can have no subprojects")
	own := "/p/" + made.SubprojectID + "/keys/" + k.AccessKey.AccessKeyID
	s.want(s.get(own+"/revoke"), 200, "You are signed in with this key")
	s.want(s.post(own+"/revoke", nil), 303)
	if p := s.get(own); p.status != 303 || !strings.Contains(p.header.Get("Location"), "/signin") {
		t.Errorf("after its key ended the session opens a page: %d", p.status)
	}
}

// Who signed in with a password does all of it as a key does, and cannot go beyond
// the project.
func TestKeys_OfUsers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	other, err := s.api.CreateSubproject(t.Context(), api.CreateSubprojectRequest{DisplayName: "tenant"})
	if err != nil {
		t.Fatal(err)
	}
	theirs := &api.Client{Server: s.api.Server, ProjectID: other.SubprojectID, KeyID: s.api.KeyID, Secret: s.api.Secret}
	if _, err := theirs.CreateUser(t.Context(), api.CreateUserRequest{Name: "ada", Password: "four quiet brown boats"}); err != nil {
		t.Fatal(err)
	}
	s.want(s.post("/signout", nil), 303)
	s.signIn(url.Values{"username": {"ada"}, "password": {"four quiet brown boats"}})
	parent := s.project
	s.project = other.SubprojectID
	form := s.newKeyForm("made by ada")
	form["scope"] = []string{"invoke", "control"}
	s.want(s.post("keys/new", form), 200, "Key Secret", "made by ada")
	one := "keys/" + form.Get("id")
	s.want(s.post(one+"/rotate", url.Values{"seen": {s.field(s.get(one+"/rotate"), hiddenSeen)}, "grace": {"0"}}), 200, "The old secret has ended")
	s.want(s.post(one+"/edit", url.Values{"seen": {s.field(s.get(one+"/edit"), hiddenSeen)}, "displayName": {"ada's"}, "scope": {"invoke"}}), 303)
	s.want(s.get(one), 200, "ada&#39;s")
	s.want(s.post(one+"/revoke", nil), 303)
	for _, path := range []string{"keys", "keys/new", "keys/" + s.api.KeyID} {
		p := s.get("/p/" + parent + "/" + path)
		if p.status != 403 && path != "keys/new" || strings.Contains(p.body, "administrator</a></th>") {
			t.Errorf("%s of the parent: %d", path, p.status)
		}
	}
	s.want(s.post("/p/"+parent+"/keys/new", form), 403)
	s.want(s.post("/p/"+parent+"/keys/"+s.api.KeyID+"/revoke", nil), 403)
	if _, err := s.api.WhoAmI(t.Context()); err != nil {
		t.Error("a tenant's user has ended the parent's key:", err)
	}
}
