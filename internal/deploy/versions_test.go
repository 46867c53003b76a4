package deploy_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// act does what a word says to the versions of f: "deploy", "deploy 10", "promote
// 50", "promote 100 of 2", "back", "back to 2".
func (b *bench) act(t *testing.T, what string) (deploy.Result, error) {
	t.Helper()
	in := deploy.Shift{ProjectID: b.project, Name: "f"}
	var verb, word string
	fmt.Sscan(what, &verb)
	switch verb {
	case "deploy":
		r := deploy.Request{ProjectID: b.project, Name: "f", Artefact: b.artefact, Force: true}
		fmt.Sscan(what, &verb, &r.Percent)
		return b.d.Deploy(t.Context(), r)
	case "promote":
		fmt.Sscan(what, &verb, &in.Percent, &word, &in.Version)
		return b.d.Promote(t.Context(), in)
	}
	fmt.Sscan(what, &verb, &word, &in.Version)
	return b.d.RollBack(t.Context(), in)
}

// serves is what of f gets calls, as "1", or "1 and 10% 2".
func (b *bench) serves(t *testing.T) string {
	t.Helper()
	f, err := b.db.Function(t.Context(), b.project, "f")
	if fault.KindOf(err) == fault.NotFound {
		return "nothing"
	}
	active, err2 := b.db.Deployment(t.Context(), f.ActiveDeploymentID)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if f.CandidateID == "" {
		return fmt.Sprint(active.Number)
	}
	candidate, err := b.db.Deployment(t.Context(), f.CandidateID)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d and %d%% %d", active.Number, f.CandidatePercent, candidate.Number)
}

func codeOf(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Code
	}
	return fmt.Sprint(err)
}

func TestVersions(t *testing.T) {
	t.Parallel()
	type step struct{ do, want string } // a state, or the code of a refusal
	for name, steps := range map[string][]step{
		"a function that is not there": {{"promote 50", "function_not_found"}, {"back", "function_not_found"}},
		"the first version":            {{"deploy 10", "1"}, {"promote 50", "candidate_missing"}, {"promote 100", "candidate_missing"}, {"promote 0", "candidate_missing"}, {"back", "version_first"}, {"back to 1", "version_active"}, {"promote 10 of 1", "version_active"}},
		"versions that are not there":  {{"deploy", "1"}, {"back to 2", "version_not_found"}, {"promote 50 of 7", "version_not_found"}},
		"little by little":             {{"deploy", "1"}, {"deploy 10", "1 and 10% 2"}, {"promote 50", "1 and 50% 2"}, {"promote 20 of 2", "1 and 20% 2"}, {"promote 100", "2"}, {"promote 100", "candidate_missing"}},
		"ended":                        {{"deploy", "1"}, {"deploy 10", "1 and 10% 2"}, {"promote 0", "1"}, {"back", "version_first"}, {"deploy", "3"}, {"back", "4"}},
		"a roll-back ends a candidate": {{"deploy", "1"}, {"deploy", "2"}, {"deploy 10", "2 and 10% 3"}, {"back", "2"}, {"back", "4"}},
		"one candidate at a time":      {{"deploy", "1"}, {"deploy 10", "1 and 10% 2"}, {"deploy 20", "1 and 20% 3"}, {"promote 50 of 2", "1 and 50% 4"}, {"deploy", "5"}},
		"back twice is back two":       {{"deploy", "1"}, {"deploy", "2"}, {"deploy", "3"}, {"back", "4"}, {"back", "5"}, {"back", "version_first"}, {"back to 3", "6"}},
		"to one that is named":         {{"deploy", "1"}, {"deploy", "2"}, {"deploy 10", "2 and 10% 3"}, {"back to 1", "4"}},
		"an earlier one, in part":      {{"deploy", "1"}, {"deploy", "2"}, {"promote 5 of 1", "2 and 5% 3"}, {"promote 0 of 1", "candidate_missing"}, {"promote 100 of 1", "4"}},
		"all at once":                  {{"deploy", "1"}, {"deploy 100", "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for _, s := range steps {
				before := b.serves(t)
				_, err := b.act(t, s.do)
				if err != nil {
					if got := codeOf(err); got != s.want || b.serves(t) != before {
						t.Fatalf("%s: %v; %s became %s", s.do, err, before, b.serves(t))
					}
				} else if got := b.serves(t); got != s.want {
					t.Fatalf("%s: %s became %s, not %s", s.do, before, got, s.want)
				}
			}
			if len(b.fleet.retired) != 0 {
				t.Errorf("the gateway retires, and not the deployer: %v", b.fleet.retired)
			}
		})
	}
}

