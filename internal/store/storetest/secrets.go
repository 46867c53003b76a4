package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

func dataKey(owner, id string) platform.DataKey {
	return platform.DataKey{ID: id, OwnerID: owner, Keeper: "k1", Sealed: []byte{0, 255, 1}, CreatedAt: at}
}

func sealed(owner, name string, version int, text string) platform.SealedSecret {
	return platform.SealedSecret{Secret: platform.Secret{OwnerID: owner, Name: name, Version: version}, Sealed: []byte(text)}
}

// change sets secrets of an owner under the data key with an ID; "new" makes it.
func change(owner, key string, set []platform.SealedSecret, remove ...string) platform.SecretInput {
	in := platform.SecretInput{OwnerID: owner, ExpectKey: key, Set: set, Remove: remove, By: "pak_1", At: at}
	if key == "new" {
		in.ExpectKey, in.Key = "", dataKey(owner, "dk-"+owner)
	}
	return in
}

// texts is what is sealed of an owner, by name and version.
func texts(t *testing.T, db *store.DB, owner string) map[string]string {
	t.Helper()
	all, err := db.SealedSecrets(t.Context(), owner)
	if err != nil || len(all) > 1 {
		t.Fatal(all, err)
	}
	out := map[string]string{}
	for _, o := range all {
		for _, s := range o.Secrets {
			out[fmt.Sprintf("%s@%d", s.Name, s.Version)] = string(s.Sealed)
		}
	}
	return out
}

