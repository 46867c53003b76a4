package storetest

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

// pair is a function with an active deployment and a candidate.
type pair struct {
	functionID        string
	active, candidate platform.DeployInput
}

func newPair(t *testing.T, db *store.DB, projectID string) pair {
	t.Helper()
	active := deployInput(projectID, "", "f", "")
	out, err := db.Deploy(t.Context(), active)
	if err != nil {
		t.Fatal(err)
	}
	candidate := deployInput(projectID, out.Function.ID, "f", active.Deployment.ID)
	candidate.Percent = 10
	if _, err := db.Deploy(t.Context(), candidate); err != nil {
		t.Fatal(err)
	}
	return pair{out.Function.ID, active, candidate}
}

func (p pair) input(percent int) platform.PromoteInput {
	return platform.PromoteInput{FunctionID: p.functionID, ExpectActive: p.active.Deployment.ID, ExpectCandidate: p.candidate.Deployment.ID, Percent: percent,
		OldKeyExpiresAt: at.Add(time.Minute), At: at.Add(time.Second)}
}

// parts are what of a function gets calls: the active one, the candidate, and
// its part.
type parts struct {
	Active, Candidate string
	Percent           int
}

func partsOf(t *testing.T, db *store.DB, functionID string) parts {
	t.Helper()
	f, d, err := db.ActiveFunction(t.Context(), functionID)
	if err != nil || d.ID != f.ActiveDeploymentID {
		t.Fatalf("active is %s of %+v, %v", d.ID, f, err)
	}
	return parts{f.ActiveDeploymentID, f.CandidateID, f.CandidatePercent}
}

func wantKeys(t *testing.T, db *store.DB, when string, live []platform.DeployInput, ended []platform.DeployInput) {
	t.Helper()
	for _, in := range live {
		if k, err := db.KeyByID(t.Context(), in.Key.ID); err != nil || !k.ExpiresAt.IsZero() {
			t.Errorf("%s: the key of a deployment that gets calls ends at %v, %v", when, k.ExpiresAt, err)
		}
	}
	for _, in := range ended {
		if k, err := db.KeyByID(t.Context(), in.Key.ID); err != nil || !k.ExpiresAt.Equal(at.Add(time.Minute)) {
			t.Errorf("%s: the key of a deployment that went ends at %v, %v", when, k.ExpiresAt, err)
		}
	}
}

func testCandidate(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	v := newPair(t, db, p.ID)
	want := parts{v.active.Deployment.ID, v.candidate.Deployment.ID, 10}
	if diff := cmp.Diff(want, partsOf(t, db, v.functionID)); diff != "" {
		t.Error(diff)
	}
	wantKeys(t, db, "beside a candidate", []platform.DeployInput{v.active, v.candidate}, nil)
	d, err := db.Deployment(t.Context(), v.candidate.Deployment.ID)
	if err != nil || d.Number != 2 || !d.ActiveAt.IsZero() {
		t.Errorf("the candidate is %+v, %v", d, err)
	}
	as, err := db.ActiveFunctions(t.Context(), p.ID)
	if err != nil || len(as) != 1 || as[0].Candidate == nil || as[0].Candidate.ID != d.ID {
		t.Errorf("ActiveFunctions: %+v, %v", as, err)
	}
	_, err = db.ApplyPolicy(t.Context(), platform.PolicyApply{ProjectID: p.ID, At: at, DryRun: true}, func(s platform.PolicyState) (platform.PolicyInput, error) {
		if len(s.Functions) != 1 || s.Functions[0].Candidate == nil {
			t.Errorf("a policy is not checked against the candidate: %+v", s.Functions)
		}
		return platform.PolicyInput{}, nil
	})
	if err != nil {
		t.Error(err)
	}
	next := deployInput(p.ID, v.functionID, "f", v.active.Deployment.ID)
	next.Percent, next.ExpectCandidate, next.Deployment.RestoredFrom = 20, v.candidate.Deployment.ID, 1
	if _, err := db.Deploy(t.Context(), next); err != nil {
		t.Fatal("another candidate in its place: ", err)
	}
	wantKeys(t, db, "after another candidate", []platform.DeployInput{v.active, next}, []platform.DeployInput{v.candidate})
	if d, err := db.Deployment(t.Context(), next.Deployment.ID); err != nil || d.RestoredFrom != 1 {
		t.Errorf("restored from %d, %v", d.RestoredFrom, err)
	}
	last := deployInput(p.ID, v.functionID, "f", v.active.Deployment.ID)
	last.ExpectCandidate = v.candidate.Deployment.ID
	_, err = db.Deploy(t.Context(), last)
	wantFault(t, err, "deploy_raced")
	last.ExpectCandidate = next.Deployment.ID
	if _, err := db.Deploy(t.Context(), last); err != nil {
		t.Fatal("a plain deploy ends it: ", err)
	}
	if diff := cmp.Diff(parts{Active: last.Deployment.ID}, partsOf(t, db, v.functionID)); diff != "" {
		t.Error(diff)
	}
	wantKeys(t, db, "after a plain deploy", []platform.DeployInput{last}, []platform.DeployInput{v.active, next})
}

