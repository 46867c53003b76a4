package admin_test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/platform"
)

// withFunction deploys a function into a project of the world.
func (w *world) withFunction(t *testing.T, project, name string, hs ...platform.Handler) {
	t.Helper()
	id := accesskey.NewID(time.Now())
	f := platform.Function{ID: "fn-" + id[4:], ProjectID: project, Name: name}
	_, err := w.db.Deploy(t.Context(), platform.DeployInput{Function: f,
		Deployment: platform.Deployment{ID: "dep_" + id[4:], FunctionID: f.ID, ProjectID: project, KeyID: id, Handlers: hs, CreatedAt: time.Now()},
		Key:        platform.AccessKey{ID: id, ProjectID: project, DisplayName: "function:" + name, FunctionID: f.ID, SecretHash: sha256.Sum256([]byte(id)), Scopes: []platform.Scope{platform.ScopeInvoke}, CreatedAt: time.Now()}})
	if err != nil {
		t.Fatal(err)
	}
}

// apply puts a document as a key; query may be "?dryRun=true".
func (w *world) apply(t *testing.T, key, query, document string, expect any) (status int, code string, out api.AppliedPolicy) {
	t.Helper()
	in := map[string]any{"document": document}
	if expect != nil {
		in["expectNumber"] = expect
	}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	rec, p := w.do("PUT", "/v1/projects/"+w.project+"/gateway"+query, key, string(text))
	if rec.Code == http.StatusOK {
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
	} else if strings.Contains(rec.Body.String(), "psk_") {
		t.Errorf("a secret is repeated: %s", rec.Body)
	}
	return rec.Code, p.Code, out
}

func entry(name string, hash [32]byte, more string) string {
	return fmt.Sprintf("  - { id: %s, name: %q, digest: \"sha256:%x\"%s }\n", accesskey.NewID(time.Now()), name, hash, more)
}

// What an apply refuses, by code; nothing is written by any of them.
func TestApply_Refuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withFunction(t, w.project, "orders", platform.Handler{Name: "refund"}, platform.Handler{Name: "status", Guard: platform.GuardOpen})
	w.withFunction(t, w.elsewhere, "theirs", platform.Handler{Name: "a"})
	if status, _, out := w.apply(t, w.key["control"], "", "version: 1\n", 0); status != 200 || out.Number != 1 {
		t.Fatal(status, out)
	}
	keys, err := w.db.Keys(t.Context(), w.project, "", 100, false)
	if err != nil {
		t.Fatal(err)
	}
	fresh := func() [32]byte { return accesskey.NewSecret().Hash() }
	doc := func(more string) string { return "version: 1\n" + more }
	for name, tc := range map[string]struct {
		document string
		expect   any
		status   int
		code     string
	}{
		"no YAML":                         {"version: [", nil, 400, "policy_invalid"},
		"an unknown field":                {doc("plugins: {}\n"), nil, 400, "policy_invalid"},
		"a secret":                        {doc("# " + accesskey.NewSecret().Reveal() + "\n"), nil, 400, "policy_invalid"},
		"a function of another project":   {doc("functions: { theirs: {} }\n"), nil, 400, "policy_invalid"},
		"a handler that is not there":     {doc("functions: { orders: { handlers: { refnud: { auth: key } } } }\n"), nil, 400, "policy_invalid"},
		"another number than in force":    {doc(""), 7, 409, "policy_raced"},
		"none in force, it says":          {doc(""), 0, 409, "policy_raced"},
		"an upstream named so":            {doc("upstreams: { orders: { url: \"http://h\", routes: { GET /a: {} } } }\n"), nil, 409, "name_taken"},
		"a scope that the key has not":    {doc("keys:\n" + entry("a", fresh(), ", scopes: [invoke]")), nil, 403, "cannot_grant"},
		"a digest that a key has":         {doc("keys:\n" + entry("a", keys[0].SecretHash, ", scopes: [control]")), nil, 409, "digest_taken"},
		"the ID of a key made by hand":    {doc("keys:\n" + strings.Replace(entry("a", fresh(), ", scopes: [control]"), "pak_", keys[0].ID+"#", 1)), nil, 400, "policy_invalid"},
		"a name like a function's key":    {doc("keys:\n" + entry("function:x", fresh(), ", scopes: [control]")), nil, 400, "policy_invalid"},
		"a name with blanks around it":    {doc("keys:\n" + entry(" a", fresh(), ", scopes: [control]")), nil, 400, "policy_invalid"},
		"a name that turns the text":      {doc("keys:\n" + entry("a\u202eb", fresh(), ", scopes: [control]")), nil, 400, "policy_invalid"},
		"a thumbprint without mtls":       {doc("keys:\n" + entry("a", fresh(), ", scopes: [control], certThumbprint: x")), nil, 400, "policy_invalid"},
		"a display name that is taken":    {doc("keys:\n" + entry("control", fresh(), ", scopes: [control]")), nil, 409, "display_name_taken"},
		"a service plan that can control": {doc("keys:\n" + entry("a", fresh(), ", scopes: [control], servicePlan: p")), nil, 400, "policy_invalid"},
	} {
		for _, query := range []string{"", "?dryRun=true"} {
			if status, code, _ := w.apply(t, w.key["control"], query, tc.document, tc.expect); status != tc.status || code != tc.code {
				t.Errorf("%s%s: %d %s, want %d %s", name, query, status, code, tc.status, tc.code)
			}
		}
	}
	for name, want := range map[string]int{"": 401, "invoke": 403, "expired": 401, "elsewhere": 403} {
		if status, _, _ := w.apply(t, w.key[name], "", doc(""), nil); status != want {
			t.Errorf("with the key %q: %d, want %d", name, status, want)
		}
	}
	if h, err := w.db.PolicyHistory(t.Context(), w.project, 0, 10); err != nil || len(h) != 1 {
		t.Errorf("something was written: %v, %v", h, err)
	}
}

