package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

// Run runs the conformance suite; open returns a store on an empty database,
// closed at the end of the test.
func Run(t *testing.T, open func(*testing.T) *store.DB) {
	for name, test := range map[string]func(*testing.T, *store.DB){
		"bootstrap":            testBootstrap,
		"keys":                 testKeys,
		"key names":            testKeyNames,
		"revoke":               testRevoke,
		"deploy":               testDeploy,
		"deploy raced":         testDeployRaced,
		"delete function":      testDelete,
		"tenancy":              testTenancy,
		"changes have no gaps": testChanges,
		"bell":                 testBell,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// at has a zone and microseconds, to see that both survive as an instant.
var at = time.Date(2026, 3, 29, 2, 30, 0, 123456000, time.FixedZone("CEST", 7200))

// NewProject bootstraps or adds nothing: it returns the first project of db.
func newProject(t *testing.T, db *store.DB) platform.Project {
	t.Helper()
	p := platform.Project{ID: function.NewProjectID(at), Name: "default", CreatedAt: at}
	if created, err := db.Bootstrap(t.Context(), p, newKey(p.ID, "first")); err != nil || !created {
		t.Fatalf("Bootstrap: created %v, err %v", created, err)
	}
	return p
}

func newKey(projectID, name string) platform.AccessKey {
	return platform.AccessKey{ID: accesskey.NewID(at), ProjectID: projectID, DisplayName: name, SecretHash: accesskey.NewSecret().Hash(),
		Scopes: []platform.Scope{platform.ScopeInvoke, platform.ScopeControl}, CreatedAt: at}
}

// deployInput is the deploy of a function; an empty id makes a new function.
func deployInput(projectID, functionID, name, active string) platform.DeployInput {
	if functionID == "" {
		functionID = function.NewFunctionID(at)
	}
	k := newKey(projectID, "function:"+name)
	k.FunctionID = functionID
	return platform.DeployInput{
		Function: platform.Function{ID: functionID, ProjectID: projectID, Name: name},
		Deployment: platform.Deployment{ID: function.NewDeploymentID(at), FunctionID: functionID, ProjectID: projectID, Artefact: "aa", Runtime: "node",
			Declaration: platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "a"}}, Auth: platform.AuthDeclaration{Present: true, Names: []string{"a"}}},
			Handlers:    []platform.Handler{{Name: "a", Guard: platform.GuardOpen, Timeout: time.Second}}, Variables: map[string]string{"A": "ü"},
			KeyID: k.ID, SealedKeySecret: []byte{0, 1, 255}, CreatedAt: at},
		Key: k, ExpectActive: active, OldKeyExpiresAt: at.Add(time.Minute)}
}

func want(t *testing.T, err error, kind fault.Kind, code string) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != kind || f.Code != code {
		t.Errorf("err = %#v, want kind %v and code %q", err, kind, code)
	}
}

func testBootstrap(t *testing.T, db *store.DB) {
	var wg sync.WaitGroup
	made := make(chan bool, 8)
	for range 8 {
		wg.Go(func() {
			p := platform.Project{ID: function.NewProjectID(at), Name: "p", CreatedAt: at}
			created, err := db.Bootstrap(t.Context(), p, newKey(p.ID, "k"))
			if err != nil {
				t.Error(err)
			}
			made <- created
		})
	}
	wg.Wait()
	close(made)
	n := 0
	for m := range made {
		if m {
			n++
		}
	}
	ps, err := db.Projects(t.Context())
	if n != 1 || len(ps) != 1 || err != nil || !ps[0].CreatedAt.Equal(at) {
		t.Errorf("%d bootstraps made a project; projects %v, err %v", n, ps, err)
	}
	a, err := db.InstanceID(t.Context())
	b, err2 := db.InstanceID(t.Context())
	if err != nil || err2 != nil || a != b || len(a) < 20 {
		t.Errorf("InstanceID %q then %q (%v, %v)", a, b, err, err2)
	}
}

func testKeys(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	k := newKey(p.ID, "billing ünïcode 'quoted'")
	k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	k.RatePerSecond, k.ExpiresAt = 7, at.Add(time.Hour)
	seq, err := db.CreateKey(t.Context(), k)
	if err != nil || seq != 2 {
		t.Fatalf("CreateKey: seq %d, err %v", seq, err)
	}
	got, err := db.Key(t.Context(), p.ID, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	equal := cmp.Options{cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateApproxTime(0)}
	if d := cmp.Diff(k, got, equal); d != "" {
		t.Error("read back differs: ", d)
	}
	if got.CreatedAt.Location() != time.UTC {
		t.Error("times are not UTC")
	}
	if _, err := db.Key(t.Context(), "prj_other", k.ID); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a foreign project reads the key: %v", err)
	}
	_, err = db.KeyByID(t.Context(), "pak_none")
	want(t, err, fault.NotFound, "")
	list, err := db.Keys(t.Context(), p.ID, "", 1)
	if err != nil || len(list) != 1 {
		t.Fatalf("first page: %v, %v", list, err)
	}
	rest, err := db.Keys(t.Context(), p.ID, list[0].ID, 10)
	if err != nil || len(rest) != 1 || rest[0].ID == list[0].ID {
		t.Errorf("second page: %v, %v", rest, err)
	}
}

