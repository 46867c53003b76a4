package storetest

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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

var later = at.Add(time.Hour)

// input is what an apply of a document writes.
func input(document string, keys ...platform.AccessKey) platform.PolicyInput {
	return platform.PolicyInput{Policy: platform.Policy{Document: []byte(document), AppliedBy: "pak_who"}, Keys: keys}
}

// serving is input with an upstream.
func serving(document, name string) platform.PolicyInput {
	in := input(document)
	in.Policy.Upstreams = []platform.Upstream{upstream(name)}
	return in
}

func upstream(name string) platform.Upstream {
	return platform.Upstream{ID: function.NewUpstreamID(at), Name: name, URL: "http://10.0.0.5:9000"}
}

func asked(projectID string, expect int, in platform.PolicyInput) platform.PolicyApply {
	a := platform.PolicyApply{ProjectID: projectID, Expect: expect, At: later}
	for _, k := range in.Keys {
		a.KeyIDs = append(a.KeyIDs, k.ID)
	}
	return a
}

func apply(t *testing.T, db *store.DB, projectID string, in platform.PolicyInput) (platform.PolicyResult, error) {
	t.Helper()
	return db.ApplyPolicy(t.Context(), asked(projectID, -1, in), func(platform.PolicyState) (platform.PolicyInput, error) { return in, nil })
}

