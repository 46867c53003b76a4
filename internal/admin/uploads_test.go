package admin_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// Pieces come in order, are bounded, and are of one project; only what has the
// hash of its name is ever stored.
func TestUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	data := "not really an artefact"
	sum := sha256.Sum256([]byte(data))
	hash := hex.EncodeToString(sum[:])
	at := "/v1/projects/" + w.project + "/artefacts/" + hash + "/upload"
	patch := func(secret, path, query string, body string) (int, string) {
		r := httptest.NewRequest("PATCH", path+"?"+query, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/octet-stream")
		r.Header.Set("X-API-Key", secret)
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		return rec.Code, rec.Body.String()
	}
	key := w.key["control"]
	for _, tc := range []struct {
		name, secret, path, query, body string
		status                          int
		says                            string
	}{
		{"not signed in", "", at, "offset=0&length=22", data, 401, "unauthenticated"},
		{"a key for invoking", w.key["invoke"], at, "offset=0&length=22", data, 403, "not_allowed"},
		{"another project's key", w.key["elsewhere"], at, "offset=0&length=22", data, 403, "not_allowed"},
		{"no hash", key, "/v1/projects/" + w.project + "/artefacts/x/upload", "offset=0&length=22", data, 422, ""},
		{"no offset", key, at, "length=22", data, 422, ""},
		{"no length", key, at, "offset=0", data, 422, ""},
		{"a negative offset", key, at, "offset=-1&length=22", data, 422, ""},
		{"from the middle", key, at, "offset=5&length=22", data[5:], 409, "upload_moved"},
		{"more than it says", key, at, "offset=0&length=21", data, 413, "body_too_large"},
		{"too long", key, at, fmt.Sprint("offset=0&length=", bundle.MaxArchive+1), "x", 413, "body_too_large"},
		{"too large a piece", key, at, fmt.Sprint("offset=0&length=", bundle.MaxArchive), strings.Repeat("x", 8<<20+1), 413, "body_too_large"},
		{"other bytes", key, at, "offset=0&length=22", strings.Repeat("x", 22), 400, "artefact_invalid"},
		{"the first piece", key, at, "offset=0&length=22", data[:9], 200, `"offset":9,"complete":false`},
		{"the first again", key, at, "offset=0&length=22", data[:9], 409, "byte 9"},
		{"another length", key, at, "offset=9&length=10", data[9:], 413, ""},
		{"the last piece", key, at, "offset=9&length=22", data[9:], 200, `"offset":22,"complete":true`},
	} {
		if status, said := patch(tc.secret, tc.path, tc.query, tc.body); status != tc.status || !strings.Contains(said, tc.says) {
			t.Errorf("%s: %d %s", tc.name, status, said)
		}
	}
	rec, _ := w.do("GET", at, key, "")
	var up api.Upload
	if err := json.Unmarshal(rec.Body.Bytes(), &up); err != nil || !up.Complete {
		t.Errorf("%v %s", err, rec.Body)
	}
	if rec, _ := w.do("HEAD", strings.TrimSuffix(at, "/upload"), key, ""); rec.Code != 204 {
		t.Errorf("after the upload: %d", rec.Code)
	}
}

