package deploy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/blob"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/redact"
	"postern.dev/postern/internal/secret"
	"postern.dev/postern/internal/store"
	"postern.dev/postern/internal/supervisor"
)

// shaky is a real store that loses answers: before the act or after it, and
// then, if it is away, does not say what became of it.
type shaky struct {
	*store.DB
	before, after, away bool
	between             func() // called once before a deploy is written, or always
	always              bool
	deploys             int
}

var errLost = errors.New("connection reset")

func (s *shaky) Deploy(ctx context.Context, in platform.DeployInput) (platform.DeployResult, error) {
	if s.before {
		return platform.DeployResult{}, errLost
	}
	s.deploys++
	if f := s.between; f != nil {
		if !s.always {
			s.between = nil
		}
		f()
	}
	out, err := s.DB.Deploy(ctx, in)
	if s.after {
		return platform.DeployResult{}, errLost
	}
	return out, err
}

func (s *shaky) Deployment(ctx context.Context, id string) (platform.Deployment, error) {
	if s.away {
		return platform.Deployment{}, errLost
	}
	return s.DB.Deployment(ctx, id)
}

// fleet is a supervisor that starts nothing and remembers.
type fleet struct {
	deploy.Renewer
	mu      sync.Mutex
	adopted []string
	retired []string
	enter   chan struct{} // told when an Adopt begins; may be nil
	leave   chan struct{} // an Adopt waits for it; may be nil
}

func (f *fleet) Adopt(_ context.Context, l supervisor.Launch) (platform.Declaration, error) {
	if f.enter != nil {
		f.enter <- struct{}{}
		<-f.leave
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.adopted = append(f.adopted, l.DeploymentID)
	return platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "a"}}}, nil
}

func (f *fleet) Hold(_ context.Context, _ string, do func() error) error { return do() }

func (f *fleet) Retire(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retired = append(f.retired, id)
}

// bench is a deployer over a shaky store, with a fleet, and an artefact of f.
type bench struct {
	d        *deploy.Deployer
	db       *shaky
	blobs    *blob.Store
	fleet    *fleet
	project  string
	artefact string
	run      string // where artefacts are extracted
	applied  error
	live     redact.Live
	database error        // of the function's own
	told     atomic.Int64 // how often there was news of an attempt
}

