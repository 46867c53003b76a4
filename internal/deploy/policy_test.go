package deploy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// govern puts a policy over the function f that names a handler.
func (b *bench) govern(t *testing.T, handler string) {
	t.Helper()
	key := platform.GuardKey
	p := platform.Policy{Document: []byte("version: 1\nfunctions:\n  f:\n    handlers:\n      " + handler + ": { auth: key }\n"),
		Functions: []platform.FunctionPolicy{{Name: "f", Handlers: []platform.Governed{{Name: handler, Guard: &key}}}}}
	_, err := b.db.ApplyPolicy(t.Context(), platform.PolicyApply{ProjectID: b.project, Expect: -1, At: time.Now()}, func(platform.PolicyState) (platform.PolicyInput, error) { return platform.PolicyInput{Policy: p}, nil })
	if err != nil {
		t.Fatal(err)
	}
}

// A deploy that takes away what policy names is refused with the line, whenever
// the policy came; its workers end, and what serves goes on.
func TestDeploy_PolicyUnmet(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(*testing.T, *bench){
		"before the deploy": func(t *testing.T, b *bench) { b.govern(t, "gone") },
		"during it":         func(t *testing.T, b *bench) { b.db.between = func() { b.govern(t, "gone") } },
	} {
		b := newBench(t)
		b.govern(t, "a")
		old, err := b.deploy(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begin(t, b)
		_, err = b.deploy(t.Context())
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != fault.Invalid || f.Code != "policy_unmet" || !strings.Contains(f.Text, "number 2, line 5") || !strings.Contains(f.Text, `no handler "gone"`) || !strings.Contains(f.Hint, "postern apply") {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := b.db.Function(t.Context(), b.project, "f"); err != nil || got.ActiveDeploymentID != old.Deployment.ID {
			t.Errorf("%s: active is %s, %v", name, got.ActiveDeploymentID, err)
		}
		if len(b.fleet.retired) != 1 || b.fleet.retired[0] == old.Deployment.ID {
			t.Errorf("%s: retired %v", name, b.fleet.retired)
		}
	}
}

// A policy that came during the deploy and fits is no reason to refuse it.
func TestDeploy_PolicyChangedMeanwhile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.db.between = func() { b.govern(t, "a") }
	if _, err := b.deploy(t.Context()); err != nil || b.db.deploys != 2 {
		t.Errorf("%v after %d tries", err, b.db.deploys)
	}
	b.db.always = true
	b.db.between = func() {
		b.db.DB.ApplyPolicy(context.WithoutCancel(t.Context()), platform.PolicyApply{ProjectID: b.project, Expect: -1, At: time.Now()}, func(platform.PolicyState) (platform.PolicyInput, error) {
			return platform.PolicyInput{Policy: platform.Policy{Document: []byte(time.Now().String())}}, nil
		})
	}
	if _, err := b.deploy(t.Context()); err == nil || b.db.deploys > 10 {
		t.Errorf("a policy that never rests: %v after %d tries", err, b.db.deploys)
	}
}
