package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/blob"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/secret"
	"postern.dev/postern/internal/store"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/worker"
)

// world deploys into a real store with real workers.
type world struct {
	t       *testing.T
	db      *store.DB
	blobs   *blob.Store
	d       *deploy.Deployer
	s       *supervisor.Supervisor
	project string
	mu      sync.Mutex
	lines   []string
	nodeErr error
	node    string // instead of the one that is found
	vault   *secret.Vault
	applied func() // when a change has to be; may be nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, project: function.NewProjectID(time.Now())}
	var err error
	if w.db, err = store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "p.db")); err != nil {
		t.Fatal(err)
	}
	if err := w.db.CreateProject(t.Context(), platform.Project{ID: w.project, CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if w.blobs, err = blob.Open(filepath.Join(dir, "artefacts")); err != nil {
		t.Fatal(err)
	}
	box, err := secret.OpenBox(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := secret.OpenKeeper(t.Context(), box, "")
	if err != nil {
		t.Fatal(err)
	}
	w.vault = secret.NewVault(secret.VaultOptions{Store: w.db, Keeper: keeper})
	w.d = deploy.New(deploy.Options{Store: w.db, Artefacts: w.blobs, Sealer: box, Secrets: w.vault, RunDir: filepath.Join(dir, "run"), InstanceID: "test",
		Node: func(ctx context.Context) (string, error) {
			if w.nodeErr != nil {
				return "", w.nodeErr
			}
			if w.node != "" {
				return w.node, nil
			}
			return worker.FindNode(ctx, "")
		},
		Applied: func(context.Context, int64) error {
			if w.applied != nil {
				w.applied()
			}
			return nil
		},
		Log: func(_, _ string, l worker.Line) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.lines = append(w.lines, l.Text)
		}})
	w.s = supervisor.New(supervisor.Options{Workers: 1, IdleTimeout: time.Hour}, w.d)
	w.d.Use(w.s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done; w.blobs.Close(); w.db.Close() })
	return w
}

// build bundles and uploads a module.
func (w *world) build(name, source, more string) string {
	w.t.Helper()
	dir := w.t.TempDir()
	for file, text := range map[string]string{"postern.json": fmt.Sprintf(`{"name":%q,"runtime":"node"%s}`, name, more), "function.ts": source} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	a, err := bundle.Build(w.t.Context(), dir)
	if err == nil {
		err = w.blobs.Put(w.t.Context(), w.project, a.Hash, bytes.NewReader(a.Archive), bundle.MaxArchive)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return a.Hash
}

func (w *world) invoke(deploymentID, handler string) string {
	w.t.Helper()
	lease, err := w.s.Acquire(w.t.Context(), deploymentID)
	if err != nil {
		w.t.Fatal(err)
	}
	defer lease.Release()
	res, err := lease.Do(w.t.Context(), &worker.Request{ID: "r", Method: "GET", Handler: handler, Path: "/" + handler})
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Close()
	body, _ := res.Whole()
	return string(body)
}

// How handlers are called is recorded, and the same at each later start.
func TestDeploy_Style(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const source = `export const handler = (a, b) => ({ statusCode: 200, body: typeof a.httpMethod + typeof a.rawPath + typeof b.httpMethod + typeof b.path });`
	for i, tc := range []struct {
		more, says string
		style      platform.Style
		routes     int
	}{
		{``, "stringundefinedundefinedundefined", platform.StyleEvent, 1},
		{`,"eventFormat":"v2"`, "undefinedstringundefinedundefined", platform.StyleEvent, 1},
		{`,"style":"context"`, "undefinedundefinedundefinedstring", platform.StyleContext, 0},
		{`,"style":"event","routes":[{"path":"/a","handler":"handler"},{"path":"/b","handler":"handler"}]`, "stringundefinedundefinedundefined", platform.StyleEvent, 2},
	} {
		name := fmt.Sprintf("f%d", i)
		r, err := w.d.Deploy(t.Context(), deploy.Request{ProjectID: w.project, Name: name, Artefact: w.build(name, source, tc.more)})
		if err != nil {
			t.Fatal(err)
		}
		d, err := w.db.Deployment(t.Context(), r.Deployment.ID)
		if err != nil || d.Declaration.Style != tc.style || len(d.Handlers[0].Routes) != tc.routes {
			t.Errorf("%s: recorded %+v, %v", tc.more, d, err)
		}
		if said := w.invoke(d.ID, "handler"); said != tc.says {
			t.Errorf("%s: %s", tc.more, said)
		}
		l, err := w.d.Launch(t.Context(), d.ID)
		if err != nil || l.Expect.Style != tc.style {
			t.Errorf("%s: a later start expects %+v, %v", tc.more, l.Expect, err)
		}
		again, err := worker.Start(t.Context(), l.Spec)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { again.Kill("the test is over"); <-again.Done() })
		if !again.Declaration().Equal(d.Declaration) {
			t.Errorf("%s: a later worker declares %+v", tc.more, again.Declaration())
		}
	}
}

