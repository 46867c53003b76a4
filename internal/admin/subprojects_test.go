package admin_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern.dev/postern/internal/api"
)

func TestSubprojects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := "/v1/projects/" + w.project + "/subprojects"
	made := ask[api.Subproject](t, w, "POST", all, w.key["control"], `{"displayName":"Acme","labels":{"plan":"gold"}}`)
	if made.DisplayName != "Acme" || made.ParentProjectID != w.project || made.Labels["plan"] != "gold" || made.Deleted || !made.CreateTime.Equal(made.UpdateTime) {
		t.Errorf("made: %+v", made)
	}
	one := "/v1/subprojects/" + made.SubprojectID
	if got := ask[api.Subproject](t, w, "GET", one, w.key["control"], ""); asJSON(got) != asJSON(made) {
		t.Errorf("read back: %+v", got)
	}
	twin := ask[api.Subproject](t, w, "POST", all, w.key["control"], `{"displayName":"Acme"}`) // names need not be unique
	if !strings.Contains(asJSON(twin), `"labels":{}`) {
		t.Errorf("without labels: %s", asJSON(twin))
	}
	got := ask[api.Subproject](t, w, "PATCH", one, w.key["control"], `{"displayName":"Acme 2"}`)
	if got.DisplayName != "Acme 2" || got.Labels["plan"] != "gold" {
		t.Errorf("renamed: %+v", got)
	}
	if got = ask[api.Subproject](t, w, "PATCH", one, w.key["control"], `{"labels":{}}`); got.DisplayName != "Acme 2" || len(got.Labels) != 0 {
		t.Errorf("without labels: %+v", got)
	}
	for body, field := range map[string]string{
		`{"displayName":""}`: "displayName", `{"displayName":"a\u0000"}`: "displayName", `{"displayName":"` + strings.Repeat("x", 256) + `"}`: "displayName", `{"displayName":"x","labels":{"":"v"}}`: "labels",
		`{"displayName":"x","labels":{"k":1}}`: "labels", `{"displayName":"x","labels":` + manyLabels(256) + `}`: "labels", `{"displayName":"x","parentProjectId":"` + w.elsewhere + `"}`: "parentProjectId", `{"displayName":"x","id":"prj_1"}`: "id",
	} {
		for method, path := range map[string]string{"POST": all, "PATCH": one} {
			if rec, p := w.do(method, path, w.key["control"], body); rec.Code != 400 || !strings.Contains(p.Detail, field) {
				t.Errorf("%s %.60s: %d %s", method, body, rec.Code, rec.Body)
			}
		}
	}
	if rec, _ := w.do("POST", all, w.key["control"], `{}`); rec.Code != 400 {
		t.Errorf("without a name: %d", rec.Code)
	}
	ask[api.Subproject](t, w, "POST", all, w.key["control"], `{"displayName":"`+strings.Repeat("é", 255)+`","labels":`+manyLabels(255)+`}`)
	for _, query := range []string{"pageToken=x", "pageToken=" + strings.ToUpper(made.SubprojectID), "pageSize=0", "pageSize=1001", "showDeleted=perhaps"} {
		if rec, _ := w.do("GET", all+"?"+query, w.key["control"], ""); rec.Code != 400 {
			t.Errorf("%s: %d %s", query, rec.Code, rec.Body)
		}
	}
	ask[struct{}](t, w, "DELETE", one, w.key["control"], "")
	list := func(query string) (ids []string) {
		for token := ""; ; {
			page := ask[api.Subprojects](t, w, "GET", all+"?pageSize=1&pageToken="+token+query, w.key["control"], "")
			for _, p := range page.Subprojects {
				ids = append(ids, fmt.Sprint(p.SubprojectID, " ", p.Deleted))
			}
			if token = page.NextPageToken; token == "" {
				return ids
			}
		}
	}
	if got := list(""); len(got) != 2 || !slices.Contains(got, twin.SubprojectID+" false") {
		t.Errorf("those that are there: %v", got)
	}
	if got := list("&showDeleted=true"); len(got) != 3 || !slices.Contains(got, made.SubprojectID+" true") {
		t.Errorf("all: %v", got)
	}
}

func manyLabels(n int) string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint("k", i)] = "v"
	}
	return asJSON(m)
}

