package admin_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/platform"
)

// audit returns the recorded calls.
func (w *world) audit(t *testing.T) (out []map[string]any) {
	t.Helper()
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	for line := range strings.Lines(w.log.Buffer.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if m["msg"] == "control" {
			out = append(out, m)
		}
	}
	return out
}

// Each call leaves one line with who, what and the outcome, also a refused one.
func TestEveryCallIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	functions := "/v1/projects/" + w.project + "/functions"
	for i, tc := range []struct {
		method, path, secret, body, operation string
		status                                int
		known                                 bool // who called
	}{
		{"GET", functions, w.key["control"], "", "listFunctions", 200, true},
		{"HEAD", functions, w.key["control"], "", "listFunctions", 200, true},
		{"GET", functions, "", "", "listFunctions", 401, false},
		{"GET", functions, w.key["invoke"], "", "listFunctions", 403, true},
		{"GET", functions, w.key["elsewhere"], "", "listFunctions", 403, true},
		{"GET", functions + "?pageSize=0", w.key["control"], "", "listFunctions", 422, true},
		{"POST", functions + "/broken/deployments", w.key["control"], `{"artefact":"` + strings.Repeat("a", 64) + `"}`, "deploy", 422, true},
		{"POST", functions + "/no-node/deployments", w.key["control"], `{"artefact":"` + strings.Repeat("a", 64) + `"}`, "deploy", 503, true},
		{"POST", functions + "/panics/deployments", w.key["control"], `{"artefact":"` + strings.Repeat("a", 64) + `"}`, "deploy", 500, true},
	} {
		rec, p := w.do(tc.method, tc.path, tc.secret, tc.body)
		lines := w.audit(t)
		if rec.Code != tc.status || len(lines) != i+1 {
			t.Fatalf("%s %s: %d %s, %d lines", tc.method, tc.path, rec.Code, rec.Body, len(lines))
		}
		l := lines[i]
		if _, known := l["keyId"]; l["operation"] != tc.operation || l["status"] != float64(tc.status) || known != tc.known || l["requestId"] != rec.Header().Get("X-Request-Id") {
			t.Errorf("%s %s: recorded %v", tc.method, tc.path, l)
		}
		if tc.status >= 400 && p.RequestID != rec.Header().Get("X-Request-Id") || tc.status == 500 && (p.Code != "internal" || strings.Contains(rec.Body.String(), "programmer")) || (tc.status == 503) != (rec.Header().Get("Retry-After") != "") {
			t.Errorf("%s %s: %v %s", tc.method, tc.path, rec.Header(), rec.Body)
		}
	}
}