// An apply says what it opens, writes it down, and shows it in the table; what
// was exported changes nothing.
func TestApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withFunction(t, w.project, "orders", platform.Handler{Name: "refund"}, platform.Handler{Name: "status", Guard: platform.GuardOpen}, platform.Handler{Name: "prices", Routes: []platform.Route{{Pattern: "GET /prices"}}})
	gateway := "/v1/projects/" + w.project + "/gateway"
	document := "# mine\nversion: 1\ngroups:\n  partner: { rate: 10/s }\nfunctions:\n  orders:\n    handlers:\n      status: { auth: key, group: partner }\n    routes:\n      GET /prices: { auth: none }\n" +
		"keys:\n" + entry("ci", accesskey.NewSecret().Hash(), ", scopes: [control]")
	status, _, would := w.apply(t, w.key["control"], "?dryRun=true", document, nil)
	if status != 200 || !would.DryRun || would.Number != 1 || fmt.Sprint(would.Opened, would.Closed) != "[orders GET /prices] [orders /status]" || len(would.Changes) < 8 {
		t.Errorf("dry run: %d %+v", status, would)
	}
	var none api.GatewayPolicy
	if rec, _ := w.do("GET", gateway, w.key["control"], ""); json.Unmarshal(rec.Body.Bytes(), &none) != nil || none.Number != 0 || none.Document != "version: 1\n" {
		t.Errorf("before: %+v", none)
	}
	if status, _, done := w.apply(t, w.key["control"], "", document, 0); status != 200 || done.DryRun || done.Number != 1 || fmt.Sprint(done.Opened) != "[orders GET /prices]" {
		t.Errorf("apply: %d %+v", status, done)
	}
	var got api.GatewayPolicy
	if rec, _ := w.do("GET", gateway, w.key["control"], ""); json.Unmarshal(rec.Body.Bytes(), &got) != nil || got.Number != 1 || got.Document != document || got.AppliedBy != w.id["control"] || got.ApplyTime == nil {
		t.Errorf("read back: %+v", got)
	}
	if status, _, again := w.apply(t, w.key["control"], "", got.Document, nil); status != 200 || !again.Unchanged || again.Number != 1 || len(again.Changes) != 0 {
		t.Errorf("again: %d %+v", status, again)
	}
	// With the keys that people made it is another text and nothing else, for
	// whoever may give what they have.
	rec, _ := w.do("GET", gateway+"?withKeys=true", w.key["admin"], "")
	var all api.GatewayPolicy
	if err := json.Unmarshal(rec.Body.Bytes(), &all); err != nil || strings.Count(all.Document, "digest: sha256:") != 5 {
		t.Fatalf("with keys: %v\n%s", err, all.Document)
	}
	before, err := w.db.Keys(t.Context(), w.project, "", 100, true)
	if err != nil {
		t.Fatal(err)
	}
	if status, code, done := w.apply(t, w.key["admin"], "", all.Document, 1); status != 200 || len(done.Opened)+len(done.Closed) != 0 {
		t.Errorf("what was exported: %d %s %+v", status, code, done)
	}
	if after, err := w.db.Keys(t.Context(), w.project, "", 100, true); err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the keys:\n%v\nwere\n%v", after, before)
	}
	var table api.GatewayRoutes
	if rec, _ := w.do("GET", gateway+"/routes", w.key["control"], ""); json.Unmarshal(rec.Body.Bytes(), &table) != nil {
		t.Fatal(rec.Body)
	}
	var rows []string
	for _, r := range table.Routes {
		rows = append(rows, fmt.Sprint(r.Method, r.Path, " ", r.Guard, " ", r.Public, " ", r.From["auth"], " ", r.Group, " ", r.Rate))
	}
	want := "/health open true gateway  []|GET/prices open true policy  []|/refund access key false default orders []|/status access key false policy partner [10/s]"
	if table.Number != 2 || strings.Join(rows, "|") != want {
		t.Errorf("routes of number %d:\n%s\nwant\n%s", table.Number, strings.Join(rows, "|"), want)
	}
	var history api.GatewayPolicies
	if rec, _ := w.do("GET", gateway+"/history?pageSize=1", w.key["control"], ""); json.Unmarshal(rec.Body.Bytes(), &history) != nil || len(history.Policies) != 1 || history.Policies[0].Number != 2 || history.NextPageToken != "2" {
		t.Errorf("history %+v", history)
	}
	for path, status := range map[string]int{"?number=1": 200, "?number=9": 404, "?number=-1": 422, "/history?pageToken=2": 200, "/history?pageToken=x": 400, "/history?pageToken=-1": 400} {
		if rec, _ := w.do("GET", gateway+path, w.key["control"], ""); rec.Code != status {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
	// Only a policy changes its keys, and who has a key of it may be ended.
	ci := ""
	for _, k := range before {
		if k.ByPolicy {
			ci = k.ID
		}
	}
	for _, tc := range []struct {
		method, path, body string
		status             int
	}{{"PATCH", "", `{"displayName":"x"}`, 400}, {"POST", "/rotate", `{}`, 400}, {"DELETE", "", "", 200}} {
		if rec, p := w.do(tc.method, "/v1/projects/"+w.project+"/accessKeys/"+ci+tc.path, w.key["admin"], tc.body); rec.Code != tc.status || tc.status == 400 && p.Code != "key_of_policy" {
			t.Errorf("%s%s: %d %s", tc.method, tc.path, rec.Code, p.Code)
		}
	}
	if status, code, _ := w.apply(t, w.key["control"], "", document+"\n", nil); status != 409 || code != "key_revoked" {
		t.Errorf("a key that was revoked comes back: %d %s", status, code)
	}
}

// An apply that the gateway here does not know of yet is not told as done.
func TestApply_Late(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mu.Lock()
	w.late = fmt.Errorf("the gateway is away")
	w.mu.Unlock()
	if status, code, _ := w.apply(t, w.key["control"], "", "version: 1\n", nil); status != 503 || code != "change_late" {
		t.Errorf("%d %s", status, code)
	}
}

// A policy that was damaged shuts the project. The control plane says so, and
// gives the document back, to be applied again.
func TestGateway_Damaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withFunction(t, w.project, "orders", platform.Handler{Name: "status", Guard: platform.GuardOpen})
	const document = "version: 1\nfunctions: { orders: { handlers: { status: { auth: key } } } }\n"
	if status, _, _ := w.apply(t, w.key["control"], "", document, nil); status != 200 {
		t.Fatal(status)
	}
	beside, err := sql.Open("sqlite", filepath.Join(w.data, "p.db"))
	if err == nil {
		_, err = beside.ExecContext(t.Context(), `UPDATE policies SET compiled = '{'`)
	}
	if err != nil {
		t.Fatal(err)
	}
	beside.Close()
	for path, says := range map[string]string{"/functions": `"routes":[]`, "/functions/orders": `"routes":[]`, "/gateway/routes": `"shut":true`, "/gateway/routes?query=SHUT": `"routeCount":1,`, "/gateway/routes?only=key": `"routeCount":0,`, "/gateway": `auth: key`} {
		if rec, _ := w.do("GET", "/v1/projects/"+w.project+path, w.key["control"], ""); rec.Code != 200 || !strings.Contains(rec.Body.String(), says) || strings.Contains(rec.Body.String(), `"public":true`) {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
	if status, _, out := w.apply(t, w.key["control"], "", document, nil); status != 200 || out.Number != 2 || out.Unchanged {
		t.Errorf("applied again: %d %+v", status, out)
	}
}
