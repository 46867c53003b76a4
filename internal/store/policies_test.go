package store_test

import (
	"errors"
	"testing"
	"time"

	"postern.dev/postern/internal/platform"
)

// A policy that cannot be read, because it was damaged or says something that
// only a newer version knows, is told of by its project, beside the others; and
// what is applied next takes its place.
func TestPolicies_TellsWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		db := open(t, dsn)
		p := bootstrap(t, db)
		other := platform.Project{ID: "prj_other", Name: "o", CreatedAt: time.Now()}
		if err := db.CreateProject(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		damagedKey := newKey(p.ID, "damaged")
		if _, err := db.CreateKey(t.Context(), damagedKey); err != nil {
			t.Fatal(err)
		}
		apply := func(project, document string) (platform.PolicyResult, error) {
			return db.ApplyPolicy(t.Context(), platform.PolicyApply{ProjectID: project, Expect: -1, At: time.Now()}, func(platform.PolicyState) (platform.PolicyInput, error) {
				return platform.PolicyInput{Policy: platform.Policy{Document: []byte(document)}}, nil
			})
		}
		for _, project := range []string{p.ID, other.ID} {
			if _, err := apply(project, "one"); err != nil {
				t.Fatal(err)
			}
		}
		beside := raw(t, dsn)
		exec(t, beside, `UPDATE access_keys SET secret_hash = 'zz' WHERE id = $1`, damagedKey.ID)
		for _, text := range []string{`{`, `{"Functions":[{"Name":"f","Rule":{"Since":"the version after"}}]}`, `[]`, ``} {
			exec(t, beside, `UPDATE policies SET compiled = $1 WHERE project_id = $2`, text, p.ID)
			ps, err := db.Policies(t.Context(), "")
			if e, ok := errors.AsType[*platform.UnreadableError](err); !ok || e.ID != p.ID || len(ps) != 1 || ps[0].ProjectID != other.ID {
				t.Errorf("%s: %+v, %v", text, ps, err)
			}
			if _, err := db.Policies(t.Context(), p.ID); err == nil {
				t.Errorf("%s is no error", text)
			}
		}
		if out, err := apply(p.ID, "one"); err != nil || out.Unchanged || out.Policy.Number != 2 {
			t.Errorf("the next: %+v, %v", out, err)
		}
		if ps, err := db.Policies(t.Context(), p.ID); err != nil || len(ps) != 1 || ps[0].Number != 2 {
			t.Errorf("after it: %+v, %v", ps, err)
		}
	})
}