// applied is apply that must succeed.
func applied(t *testing.T, db *store.DB, projectID string, in platform.PolicyInput) platform.PolicyResult {
	t.Helper()
	out, err := apply(t, db, projectID, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// trace is all that an apply may change, as text.
func trace(t *testing.T, db *store.DB, projectID string) string {
	t.Helper()
	ps, err := db.Policies(t.Context(), "")
	ks, err2 := db.Keys(t.Context(), projectID, "", 100, true)
	cs, err3 := db.Changes(t.Context(), 0, 1000)
	h, err4 := db.PolicyHistory(t.Context(), projectID, 0, 100)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal([]any{ps, ks, cs, h})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func testPolicy(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	_, err := db.Policy(t.Context(), p.ID, 0)
	want(t, err, fault.NotFound, "policy_not_found")
	first, err := db.Deploy(t.Context(), deployInput(p.ID, "", "orders", ""))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := db.Changes(t.Context(), 0, 100)
	open := platform.GuardOpen
	in := input("version: 1 # ü\n")
	in.Policy.Functions = []platform.FunctionPolicy{{Name: "orders", Visibility: platform.Private, Rule: platform.Rule{Methods: []string{"dpop"}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		Routes: []platform.Governed{{Name: "/b", Guard: &open, Rule: platform.Rule{CORS: &platform.CORS{Origins: []string{"*"}}, Signature: &platform.Signature{Scheme: "custom", Custom: &platform.SignatureScheme{Header: "X"}}}}}}}
	in.Policy.Groups = []platform.GroupPolicy{{Name: "partner", Rule: platform.Rule{Limits: []platform.RateLimit{{Requests: 1, Per: time.Second, By: platform.LimitByKey, Burst: 2}}}}}
	in.Policy.Upstreams = []platform.Upstream{upstream("legacy")}
	in.Policy.Upstreams[0].Routes = []platform.UpstreamRoute{{Pattern: "/v1", Guard: platform.GuardOpen, Rule: platform.Rule{Timeout: time.Minute}}}
	var saw platform.PolicyState
	out, err := db.ApplyPolicy(t.Context(), asked(p.ID, 0, in), func(s platform.PolicyState) (platform.PolicyInput, error) { saw = s; return in, nil })
	if err != nil {
		t.Fatal(err)
	}
	if saw.Current != nil || len(saw.Functions) != 1 || saw.Functions[0].Deployment.ID != first.Deployment.ID || len(saw.Keys) != 0 || len(saw.Upstreams) != 0 {
		t.Errorf("the state that it was to fit: %+v", saw)
	}
	if after, _ := db.Changes(t.Context(), 0, 100); len(after) != len(before)+1 || after[len(before)].Kind != platform.ChangePolicy || after[len(before)].ID != p.ID || after[len(before)].Seq != out.Seq {
		t.Errorf("changes %v", after)
	}
	want := in.Policy
	want.ProjectID, want.Number, want.AppliedAt = p.ID, 1, later.UTC()
	want.Upstreams[0].ProjectID, want.Upstreams[0].Slug = p.ID, "legacy"
	exact := cmp.Options{cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateApproxTime(0), cmpopts.EquateEmpty()}
	got, err := db.Policy(t.Context(), p.ID, 0)
	if diff := cmp.Diff(want, got, exact); diff != "" || err != nil {
		t.Error("read back: ", diff, err)
	}
	want.Document = nil
	for _, of := range []string{"", p.ID} {
		ps, err := db.Policies(t.Context(), of)
		if diff := cmp.Diff([]platform.Policy{want}, ps, exact); diff != "" || err != nil {
			t.Errorf("in force of %q: %s %v", of, diff, err)
		}
	}
	if ps, err := db.Policies(t.Context(), "prj_other"); err != nil || len(ps) != 0 {
		t.Errorf("of another project: %v, %v", ps, err)
	}

	// The same again writes nothing; another document is the next number, and
	// the upstream stays what it is while its name does.
	seen := trace(t, db, p.ID)
	if again := applied(t, db, p.ID, in); !again.Unchanged || again.Policy.Number != 1 || again.Seq != 0 || trace(t, db, p.ID) != seen {
		t.Errorf("the same again: %+v", again)
	}
	next := input("version: 1 # next\n")
	next.Policy.Upstreams = []platform.Upstream{upstream("second"), upstream("legacy"), upstream("orders-2")}
	second := applied(t, db, p.ID, next)
	if u := second.Policy.Upstreams; second.Policy.Number != 2 || u[1].ID != in.Policy.Upstreams[0].ID || u[1].Slug != "legacy" || u[0].ID == u[2].ID {
		t.Errorf("the second policy: %+v", second.Policy)
	}
	if h, err := db.PolicyHistory(t.Context(), p.ID, 0, 10); err != nil || len(h) != 2 || h[0].Number != 2 || h[1].Number != 1 || h[1].AppliedBy != "pak_who" || !h[1].AppliedAt.Equal(later) {
		t.Errorf("history %+v, %v", h, err)
	}
	if h, err := db.PolicyHistory(t.Context(), p.ID, 2, 1); err != nil || len(h) != 1 || h[0].Number != 1 {
		t.Errorf("history below 2: %+v, %v", h, err)
	}
	if old, err := db.Policy(t.Context(), p.ID, 1); err != nil || string(old.Document) != "version: 1 # ü\n" || len(old.Functions) != 1 {
		t.Errorf("the first policy is %+v, %v", old, err)
	}
}

// A policy of a number that is not in force is not replaced, and of many that
// replace one, one does.
func testPolicyRaced(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	applied(t, db, p.ID, input("one"))
	var wg sync.WaitGroup
	errs := make(chan error, 6)
	for i := range 6 {
		wg.Go(func() {
			_, err := db.ApplyPolicy(t.Context(), asked(p.ID, 1, platform.PolicyInput{}), func(platform.PolicyState) (platform.PolicyInput, error) { return input(fmt.Sprint("two by ", i)), nil })
			errs <- err
		})
	}
	wg.Wait()
	n := won(t, errs, "policy_raced")
	if h, _ := db.PolicyHistory(t.Context(), p.ID, 0, 10); n != 1 || len(h) != 2 {
		t.Errorf("%d won; history %v", n, h)
	}
	_, err := db.ApplyPolicy(t.Context(), asked(p.ID, 0, platform.PolicyInput{}), func(platform.PolicyState) (platform.PolicyInput, error) {
		t.Error("somebody was asked to decide over what is not there")
		return input("three"), nil
	})
	want(t, err, fault.Conflict, "policy_raced")
	_, err = apply(t, db, "prj_none", input("one"))
	want(t, err, fault.NotFound, "")
}

// A dry run refuses what an apply refuses, and leaves nothing.
func testPolicyDry(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	k := newKey(p.ID, "ci")
	applied(t, db, p.ID, input("one", k))
	seen := trace(t, db, p.ID)
	dry := func(in platform.PolicyInput) (platform.PolicyResult, error) {
		a := asked(p.ID, 1, in)
		a.DryRun = true
		return db.ApplyPolicy(t.Context(), a, func(platform.PolicyState) (platform.PolicyInput, error) { return in, nil })
	}
	in := input("two", newKey(p.ID, "other"))
	in.Policy.Upstreams = []platform.Upstream{upstream("legacy")}
	out, err := dry(in)
	if err != nil || out.Policy.Number != 2 || out.Seq != 0 || out.Unchanged {
		t.Errorf("dry run: %+v, %v", out, err)
	}
	twin := newKey(p.ID, "twin")
	twin.SecretHash = k.SecretHash
	_, err = dry(input("two", k, twin))
	want(t, err, fault.Conflict, "digest_taken")
	if out, err := dry(input("one", k)); err != nil || !out.Unchanged {
		t.Errorf("dry run of the same: %+v, %v", out, err)
	}
	no := errors.New("no")
	if _, err := db.ApplyPolicy(t.Context(), asked(p.ID, 1, in), func(platform.PolicyState) (platform.PolicyInput, error) { return in, no }); !errors.Is(err, no) {
		t.Error(err)
	}
	if now := trace(t, db, p.ID); now != seen {
		t.Errorf("something was left:\n%s\nthen\n%s", seen, now)
	}
}

// Keys of a policy live and die with their entries; others are left alone.
func testPolicyKeys(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	hand := newKey(p.ID, "by hand")
	hand.Groups, hand.ExpiresAt = []string{"partner"}, at.AddDate(100, 0, 0)
	if _, err := db.CreateKey(t.Context(), hand); err != nil {
		t.Fatal(err)
	}
	a, b := newKey("", "a"), newKey("", "b")
	a.Scopes, a.Groups, a.Metadata = []platform.Scope{platform.ScopeInvoke}, []string{"partner"}, map[string]string{"team": "x"}
	one := applied(t, db, p.ID, input("one", a, b, hand))
	got, err := db.Key(t.Context(), p.ID, a.ID)
	if err != nil || !got.ByPolicy || got.Generation != 1 || got.SecretHash != a.SecretHash || !slices.Equal(got.Groups, a.Groups) || !got.CreatedAt.Equal(later) || got.Metadata["team"] != "x" {
		t.Errorf("made: %+v, %v", got, err)
	}
	if k, _ := db.Key(t.Context(), p.ID, hand.ID); k.ByPolicy {
		t.Error("a key that was made by hand became the policy's, because it is named")
	}
	if cs, _ := db.Changes(t.Context(), one.Seq-3, 10); len(cs) != 3 || cs[0].Kind != platform.ChangeKey || cs[2].Kind != platform.ChangePolicy {
		t.Errorf("changes %v", cs)
	}
	// A new digest is a new secret: the old one dies, and so do its tokens.
	rotated := a
	rotated.SecretHash = accesskey.NewSecret().Hash()
	rotated.Groups = nil
	applied(t, db, p.ID, input("two", rotated, hand))
	if got, _ := db.Key(t.Context(), p.ID, a.ID); got.Generation != 2 || got.SecretHash != rotated.SecretHash || len(got.Groups) != 0 || !got.PreviousUntil.IsZero() || !got.CreatedAt.Equal(later) {
		t.Errorf("rotated: %+v", got)
	}
	if got, _ := db.Key(t.Context(), p.ID, b.ID); got.RevokedAt.IsZero() {
		t.Error("a key whose entry is gone still lives")
	}
	// And what nobody names is as it was.
	applied(t, db, p.ID, input("three"))
	for _, k := range []string{a.ID, b.ID} {
		if got, _ := db.Key(t.Context(), p.ID, k); got.RevokedAt.IsZero() {
			t.Error("a key of the policy outlives it")
		}
	}
	if got, _ := db.Key(t.Context(), p.ID, hand.ID); !got.RevokedAt.IsZero() || got.Generation != 1 {
		t.Errorf("the key made by hand: %+v", got)
	}
	if keys, _ := load(t, db); len(keys) != 2 {
		t.Errorf("%d keys live, want the first one and that made by hand", len(keys))
	}
}

func testPolicyKeysRefused(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	other := platform.Project{ID: function.NewProjectID(at), Name: "b", CreatedAt: at}
	if err := db.CreateProject(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	hand, foreign, gone := newKey(p.ID, "by hand"), newKey(other.ID, "theirs"), newKey(p.ID, "gone")
	for _, k := range []platform.AccessKey{hand, foreign, gone} {
		if _, err := db.CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	old := hand.SecretHash
	hand, _, err := db.UpdateKey(t.Context(), p.ID, hand.ID, at, func(k *platform.AccessKey) error {
		k.PreviousHash, k.PreviousUntil, k.SecretHash = old, later.Add(time.Minute), sha256.Sum256([]byte("next"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.RevokeKey(t.Context(), p.ID, gone.ID, at); err != nil {
		t.Fatal(err)
	}
	fn, err := db.Deploy(t.Context(), deployInput(p.ID, "", "f", ""))
	if err != nil {
		t.Fatal(err)
	}
	a, b := newKey("", "a"), newKey("", "b")
	applied(t, db, p.ID, input("one", a))
	if _, err := db.RevokeKey(t.Context(), p.ID, a.ID, at); err != nil {
		t.Fatal(err)
	}
	with := func(k platform.AccessKey, change func(*platform.AccessKey)) platform.AccessKey { change(&k); return k }
	seen := trace(t, db, p.ID)
	for name, tc := range map[string]struct {
		code string
		keys []platform.AccessKey
	}{
		"a secret of a key made by hand":         {"digest_taken", []platform.AccessKey{with(b, func(k *platform.AccessKey) { k.SecretHash = hand.SecretHash })}},
		"its secret before the rotation":         {"digest_taken", []platform.AccessKey{with(b, func(k *platform.AccessKey) { k.SecretHash = old })}},
		"a secret of another project":            {"digest_taken", []platform.AccessKey{with(b, func(k *platform.AccessKey) { k.SecretHash = foreign.SecretHash })}},
		"a secret of a revoked key":              {"digest_taken", []platform.AccessKey{with(b, func(k *platform.AccessKey) { k.SecretHash = gone.SecretHash })}},
		"one secret for two":                     {"digest_taken", []platform.AccessKey{b, with(newKey("", "c"), func(k *platform.AccessKey) { k.SecretHash = b.SecretHash })}},
		"an ID of another project":               {"key_taken", []platform.AccessKey{with(b, func(k *platform.AccessKey) { k.ID = foreign.ID })}},
		"the ID of a function's key":             {"key_taken", []platform.AccessKey{with(b, func(k *platform.AccessKey) { k.ID = fn.Deployment.KeyID })}},
		"more for a key made by hand":            {"key_taken", []platform.AccessKey{with(hand, func(k *platform.AccessKey) { k.RatePerSecond = 1000 })}},
		"another secret for it":                  {"key_taken", []platform.AccessKey{with(hand, func(k *platform.AccessKey) { k.SecretHash = b.SecretHash })}},
		"a key that was revoked by hand":         {"key_revoked", []platform.AccessKey{with(gone, func(k *platform.AccessKey) { k.SecretHash = b.SecretHash })}},
		"a key of the policy, revoked meanwhile": {"key_revoked", []platform.AccessKey{a}},
		"a display name that is taken":           {"display_name_taken", []platform.AccessKey{with(b, func(k *platform.AccessKey) { k.DisplayName = "first" })}},
	} {
		_, err := apply(t, db, p.ID, input("two", tc.keys...))
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Conflict || f.Code != tc.code {
			t.Errorf("%s: %v, want %s", name, err, tc.code)
		} else if strings.Contains(f.Text, "theirs") {
			t.Errorf("%s: it tells of another project: %s", name, f.Text)
		}
		if now := trace(t, db, p.ID); now != seen {
			t.Fatalf("%s: something was written", name)
		}
	}
}

// A policy and a deploy that do not know of one another never both pass.
func testPolicyAndDeploy(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	for i := range 8 {
		name := fmt.Sprint("f", i)
		var wg sync.WaitGroup
		var deployed, refused error
		n, _ := db.PolicyHistory(t.Context(), p.ID, 0, 1)
		number := 0
		if len(n) > 0 {
			number = n[0].Number
		}
		in := deployInput(p.ID, "", name, "")
		in.ExpectPolicy = number
		wg.Go(func() { _, deployed = db.Deploy(t.Context(), in) })
		wg.Go(func() {
			_, refused = db.ApplyPolicy(t.Context(), asked(p.ID, -1, platform.PolicyInput{}), func(s platform.PolicyState) (platform.PolicyInput, error) {
				if slices.ContainsFunc(s.Functions, func(f platform.ActiveFunction) bool { return f.Function.Name == name }) {
					return platform.PolicyInput{}, fault.New(fault.Invalid, "it does not fit")
				}
				return input("without " + name), nil
			})
		})
		wg.Wait()
		if (deployed == nil) == (refused == nil) {
			t.Fatalf("deploy: %v; apply: %v", deployed, refused)
		}
		if deployed != nil {
			want(t, deployed, fault.Conflict, "policy_raced")
		}
	}
}

// Functions and upstreams have addresses of one kind, and one owner each.
func testUpstreamSlugs(t *testing.T, db *store.DB) {
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
			if i%2 == 0 {
				out, err := db.Deploy(t.Context(), deployInput(p.ID, "", "orders", ""))
				if slugs[i] = out.Function.Slug; err != nil {
					t.Error(err)
				}
				return
			}
			out, err := apply(t, db, p.ID, serving("x", "orders"))
			if err != nil {
				t.Error(err)
				return
			}
			slugs[i] = out.Policy.Upstreams[0].Slug
			if _, err := apply(t, db, p.ID, serving("y", "free-later")); err != nil { // it gives its address back
				t.Error(err)
			}
			if _, err := db.Deploy(t.Context(), withPolicy(deployInput(p.ID, "", "free-later", ""), 2)); fault.KindOf(err) != fault.Conflict {
				t.Errorf("a function of the name of an upstream: %v", err)
			}
		})
	}
	wg.Wait()
	for i, s := range slugs {
		if s == "" || len(s) > 63 || i%2 == 0 && slices.Index(slugs, s) != i && slices.Index(slugs, s)%2 == 0 {
			t.Errorf("slug %d %q of %q", i, s, slugs)
		}
	}
	p := platform.Project{ID: function.NewProjectID(at), Name: "last", CreatedAt: at}
	if err := db.CreateProject(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Deploy(t.Context(), deployInput(p.ID, "", "mine", "")); err != nil {
		t.Fatal(err)
	}
	in := serving("x", "mine")
	_, err := apply(t, db, p.ID, in)
	want(t, err, fault.Conflict, "name_taken")
	if _, _, err := db.DeleteFunction(t.Context(), p.ID, "mine", at); err != nil {
		t.Fatal(err)
	}
	if out := applied(t, db, p.ID, in); out.Policy.Upstreams[0].Slug != "mine" {
		t.Errorf("the address that was freed is %q", out.Policy.Upstreams[0].Slug)
	}
}

func withPolicy(in platform.DeployInput, number int) platform.DeployInput {
	in.ExpectPolicy = number
	return in
}

// With a subproject its policy ends: its keys, its upstreams and their addresses.
func testPolicyOfSubproject(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	sub := platform.Project{ID: function.NewProjectID(at), Name: "s", ParentID: p.ID, CreatedAt: at}
	if err := db.CreateProject(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	in := input("x", newKey("", "k"))
	in.Policy.Upstreams = []platform.Upstream{upstream("legacy")}
	applied(t, db, sub.ID, in)
	if ps, err := db.Policies(t.Context(), ""); err != nil || len(ps) != 1 || ps[0].ParentProjectID != p.ID {
		t.Errorf("in force: %+v, %v", ps, err)
	}
	seq, err := db.DeleteSubproject(t.Context(), sub.ID, later)
	cs, _ := db.Changes(t.Context(), seq-3, 10)
	if err != nil || !slices.ContainsFunc(cs, func(c platform.Change) bool { return c.Kind == platform.ChangePolicy && c.ID == sub.ID }) {
		t.Errorf("changes %v, %v", cs, err)
	}
	if ps, err := db.Policies(t.Context(), ""); err != nil || len(ps) != 0 {
		t.Errorf("in force after the end: %+v, %v", ps, err)
	}
	if out := applied(t, db, p.ID, serving("z", "legacy")); out.Policy.Upstreams[0].Slug != "legacy" {
		t.Errorf("its address is still taken: %+v", out.Policy.Upstreams[0])
	}
}
