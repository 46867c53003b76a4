package admin_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
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
	"postern.dev/postern/internal/account"
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
	"postern.dev/postern/internal/token"
)

// world is the API over a real store and real artefacts; what deploys is a
// fake that counts.
type world struct {
	handler   http.Handler
	openAPI   *huma.OpenAPI
	db        *store.DB
	data      string
	project   string
	elsewhere string            // another project
	key       map[string]string // name → secret
	id        map[string]string // name → ID
	log       *lockedBuffer
	signing   token.SigningKey
	mu        sync.Mutex
	acts      []string
	dir       *auth.Directory
	late      error // why the gateway does not apply changes
	change    error // why secrets are not changed
	attempts  map[string]map[string]deploy.Attempt
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

func (w *world) Deploy(_ context.Context, in deploy.Request) (deploy.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acts = append(w.acts, "deploy "+in.Name)
	if in.Name == "panics" {
		panic("as a programmer's mistake does")
	}
	if in.Name == "no-node" {
		return deploy.Result{}, fault.New(fault.Unavailable, "there is no Node").WithCode("node_missing")
	}
	if in.Name == "broken" {
		return deploy.Result{}, fault.New(fault.Invalid, "it threw").WithCode("module_failed")
	}
	f := platform.Function{ID: function.NewFunctionID(time.Now()), ProjectID: in.ProjectID, Name: in.Name, Slug: in.Name}
	return deploy.Result{Function: f, Deployment: platform.Deployment{ID: "dep_1", Number: 1, Artefact: in.Artefact, Handlers: []platform.Handler{{Name: "a"}}}}, nil
}

// Start implements admin.Deployer: what is not waited for is done at once.
func (w *world) Start(ctx context.Context, in deploy.Request, done func(deploy.Result, error)) error {
	done(w.Deploy(ctx, in))
	return nil
}

// Attempts implements admin.Deployer.
func (w *world) Attempts(projectID string) map[string]deploy.Attempt { return w.attempts[projectID] }

func (w *world) ChangeSecrets(_ context.Context, in deploy.SecretsRequest) (deploy.SecretsResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acts = append(w.acts, "secrets "+in.Name)
	return deploy.SecretsResult{Restarted: []string{in.Name}}, w.change
}

func (w *world) RotateKeys(context.Context, string) (int, int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acts = append(w.acts, "rotate")
	return 2, 0, nil
}

func (w *world) Delete(_ context.Context, projectID, name string) (platform.Function, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acts = append(w.acts, "delete "+name)
	return platform.Function{}, fault.New(fault.NotFound, "there is no such function").WithCode("function_not_found")
}

func newWorld(t *testing.T, change ...func(*admin.Options)) *world {
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
	uploads, err := blob.OpenParts(filepath.Join(dir, "uploads"), blobs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { logs.Close(); blobs.Close(); db.Close() })
	w := &world{db: db, data: dir, project: function.NewProjectID(time.Now()), key: map[string]string{}, id: map[string]string{}, log: &lockedBuffer{}}
	if w.signing, err = token.NewSigningKey(token.EdDSA, time.Now()); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"control", "invoke", "admin", "expired", "elsewhere"} {
		s := accesskey.NewSecret()
		k := platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: w.project, DisplayName: name, SecretHash: s.Hash(), CreatedAt: time.Now(), Scopes: []platform.Scope{platform.ScopeControl}}
		switch name {
		case "invoke":
			k.Scopes = []platform.Scope{platform.ScopeInvoke}
		case "admin":
			k.Scopes = []platform.Scope{platform.ScopeInvoke, platform.ScopeControl}
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
		w.key[name], w.id[name] = s.Reveal(), k.ID
	}
	w.load(t)
	o := admin.Options{Version: "test", Auth: auth.NewAuthenticator("http://control"), Issuer: "http://control", Store: db, Deployer: w, Artefacts: blobs, Uploads: uploads, Logs: logs,
		Directory: func() *auth.Directory { w.mu.Lock(); defer w.mu.Unlock(); return w.dir },
		Applied: func(context.Context, int64) error {
			if w.late != nil {
				return w.late
			}
			w.load(t)
			return nil
		},
		Status:    func(string) supervisor.Status { return supervisor.Status{State: "idle"} },
		URLs:      func(slug string) []string { return []string{"http://gw/fn/" + slug} },
		BasicRate: 1_000_000, BasicBurst: 1_000_000,
		Log: slog.New(slog.NewJSONHandler(w.log, nil))}
	for _, c := range change {
		c(&o)
	}
	o.Accounts = account.New(account.Options{Store: db, Directory: o.Directory})
	w.handler, w.openAPI = admin.New(o)
	return w
}