func testKeyNames(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for range 8 {
		wg.Go(func() {
			_, err := db.CreateKey(t.Context(), newKey(p.ID, "same"))
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		want(t, err, fault.Conflict, "display_name_taken")
	}
	if won != 1 {
		t.Errorf("%d keys of one name were made", won)
	}
	k := newKey(p.ID, "other")
	k.SecretHash = newKey(p.ID, "x").SecretHash
	if _, err := db.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	twin := newKey(p.ID, "twin")
	twin.SecretHash = k.SecretHash
	if _, err := db.CreateKey(t.Context(), twin); fault.KindOf(err) != fault.Conflict {
		t.Errorf("two keys with one secret: %v", err)
	}
	if _, err := db.CreateKey(t.Context(), newKey("prj_none", "x")); err == nil {
		t.Error("a key of no project was stored")
	}
}

func testRevoke(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	k := newKey(p.ID, "k")
	if _, err := db.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	_, err := db.RevokeKey(t.Context(), "prj_other", k.ID, at)
	want(t, err, fault.NotFound, "")
	_, err = db.RevokeKey(t.Context(), p.ID, "pak_none", at)
	want(t, err, fault.NotFound, "")
	seq, err := db.RevokeKey(t.Context(), p.ID, k.ID, at)
	if err != nil || seq != 3 {
		t.Fatalf("RevokeKey: seq %d, err %v", seq, err)
	}
	if again, err := db.RevokeKey(t.Context(), p.ID, k.ID, at.Add(time.Hour)); err != nil || again != 0 {
		t.Errorf("second revoke: seq %d, err %v", again, err)
	}
	got, _ := db.KeyByID(t.Context(), k.ID)
	if !got.RevokedAt.Equal(at) {
		t.Errorf("revoked at %v", got.RevokedAt)
	}
	if _, err := db.CreateKey(t.Context(), newKey(p.ID, "k")); err != nil {
		t.Errorf("the name of a revoked key is not free: %v", err)
	}
	keys, _ := load(t, db)
	if slices.Contains(keys, k.ID) {
		t.Error("Load brings a revoked key")
	}
}

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
	in.Deployment.Number = 1
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
	if keys, _ := db.Keys(t.Context(), p.ID, "", 100); len(keys) != 1 {
		t.Errorf("the list for people shows %d keys, want 1", len(keys))
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
	close(errs)
	won := 0
	for err := range errs {
		if err == nil {
			won++
			continue
		}
		want(t, err, fault.Conflict, "deploy_raced")
	}
	_, err = db.Deploy(t.Context(), deployInput(p.ID, "", "f", "")) // believes the function to be new
	want(t, err, fault.Conflict, "deploy_raced")
	ds, _ := db.Deployments(t.Context(), first.Function.ID, 10)
	after, _ := db.Changes(t.Context(), 0, 100)
	if won != 1 || len(ds) != 2 || len(after)-len(before) != 3 {
		t.Errorf("%d of the racing deploys won, %d deployments, %d changes", won, len(ds), len(after)-len(before))
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
	if fs, _ := db.Functions(t.Context(), a.ID, "", 10); len(fs) != 1 || fs[0].ID != one.Function.ID {
		t.Errorf("project a lists %v", fs)
	}
	if fs, _ := db.Functions(t.Context(), a.ID, "f", 10); len(fs) != 0 {
		t.Errorf("after f come %v", fs)
	}
}

func testChanges(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for i := range 10 {
				if _, err := db.CreateKey(t.Context(), newKey(p.ID, fmt.Sprintf("k%d-%d", w, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	changes, err := db.Changes(t.Context(), 0, 1000)
	if err != nil || len(changes) != 61 {
		t.Fatalf("%d changes, err %v", len(changes), err)
	}
	for i, c := range changes {
		if c.Seq != int64(i+1) || c.Kind != platform.ChangeKey || !c.At.Equal(at) {
			t.Errorf("change %d is %+v", i, c)
		}
	}
	if tail, _ := db.Changes(t.Context(), 59, 1); len(tail) != 1 || tail[0].Seq != 60 {
		t.Errorf("tail %v", tail)
	}
	keys, _ := load(t, db)
	if len(keys) != 61 {
		t.Errorf("Load brings %d keys", len(keys))
	}
}

func testBell(t *testing.T, db *store.DB) {
	bell := db.Bell()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { db.Run(ctx); close(done) }()
	newProject(t, db)
	select {
	case <-bell:
	case <-time.After(10 * time.Second):
		t.Error("no bell after a change")
	}
	cancel()
	<-done
}

func load(t *testing.T, db *store.DB) (keys, functions []string) {
	t.Helper()
	_, err := db.Load(t.Context(), func(k platform.AccessKey) error { keys = append(keys, k.ID); return nil },
		func(f platform.Function, _ platform.Deployment) error {
			functions = append(functions, f.ID)
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return keys, functions
}