// The parent's keys act on a subproject as on their own project, its own keys
// on nothing but it, and nobody else's on it.
func TestSubprojects_WhoMayWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sub, twin := w.subproject(t, w.project), w.subproject(t, w.project)
	keysOf := func(project string) string { return "/v1/projects/" + project + "/accessKeys" }
	own := ask[api.CreatedKey](t, w, "POST", keysOf(sub), w.key["admin"], `{"displayName":"own","scopes":["control","invoke"]}`)
	if own.AccessKey.ProjectID != sub {
		t.Errorf("made by the parent: %+v", own.AccessKey)
	}
	w.key["sub"] = own.Secret
	parent := "/v1/projects/" + w.project
	for _, tc := range []struct {
		by, method, path, body string
		status                 int
	}{
		{"admin", "GET", keysOf(sub), "", 200},
		{"admin", "GET", "/v1/projects/" + sub + "/functions", "", 200},
		{"admin", "GET", "/v1/subprojects/" + sub, "", 200},
		{"sub", "GET", keysOf(sub), "", 200},
		{"sub", "POST", keysOf(sub), `{"displayName":"another"}`, 200},
		{"sub", "GET", "/v1/subprojects/" + sub, "", 200},
		{"invoke", "GET", keysOf(sub), "", 403},
		{"sub", "GET", keysOf(w.project), "", 403},
		{"sub", "POST", keysOf(w.project), `{"displayName":"up"}`, 403},
		{"sub", "GET", keysOf(twin), "", 403},
		{"sub", "GET", parent + "/functions", "", 403},
		{"sub", "GET", parent + "/subprojects", "", 403},
		{"sub", "POST", parent + "/subprojects", `{"displayName":"x"}`, 403},
		{"sub", "GET", "/v1/subprojects/" + twin, "", 404},
		{"sub", "GET", "/v1/subprojects/" + w.project, "", 404},
		{"sub", "PATCH", "/v1/subprojects/" + sub, `{"displayName":"x"}`, 403},
		{"sub", "DELETE", "/v1/subprojects/" + sub, "", 403},
		{"sub", "DELETE", "/v1/subprojects/" + twin, "", 404},
		{"elsewhere", "GET", keysOf(sub), "", 403},
		{"elsewhere", "GET", "/v1/subprojects/" + sub, "", 404},
		{"elsewhere", "DELETE", "/v1/subprojects/" + sub, "", 404},
		// A project that is no subproject is none in these paths, its own keys' included.
		{"admin", "GET", "/v1/subprojects/" + w.project, "", 404},
		{"admin", "PATCH", "/v1/subprojects/" + w.project, `{"displayName":"x"}`, 403},
		{"admin", "DELETE", "/v1/subprojects/" + w.project, "", 403},
		{"admin", "GET", "/v1/subprojects/" + w.elsewhere, "", 404},
	} {
		if rec, _ := w.do(tc.method, tc.path, w.key[tc.by], tc.body); rec.Code != tc.status {
			t.Errorf("%s: %s %s: %d %s, want %d", tc.by, tc.method, tc.path, rec.Code, rec.Body, tc.status)
		}
	}
	for _, by := range []string{"admin", "sub"} {
		if rec, p := w.do("POST", "/v1/projects/"+sub+"/subprojects", w.key[by], `{"displayName":"x"}`); rec.Code != 400 || p.Code != "nested_subproject" || !strings.Contains(rec.Body.String(), "FAILED_PRECONDITION") {
			t.Errorf("%s nests: %d %s", by, rec.Code, rec.Body)
		}
	}
	// One that is ended takes its keys with it, and is as if it had never been.
	ask[struct{}](t, w, "DELETE", "/v1/subprojects/"+sub, w.key["admin"], "")
	if w.opens(own.Secret) {
		t.Error("a key of a subproject that was ended is let in")
	}
	for path, status := range map[string]int{keysOf(sub): 403, "/v1/subprojects/" + sub: 404} {
		if rec, _ := w.do("GET", path, w.key["admin"], ""); rec.Code != status {
			t.Errorf("%s of one that was ended: %d %s", path, rec.Code, rec.Body)
		}
	}
	if p, err := w.db.Project(t.Context(), w.project); err != nil || p.Name != "p" {
		t.Errorf("the parent: %+v, %v", p, err)
	}
}
