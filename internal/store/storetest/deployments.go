package storetest

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

func testDeploy(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	in := deployInput(p.ID, "", "orders", "")
	first, err := db.Deploy(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if first.Function.Slug != "orders" || first.Deployment.Number != 1 || first.Function.ActiveDeploymentID != in.Deployment.ID {
		t.Errorf("first deploy: %+v", first)
	}
	in.Deployment.Number, in.Deployment.ActiveAt = 1, at
	f, d, err := db.ActiveFunction(t.Context(), first.Function.ID)
	if err != nil || f.Name != "orders" {
		t.Fatal(f, err)
	}
	if diff := cmp.Diff(in.Deployment, d, cmpopts.EquateApproxTime(0)); diff != "" {
		t.Error("deployment read back differs: ", diff)
	}
	second := deployInput(p.ID, f.ID, "orders", in.Deployment.ID)
	out, err := db.Deploy(t.Context(), second)
	if err != nil || out.Deployment.Number != 2 {
		t.Fatal(out, err)
	}
	if k, _ := db.KeyByID(t.Context(), in.Key.ID); !k.ExpiresAt.Equal(at.Add(time.Minute)) {
		t.Errorf("the earlier key expires at %v", k.ExpiresAt)
	}
	if k, _ := db.KeyByID(t.Context(), second.Key.ID); !k.ExpiresAt.IsZero() {
		t.Error("the new key expires")
	}
	ds, err := db.Deployments(t.Context(), f.ID, 10)
	if err != nil || len(ds) != 2 || ds[0].Number != 2 {
		t.Errorf("Deployments: %v, %v", ds, err)
	}
	if keys, _ := db.Keys(t.Context(), p.ID, "", 100, false); len(keys) != 1 {
		t.Errorf("the list for people shows %d keys, want 1", len(keys))
	}
	if keys, _ := db.Keys(t.Context(), p.ID, "", 100, true); len(keys) != 3 {
		t.Errorf("the whole list shows %d keys, want those of both deployments too", len(keys))
	}
}

func testDeployRaced(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	first, err := db.Deploy(t.Context(), deployInput(p.ID, "", "f", ""))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := db.Changes(t.Context(), 0, 100)
	var wg sync.WaitGroup
	errs := make(chan error, 6)
	for range 6 {
		wg.Go(func() {
			_, err := db.Deploy(t.Context(), deployInput(p.ID, first.Function.ID, "f", first.Deployment.ID))
			errs <- err
		})
	}
	wg.Wait()
	n := won(t, errs, "deploy_raced")
	_, err = db.Deploy(t.Context(), deployInput(p.ID, "", "f", "")) // believes the function to be new
	want(t, err, fault.Conflict, "deploy_raced")
	ds, _ := db.Deployments(t.Context(), first.Function.ID, 10)
	after, _ := db.Changes(t.Context(), 0, 100)
	if n != 1 || len(ds) != 2 || len(after)-len(before) != 3 {
		t.Errorf("%d of the racing deploys won, %d deployments, %d changes", n, len(ds), len(after)-len(before))
	}
}

func testDelete(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	in := deployInput(p.ID, "", "f", "")
	out, err := db.Deploy(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = db.DeleteFunction(t.Context(), "prj_other", "f", at)
	want(t, err, fault.NotFound, "function_not_found")
	f, seq, err := db.DeleteFunction(t.Context(), p.ID, "f", at)
	if err != nil || f.ID != out.Function.ID || seq == 0 {
		t.Fatal(f, seq, err)
	}
	_, _, err = db.DeleteFunction(t.Context(), p.ID, "f", at)
	want(t, err, fault.NotFound, "function_not_found")
	if _, err := db.Deployment(t.Context(), in.Deployment.ID); fault.KindOf(err) != fault.NotFound {
		t.Errorf("its deployment is still there: %v", err)
	}
	if k, _ := db.KeyByID(t.Context(), in.Key.ID); k.RevokedAt.IsZero() {
		t.Error("its key still lives")
	}
	if _, functions := load(t, db); len(functions) != 0 {
		t.Errorf("Load brings %v", functions)
	}
	if again, err := db.Deploy(t.Context(), deployInput(p.ID, "", "f", "")); err != nil || again.Deployment.Number != 1 || again.Function.Slug != "f" {
		t.Errorf("deploy after delete: %+v, %v", again, err)
	}
}

func testTenancy(t *testing.T, db *store.DB) {
	a := newProject(t, db)
	b := platform.Project{ID: function.NewProjectID(at), Name: "b", CreatedAt: at}
	if err := db.CreateProject(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	one, err := db.Deploy(t.Context(), deployInput(a.ID, "", "f", ""))
	if err != nil {
		t.Fatal(err)
	}
	two, err := db.Deploy(t.Context(), deployInput(b.ID, "", "f", ""))
	if err != nil {
		t.Fatal(err)
	}
	if one.Function.Slug != "f" || two.Function.Slug == "f" || two.Function.ID == one.Function.ID {
		t.Errorf("slugs %q and %q", one.Function.Slug, two.Function.Slug)
	}
	got, err := db.Function(t.Context(), b.ID, "f")
	if err != nil || got.ID != two.Function.ID {
		t.Errorf("project b's f is %v, %v", got, err)
	}
	if got, err = db.FunctionByID(t.Context(), b.ID, two.Function.ID); err != nil || got.Name != "f" {
		t.Errorf("project b's f by its ID is %v, %v", got, err)
	}
	if got, err = db.FunctionByID(t.Context(), a.ID, two.Function.ID); fault.KindOf(err) != fault.NotFound {
		t.Errorf("in project a it is %v, %v", got, err)
	}
	if fs, _ := db.FindFunctions(t.Context(), a.ID, "", "", 10); len(fs) != 1 || fs[0].Function.ID != one.Function.ID {
		t.Errorf("project a lists %v", fs)
	}
	if fs, _ := db.FindFunctions(t.Context(), a.ID, "", "f", 10); len(fs) != 0 {
		t.Errorf("after f come %v", fs)
	}
}

// Several machines deploy a function that is not there yet: one makes it.
func testFirstDeploys(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	var wg sync.WaitGroup
	errs := make(chan error, 6)
	for range 6 {
		wg.Go(func() {
			_, err := db.Deploy(t.Context(), deployInput(p.ID, "", "f", ""))
			errs <- err
		})
	}
	wg.Wait()
	n := won(t, errs, "deploy_raced")
	fs, err := db.FindFunctions(t.Context(), p.ID, "", "", 10)
	keys, functions := load(t, db)
	if n != 1 || err != nil || len(fs) != 1 || len(functions) != 1 || len(keys) != 2 {
		t.Errorf("%d deploys won; functions %v, %v; %d keys live", n, fs, err, len(keys))
	}
}

// A deploy that fails at its last statement has done nothing.
func testDeployFails(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	good := deployInput(p.ID, "", "f", "")
	first, err := db.Deploy(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	changes, _ := db.Changes(t.Context(), 0, 100)
	sameDeployment := deployInput(p.ID, first.Function.ID, "f", good.Deployment.ID)
	sameDeployment.Deployment.ID = good.Deployment.ID
	sameKey := deployInput(p.ID, first.Function.ID, "f", good.Deployment.ID)
	sameKey.Key = good.Key
	noKey := deployInput(p.ID, first.Function.ID, "f", good.Deployment.ID)
	noKey.Deployment.KeyID = "pak_none"
	noProject := deployInput("prj_none", "", "g", "")
	takenID := deployInput(p.ID, first.Function.ID, "another-name", "")
	for name, in := range map[string]platform.DeployInput{"the same deployment": sameDeployment, "the same key": sameKey, "a key that is not there": noKey,
		"a project that is not there": noProject, "another name for the function": takenID} {
		if out, err := db.Deploy(t.Context(), in); err == nil {
			t.Errorf("%s: %+v", name, out)
		}
	}
	f, d, err := db.ActiveFunction(t.Context(), first.Function.ID)
	if err != nil || d.ID != good.Deployment.ID || f.Name != "f" {
		t.Errorf("active is %+v of %+v, %v", d, f, err)
	}
	if k, _ := db.KeyByID(t.Context(), good.Key.ID); !k.ExpiresAt.IsZero() {
		t.Errorf("the key of the deployment that serves ends at %v", k.ExpiresAt)
	}
	keys, _ := load(t, db)
	if after, _ := db.Changes(t.Context(), 0, 100); len(after) != len(changes) || len(keys) != 2 {
		t.Errorf("%d changes became %d; %d keys live", len(changes), len(after), len(keys))
	}
}

// Ends of keys only ever come nearer, whatever a deploy says of them.
func testKeysStayEnded(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	first := deployInput(p.ID, "", "f", "")
	out, err := db.Deploy(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	active := first.Deployment.ID
	for _, tc := range []struct {
		name string
		says time.Time
		want time.Time
	}{
		{"an end", at.Add(time.Minute), at.Add(time.Minute)},
		{"a later end", at.Add(time.Hour), at.Add(time.Minute)},
		{"no end", time.Time{}, at},
		{"no end again", time.Time{}, at},
	} {
		in := deployInput(p.ID, out.Function.ID, "f", active)
		in.OldKeyExpiresAt = tc.says
		if _, err := db.Deploy(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		active = in.Deployment.ID
		if k, err := db.KeyByID(t.Context(), first.Key.ID); err != nil || !k.ExpiresAt.Equal(tc.want) {
			t.Errorf("%s: the first key ends at %v, not %v (%v)", tc.name, k.ExpiresAt, tc.want, err)
		}
		if k, err := db.KeyByID(t.Context(), in.Key.ID); err != nil || !k.ExpiresAt.IsZero() {
			t.Errorf("%s: the new key ends at %v (%v)", tc.name, k.ExpiresAt, err)
		}
	}
}

// A deploy and a delete of one function at once come one after the other.
func testDeployDelete(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	for range 8 {
		first, err := db.Deploy(t.Context(), deployInput(p.ID, "", "f", ""))
		if err != nil {
			t.Fatal(err)
		}
		in := deployInput(p.ID, first.Function.ID, "f", first.Deployment.ID)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := db.Deploy(t.Context(), in); err != nil {
				want(t, err, fault.Conflict, "deploy_raced") // the function is gone
			}
		})
		wg.Go(func() {
			if _, _, err := db.DeleteFunction(t.Context(), p.ID, "f", at); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		keys, functions := load(t, db)
		if len(functions) != 0 || len(keys) != 1 {
			t.Fatalf("after the delete there are functions %v and keys %v", functions, keys)
		}
		ds, err := db.Deployments(t.Context(), first.Function.ID, 10)
		if err != nil || len(ds) != 0 {
			t.Fatalf("deployments %v, %v", ds, err)
		}
		_, _, err = db.ActiveFunction(t.Context(), first.Function.ID)
		want(t, err, fault.NotFound, "")
	}
}

// Projects that choose one name at the same moment get addresses of their own.
func testSlugs(t *testing.T, db *store.DB) {
	newProject(t, db)
	const projects = 12
	slugs := make([]string, projects)
	var wg sync.WaitGroup
	for i := range projects {
		wg.Go(func() {
			p := platform.Project{ID: function.NewProjectID(at), Name: "p", CreatedAt: at}
			if err := db.CreateProject(t.Context(), p); err != nil {
				t.Error(err)
				return
			}
			out, err := db.Deploy(t.Context(), deployInput(p.ID, "", "orders", ""))
			if err != nil {
				t.Error(err)
			}
			slugs[i] = out.Function.Slug
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, s := range slugs {
		if seen[s] || len(s) > 63 || s != "orders" && len(s) != len("orders-abcd") {
			t.Errorf("slug %q", s)
		}
		seen[s] = true
	}
	if !seen["orders"] {
		t.Error("nobody got the plain name")
	}
}