func newBench(t *testing.T) *bench {
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
	t.Cleanup(func() { blobs.Close(); db.Close() })
	box, err := secret.OpenBox(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{db: &shaky{DB: db}, blobs: blobs, fleet: &fleet{}, project: function.NewProjectID(time.Now()), run: filepath.Join(dir, "run")}
	if err := db.CreateProject(t.Context(), platform.Project{ID: b.project, CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	source := t.TempDir()
	for file, text := range map[string]string{"postern.json": `{"name":"f","runtime":"node"}`, "function.ts": `export const a = () => 1;`} {
		if err := os.WriteFile(filepath.Join(source, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := bundle.Build(t.Context(), source)
	if err == nil {
		err = blobs.Put(t.Context(), b.project, a.Hash, bytes.NewReader(a.Archive), bundle.MaxArchive)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.artefact = a.Hash
	b.d = deploy.New(deploy.Options{Store: b.db, Artefacts: blobs, Sealer: box, RunDir: b.run,
		Node:    func(context.Context) (string, error) { return os.Executable() },
		Applied: func(context.Context, int64) error { return b.applied },
		Live:    &b.live,
		Told: func(projectID, name string) {
			if projectID == b.project && name == "f" {
				b.told.Add(1)
			}
		},
		Database: func(context.Context, string) (string, error) { return "x.db", b.database }})
	b.d.Use(b.fleet)
	return b
}

func (b *bench) deploy(ctx context.Context) (deploy.Result, error) {
	return b.d.Deploy(ctx, deploy.Request{ProjectID: b.project, Name: "f", Artefact: b.artefact, Force: true})
}

// What was prepared in vain is forgotten: its files, and which values to look for.
func TestDeploy_PreparedInVain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.database = errors.New("the disk is full")
	if _, err := b.deploy(t.Context()); !errors.Is(err, b.database) {
		t.Fatal(err)
	}
	trees, err := os.ReadDir(filepath.Join(b.run, "artefacts"))
	if err != nil || len(trees) > 0 || !b.live.Set().Empty() {
		t.Errorf("left behind: %v, %v, values: %v", trees, err, !b.live.Set().Empty())
	}
	b.database = nil
	if _, err := b.deploy(t.Context()); err != nil || b.live.Set().Empty() {
		t.Errorf("behind it: %v", err)
	}
}

// Nothing was written: the new workers end, and the old deployment is left alone.
func TestRecord_RefusedEndsTheNewWorkers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	old, err := b.deploy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.db.before = true
	if _, err := b.deploy(t.Context()); !errors.Is(err, errLost) {
		t.Errorf("got %v", err)
	}
	if len(b.fleet.retired) != 1 || b.fleet.retired[0] != b.fleet.adopted[1] || b.fleet.retired[0] == old.Deployment.ID {
		t.Errorf("adopted %v, retired %v", b.fleet.adopted, b.fleet.retired)
	}
}

// A commit whose answer was lost is a deploy: its workers must not be ended.
func TestRecord_LostAnswerOfACommit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.db.after = true
	r, err := b.deploy(t.Context())
	if err != nil || r.Function.ActiveDeploymentID != r.Deployment.ID || r.Deployment.Number != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	b.db.away = true
	if _, err := b.deploy(t.Context()); !errors.Is(err, errLost) {
		t.Errorf("nobody knows what became of it: %v", err)
	}
	if len(b.fleet.retired) != 0 {
		t.Errorf("retired %v", b.fleet.retired)
	}
}

// Who goes away during the smoke test does not cut off the writing.
func TestRecord_CallerGoesAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fleet.enter, b.fleet.leave = make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := b.deploy(ctx); done <- err }()
	<-b.fleet.enter
	cancel()
	b.fleet.leave <- struct{}{}
	err := <-done
	f, lookup := b.db.Function(t.Context(), b.project, "f")
	if err != nil || lookup != nil || f.ActiveDeploymentID != b.fleet.adopted[0] || len(b.fleet.retired) != 0 {
		t.Errorf("%v; %+v, %v; retired %v", err, f, lookup, b.fleet.retired)
	}
}

// A second deploy of the function waits for the first, but no longer than its caller.
func TestDeploy_WaitsItsTurnOrGivesUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fleet.enter, b.fleet.leave = make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() { _, err := b.deploy(t.Context()); first <- err }()
	<-b.fleet.enter
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := b.deploy(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second: %v", err)
	}
	if _, err := b.d.Delete(ctx, b.project, "f"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deletion meanwhile: %v", err)
	}
	b.fleet.leave <- struct{}{}
	if err := <-first; err != nil || len(b.fleet.adopted) != 1 {
		t.Errorf("the first: %v, adopted %v", err, b.fleet.adopted)
	}
}

// What is ended ends, also while the gateway is late to hear of it.
func TestDelete_GatewayIsLate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r, err := b.deploy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.applied = context.DeadlineExceeded
	f, err := b.d.Delete(t.Context(), b.project, "f")
	if err != nil || f.ID != r.Function.ID || len(b.fleet.retired) != 1 || b.fleet.retired[0] != r.Deployment.ID {
		t.Errorf("%+v, %v; retired %v", f, err, b.fleet.retired)
	}
	if _, err := b.d.Delete(t.Context(), b.project, "f"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("again: %v", err)
	}
}

func TestDeploy_GatewayIsLate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.applied = context.DeadlineExceeded
	r, err := b.deploy(t.Context())
	if err != nil || len(r.Warnings) != 1 || len(b.fleet.retired) != 0 {
		t.Errorf("%v, %v; retired %v", r.Warnings, err, b.fleet.retired)
	}
}

// Bytes that are no artefact start nothing, whatever their hash is.
func TestDeploy_BadArchives(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	good, err := b.blobs.Read(t.Context(), b.project, b.artefact)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty":          {},
		"text":           []byte("not an archive"),
		"empty zip":      append([]byte("PK\x05\x06"), make([]byte, 18)...),
		"cut off":        good[:len(good)/2],
		"without an end": good[:len(good)-1],
		"byte changed":   append(append([]byte{}, good[:60]...), append([]byte{good[60] ^ 0xff}, good[61:]...)...),
	} {
		sum := sha256.Sum256(data)
		hash := hex.EncodeToString(sum[:])
		if err := b.blobs.Put(t.Context(), b.project, hash, bytes.NewReader(data), bundle.MaxArchive); err != nil {
			t.Fatal(err)
		}
		_, err := b.d.Deploy(t.Context(), deploy.Request{ProjectID: b.project, Name: "f", Artefact: hash})
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Invalid || f.Code != "artefact_invalid" && f.Code != "manifest_invalid" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.db.Function(t.Context(), b.project, "f"); fault.KindOf(err) != fault.NotFound || len(b.fleet.adopted) != 0 {
		t.Errorf("%v; adopted %v", err, b.fleet.adopted)
	}
}