func (w *world) load(t *testing.T) {
	b := auth.NewBuilder()
	if _, err := w.db.Load(t.Context(), func(k platform.AccessKey) error { b.Add(k); return nil }, func(platform.Function, platform.Deployment) error { return nil }); err != nil {
		t.Error(err)
	}
	public, err := x509.MarshalPKIXPublicKey(w.signing.Public().Key)
	if err != nil {
		t.Error(err)
	}
	dir, err := b.Directory().WithSigning([]platform.SigningKey{{KID: w.signing.KID(), Algorithm: string(w.signing.Algorithm()), Public: public}})
	if err != nil {
		t.Error(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dir = dir
}

// token is an access token of a key for some of its scopes.
func (w *world) token(t *testing.T, keyID, scope string) string {
	t.Helper()
	now := time.Now()
	raw, err := token.Sign(w.signing, token.Claims{Issuer: "http://control", Subject: keyID, ClientID: keyID, ID: accesskey.NewID(now), ProjectID: w.project, Generation: 1,
		Audience: []string{"http://control"}, Scope: scope, IssuedAt: now, ExpiresAt: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (w *world) do(method, path, secret, body string) (*httptest.ResponseRecorder, httpx.Problem) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	switch {
	case strings.HasPrefix(secret, "eyJ"): // a token
		r.Header.Set("Authorization", "Bearer "+secret)
	case secret != "":
		r.Header.Set("X-API-Key", secret)
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec, told(rec)
}

// told is the problem of an answer, in whichever shape it came.
func told(rec *httptest.ResponseRecorder) (p httpx.Problem) {
	var body struct {
		httpx.Problem
		Error struct {
			Code    int
			Message string
			Details []struct {
				Reason   string
				Metadata struct{ Hint, RequestID string }
			}
		}
	}
	json.Unmarshal(rec.Body.Bytes(), &body)
	if e := body.Error; len(e.Details) == 1 {
		return httpx.Problem{Status: e.Code, Code: e.Details[0].Reason, Detail: e.Message, Hint: e.Details[0].Metadata.Hint, RequestID: e.Details[0].Metadata.RequestID}
	}
	return body.Problem
}

// Every operation that the document has is refused to whoever may not: a new
// one cannot be forgotten here.
func TestEveryOperation_IsGuarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sub := w.subproject(t, w.project)
	fill := strings.NewReplacer("{projectId}", w.project, "{subprojectId}", sub, "{name}", "f", "{accessKeyId}", accesskey.NewID(time.Now()), "{userId}", "usr"+accesskey.NewID(time.Now())[3:], "{hash}", strings.Repeat("a", 64))
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
			if strings.Contains(path, "{subprojectId}") { // a foreign one and none are alike as well, and not found
				rec, p := w.do(method, fill.Replace(path), w.key["elsewhere"], "")
				none, q := w.do(method, strings.ReplaceAll(fill.Replace(path), sub, "prj_none"), w.key["elsewhere"], "")
				if rec.Code != 404 || none.Code != 404 || p.Code != q.Code || p.Detail != q.Detail {
					t.Errorf("%s %s: a foreign subproject %d %s, one that is none %d %s", method, path, rec.Code, p.Detail, none.Code, q.Detail)
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
	if n < 19 {
		t.Errorf("only %d operations found", n)
	}
	if len(w.acts) != 0 {
		t.Errorf("a refused call did something: %v", w.acts)
	}
	if ks, _ := w.db.Keys(t.Context(), w.project, "", 100, true); len(ks) != 4 {
		t.Errorf("a refused call made a key: %d", len(ks))
	}
	if p, err := w.db.Project(t.Context(), sub); err != nil || p.Name != "sub" {
		t.Errorf("a refused call changed a project: %+v, %v", p, err)
	}
	for _, s := range w.key {
		if strings.Contains(w.log.String(), s) {
			t.Error("a secret is in the log")
		}
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
	}{"other bytes": {hash, "other", 400}, "no hash": {"../../x", data, 404}, "upper case": {strings.ToUpper(hash), data, 422}, "too large": {hash, strings.Repeat("x", bundle.MaxArchive+1), 413}, "much too large": {hash, strings.Repeat("x", bundle.MaxArchive+1<<20), 413}} {
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
	// A path with encoded dots finds an operation, which must not run unseen.
	for path, method := range map[string]string{"/functions/%2e%2e": "DELETE", "/functions/a%2f..%2fb": "DELETE", "/functions/%2e/deployments": "POST"} {
		rec, p := w.do(method, "/v1/projects/"+w.project+path, w.key["control"], `{"artefact":"`+strings.Repeat("a", 64)+`"}`)
		if rec.Code != 404 || p.Code != "not_found" || len(w.acts) != 0 {
			t.Errorf("%s: %d %s, and did %v", path, rec.Code, rec.Body, w.acts)
		}
	}
	rec, _ := w.do("GET", "/openapi.json", "", "")
	body, _ := io.ReadAll(rec.Result().Body)
	if rec.Code != 200 || !bytes.Contains(body, []byte(`"openapi":"3.1`)) || !bytes.Contains(body, []byte("createAccessKey")) {
		t.Errorf("the document: %d %.200s", rec.Code, body)
	}
}