const environment = `export const auth = ['env']; export const env = () => process.env; export const open = () => 1;`

func TestDeploy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hash := w.build("f", environment, `,"variables":{"GREETING":"hi","NODE_DEBUG":""}`)
	r, err := w.d.Deploy(t.Context(), deploy.Request{ProjectID: w.project, Name: "f", Artefact: hash})
	if err != nil {
		t.Fatal(err)
	}
	if r.Deployment.Number != 1 || r.Reused || len(r.Deployment.Handlers) != 2 || r.Deployment.Handlers[0].Guard != platform.GuardKey || r.Deployment.Handlers[1].Guard != platform.GuardOpen {
		t.Errorf("%+v", r)
	}
	// A worker's environment is built from nothing, and holds the function's own key.
	env := w.invoke(r.Deployment.ID, "env")
	k, err := w.db.KeyByID(t.Context(), r.Deployment.KeyID)
	if err != nil || k.FunctionID != r.Function.ID || !slices.Equal(k.Scopes, []platform.Scope{platform.ScopeInvoke}) {
		t.Errorf("the function's key: %+v, %v", k, err)
	}
	for _, want := range []string{`"GREETING":"hi"`, `"NODE_ENV":"production"`, `"PROJECT_ID":"` + w.project, `"PROJECT_ID_API_KEY":"` + k.ID, `"PROJECT_ID_API_SECRET":"psk_`, `"POSTERN_INSTANCE":"test"`} {
		if !strings.Contains(env, want) {
			t.Errorf("the environment has no %s: %s", want, env)
		}
	}
	if home := os.Getenv("HOME"); strings.Contains(env, `"HOME":"`+home+`"`) || strings.Contains(env, "GOPATH") || strings.Contains(env, "POSTERN_WORKER_FD") {
		t.Errorf("the server's environment is seen: %s", env)
	}
	again, err := w.d.Deploy(t.Context(), deploy.Request{ProjectID: w.project, Name: "f", Artefact: hash})
	if err != nil || !again.Reused || again.Deployment.ID != r.Deployment.ID {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	forced, err := w.d.Deploy(t.Context(), deploy.Request{ProjectID: w.project, Name: "f", Artefact: hash, Force: true})
	if err != nil || forced.Reused || forced.Deployment.Number != 2 || forced.Deployment.KeyID == r.Deployment.KeyID {
		t.Errorf("forced: %+v, %v", forced, err)
	}
	// A restart: another supervisor launches what was recorded.
	l, err := w.d.Launch(t.Context(), forced.Deployment.ID)
	if err != nil || len(l.Expect.Handlers) != 2 || !slices.ContainsFunc(l.Spec.Env, func(e string) bool { return strings.HasPrefix(e, "PROJECT_ID_API_SECRET=psk_") }) {
		t.Errorf("launch: %+v, %v", l, err)
	}
	if _, err := w.d.Delete(t.Context(), w.project, "f"); err != nil {
		t.Error(err)
	}
	if _, err := w.d.Launch(t.Context(), forced.Deployment.ID); !errors.Is(err, supervisor.ErrRetired) {
		t.Errorf("launch after delete: %v", err)
	}
}