func testSecrets(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	first, err := db.Deploy(t.Context(), deployInput(p.ID, "", "f", ""))
	if err != nil {
		t.Fatal(err)
	}
	id := first.Function.ID
	if got, err := db.SealedSecrets(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("before there is one: %v, %v", got, err)
	}
	seq, err := db.ChangeSecrets(t.Context(), change(id, "new", []platform.SealedSecret{sealed(id, "B", 1, "b1"), sealed(id, "A", 1, "a1\x00")}))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := db.Changes(t.Context(), seq-1, 10); err != nil || len(c) != 1 || c[0].Kind != platform.ChangeSecret || c[0].ID != id {
		t.Errorf("changes: %v, %v", c, err)
	}
	if _, err := db.ChangeSecrets(t.Context(), change(p.ID, "new", []platform.SealedSecret{sealed(p.ID, "A", 1, "shared")})); err != nil {
		t.Fatal(err)
	}
	key := "dk-" + id
	for name, in := range map[string]platform.SecretInput{
		"a second first key":      change(id, "new", []platform.SealedSecret{sealed(id, "A", 2, "x")}),
		"another key":             change(id, "dk-"+p.ID, []platform.SealedSecret{sealed(id, "A", 2, "x")}),
		"the same version":        change(id, key, []platform.SealedSecret{sealed(id, "A", 1, "x")}),
		"a version too far":       change(id, key, []platform.SealedSecret{sealed(id, "A", 3, "x")}),
		"a good one and an early": change(id, key, []platform.SealedSecret{sealed(id, "B", 2, "x"), sealed(id, "A", 1, "x")}, "B"),
	} {
		_, err := db.ChangeSecrets(t.Context(), in)
		t.Run(name, func(t *testing.T) { want(t, err, fault.Conflict, "secrets_raced") })
	}
	_, err = db.ChangeSecrets(t.Context(), change("fn-none", "new", []platform.SealedSecret{sealed("fn-none", "A", 1, "x")}))
	want(t, err, fault.NotFound, "function_not_found")
	if diff := cmp.Diff(map[string]string{"A@1": "a1\x00", "B@1": "b1"}, texts(t, db, id)); diff != "" {
		t.Error("after what was refused: ", diff)
	}
	later := change(id, key, []platform.SealedSecret{sealed(id, "A", 2, "a2")}, "B", "NONE")
	later.At, later.By = at.Add(time.Hour), "pak_2"
	if _, err := db.ChangeSecrets(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	list, err := db.Secrets(t.Context(), id)
	wanted := []platform.Secret{{OwnerID: id, Name: "A", Version: 2, CreatedAt: at.UTC(), UpdatedAt: later.At.UTC(), UpdatedBy: "pak_2"}}
	if diff := cmp.Diff(wanted, list); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if diff := cmp.Diff(map[string]string{"A@2": "a2", "B@1": ""}, texts(t, db, id)); diff != "" {
		t.Error("what was removed is a number with nothing sealed: ", diff)
	}
	if _, err := db.ChangeSecrets(t.Context(), change(id, key, []platform.SealedSecret{sealed(id, "B", 2, "again")})); err != nil {
		t.Error(err)
	}
	all, err := db.SealedSecrets(t.Context())
	if both, _ := db.SealedSecrets(t.Context(), id, p.ID, "fn-none"); err != nil || len(all) != 2 || !cmp.Equal(all, both) {
		t.Errorf("all %v, by name %v, %v", all, both, err)
	}
	if diff := cmp.Diff(dataKey(id, key).Sealed, all[0].Key.Sealed); diff != "" || all[0].Key.Keeper != "k1" || !all[0].Key.CreatedAt.Equal(at) {
		t.Errorf("the data key: %+v", all[0].Key)
	}
}

// Of changes that were made for the same state one is done.
func testSecretsAtOnce(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	var wg sync.WaitGroup
	errs := make(chan error, 12)
	for i := range 6 {
		wg.Go(func() {
			in := change(p.ID, "new", []platform.SealedSecret{sealed(p.ID, "A", 1, "a")})
			in.Key.ID = fmt.Sprint("dk", i)
			_, err := db.ChangeSecrets(t.Context(), in)
			errs <- err
		})
	}
	wg.Wait()
	all, err := db.SealedSecrets(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	for i := range 6 {
		wg.Go(func() {
			if i == 0 {
				anew := all[0]
				anew.Key.ID = "dk-anew"
				_, err := db.RotateDataKey(t.Context(), all[0].Key.ID, anew, at)
				errs <- err
				return
			}
			_, err := db.ChangeSecrets(t.Context(), change(p.ID, all[0].Key.ID, []platform.SealedSecret{sealed(p.ID, "A", 2, "a")}))
			errs <- err
		})
	}
	wg.Wait()
	if n := won(t, errs, "secrets_raced"); n != 2 {
		t.Errorf("%d changes were done, want one of each kind", n)
	}
}

// A deploy and its secrets are one: both are there or neither.
func testSecretsOfDeploy(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	in := deployInput(p.ID, "", "f", "")
	id := in.Function.ID
	in.Secrets = change(id, "new", []platform.SealedSecret{sealed(id, "A", 2, "a"), sealed(id, "A", 2, "b")})
	_, err := db.Deploy(t.Context(), in)
	want(t, err, fault.Conflict, "secrets_raced")
	if _, err := db.Function(t.Context(), p.ID, "f"); fault.KindOf(err) != fault.NotFound || len(texts(t, db, id)) != 0 {
		t.Fatalf("something of it is left: %v %v", err, texts(t, db, id))
	}
	in.Secrets.Set = in.Secrets.Set[:1]
	in.Secrets.Set[0].Version = 1
	out, err := db.Deploy(t.Context(), in)
	if err != nil || texts(t, db, id)["A@1"] != "a" {
		t.Fatal(err, texts(t, db, id))
	}
	raced := deployInput(p.ID, id, "f", "dep_other")
	raced.Secrets = change(id, "dk-"+id, []platform.SealedSecret{sealed(id, "A", 2, "never")})
	_, err = db.Deploy(t.Context(), raced)
	want(t, err, fault.Conflict, "deploy_raced")
	raced.ExpectActive = out.Deployment.ID
	raced.Secrets.ExpectKey = "dk-before"
	_, err = db.Deploy(t.Context(), raced)
	want(t, err, fault.Conflict, "secrets_raced")
	if f, _ := db.Function(t.Context(), p.ID, "f"); f.ActiveDeploymentID != out.Deployment.ID || texts(t, db, id)["A@1"] != "a" {
		t.Errorf("%+v %v", f, texts(t, db, id))
	}
}

// What ends takes its secrets with it, and the key that opens their copies.
func testSecretsEnd(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	sub := platform.Project{ID: function.NewProjectID(at), Name: "sub", ParentID: p.ID, CreatedAt: at}
	if err := db.CreateProject(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	in := deployInput(p.ID, "", "f", "")
	id := in.Function.ID
	in.Secrets = change(id, "new", []platform.SealedSecret{sealed(id, "A", 1, "a")})
	if _, err := db.Deploy(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	for _, owner := range []string{p.ID, sub.ID} {
		if _, err := db.ChangeSecrets(t.Context(), change(owner, "new", []platform.SealedSecret{sealed(owner, "A", 1, "a")})); err != nil {
			t.Fatal(err)
		}
	}
	if owners, err := db.SecretOwners(t.Context(), p.ID); err != nil || len(owners) != 2 {
		t.Errorf("owners of the project: %v, %v", owners, err)
	}
	if _, _, err := db.DeleteFunction(t.Context(), p.ID, "f", at); err != nil {
		t.Fatal(err)
	}
	if _, err := db.DeleteSubproject(t.Context(), sub.ID, at); err != nil {
		t.Fatal(err)
	}
	all, err := db.SealedSecrets(t.Context())
	if err != nil || len(all) != 1 || all[0].Key.OwnerID != p.ID {
		t.Errorf("left: %v, %v", all, err)
	}
	for _, owner := range []string{id, sub.ID} {
		_, err := db.ChangeSecrets(t.Context(), change(owner, "new", []platform.SealedSecret{sealed(owner, "A", 1, "a")}))
		want(t, err, fault.NotFound, "function_not_found")
	}
}

func testDataKeys(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	if _, err := db.ChangeSecrets(t.Context(), change(p.ID, "new", []platform.SealedSecret{sealed(p.ID, "A", 1, "a"), sealed(p.ID, "B", 1, "b"), sealed(p.ID, "C", 1, "c")}, "C")); err != nil {
		t.Fatal(err)
	}
	before := "dk-" + p.ID
	anew := platform.SealedSecrets{Key: dataKey(p.ID, "dk-anew"), Secrets: []platform.SealedSecret{sealed(p.ID, "A", 1, "a'"), sealed(p.ID, "B", 1, "b'"), sealed(p.ID, "C", 1, "")}}
	fewer, older, more := anew, anew, anew
	fewer.Secrets = anew.Secrets[:1]
	older.Secrets = []platform.SealedSecret{sealed(p.ID, "A", 0, "x"), sealed(p.ID, "B", 1, "x")}
	more.Secrets = append([]platform.SealedSecret{sealed(p.ID, "D", 1, "x")}, anew.Secrets...)
	for name, in := range map[string]platform.SealedSecrets{"one is forgotten": fewer, "one was changed": older, "one is not there": more} {
		_, err := db.RotateDataKey(t.Context(), before, in, at)
		t.Run(name, func(t *testing.T) { want(t, err, fault.Conflict, "secrets_raced") })
	}
	_, err := db.RotateDataKey(t.Context(), "dk-none", anew, at)
	want(t, err, fault.Conflict, "secrets_raced")
	if diff := cmp.Diff(map[string]string{"A@1": "a", "B@1": "b", "C@1": ""}, texts(t, db, p.ID)); diff != "" {
		t.Error("after what was refused: ", diff)
	}
	if seq, err := db.RotateDataKey(t.Context(), before, anew, at); err != nil || seq == 0 {
		t.Fatal(seq, err)
	}
	if diff := cmp.Diff(map[string]string{"A@1": "a'", "B@1": "b'", "C@1": ""}, texts(t, db, p.ID)); diff != "" {
		t.Error(diff)
	}
	all, _ := db.SealedSecrets(t.Context(), p.ID)
	if all[0].Key.ID != "dk-anew" {
		t.Errorf("the key is %+v", all[0].Key)
	}
}

func testKeepers(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	if _, err := db.ChangeSecrets(t.Context(), change(p.ID, "new", []platform.SealedSecret{sealed(p.ID, "A", 1, "a")})); err != nil {
		t.Fatal(err)
	}
	old, err := db.DataKeysBut(t.Context(), "k2", 10)
	if err != nil || len(old) != 1 || !cmp.Equal(old[0].Sealed, []byte{0, 255, 1}) {
		t.Fatal(old, err)
	}
	next := old[0]
	next.Keeper, next.Sealed = "k2", []byte("anew")
	for _, tc := range []struct {
		name, id, before string
		left             int
	}{{"another key", "dk-other", "k1", 1}, {"another keeper", next.ID, "k0", 1}, {"as it is", next.ID, "k1", 0}, {"again", next.ID, "k1", 0}} {
		k := next
		k.ID = tc.id
		err := db.ResealDataKey(t.Context(), k, tc.before)
		left, lerr := db.DataKeysBut(t.Context(), "k2", 10)
		if err != nil || lerr != nil || len(left) != tc.left {
			t.Errorf("%s: %v, %v, left %v", tc.name, err, lerr, left)
		}
	}
	if all, _ := db.SealedSecrets(t.Context()); string(all[0].Key.Sealed) != "anew" || texts(t, db, p.ID)["A@1"] != "a" {
		t.Errorf("%+v", all)
	}
}
