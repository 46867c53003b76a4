package admin_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/blob"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/funclog"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
	"postern.dev/postern/internal/supervisor"
)

// world is the API over a real store and real artefacts; what deploys is a
// fake that counts.
type world struct {
	handler   http.Handler
	openAPI   *huma.OpenAPI
	db        *store.DB
	project   string
	elsewhere string            // another project
	key       map[string]string // name → secret
	log       *lockedBuffer
	mu        sync.Mutex
	acts      []string
	dir       *auth.Directory
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (w *world) Deploy(_ context.Context, projectID, name, artefact string, force bool) (deploy.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acts = append(w.acts, "deploy "+name)
	if name == "panics" {
		panic("as a programmer's mistake does")
	}
	if name == "no-node" {
		return deploy.Result{}, fault.New(fault.Unavailable, "there is no Node").WithCode("node_missing")
	}
	if name == "broken" {
		return deploy.Result{}, fault.New(fault.Invalid, "it threw").WithCode("module_failed")
	}
	f := platform.Function{ID: function.NewFunctionID(time.Now()), ProjectID: projectID, Name: name, Slug: name}
	return deploy.Result{Function: f, Deployment: platform.Deployment{ID: "dep_1", Number: 1, Artefact: artefact, Handlers: []platform.Handler{{Name: "a"}}}}, nil
}

func (w *world) Delete(_ context.Context, projectID, name string) (platform.Function, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acts = append(w.acts, "delete "+name)
	return platform.Function{}, fault.New(fault.NotFound, "there is no such function").WithCode("function_not_found")
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "p.db"))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.Open(filepath.Join(dir, "artefacts"))
	if err != nil {
		t.Fatal(err)
	}
	logs, err := funclog.Open(filepath.Join(dir, "logs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { logs.Close(); blobs.Close(); db.Close() })
	w := &world{db: db, project: function.NewProjectID(time.Now()), key: map[string]string{}, log: &lockedBuffer{}}
	for i, name := range []string{"control", "invoke", "expired", "elsewhere"} {
		s := accesskey.NewSecret()
		k := platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: w.project, DisplayName: name, SecretHash: s.Hash(), CreatedAt: time.Now(), Scopes: []platform.Scope{platform.ScopeControl}}
		switch name {
		case "invoke":
			k.Scopes = []platform.Scope{platform.ScopeInvoke}
		case "expired":
			k.ExpiresAt = time.Now().Add(-time.Second)
		case "elsewhere":
			w.elsewhere = function.NewProjectID(time.Now())
			k.ProjectID = w.elsewhere
			if err := db.CreateProject(t.Context(), platform.Project{ID: k.ProjectID, CreatedAt: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		if i == 0 {
			_, err = db.Bootstrap(t.Context(), platform.Project{ID: w.project, Name: "p", CreatedAt: time.Now()}, k)
		} else {
			_, err = db.CreateKey(t.Context(), k)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.key[name] = s.Reveal()
	}
	w.load(t)
	w.handler, w.openAPI = admin.New(admin.Options{Version: "test", Auth: auth.NewAuthenticator("http://control"), Issuer: "http://control", Store: db, Deployer: w, Artefacts: blobs, Logs: logs,
		Directory: func() *auth.Directory { w.mu.Lock(); defer w.mu.Unlock(); return w.dir },
		Applied:   func(context.Context, int64) error { w.load(t); return nil },
		Status:    func(string) supervisor.Status { return supervisor.Status{State: "idle"} },
		URLs:      func(slug string) []string { return []string{"http://gw/fn/" + slug} },
		Log:       slog.New(slog.NewJSONHandler(w.log, nil))})
	return w
}

func (w *world) load(t *testing.T) {
	b := auth.NewBuilder()
	if _, err := w.db.Load(t.Context(), func(k platform.AccessKey) error { b.Add(k); return nil }, func(platform.Function, platform.Deployment) error { return nil }); err != nil {
		t.Error(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dir = b.Directory()
}

func (w *world) do(method, path, secret, body string) (*httptest.ResponseRecorder, httpx.Problem) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if secret != "" {
		r.Header.Set("X-API-Key", secret)
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	var p httpx.Problem
	json.Unmarshal(rec.Body.Bytes(), &p)
	return rec, p
}

// Every operation that the document has is refused to whoever may not: a new
// one cannot be forgotten here.
func TestEveryOperation_IsGuarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fill := strings.NewReplacer("{projectId}", w.project, "{name}", "f", "{accessKeyId}", accesskey.NewID(time.Now()), "{hash}", strings.Repeat("a", 64))
	n := 0
	for path, item := range w.openAPI.Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "PUT": item.Put, "POST": item.Post, "DELETE": item.Delete, "HEAD": item.Head, "PATCH": item.Patch} {
			if op == nil {
				continue
			}
			n++
			for who, want := range map[string]int{"": 401, "psk_wrong": 401, accesskey.NewSecret().Reveal(): 401, w.key["expired"]: 401, w.key["invoke"]: 403} {
				rec, p := w.do(method, fill.Replace(path), who, `{"displayName":"x","artefact":"`+strings.Repeat("a", 64)+`"}`)
				if rec.Code != want || method != "HEAD" && p.RequestID == "" || (want == 401) != (len(rec.Header()["www-authenticate"]) == 1) {
					t.Errorf("%s %s: %d %s, want %d", method, path, rec.Code, rec.Body, want)
				}
			}
			if strings.Contains(path, "{projectId}") {
				rec, p := w.do(method, fill.Replace(path), w.key["elsewhere"], "")
				none, q := w.do(method, strings.ReplaceAll(fill.Replace(path), w.project, "prj_none"), w.key["elsewhere"], "")
				if rec.Code != 403 || none.Code != 403 || p.Code != q.Code || p.Detail != q.Detail {
					t.Errorf("%s %s: a foreign project %d %s, one that is none %d %s", method, path, rec.Code, p.Detail, none.Code, q.Detail)
				}
			}
		}
	}
	if n < 11 {
		t.Errorf("only %d operations found", n)
	}
	if len(w.acts) != 0 {
		t.Errorf("a refused call did something: %v", w.acts)
	}
	if ks, _ := w.db.Keys(t.Context(), w.project, "", 100, false); len(ks) != 3 {
		t.Errorf("a refused call made a key: %d", len(ks))
	}
	for _, s := range w.key {
		if strings.Contains(w.log.String(), s) {
			t.Error("a secret is in the log")
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := "/v1/projects/" + w.project + "/accessKeys"
	rec, _ := w.do("POST", keys, w.key["control"], `{"displayName":"billing","scopes":["invoke","control"],"allowedCidrs":["192.0.2.0/24"],"ratePerSecond":5,"expireTime":"2099-01-01T00:00:00Z"}`)
	var made struct {
		AccessKey struct {
			AccessKeyID, DisplayName, ProjectID string
			Scopes, AllowedCidrs                []string
		}
		Secret string
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &made); err != nil || rec.Code != 200 || made.AccessKey.DisplayName != "billing" || len(made.AccessKey.Scopes) != 2 || len(made.AccessKey.AllowedCidrs) != 1 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	// It can be used at once, here from its address (httptest's is 192.0.2.1).
	if rec, _ := w.do("GET", "/v1/whoami", made.Secret, ""); rec.Code != 200 || !strings.Contains(rec.Body.String(), made.AccessKey.AccessKeyID) {
		t.Errorf("the new key: %d %s", rec.Code, rec.Body)
	}
	rec, _ = w.do("GET", keys, w.key["control"], "")
	if strings.Contains(rec.Body.String(), made.Secret) || !strings.Contains(rec.Body.String(), made.AccessKey.AccessKeyID) || strings.Contains(rec.Body.String(), "hash") {
		t.Errorf("the list: %s", rec.Body)
	}
	for body, want := range map[string]struct {
		status int
		code   string
	}{
		`{"displayName":"billing"}`: {409, "display_name_taken"}, `{"displayName":""}`: {422, "invalid_request"}, `{"displayName":"  "}`: {400, "invalid_request"}, `{}`: {422, "invalid_request"},
		`{"displayName":"a\u0007b"}`: {400, "invalid_request"}, `{"displayName":"function:x"}`: {400, "invalid_request"}, `{"displayName":"x","scopes":["admin"]}`: {422, "invalid_request"},
		`{"displayName":"x","unknown":1}`: {422, "invalid_request"}, `{"displayName":"x","allowedCidrs":["10.0.0.1"]}`: {400, "invalid_request"}, `{"displayName":"x","allowedCidrs":["10.0.0.1/8"]}`: {400, "invalid_request"},
		`{"displayName":"x","expireTime":"2001-01-01T00:00:00Z"}`: {400, "invalid_request"}, `{"displayName":"x","ratePerSecond":-1}`: {422, "invalid_request"}, `{"displayName":`: {400, "invalid_request"}, `[]`: {422, "invalid_request"},
		`{"displayName":"` + strings.Repeat("x", 101) + `"}`: {422, "invalid_request"}, `{"displayName":"` + strings.Repeat("x", 70000) + `"}`: {413, "body_too_large"},
		`{"displayName":"x","scopes":["invoke","invoke"]}`: {422, "invalid_request"}, `{"displayName":"x","allowedCidrs":["::ffff:10.0.0.0/104"]}`: {400, "invalid_request"},
	} {
		rec, p := w.do("POST", keys, w.key["control"], body)
		if rec.Code != want.status || p.Code != want.code || p.Status != rec.Code || rec.Header().Get("Content-Type") != "application/problem+json" || p.RequestID == "" {
			t.Errorf("%.60s: %d %s %s", body, rec.Code, rec.Header().Get("Content-Type"), rec.Body)
		}
	}
	if rec, _ := w.do("DELETE", keys+"/"+made.AccessKey.AccessKeyID, w.key["control"], ""); rec.Code != 204 {
		t.Errorf("revoke: %d %s", rec.Code, rec.Body)
	}
	if rec, _ := w.do("GET", "/v1/whoami", made.Secret, ""); rec.Code != 401 {
		t.Errorf("a revoked key: %d", rec.Code)
	}
	if rec, p := w.do("DELETE", keys+"/pak_none", w.key["control"], ""); rec.Code != 404 || p.Code != "not_found" {
		t.Errorf("revoke none: %d %s", rec.Code, p.Code)
	}
	rec, _ = w.do("GET", keys+"?pageSize=1", w.key["control"], "")
	var page struct {
		AccessKeys    []struct{ AccessKeyID string }
		NextPageToken string
	}
	if json.Unmarshal(rec.Body.Bytes(), &page); len(page.AccessKeys) != 1 || page.NextPageToken != page.AccessKeys[0].AccessKeyID {
		t.Errorf("a page: %s", rec.Body)
	}
}

func TestArtefactsAndDeploy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	project := "/v1/projects/" + w.project
	data := "not really an artefact"
	sum := sha256.Sum256([]byte(data))
	hash := hex.EncodeToString(sum[:])
	put := func(secret, hash, data string) int {
		r := httptest.NewRequest("PUT", project+"/artefacts/"+hash, strings.NewReader(data))
		r.Header.Set("Content-Type", "application/octet-stream")
		r.Header.Set("X-API-Key", secret)
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		return rec.Code
	}
	if rec, _ := w.do("HEAD", project+"/artefacts/"+hash, w.key["control"], ""); rec.Code != 404 {
		t.Errorf("before the upload: %d", rec.Code)
	}
	for name, tc := range map[string]struct {
		hash, data string
		want       int
	}{"other bytes": {hash, "other", 400}, "no hash": {"../../x", data, 404}, "upper case": {strings.ToUpper(hash), data, 422}, "too large": {hash, strings.Repeat("x", bundle.MaxBytes+1), 413}, "much too large": {hash, strings.Repeat("x", bundle.MaxBytes+1<<20), 413}} {
		if got := put(w.key["control"], tc.hash, tc.data); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
	if got := put(w.key["control"], hash, data); got != 204 {
		t.Fatalf("upload: %d", got)
	}
	if rec, _ := w.do("HEAD", project+"/artefacts/"+hash, w.key["control"], ""); rec.Code != 204 {
		t.Errorf("after the upload: %d", rec.Code)
	}
	rec, _ := w.do("POST", project+"/functions/f/deployments", w.key["control"], `{"artefact":"`+hash+`"}`)
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), `"guard":"access key"`) || !strings.Contains(rec.Body.String(), "http://gw/fn/f") {
		t.Errorf("deploy: %d %s", rec.Code, rec.Body)
	}
	if rec, p := w.do("POST", project+"/functions/broken/deployments", w.key["control"], `{"artefact":"`+hash+`"}`); rec.Code != 422 || p.Code != "module_failed" || p.Detail != "it threw" {
		t.Errorf("a failing deploy: %d %+v", rec.Code, p)
	}
	if rec, p := w.do("POST", project+"/functions/f/deployments", w.key["control"], `{"artefact":"abc"}`); rec.Code != 422 || p.Code != "invalid_request" {
		t.Errorf("no hash: %d %+v", rec.Code, p)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, tc := range map[string]struct {
		method string
		status int
		code   string
	}{
		"/v1/nothing": {"GET", 404, "not_found"}, "//v1/whoami": {"GET", 404, "not_found"}, "/v1/../v1/whoami": {"GET", 404, "not_found"}, "/v1/whoami": {"POST", 405, "method_not_allowed"}, "/v1": {"GET", 404, "not_found"},
		"/v1/projects/" + w.project + "/functions/none": {"GET", 404, "function_not_found"}, "/v1/projects/" + w.project + "/functions/none/logs": {"GET", 404, "function_not_found"},
	} {
		rec, p := w.do(tc.method, path, w.key["control"], "")
		if rec.Code != tc.status || p.Code != tc.code || rec.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s %s: %d %s", tc.method, path, rec.Code, rec.Body)
		}
	}
	rec, _ := w.do("GET", "/openapi.json", "", "")
	body, _ := io.ReadAll(rec.Result().Body)
	if rec.Code != 200 || !bytes.Contains(body, []byte(`"openapi":"3.1`)) || !bytes.Contains(body, []byte("createAccessKey")) {
		t.Errorf("the document: %d %.200s", rec.Code, body)
	}
}