// An earlier version comes again with what it was, and with a key of its own.
func TestRollBack_WhatComesAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, err := b.d.Deploy(t.Context(), deploy.Request{ProjectID: b.project, Name: "f", Artefact: b.artefact, Variables: map[string]string{"A": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.d.Deploy(t.Context(), deploy.Request{ProjectID: b.project, Name: "f", Artefact: b.artefact, Variables: map[string]string{"A": "2"}}); err != nil {
		t.Fatal(err)
	}
	r, err := b.act(t, "back")
	if err != nil {
		t.Fatal(err)
	}
	d := r.Deployment
	if d.Number != 3 || d.RestoredFrom != 1 || d.Artefact != first.Deployment.Artefact || d.ActiveAt.IsZero() || r.Ended != 0 {
		t.Errorf("%+v", d)
	}
	if diff := cmp.Diff(map[string]string{"A": "1"}, d.Variables); diff != "" {
		t.Error(diff)
	}
	if d.KeyID == first.Deployment.KeyID || len(b.fleet.adopted) != 3 {
		t.Errorf("key %s again, or no smoke test: %v", d.KeyID, b.fleet.adopted)
	}
	if old, err := b.db.KeyByID(t.Context(), first.Deployment.KeyID); err != nil || old.ExpiresAt.IsZero() {
		t.Errorf("the key of then lives again: %+v, %v", old, err)
	}
	// And again it is the first that comes again, not its copy.
	if _, err := b.act(t, "deploy"); err != nil {
		t.Fatal(err)
	}
	if r, err = b.act(t, "back to 3"); err != nil || r.Deployment.RestoredFrom != 1 {
		t.Errorf("restored from %d, %v", r.Deployment.RestoredFrom, err)
	}
}

// Of a version whose artefact is gone nothing comes again, and nothing changes.
func TestRollBack_ArtefactIsGone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 2 {
		if _, err := b.act(t, "deploy"); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.blobs.Delete(t.Context(), b.project, b.artefact); err != nil {
		t.Fatal(err)
	}
	for _, do := range []string{"back", "promote 10 of 1"} {
		if _, err := b.act(t, do); codeOf(err) != "artefact_missing" || b.serves(t) != "2" || len(b.fleet.adopted) != 2 {
			t.Errorf("%s: %v; %s", do, err, b.serves(t))
		}
	}
}

// What another node did meanwhile is not undone, and a judgement on a candidate is
// not carried out on the next.
func TestVersions_Raced(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, do := range []string{"deploy", "deploy 10"} {
		if _, err := b.act(t, do); err != nil {
			t.Fatal(err)
		}
	}
	judged, err := b.db.Function(t.Context(), b.project, "f")
	if err != nil {
		t.Fatal(err)
	}
	b.db.between = func() { // another node promotes while this one deploys
		in := platform.PromoteInput{FunctionID: judged.ID, ExpectActive: judged.ActiveDeploymentID, ExpectCandidate: judged.CandidateID, Percent: 100, At: judged.CreatedAt}
		if _, err := b.db.Promote(t.Context(), in); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.act(t, "deploy"); codeOf(err) != "deploy_raced" || b.serves(t) != "2" || len(b.fleet.retired) != 1 {
		t.Errorf("%v; %s; retired %v", err, b.serves(t), b.fleet.retired)
	}
	if _, err := b.act(t, "deploy 30"); err != nil {
		t.Fatal(err)
	}
	if err := b.d.EndFailing(t.Context(), judged, "9 of 20 calls failed"); codeOf(err) != "versions_raced" || b.serves(t) != "2 and 30% 3" {
		t.Errorf("%v; %s", err, b.serves(t))
	}
	now, err := b.db.Function(t.Context(), b.project, "f")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.d.EndFailing(t.Context(), now, "9 of 20 calls failed"); err != nil || b.serves(t) != "2" {
		t.Errorf("%v; %s", err, b.serves(t))
	}
	if d, err := b.db.Version(t.Context(), now.ID, 3); err != nil || d.EndedBecause != "9 of 20 calls failed" {
		t.Errorf("%+v, %v", d, err)
	}
}

// A candidate's end says which it was, and which serves.
func TestRollBack_TellsWhatEnded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, do := range []string{"deploy", "deploy 10"} {
		if _, err := b.act(t, do); err != nil {
			t.Fatal(err)
		}
	}
	b.applied = errors.New("late")
	r, err := b.act(t, "back")
	if err != nil || r.Ended != 2 || r.Deployment.Number != 1 || r.Function.CandidateID != "" || len(r.Warnings) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}
