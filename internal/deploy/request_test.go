package deploy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"postern.dev/postern/internal/deploy"
)

// However a request is printed, no secret's value is.
func TestRequest_HidesSecrets(t *testing.T) {
	t.Parallel()
	in := deploy.Request{Name: "f", Secrets: deploy.Values{"STRIPE_SECRET_KEY": "sk_live_1"}}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{fmt.Sprint(in), fmt.Sprintf("%+v", in), fmt.Sprintf("%#v", in), fmt.Sprintf("%s", in.Secrets), fmt.Sprintf("%q", in.Secrets), string(text)} {
		if strings.Contains(said, "sk_live") || !strings.Contains(said, "redacted") {
			t.Error(said)
		}
	}
}

// Variables that were sent win over the manifest's, and another value of one
// is another deployment.
func TestDeploy_Variables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hash := w.build("f", environment, `,"variables":{"GREETING":"hi","COLOUR":"red"}`)
	in := deploy.Request{ProjectID: w.project, Name: "f", Artefact: hash, Variables: map[string]string{"COLOUR": "blue"}}
	first, err := w.d.Deploy(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	env := w.invoke(first.Deployment.ID, "env")
	if !strings.Contains(env, `"COLOUR":"blue"`) || !strings.Contains(env, `"GREETING":"hi"`) {
		t.Error(env)
	}
	if again, err := w.d.Deploy(t.Context(), in); err != nil || !again.Reused {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	in.Variables = nil
	if other, err := w.d.Deploy(t.Context(), in); err != nil || other.Reused || !strings.Contains(w.invoke(other.Deployment.ID, "env"), `"COLOUR":"red"`) {
		t.Errorf("without it: %+v, %v", other, err)
	}
}
