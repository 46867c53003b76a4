package deploy_test

import (
	"testing"

	"postern.dev/postern/internal/deploy"
)

// The workers have what a project shares before the gateway hears of it: what the
// gateway has them looked at for is done by then, and is not done twice.
func TestChangeSecrets_WorkersFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := `export const value = () => process.env.TEAM + '/' + process.pid;`
	r, err := w.d.Deploy(t.Context(), deploy.Request{ProjectID: w.project, Name: "f", Artefact: w.build("f", source, `,"secrets":["TEAM"]`), Force: true})
	if err != nil {
		t.Fatal(err)
	}
	seen := ""
	w.applied = func() {
		seen = w.invoke(r.Deployment.ID, "value")
		if known, err := w.d.Refresh(t.Context(), r.Function.ID); !known || err != nil {
			t.Errorf("looked at again: %v, %v", known, err)
		}
	}
	out, err := w.d.ChangeSecrets(t.Context(), deploy.SecretsRequest{ProjectID: w.project, Set: deploy.Values{"TEAM": "red"}})
	if err != nil || len(out.Restarted) != 1 || len(out.Warnings) != 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	if now := w.invoke(r.Deployment.ID, "value"); now != seen || now[:4] != "red/" {
		t.Errorf("then %q, now %q", seen, now)
	}
}
