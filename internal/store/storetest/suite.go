package storetest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

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
		"bootstrap":                 testBootstrap,
		"instance ID":               testInstanceID,
		"keys":                      testKeys,
		"key names":                 testKeyNames,
		"key search":                testKeySearch,
		"key states":                testKeyStates,
		"key pages":                 testKeyPages,
		"function search":           testFunctionSearch,
		"times":                     testTimes,
		"odd texts":                 testTexts,
		"revoke":                    testRevoke,
		"revoke at once":            testRevokeAtOnce,
		"cancelled":                 testCancelled,
		"update key":                testUpdateKey,
		"updates at once":           testUpdateAtOnce,
		"use":                       testUse,
		"subprojects":               testSubprojects,
		"signing keys":              testSigningKeys,
		"revoked tokens":            testRevokedTokens,
		"audit":                     testAudit,
		"names":                     testNames,
		"text in the audit log":     testAuditText,
		"audit beside changes":      testAuditAtOnce,
		"audit pruned":              testAuditPruned,
		"audit recorded":            testAuditRecorded,
		"usage":                     testUsage,
		"usage of a key":            testUsageOfKey,
		"usage stays":               testUsageStays,
		"usage counted once":        testUsageOnce,
		"usage pruned":              testUsagePruned,
		"copies of databases":       testDatabaseCopies,
		"secrets":                   testSecrets,
		"secrets at once":           testSecretsAtOnce,
		"secrets of a deploy":       testSecretsOfDeploy,
		"secrets end":               testSecretsEnd,
		"data keys":                 testDataKeys,
		"keepers":                   testKeepers,
		"callbacks":                 testMarks,
		"callbacks at once":         testMarksAtOnce,
		"callbacks pruned":          testMarksPruned,
		"deploy":                    testDeploy,
		"deploy raced":              testDeployRaced,
		"first deploys at once":     testFirstDeploys,
		"failed deploy":             testDeployFails,
		"ended keys stay ended":     testKeysStayEnded,
		"deploy and delete at once": testDeployDelete,
		"delete function":           testDelete,
		"candidate":                 testCandidate,
		"promote":                   testPromote,
		"end a candidate":           testEndCandidate,
		"promotes at once":          testPromoteRaced,
		"tenancy":                   testTenancy,
		"slugs at once":             testSlugs,
		"changes have no gaps":      testChanges,
		"a follower stays in step":  testFollower,
		"load stops":                testLoadStops,
		"bell":                      testBell,
		"policy":                    testPolicy,
		"policies at once":          testPolicyRaced,
		"policy tried":              testPolicyDry,
		"keys of a policy":          testPolicyKeys,
		"keys a policy cannot make": testPolicyKeysRefused,
		"policy and deploy at once": testPolicyAndDeploy,
		"slugs of upstreams":        testUpstreamSlugs,
		"policy of a subproject":    testPolicyOfSubproject,
		"users":                     testUsers,
		"first user at once":        testFirstUser,
		"users end":                 testUsersEnd,
		"sessions":                  testSessions,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// at has a zone and microseconds, to see that both survive as an instant.
var at = time.Date(2026, 3, 29, 2, 30, 0, 123456000, time.FixedZone("CEST", 7200))

// newProject makes the first project of db, with the key "first".
func newProject(t *testing.T, db *store.DB) platform.Project {
	t.Helper()
	p := platform.Project{ID: function.NewProjectID(at), Name: "default", CreatedAt: at}
	if seq, err := db.Bootstrap(t.Context(), p, newKey(p.ID, "first")); err != nil || seq == 0 {
		t.Fatalf("Bootstrap: change %d, err %v", seq, err)
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
			Declaration: platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "a"}}, Auth: platform.AuthDeclaration{Present: true, Names: []string{"a"}}, Style: platform.StyleEvent},
			Handlers: []platform.Handler{{Name: "a", Guard: platform.GuardOpen, Rule: platform.Rule{Timeout: time.Second},
				Routes: []platform.Route{{Pattern: "GET /a/{ü}", Guard: platform.GuardOpen, Loosened: true, Rule: platform.Rule{Group: "public", Scopes: []platform.Scope{platform.ScopeControl}, BodyLimit: 1, Timeout: time.Minute}}, {Pattern: "/b"}}}}, Variables: map[string]string{"A": "ü"}, SecretNames: []string{"B", "C"}, Visibility: platform.Private,
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

// won closes a race and counts those that were done. Each of the others has to be
// refused as a conflict, with this code.
func won(t *testing.T, errs chan error, code string) (n int) {
	t.Helper()
	close(errs)
	for err := range errs {
		if err == nil {
			n++
			continue
		}
		want(t, err, fault.Conflict, code)
	}
	return n
}

func testBootstrap(t *testing.T, db *store.DB) {
	var wg sync.WaitGroup
	made := make(chan bool, 8)
	for range 8 {
		wg.Go(func() {
			p := platform.Project{ID: function.NewProjectID(at), Name: "p", CreatedAt: at}
			seq, err := db.Bootstrap(t.Context(), p, newKey(p.ID, "k"))
			if err != nil {
				t.Error(err)
			}
			made <- seq > 0
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
	// Again, as after a restart: nothing is made, nothing is altered.
	before, _ := db.Changes(t.Context(), 0, 100)
	p := platform.Project{ID: function.NewProjectID(at), Name: "again", CreatedAt: at}
	seq, err := db.Bootstrap(t.Context(), p, newKey(p.ID, "k"))
	if err != nil || seq != 0 {
		t.Errorf("second start: change %d, err %v", seq, err)
	}
	if ps, err = db.Projects(t.Context()); err != nil || len(ps) != 1 || ps[0].Name != "p" {
		t.Errorf("projects after the second start: %v, %v", ps, err)
	}
	keys, _ := load(t, db)
	if after, _ := db.Changes(t.Context(), 0, 100); len(before) != 1 || len(after) != 1 || len(keys) != 1 {
		t.Errorf("%d changes, then %d; %d keys", len(before), len(after), len(keys))
	}
}

func testInstanceID(t *testing.T, db *store.DB) {
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			var err error
			if ids[i], err = db.InstanceID(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(slices.Compact(ids)) != 1 || len(ids[0]) < 20 {
		t.Errorf("instance IDs %q", ids)
	}
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
