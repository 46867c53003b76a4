package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// Promote implements admin.Deployer.
func (w *world) Promote(_ context.Context, in deploy.Shift) (deploy.Result, error) {
	return w.shift("promote", in)
}

// RollBack implements admin.Deployer.
func (w *world) RollBack(_ context.Context, in deploy.Shift) (deploy.Result, error) {
	return w.shift("roll back", in)
}

func (w *world) shift(what string, in deploy.Shift) (deploy.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acts = append(w.acts, fmt.Sprintf("%s %s %d to %d", what, in.Name, in.Version, in.Percent))
	if in.Name == "raced" {
		return deploy.Result{}, fault.New(fault.Conflict, "changed meanwhile").WithCode("versions_raced")
	}
	return deploy.Result{Function: platform.Function{ID: function.NewFunctionID(time.Now()), ProjectID: in.ProjectID, Name: in.Name, Slug: in.Name},
		Deployment: platform.Deployment{ID: "dep_1", Number: 4, RestoredFrom: 2}, Ended: 3}, nil
}

// versions records deployments of a function in the store: the last is a candidate
// if it has a part of the calls.
func (w *world) versions(t *testing.T, name string, n, percent int) platform.Function {
	t.Helper()
	f := platform.Function{ID: function.NewFunctionID(time.Now()), ProjectID: w.project, Name: name}
	for i := range n {
		at := time.Now()
		k := platform.AccessKey{ID: accesskey.NewID(at), ProjectID: w.project, DisplayName: "function:" + name, SecretHash: accesskey.NewSecret().Hash(), FunctionID: f.ID, CreatedAt: at}
		in := platform.DeployInput{Function: f, Key: k, ExpectActive: f.ActiveDeploymentID,
			Deployment: platform.Deployment{ID: function.NewDeploymentID(at), FunctionID: f.ID, ProjectID: w.project, Artefact: strings.Repeat("a", 64), Runtime: "node", KeyID: k.ID, CreatedAt: at}}
		if i == n-1 {
			in.Percent = percent
		}
		out, err := w.db.Deploy(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		f = out.Function
	}
	return f
}

func TestVersions_Listed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.versions(t, "f", 4, 10)
	w.versions(t, "plain", 2, 0)
	list := func(name, query string) (out []string) {
		t.Helper()
		rec, _ := w.do("GET", "/v1/projects/"+w.project+"/functions/"+name+"/deployments"+query, w.key["control"], "")
		var vs api.Versions
		if err := json.Unmarshal(rec.Body.Bytes(), &vs); err != nil || rec.Code != 200 {
			t.Fatal(rec.Code, rec.Body, err)
		}
		for _, v := range vs.Versions {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%d %s %d%% %s", v.Number, v.State, v.Percent, v.EndedBecause)))
		}
		return out
	}
	if diff := cmp.Diff([]string{"4 candidate 10%", "3 active 90%", "2 old 0%", "1 old 0%"}, list("f", "")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"4 candidate 10%", "3 active 90%"}, list("f", "?limit=1")); diff != "" {
		t.Error("what serves is missing: ", diff)
	}
	if diff := cmp.Diff([]string{"2 active 100%", "1 old 0%"}, list("plain", "")); diff != "" {
		t.Error(diff)
	}
	_, err := w.db.Promote(t.Context(), platform.PromoteInput{FunctionID: f.ID, ExpectActive: f.ActiveDeploymentID, ExpectCandidate: f.CandidateID, Because: "9 of 20 calls failed", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"4 old 0% 9 of 20 calls failed", "3 active 100%", "2 old 0%", "1 old 0%"}, list("f", "")); diff != "" {
		t.Error(diff)
	}
	rec, _ := w.do("GET", "/v1/projects/"+w.project+"/functions/f", w.key["control"], "")
	var shown api.Function
	if err := json.Unmarshal(rec.Body.Bytes(), &shown); err != nil || shown.Deployment.Number != 3 || shown.Candidate == nil || shown.Candidate.Number != 4 || shown.Candidate.EndedBecause == "" {
		t.Errorf("status %s, %v", rec.Body, err)
	}
}

func TestVersions_Refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.versions(t, "f", 2, 10)
	one := "/v1/projects/" + w.project + "/functions/"
	for name, tc := range map[string]struct {
		method, path, key, body string
		status                  int
		code                    string
	}{
		"above a hundred":              {"POST", "f/promote", "control", `{"percent":101}`, 422, "invalid_request"},
		"below none":                   {"POST", "f/promote", "control", `{"percent":-1}`, 422, "invalid_request"},
		"no percent":                   {"POST", "f/promote", "control", `{}`, 422, "invalid_request"},
		"a part of a percent":          {"POST", "f/promote", "control", `{"percent":1.5}`, 422, "invalid_request"},
		"a version below none":         {"POST", "f/promote", "control", `{"percent":1,"version":-1}`, 422, "invalid_request"},
		"a version beyond all":         {"POST", "f/rollback", "control", `{"version":99999999999}`, 422, "invalid_request"},
		"a field that is not known":    {"POST", "f/rollback", "control", `{"to":1}`, 422, "invalid_request"},
		"too many are asked for":       {"GET", "f/deployments?limit=1001", "control", "", 422, "invalid_request"},
		"no such function":             {"GET", "none/deployments", "control", "", 404, "function_not_found"},
		"raced":                        {"POST", "raced/promote", "control", `{"percent":1}`, 409, "versions_raced"},
		"a key for invoking":           {"POST", "f/promote", "invoke", `{"percent":1}`, 403, "not_allowed"},
		"a key of another project":     {"POST", "f/rollback", "elsewhere", `{}`, 403, "not_allowed"},
		"the list, of another project": {"GET", "f/deployments", "elsewhere", "", 403, "not_allowed"},
	} {
		w.acts = nil
		rec, p := w.do(tc.method, one+tc.path, w.key[tc.key], tc.body)
		if rec.Code != tc.status || p.Code != tc.code || len(w.acts) > 0 && name != "raced" {
			t.Errorf("%s: %d %s; did %v", name, rec.Code, rec.Body, w.acts)
		}
	}
}

func TestVersions_Shifted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := "/v1/projects/" + w.project + "/functions/f/"
	for path, body := range map[string]string{"promote": `{"percent":30,"version":2}`, "rollback": `{}`} {
		rec, _ := w.do("POST", one+path, w.key["control"], body)
		var out api.DeployResponse
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || rec.Code != 200 || out.Function.Deployment.Number != 4 || out.Ended != 3 || out.RestoredFrom != 2 || out.Warnings == nil {
			t.Errorf("%s: %d %s, %v", path, rec.Code, rec.Body, err)
		}
	}
	slices.Sort(w.acts)
	if diff := cmp.Diff([]string{"promote f 2 to 30", "roll back f 0 to 0"}, w.acts); diff != "" {
		t.Error(diff)
	}
}