// An unknown key, a wrong secret and a key that has expired look the same.
func TestRefusalsDoNotTellKeysApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ks, err := w.db.Keys(t.Context(), w.project, "", 10, false)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, k := range ks {
		ids[k.DisplayName] = k.ID
	}
	basic := func(id, secret string) string {
		r := httptest.NewRequest("GET", "/v1/whoami", nil)
		r.SetBasicAuth(id, secret)
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		body := strings.ReplaceAll(rec.Body.String(), rec.Header().Get("X-Request-Id"), "ID")
		return fmt.Sprint(rec.Code, rec.Header()["www-authenticate"], body)
	}
	if got := basic(ids["control"], w.key["control"]); !strings.HasPrefix(got, "200") {
		t.Fatal(got)
	}
	want := basic(accesskey.NewID(time.Now()), accesskey.NewSecret().Reveal())
	for name, got := range map[string]string{
		"wrong secret":         basic(ids["control"], accesskey.NewSecret().Reveal()),
		"no secret":            basic(ids["control"], ""),
		"no ID":                basic("", w.key["control"]),
		"another key's secret": basic(ids["control"], w.key["invoke"]),
		"expired":              basic(ids["expired"], w.key["expired"]),
		"garbage":              basic("a:b", "c:d"),
	} {
		if got != want || !strings.HasPrefix(got, "401") {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
	if rec, p := w.do("GET", "/v1/whoami", "", ""); rec.Code != 401 || !strings.HasPrefix(p.Detail, "the control plane needs") {
		t.Errorf("none: %d %s", rec.Code, rec.Body)
	}
	r := httptest.NewRequest("GET", "/v1/whoami", nil)
	r.SetBasicAuth(ids["control"], w.key["control"])
	r.Header.Add("Authorization", r.Header.Get("Authorization"))
	rec := httptest.NewRecorder()
	if w.handler.ServeHTTP(rec, r); rec.Code != 400 || !strings.Contains(rec.Body.String(), "duplicate_credentials") {
		t.Errorf("two credentials: %d %s", rec.Code, rec.Body)
	}
}

// A key that only deploys was used as well: nobody should end it as idle.
func TestKeyIsUsed(t *testing.T) {
	t.Parallel()
	var uses auth.Uses
	w := newWorld(t, func(o *admin.Options) { o.Uses = &uses })
	for _, name := range []string{"invoke", "expired", "elsewhere", "control"} {
		w.do("GET", "/v1/projects/"+w.project+"/functions", w.key[name], "")
	}
	if used := uses.Take(); len(used) != 1 || used[w.id["control"]].LastUsedAt.IsZero() {
		t.Errorf("used: %v", used)
	}
}

// A key that is bound to addresses is refused from others here as well.
func TestKeyOfAnotherAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := "/v1/projects/" + w.project + "/accessKeys"
	rec, _ := w.do("POST", keys, w.key["control"], `{"displayName":"office","scopes":["control"],"allowedCidrs":["198.51.100.0/24"]}`)
	var made struct{ Secret string }
	if err := json.Unmarshal(rec.Body.Bytes(), &made); err != nil || made.Secret == "" {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if rec, p := w.do("GET", keys, made.Secret, ""); rec.Code != 403 || p.Code != "not_allowed" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// An upload that is cut off leaves nothing; the largest one that is allowed passes.
func TestUpload_CutOffAndLargest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := httptest.NewServer(w.handler)
	defer s.Close()
	data := strings.Repeat("x", bundle.MaxArchive)
	sum := sha256.Sum256([]byte(data))
	hash := hex.EncodeToString(sum[:])
	path := "/v1/projects/" + w.project + "/artefacts/" + hash
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n%s", path, w.key["control"], len(data), data[:1<<20])
	conn.(*net.TCPConn).CloseWrite()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if res.Body.Close(); res.StatusCode != 400 || !strings.Contains(string(body), "body_malformed") {
		t.Errorf("a cut-off upload: %s %s", res.Status, body)
	}
	if rec, _ := w.do("HEAD", path, w.key["control"], ""); rec.Code != 404 {
		t.Errorf("after it: %d", rec.Code)
	}
	r, err := http.NewRequestWithContext(t.Context(), "PUT", s.URL+path, strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-API-Key", w.key["control"])
	r.Header.Set("Content-Type", "application/octet-stream")
	if res, err = s.Client().Do(r); err != nil || res.StatusCode != 204 {
		t.Fatalf("the largest: %v, %v", res, err)
	}
	res.Body.Close()
	if op := w.openAPI.Paths["/v1/projects/{projectId}/artefacts/{hash}"].Put; op.RequestBody == nil || op.RequestBody.Content["application/octet-stream"] == nil {
		t.Error("the document has no body for the upload")
	}
	// The bytes are one project's: another has to upload its own.
	if rec, _ := w.do("HEAD", "/v1/projects/"+w.elsewhere+"/artefacts/"+hash, w.key["elsewhere"], ""); rec.Code != 404 {
		t.Errorf("of another project: %d", rec.Code)
	}
}

// A function of the same name in another project is another function.
func TestProjectsAreApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, project := range []string{w.project, w.elsewhere} {
		f := platform.Function{ID: "fn-" + strings.ToLower(project[4:]), ProjectID: project, Name: "same"}
		id := "dep_" + project[4:]
		_, err := w.db.Deploy(t.Context(), platform.DeployInput{Function: f,
			Deployment: platform.Deployment{ID: id, FunctionID: f.ID, ProjectID: project, KeyID: "pak_" + project[4:], Handlers: []platform.Handler{{Name: "a"}}, CreatedAt: time.Now()},
			Key:        platform.AccessKey{ID: "pak_" + project[4:], ProjectID: project, DisplayName: "function:same", FunctionID: f.ID, SecretHash: sha256.Sum256([]byte(id)), Scopes: []platform.Scope{platform.ScopeInvoke}, CreatedAt: time.Now()}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for key, tc := range map[string]struct{ own, other string }{"control": {w.project, w.elsewhere}, "elsewhere": {w.elsewhere, w.project}} {
		for _, path := range []string{"/functions", "/functions/same"} {
			if rec, _ := w.do("GET", "/v1/projects/"+tc.own+path, w.key[key], ""); rec.Code != 200 || !strings.Contains(rec.Body.String(), tc.own) || strings.Contains(rec.Body.String(), tc.other) {
				t.Errorf("%s %s: %d %s", key, path, rec.Code, rec.Body)
			}
		}
		// An ID of the other project in a path of one's own is not found.
		if rec, _ := w.do("DELETE", "/v1/projects/"+tc.own+"/accessKeys/pak_"+tc.other[4:], w.key[key], ""); rec.Code != 404 {
			t.Errorf("%s: a key of the other project: %d", key, rec.Code)
		}
	}
}