// A deploy that fails leaves everything as it was: traffic, keys, processes.
func TestDeploy_FailureLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good, err := w.d.Deploy(t.Context(), deploy.Request{ProjectID: w.project, Name: "f", Artefact: w.build("f", environment, "")})
	if err != nil {
		t.Fatal(err)
	}
	changes, _ := w.db.Changes(t.Context(), 0, 100)
	for name, tc := range map[string]struct{ artefact, code, text string }{
		"throws":          {w.build("f", `console.error('connecting'); throw new Error('no DATABASE_URL');`, ""), "module_failed", "no DATABASE_URL"},
		"exits":           {w.build("f", `console.log('bye'); process.reallyExit(7);`, ""), "smoke_test_failed", "code 7"},
		"no handler":      {w.build("f", `export const a = 1;`, ""), "no_handlers", "no function"},
		"auth malformed":  {w.build("f", `export const auth = true; export const a = () => 1;`, ""), "auth_malformed", "'*'"},
		"auth misspelt":   {w.build("f", `export const auth = ['webhok']; export const webhook = () => 1;`, ""), "auth_unknown_handler", "webhok"},
		"option misspelt": {w.build("f", `export const webhook = () => 1;`, `,"handlers":{"webhok":{"body":"stream"}}`), "manifest_invalid", "webhok"},
		"other function":  {w.build("g", environment, ""), "artefact_invalid", `"g"`},
		"not uploaded":    {strings.Repeat("0", 64), "artefact_missing", ""},
		"no hash":         {"../x", "artefact_invalid", ""},
	} {
		_, err := w.d.Deploy(t.Context(), deploy.Request{ProjectID: w.project, Name: "f", Artefact: tc.artefact})
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Code != tc.code || !strings.Contains(f.Text, tc.text) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "throws" && (!strings.Contains(f.Text, "function.ts:1:") || strings.Contains(f.Text, "worker.mjs") || strings.Contains(f.Text, "/artefacts/")) {
			t.Errorf("the stack is not the developer's own: %s", f.Text)
		}
	}
	if _, err := w.d.Deploy(t.Context(), deploy.Request{ProjectID: w.project, Name: "never", Artefact: w.build("never", `throw 1;`, "")}); err == nil {
		t.Error("a first deploy that throws succeeds")
	}
	if _, err := w.db.Function(t.Context(), w.project, "never"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a function whose first deploy failed is there: %v", err)
	}
	after, _ := w.db.Changes(t.Context(), 0, 100)
	if f, err := w.db.Function(t.Context(), w.project, "f"); err != nil || f.ActiveDeploymentID != good.Deployment.ID || len(after) != len(changes) {
		t.Errorf("active %v, %v; %d changes, were %d", f.ActiveDeploymentID, err, len(after), len(changes))
	}
	if w.invoke(good.Deployment.ID, "open") != "1" {
		t.Error("the old deployment does not answer")
	}
}

func TestDeploy_TwoAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	for i := range 4 {
		hash := w.build("f", fmt.Sprintf(`export const a = () => %d;`, i), "")
		wg.Go(func() {
			if _, err := w.d.Deploy(t.Context(), deploy.Request{ProjectID: w.project, Name: "f", Artefact: hash}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	f, err := w.db.Function(t.Context(), w.project, "f")
	if err != nil {
		t.Fatal(err)
	}
	ds, err := w.db.Deployments(t.Context(), f.ID, 10)
	if err != nil || len(ds) != 4 || ds[0].Number != 4 || ds[0].ID != f.ActiveDeploymentID {
		t.Errorf("%d deployments, %v", len(ds), err)
	}
}

func TestDeploy_NodeMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, w.nodeErr = worker.FindNode(t.Context(), "/nonexistent/node")
	_, err := w.d.Deploy(t.Context(), deploy.Request{ProjectID: w.project, Name: "f", Artefact: w.build("f", environment, "")})
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != "node_missing" || f.Kind != fault.Unavailable {
		t.Errorf("%v", err)
	}
	w.nodeErr = nil
	if _, err := w.d.Deploy(t.Context(), deploy.Request{ProjectID: w.project, Name: "f", Artefact: w.build("f", environment, "")}); err != nil {
		t.Errorf("after Node was installed: %v", err)
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Error(err)
	}
}

// Node that was found and then removed is the server's trouble, not the
// function's, and is looked for again.
func TestDeploy_NodeGoesAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	real, err := worker.FindNode(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(t.TempDir(), "node")
	w.node = node
	for i, step := range []func() error{func() error { return os.Symlink(real, node) }, func() error { return os.Remove(node) }, func() error { return os.Symlink(real, node) }} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
		_, err := w.d.Deploy(t.Context(), deploy.Request{ProjectID: w.project, Name: "f", Artefact: w.build("f", environment, ""), Force: true})
		f, ok := errors.AsType[*fault.Error](err)
		if gone := i == 1; gone != (err != nil) || gone && (!ok || f.Code != "node_missing" || f.Kind != fault.Unavailable) {
			t.Errorf("step %d: %v", i, err)
		}
	}
}
