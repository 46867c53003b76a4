package secret_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/secret"
	"postern.dev/postern/internal/store"
)

// world is a store with two projects that have a function f each, and one g.
type world struct {
	*testing.T
	db   *store.DB
	path string
	box  *secret.Box
	dir  string
	deps map[string]platform.Deployment // "a/f", "a/g", "b/f"
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{T: t, dir: dir, path: filepath.Join(dir, "p.db"), deps: map[string]platform.Deployment{}}
	var err error
	if w.db, err = store.Open(t.Context(), "sqlite:"+w.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	if w.box, err = secret.OpenBox(filepath.Join(dir, "sealing.key")); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, name := range []string{"a/f", "a/g", "b/f"} {
		project, f, _ := strings.Cut(name, "/")
		id := w.deps["a/f"].ProjectID
		if project == "b" || id == "" {
			id = function.NewProjectID(now)
			if err := w.db.CreateProject(t.Context(), platform.Project{ID: id, Name: project, CreatedAt: now}); err != nil {
				t.Fatal(err)
			}
		}
		w.deps[name] = w.deploy(id, f)
	}
	return w
}

func (w *world) deploy(projectID, name string) platform.Deployment {
	w.Helper()
	now := time.Now()
	f := platform.Function{ID: function.NewFunctionID(now), ProjectID: projectID, Name: name}
	k := platform.AccessKey{ID: accesskey.NewID(now), ProjectID: projectID, DisplayName: "function:" + name, SecretHash: accesskey.NewSecret().Hash(), FunctionID: f.ID, CreatedAt: now}
	d := platform.Deployment{ID: function.NewDeploymentID(now), FunctionID: f.ID, ProjectID: projectID, Artefact: "aa", Runtime: "node", KeyID: k.ID, CreatedAt: now}
	out, err := w.db.Deploy(w.Context(), platform.DeployInput{Function: f, Deployment: d, Key: k})
	if err != nil {
		w.Fatal(err)
	}
	return out.Deployment
}

func (w *world) keeper(url string) *secret.Keeper {
	w.Helper()
	k, err := secret.OpenKeeper(w.Context(), w.box, url)
	if err != nil {
		w.Fatal(err)
	}
	return k
}

func (w *world) vault(url, before string) *secret.Vault {
	w.Helper()
	o := secret.VaultOptions{Store: w.db, Keeper: w.keeper(url), Log: slog.New(slog.DiscardHandler)}
	if before != "none" {
		o.Before = w.keeper(before)
	}
	return secret.NewVault(o)
}

func (w *world) set(v *secret.Vault, owner string, set secret.Values, remove ...string) platform.SecretInput {
	w.Helper()
	in, err := v.Draft(w.Context(), owner, set, remove, "pak_1", time.Now())
	if err == nil {
		_, err = w.db.ChangeSecrets(w.Context(), in)
	}
	if err != nil {
		w.Fatal(err)
	}
	return in
}

// has fails unless the deployment gets exactly these values.
func (w *world) has(v *secret.Vault, d platform.Deployment, want map[string]string) secret.Opened {
	w.Helper()
	got, err := v.Open(w.Context(), d)
	if err != nil || fmt.Sprint(map[string]string(got.Values)) != fmt.Sprint(want) {
		w.Errorf("it gets %v, %v, want %v", map[string]string(got.Values), err, want)
	}
	return got
}

func wantCode(t *testing.T, err error, kind fault.Kind, code string) {
	t.Helper()
	if e, ok := errors.AsType[*fault.Error](err); !ok || e.Kind != kind || e.Code != code {
		t.Errorf("%v, want %v %s", err, kind, code)
	}
}

// What each function gets: its own, and of what its project shares what it
// declares; never anything of another function or another project.
func TestVault_WhoGetsWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.vault("", "none")
	af, ag, bf := w.deps["a/f"], w.deps["a/g"], w.deps["b/f"]
	w.has(v, af, nil)
	w.set(v, af.FunctionID, secret.Values{"KEY": "of a/f", "ONLY": "a/f's own"})
	w.set(v, bf.FunctionID, secret.Values{"KEY": "of b/f"})
	w.set(v, af.ProjectID, secret.Values{"KEY": "shared in a", "TEAM": "shared in a, too"})
	w.has(v, af, map[string]string{"KEY": "of a/f", "ONLY": "a/f's own"})
	w.has(v, ag, map[string]string{})
	w.has(v, bf, map[string]string{"KEY": "of b/f"})
	for _, d := range []*platform.Deployment{&af, &ag, &bf} {
		d.SecretNames = []string{"KEY", "TEAM", "ONLY"}
	}
	before := w.has(v, af, map[string]string{"KEY": "of a/f", "ONLY": "a/f's own", "TEAM": "shared in a, too"})
	w.has(v, ag, map[string]string{"KEY": "shared in a", "TEAM": "shared in a, too"})
	w.has(v, bf, map[string]string{"KEY": "of b/f"})
	w.set(v, af.FunctionID, nil, "KEY")
	after := w.has(v, af, map[string]string{"KEY": "shared in a", "ONLY": "a/f's own", "TEAM": "shared in a, too"})
	if before.Version == after.Version || strings.Contains(before.Version, "shared in a") {
		t.Errorf("versions %q and %q", before.Version, after.Version)
	}
	// The gateway's memory says the same, once it was told.
	for _, d := range []platform.Deployment{af, ag, bf} {
		if got, err := v.Secret(d, "KEY"); got != "" || err != nil {
			t.Errorf("before it was told: %q, %v", got, err)
		}
	}
	if err := v.Refresh(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	for d, want := range map[*platform.Deployment]string{&af: "shared in a", &ag: "shared in a", &bf: "of b/f"} {
		if got, err := v.Secret(*d, "KEY"); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	w.set(v, bf.FunctionID, nil, "KEY")
	if err := v.Refresh(t.Context(), bf.FunctionID); err != nil {
		t.Fatal(err)
	}
	if got, _ := v.Secret(bf, "KEY"); got != "" {
		t.Errorf("after it was removed: %q", got)
	}
	if got, _ := v.Secret(platform.Deployment{}, "KEY"); got != "" {
		t.Errorf("what is no function gets %q", got)
	}
}

// A change can be looked at before it is written, and is refused when it was
// made for what is not there any more.
func TestVault_Draft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.vault("", "none")
	d := w.deps["a/f"]
	draft, err := v.Draft(t.Context(), d.FunctionID, secret.Values{"A": "1"}, nil, "pak_1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := v.Open(t.Context(), d, draft)
	if err != nil || opened.Values["A"] != "1" {
		t.Errorf("%v, %v", map[string]string(opened.Values), err)
	}
	w.has(v, d, nil) // nothing was written
	w.set(v, d.FunctionID, secret.Values{"A": "faster"})
	_, err = v.Open(t.Context(), d, draft)
	wantCode(t, err, fault.Conflict, "secrets_raced")
	_, err = w.db.ChangeSecrets(t.Context(), draft)
	wantCode(t, err, fault.Conflict, "secrets_raced")
	next, err := v.Draft(t.Context(), d.FunctionID, secret.Values{"A": "2"}, []string{"NONE"}, "pak_1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	opened, err = v.Open(t.Context(), d, next)
	if w.set(v, d.FunctionID, secret.Values{"A": "2"}); err != nil || w.has(v, d, map[string]string{"A": "2"}).Version != opened.Version {
		t.Errorf("the version that was foretold is %q, %v", opened.Version, err)
	}
	if in, err := v.Draft(t.Context(), w.deps["b/f"].FunctionID, nil, []string{"A"}, "", time.Now()); err != nil || in.Changes() || in.Key.ID != "" {
		t.Errorf("to remove from who has nothing: %+v, %v", in, err)
	}
}

// A sealed value opens where it lies and nowhere else: not as another secret,
// another version, another function's, or under another data key.
func TestVault_RefusesWhatWasMoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.vault("", "none")
	f, g := w.deps["a/f"], w.deps["a/g"]
	w.set(v, f.FunctionID, secret.Values{"A": "value of a", "B": "value of b"})
	w.set(v, g.FunctionID, secret.Values{"A": "value of g"})
	all, err := w.db.SealedSecrets(t.Context(), f.FunctionID, g.FunctionID)
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	of := map[string]platform.SealedSecrets{all[0].Key.OwnerID: all[0], all[1].Key.OwnerID: all[1]}
	a := of[f.FunctionID].Secrets[0]
	move := func(k platform.DataKey, s platform.SealedSecret) { // past the database, as one with a hand in it would
		t.Helper()
		moved := secret.NewVault(secret.VaultOptions{Store: fixed{s: platform.SealedSecrets{Key: k, Secrets: []platform.SealedSecret{s}}}, Keeper: w.keeper("")})
		d := platform.Deployment{FunctionID: k.OwnerID}
		if got, err := moved.Open(t.Context(), d); err == nil || len(got.Values) > 0 || strings.Contains(err.Error(), "value of") {
			t.Errorf("opened %v, %v", map[string]string(got.Values), err)
		}
	}
	k, other := of[f.FunctionID].Key, of[g.FunctionID].Key
	name, version, owner, altered, asOther := a, a, a, a, other
	name.Name, version.Version, owner.OwnerID = "B", 2, g.FunctionID
	altered.Sealed = bytes.Clone(a.Sealed)
	altered.Sealed[len(altered.Sealed)-1] ^= 1
	asOther.OwnerID = f.FunctionID // the data key of one, in the place of another's
	move(k, name)
	move(k, version)
	move(k, altered)
	move(other, owner)
	move(asOther, a)
	id := k
	id.ID = "dk_other"
	move(id, a)
}

// fixed is a store that has one thing.
type fixed struct {
	secret.DataKeys
	s platform.SealedSecrets
}

func (f fixed) SealedSecrets(context.Context, ...string) ([]platform.SealedSecrets, error) {
	return []platform.SealedSecrets{f.s}, nil
}