// deployed records a deployment of an artefact as a deploy does.
func (w *world) deployed(t *testing.T, name, artefact string, d platform.Deployment) platform.DeployResult {
	t.Helper()
	now := time.Now()
	f, err := w.db.Function(t.Context(), w.project, name)
	if err != nil {
		f = platform.Function{ID: function.NewFunctionID(now), ProjectID: w.project, Name: name}
	}
	d.ID, d.FunctionID, d.ProjectID, d.Artefact, d.Runtime, d.CreatedAt = function.NewDeploymentID(now), f.ID, w.project, artefact, "node", now
	k := platform.AccessKey{ID: strings.Replace(d.ID, "dep_", "pak_", 1), ProjectID: w.project, DisplayName: "function:" + name, FunctionID: f.ID, SecretHash: sha256.Sum256([]byte(d.ID)), Scopes: []platform.Scope{platform.ScopeInvoke}, CreatedAt: now}
	d.KeyID, d.SealedKeySecret = k.ID, []byte("x")
	out, err := w.db.Deploy(t.Context(), platform.DeployInput{Function: f, Deployment: d, Key: k, ExpectActive: f.ActiveDeploymentID, OldKeyExpiresAt: now})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The project of a version comes back as a zip file, with the names of its
// settings and no value; what is not there, or another's, does not.
func TestSources(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put := func(readme string) string {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for name, text := range map[string]string{"manifest.json": `{"name":"f","runtime":"node","source":"postern.json","variables":{"PLAIN":"v"}}`, "worker.mjs": "x", "source/README.md": readme, "public/a.txt": "a"} {
			if readme != "" || name != "source/README.md" {
				f, _ := z.Create(name)
				io.WriteString(f, text)
			}
		}
		z.Close()
		sum := sha256.Sum256(b.Bytes())
		hash := hex.EncodeToString(sum[:])
		r := httptest.NewRequest("PUT", "/v1/projects/"+w.project+"/artefacts/"+hash, &b)
		r.Header.Set("Content-Type", "application/octet-stream")
		r.Header.Set("X-API-Key", w.key["control"])
		rec := httptest.NewRecorder()
		if w.handler.ServeHTTP(rec, r); rec.Code != 204 {
			t.Fatal(rec.Code, rec.Body)
		}
		return hash
	}
	w.deployed(t, "f", put(""), platform.Deployment{})
	w.deployed(t, "f", put("two"), platform.Deployment{SecretNames: []string{"STRIPE_SECRET_KEY"}, Variables: map[string]string{"PLAIN": "v", "COLOUR": "do-not-tell"}})
	w.deployed(t, "f", put("three"), platform.Deployment{})
	get := func(secret, path string) (int, string, map[string]string) {
		rec, p := w.do("GET", "/v1/projects/"+w.project+"/functions/"+path, secret, "")
		files := map[string]string{}
		if rec.Code == 200 {
			z, err := zip.NewReader(bytes.NewReader(rec.Body.Bytes()), int64(rec.Body.Len()))
			if err != nil || rec.Header().Get("Content-Type") != "application/zip" {
				t.Fatal(err, rec.Header())
			}
			for _, f := range z.File {
				r, err := f.Open()
				if err != nil {
					t.Fatal(err)
				}
				text, _ := io.ReadAll(r)
				files[f.Name] = string(text)
			}
		}
		return rec.Code, p.Code, files
	}
	if status, _, files := get(w.key["control"], "f/source"); status != 200 || files["README.md"] != "three" || files["public/a.txt"] != "a" || len(files) != 3 {
		t.Errorf("the active one: %d %q", status, files)
	}
	status, _, files := get(w.key["control"], "f/source?version=2")
	if env := files[".env"]; status != 200 || files["README.md"] != "two" || !strings.HasSuffix(env, "COLOUR=\nSTRIPE_SECRET_KEY=\n") || strings.Contains(env, "do-not-tell") || strings.Contains(env, "PLAIN") {
		t.Errorf("an earlier one: %d %q", status, files)
	}
	for path, want := range map[string]string{"f/source?version=1": "404 sources_missing", "f/source?version=9": "404 version_not_found", "g/source": "404 function_not_found", "f/source?version=0": "422 invalid_request"} {
		if status, code, _ := get(w.key["control"], path); fmt.Sprint(status, " ", code) != want {
			t.Errorf("%s: %d %s", path, status, code)
		}
	}
	for _, who := range []string{"invoke", "elsewhere"} {
		if status, _, _ := get(w.key[who], "f/source"); status != 403 {
			t.Errorf("%s: %d", who, status)
		}
	}
}
