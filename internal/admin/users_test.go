package admin_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/auth"
)

const goodPassword = "correct horse battery"

// addUser makes a user within a session of one.
func (w *world) addUser(t *testing.T, project, name string) api.User {
	t.Helper()
	rec := w.during(userOf(w.project), "POST", "/v1/projects/"+project+"/users", fmt.Sprintf(`{"name":%q,"password":%q}`, name, goodPassword))
	var u api.User
	if err := json.Unmarshal(rec.Body.Bytes(), &u); err != nil || rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	return u
}

// Nobody makes a user, or takes one over, who could not do themselves what a user
// can; and nobody reaches another project's users.
func TestUsers_AreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := "/v1/projects/" + w.project + "/users"
	ann := w.addUser(t, w.project, "ann")
	rec, _ := w.do("POST", "/v1/projects/"+w.project+"/accessKeys", w.key["admin"], `{"displayName":"a day","scopes":["invoke","control"],"expireTime":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}`)
	var day struct{ Secret string }
	json.Unmarshal(rec.Body.Bytes(), &day)
	w.load(t)
	weak := "correct hors"
	for name, tc := range map[string]struct {
		key, method, path, body string
		status                  int
		code                    string
	}{
		"without the scope invoke":       {w.key["control"], "POST", all, `{"name":"x","password":"` + goodPassword + `"}`, 403, "cannot_grant"},
		"a key that ends":                {day.Secret, "POST", all, `{"name":"x","password":"` + goodPassword + `"}`, 403, "cannot_grant"},
		"a password, by a key that ends": {day.Secret, "POST", all + "/" + ann.UserID + "/password", `{"password":"` + goodPassword + `!"}`, 403, "cannot_grant"},
		"a factor, by a key that ends":   {day.Secret, "DELETE", all + "/" + ann.UserID + "/totp", "", 403, "cannot_grant"},
		"a short password":               {w.key["admin"], "POST", all, `{"name":"x","password":"` + weak[:11] + `"}`, 400, "password_weak"},
		"a dull password":                {w.key["admin"], "POST", all, `{"name":"x","password":"abababababababab"}`, 400, "password_weak"},
		"the name as password":           {w.key["admin"], "POST", all, `{"name":"bartholomew1","password":"Bartholomew1"}`, 400, "password_weak"},
		"no password":                    {w.key["admin"], "POST", all, `{"name":"x"}`, 422, "invalid_request"},
		"an empty name":                  {w.key["admin"], "POST", all, `{"name":"","password":"` + goodPassword + `"}`, 400, "user_name_invalid"},
		"markup":                         {w.key["admin"], "POST", all, `{"name":"<b>","password":"` + goodPassword + `"}`, 400, "user_name_invalid"},
		"a zero byte":                    {w.key["admin"], "POST", all, `{"name":"a\u0000","password":"` + goodPassword + `"}`, 400, "user_name_invalid"},
		"a name that is taken":           {w.key["admin"], "POST", all, `{"name":"ann","password":"` + goodPassword + `"}`, 409, "user_name_taken"},
		"in capitals":                    {w.key["admin"], "POST", all, `{"name":" ANN ","password":"` + goodPassword + `"}`, 409, "user_name_taken"},
		"the first, when there is one":   {w.key["admin"], "POST", all, `{"name":"x","password":"` + goodPassword + `","first":true}`, 409, "setup_done"},
		"nobody":                         {w.key["admin"], "GET", all + "/usr" + accesskey.NewID(time.Now())[3:], "", 404, "not_found"},
		"no ID":                          {w.key["admin"], "DELETE", all + "/usr_%00", "", 404, "not_found"},
		"another project's":              {w.key["elsewhere"], "GET", "/v1/projects/" + w.elsewhere + "/users/" + ann.UserID, "", 404, "not_found"},
		"another project's end":          {w.key["elsewhere"], "DELETE", "/v1/projects/" + w.elsewhere + "/users/" + ann.UserID, "", 404, "not_found"},
		"a page of nobody's":             {w.key["admin"], "GET", all + "?pageToken=x", "", 400, "invalid_request"},
	} {
		rec, p := w.do(tc.method, tc.path, tc.key, tc.body)
		if rec.Code != tc.status || p.Code != tc.code {
			t.Errorf("%s: %d %s, want %d %s", name, rec.Code, rec.Body, tc.status, tc.code)
		}
		if strings.Contains(rec.Body.String(), goodPassword) || strings.Contains(rec.Body.String(), weak[:11]) {
			t.Errorf("%s: the answer has the password", name)
		}
	}
	rec, _ = w.do("GET", all, w.key["admin"], "")
	var list api.Users
	if err := json.Unmarshal(rec.Body.Bytes(), &list); err != nil || len(list.Users) != 1 || list.Users[0].UserID != ann.UserID {
		t.Errorf("something was made: %s", rec.Body)
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sub := w.subproject(t, w.project)
	all := "/v1/projects/" + w.project + "/users"
	ann, ben := w.addUser(t, w.project, "Ann@example.com "), w.addUser(t, sub, "ben")
	if ann.Name != "ann@example.com" || ann.ProjectID != w.project || ben.ProjectID != sub || ann.SignInTime != nil || ann.SecondFactor {
		t.Errorf("%+v %+v", ann, ben)
	}
	stored, err := w.db.User(t.Context(), w.project, ann.UserID)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range [][3]string{{"GET", all, ""}, {"GET", all + "/" + ann.UserID, ""}, {"POST", all + "/" + ann.UserID + "/password", `{"password":"` + goodPassword + `!"}`}, {"DELETE", all + "/" + ann.UserID + "/totp", ""}} {
		rec, _ := w.do(r[0], r[1], w.key["admin"], r[2])
		if body := rec.Body.String(); rec.Code != 200 || !strings.Contains(body, ann.UserID) || strings.Contains(body, ben.UserID) || strings.Contains(body, "argon2") || strings.Contains(body, stored.Password) {
			t.Errorf("%s %s: %d %s", r[0], r[1], rec.Code, body)
		}
	}
	if now, err := w.db.User(t.Context(), w.project, ann.UserID); err != nil || now.Generation != 2 || now.Password == stored.Password || !strings.HasPrefix(now.Password, "$argon2id$v=19$m=32768,t=3,p=1$") {
		t.Errorf("%+v %v", now, err)
	}
	own := func(time.Time) (auth.Principal, error) {
		return auth.Principal{Method: auth.MethodSession, User: &auth.User{ID: ben.UserID, ProjectID: sub}}, nil
	}
	if rec := w.during(own, "DELETE", all+"/"+ann.UserID, ""); rec.Code != 403 {
		t.Errorf("a subproject's user removes one of the parent's: %d %s", rec.Code, rec.Body)
	}
	if rec, _ := w.do("DELETE", all+"/"+ann.UserID, w.key["control"], ""); rec.Code != 204 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec, _ := w.do("DELETE", all+"/"+ann.UserID, w.key["control"], ""); rec.Code != 404 {
		t.Errorf("twice: %d %s", rec.Code, rec.Body)
	}
}