func wantFault(t *testing.T, err error, code string) {
	t.Helper()
	want(t, err, fault.Conflict, code)
}

func testPromote(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	v := newPair(t, db, p.ID)
	out, err := db.Promote(t.Context(), v.input(50))
	if err != nil || out.Seq == 0 || out.Function.CandidatePercent != 50 || out.Deployment.ID != v.candidate.Deployment.ID {
		t.Fatalf("%+v, %v", out, err)
	}
	wantKeys(t, db, "at 50 percent", []platform.DeployInput{v.active, v.candidate}, nil)
	changes, _ := db.Changes(t.Context(), out.Seq-1, 10)
	if len(changes) != 1 || changes[0].Kind != platform.ChangeFunction || changes[0].ID != v.functionID {
		t.Errorf("changes %+v", changes)
	}
	if out, err = db.Promote(t.Context(), v.input(100)); err != nil || !out.Deployment.ActiveAt.Equal(at.Add(time.Second)) {
		t.Fatalf("%+v, %v", out, err)
	}
	if diff := cmp.Diff(parts{Active: v.candidate.Deployment.ID}, partsOf(t, db, v.functionID)); diff != "" {
		t.Error(diff)
	}
	wantKeys(t, db, "at 100 percent", []platform.DeployInput{v.candidate}, []platform.DeployInput{v.active})
}

func testEndCandidate(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	v := newPair(t, db, p.ID)
	in := v.input(0)
	in.Because = "7 of 20 calls failed"
	out, err := db.Promote(t.Context(), in)
	if err != nil || out.Deployment.EndedBecause != in.Because || out.Function.CandidateID != "" {
		t.Fatalf("%+v, %v", out, err)
	}
	if diff := cmp.Diff(parts{Active: v.active.Deployment.ID}, partsOf(t, db, v.functionID)); diff != "" {
		t.Error(diff)
	}
	wantKeys(t, db, "after its end", []platform.DeployInput{v.active}, []platform.DeployInput{v.candidate})
	next := deployInput(p.ID, v.functionID, "f", v.active.Deployment.ID)
	if _, err := db.Deploy(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	// What only a part of the callers has seen is nothing to go back to.
	if d, err := db.VersionBefore(t.Context(), v.functionID, 3); err != nil || d.Number != 1 {
		t.Errorf("before 3 was %d, %v", d.Number, err)
	}
	_, err = db.VersionBefore(t.Context(), v.functionID, 1)
	want(t, err, fault.NotFound, "version_not_found")
	if d, err := db.Version(t.Context(), v.functionID, 2); err != nil || d.ID != v.candidate.Deployment.ID || d.EndedBecause != in.Because {
		t.Errorf("version 2 is %+v, %v", d, err)
	}
	for functionID, number := range map[string]int{v.functionID: 4, "fn-none": 1} {
		_, err = db.Version(t.Context(), functionID, number)
		want(t, err, fault.NotFound, "version_not_found")
	}
}

// Of all that want to move a function's calls at the same moment one does, and
// what is refused has changed nothing.
func testPromoteRaced(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	v := newPair(t, db, p.ID)
	for name, in := range map[string]platform.PromoteInput{
		"no candidate expected": {FunctionID: v.functionID, ExpectActive: v.active.Deployment.ID, Percent: 50, At: at},
		"another active":        {FunctionID: v.functionID, ExpectActive: v.candidate.Deployment.ID, ExpectCandidate: v.candidate.Deployment.ID, Percent: 50, At: at},
		"another candidate":     {FunctionID: v.functionID, ExpectActive: v.active.Deployment.ID, ExpectCandidate: "dep_other", Percent: 50, At: at},
	} {
		if _, err := db.Promote(t.Context(), in); err == nil {
			t.Error(name)
		} else {
			wantFault(t, err, "versions_raced")
		}
	}
	_, err := db.Promote(t.Context(), platform.PromoteInput{FunctionID: "fn-none", ExpectCandidate: "x", At: at})
	want(t, err, fault.NotFound, "function_not_found")
	before, _ := db.Changes(t.Context(), 0, 100)
	deploy := deployInput(p.ID, v.functionID, "f", v.active.Deployment.ID)
	deploy.ExpectCandidate = v.candidate.Deployment.ID
	var wg sync.WaitGroup
	errs := make(chan error, 7)
	for i := range 6 {
		wg.Go(func() {
			_, err := db.Promote(t.Context(), v.input(100*(i%2)))
			errs <- err
		})
	}
	wg.Go(func() {
		_, err := db.Deploy(t.Context(), deploy)
		if fault.KindOf(err) == fault.Conflict {
			err = fault.New(fault.Conflict, "raced").WithCode("versions_raced")
		}
		errs <- err
	})
	wg.Wait()
	n := won(t, errs, "versions_raced")
	got := partsOf(t, db, v.functionID)
	after, _ := db.Changes(t.Context(), 0, 100)
	// A deploy that comes after the end of a candidate is not in its way.
	if got.Candidate != "" || got.Percent != 0 || n != 1 && !(n == 2 && got.Active == deploy.Deployment.ID) || len(after) == len(before) {
		t.Errorf("%d won, and %+v serves", n, got)
	}
}
