package storetest

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

func testKeys(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	k := newKey(p.ID, "billing ünïcode 'quoted'")
	k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	k.RatePerSecond, k.ExpiresAt, k.Quota = 7, at.Add(time.Hour), platform.Quota{Limit: 1 << 40, Per: platform.PerMonth}
	k.ServicePlanID, k.Groups, k.Metadata = "plan", []string{"a", "b c"}, map[string]string{"team": "Ångström"}
	k.Binding, k.CertThumbprint = platform.BindingMTLS, "x5t"
	seq, err := db.CreateKey(t.Context(), k)
	if err != nil || seq != 2 {
		t.Fatalf("CreateKey: seq %d, err %v", seq, err)
	}
	got, err := db.Key(t.Context(), p.ID, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	k.Generation, k.UpdatedAt = 1, k.CreatedAt
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
	list, err := db.Keys(t.Context(), p.ID, "", 1, false)
	if err != nil || len(list) != 1 {
		t.Fatalf("first page: %v, %v", list, err)
	}
	rest, err := db.Keys(t.Context(), p.ID, list[0].ID, 10, false)
	if err != nil || len(rest) != 1 || rest[0].ID == list[0].ID {
		t.Errorf("second page: %v, %v", rest, err)
	}
}

func testKeyNames(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for range 8 {
		wg.Go(func() {
			_, err := db.CreateKey(t.Context(), newKey(p.ID, "same"))
			errs <- err
		})
	}
	wg.Wait()
	if n := won(t, errs, "display_name_taken"); n != 1 {
		t.Errorf("%d keys of one name were made", n)
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

// A moment is the same moment when it is read back, to the microsecond below,
// in whatever zone and century it was given; only the zero time means never.
func testTimes(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	for name, when := range map[string]time.Time{
		"never":                {},
		"zone with DST":        at,
		"odd zone":             time.Date(2026, 10, 25, 2, 30, 0, 1000, time.FixedZone("", -(9*3600+30*60))),
		"nanoseconds":          time.Date(2026, 1, 1, 0, 0, 0, 999_999_999, time.UTC),
		"1970":                 time.Unix(0, 0),
		"1970 and nanoseconds": time.Unix(0, 999),
		"before 1970":          time.Date(1950, 1, 1, 0, 0, 0, 1500, time.UTC),
		"year 9999":            time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
		"monotonic clock":      time.Now(),
	} {
		k := newKey(p.ID, name)
		k.ExpiresAt = when
		if _, err := db.CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		got, err := db.KeyByID(t.Context(), k.ID)
		if err != nil {
			t.Fatal(err)
		}
		off := got.ExpiresAt.Sub(when)
		if when.IsZero() != got.ExpiresAt.IsZero() || off > time.Microsecond || off <= -time.Microsecond {
			t.Errorf("%s: %v became %v", name, when, got.ExpiresAt)
		}
		if !when.IsZero() && got.LiveAt(when.Add(time.Microsecond)) {
			t.Errorf("%s: the key outlives its end", name)
		}
	}
}

// Texts are data on both databases: quotes, wildcards and what looks like SQL
// come back as they went in.
func testTexts(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	for _, name := range []string{"'; DROP TABLE access_keys; --", `"`, `\`, "%", "_", "$1", "?", "ÅåÄäÖö", "日本語", "🔑", "e\u0301", "\u00e9", "case", "CASE", " case"} {
		k := newKey(p.ID, name)
		if _, err := db.CreateKey(t.Context(), k); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if got, err := db.Key(t.Context(), p.ID, k.ID); err != nil || got.DisplayName != name {
			t.Errorf("%q came back as %q, %v", name, got.DisplayName, err)
		}
		_, err := db.Key(t.Context(), p.ID, name)
		want(t, err, fault.NotFound, "")
	}
}

func testRevokeAtOnce(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	k := newKey(p.ID, "k")
	if _, err := db.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	seqs := make([]int64, 8)
	for i := range seqs {
		wg.Go(func() {
			var err error
			if seqs[i], err = db.RevokeKey(t.Context(), p.ID, k.ID, at.Add(time.Duration(i)*time.Second)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	winner := slices.Index(seqs, 3) // after the first key's change and this one's
	if slices.Sort(seqs); winner < 0 || !slices.Equal(seqs, []int64{0, 0, 0, 0, 0, 0, 0, 3}) {
		t.Fatalf("sequences %v", seqs)
	}
	if got, _ := db.KeyByID(t.Context(), k.ID); !got.RevokedAt.Equal(at.Add(time.Duration(winner) * time.Second)) {
		t.Errorf("revoked at %v, not when the winner said", got.RevokedAt)
	}
	if list, _ := db.Keys(t.Context(), p.ID, "", 10, false); len(list) != 1 {
		t.Errorf("the list shows %d keys", len(list))
	}
}

// A caller that went away leaves all of its change or nothing, and the store
// as able as before.
func testCancelled(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	k := newKey(p.ID, "k")
	if _, err := db.CreateKey(gone, k); !errors.Is(err, context.Canceled) {
		t.Errorf("CreateKey: %v", err)
	}
	if _, err := db.Load(gone, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Load: %v", err)
	}
	_, err := db.KeyByID(t.Context(), k.ID)
	want(t, err, fault.NotFound, "")
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			k := newKey(p.ID, "at once "+newKey("", "").ID)
			seq, err := db.CreateKey(ctx, k)
			if _, there := db.KeyByID(t.Context(), k.ID); err == nil && (seq == 0 || there != nil) {
				t.Errorf("made as %d, but %v", seq, there)
			}
		})
	}
	wg.Wait()
	if _, err := db.CreateKey(t.Context(), k); err != nil {
		t.Errorf("after the cancelled ones: %v", err)
	}
	changes, err := db.Changes(t.Context(), 0, 100)
	keys, _ := load(t, db)
	if err != nil || len(changes) != len(keys) || changes[len(changes)-1].Seq != int64(len(changes)) {
		t.Errorf("%d changes for %d keys, %v", len(changes), len(keys), err)
	}
}

func testUpdateKey(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	k, other := newKey(p.ID, "k"), newKey(p.ID, "other")
	for _, k := range []platform.AccessKey{k, other} {
		if _, err := db.CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	old, until := k.SecretHash, at.Add(time.Minute)
	fresh := newKey("", "").SecretHash
	got, seq, err := db.UpdateKey(t.Context(), p.ID, k.ID, at, func(k *platform.AccessKey) error {
		k.DisplayName, k.Generation, k.SecretHash, k.PreviousHash, k.PreviousUntil = "renamed", k.Generation+1, fresh, k.SecretHash, until
		k.ProjectID, k.CreatedAt = "prj_other", at.Add(time.Hour) // what a key is and whose stays
		return nil
	})
	if err != nil || seq != 4 || !got.UpdatedAt.Equal(at) {
		t.Fatalf("update: change %d, %+v, %v", seq, got, err)
	}
	got, err = db.Key(t.Context(), p.ID, k.ID)
	if err != nil || got.DisplayName != "renamed" || got.Generation != 2 || got.SecretHash != fresh || got.PreviousHash != old || !got.PreviousUntil.Equal(until) || !got.CreatedAt.Equal(k.CreatedAt) {
		t.Errorf("read back: %+v, %v", got, err)
	}
	for name, tc := range map[string]struct {
		project, id string
		change      func(*platform.AccessKey) error
		kind        fault.Kind
		code        string
	}{
		"a name that is taken":   {p.ID, k.ID, func(k *platform.AccessKey) error { k.DisplayName = "other"; return nil }, fault.Conflict, "display_name_taken"},
		"a secret that is taken": {p.ID, k.ID, func(k *platform.AccessKey) error { k.SecretHash = other.SecretHash; return nil }, fault.Conflict, "key_exists"},
		"a foreign project":      {"prj_other", k.ID, func(*platform.AccessKey) error { t.Error("called"); return nil }, fault.NotFound, ""},
		"none":                   {p.ID, "pak_none", func(*platform.AccessKey) error { t.Error("called"); return nil }, fault.NotFound, ""},
		"change refuses":         {p.ID, k.ID, func(k *platform.AccessKey) error { k.DisplayName = "lost"; return fault.New(fault.Invalid, "no") }, fault.Invalid, ""},
	} {
		if _, seq, err := db.UpdateKey(t.Context(), tc.project, tc.id, at, tc.change); seq != 0 {
			t.Errorf("%s: change %d", name, seq)
		} else {
			want(t, err, tc.kind, tc.code)
		}
	}
	if _, err := db.RevokeKey(t.Context(), p.ID, k.ID, at); err != nil {
		t.Fatal(err)
	}
	_, _, err = db.UpdateKey(t.Context(), p.ID, k.ID, at, func(*platform.AccessKey) error { t.Error("a revoked key is changed"); return nil })
	want(t, err, fault.NotFound, "")
}

// Rotations at once happen one after the other: none is lost.
func testUpdateAtOnce(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	k := newKey(p.ID, "k")
	if _, err := db.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, err := db.UpdateKey(t.Context(), p.ID, k.ID, at, func(k *platform.AccessKey) error { k.Generation++; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, _ := db.KeyByID(t.Context(), k.ID); got.Generation != 9 {
		t.Errorf("generation %d after 8 rotations", got.Generation)
	}
}

func testUse(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	k := newKey(p.ID, "k")
	seq, err := db.CreateKey(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	day, next := at.Truncate(24*time.Hour), at.Truncate(24*time.Hour).AddDate(0, 0, 1)
	month := platform.PerMonth.Begin(day)
	if got, taken, err := db.ReserveQuota(t.Context(), k.ID, day, next, 10, 4); got != 4 || taken != 4 || err != nil {
		t.Fatal(got, taken, err)
	}
	for i := range 3 {
		k.LastUsedAt = at.Add(time.Duration(i) * time.Second)
		if err := db.RecordUse(t.Context(), map[string]platform.AccessKey{k.ID: k, "pak_gone": k}); err != nil {
			t.Fatal(err)
		}
		got, err := db.KeyByID(t.Context(), k.ID)
		if err != nil || !got.LastUsedAt.Equal(k.LastUsedAt) || got.Used.Count != 4 || !got.Used.Since.Equal(day) {
			t.Errorf("after write %d: %+v, %v", i+1, got, err)
		}
	}
	for i, step := range []struct {
		name          string
		since, end    time.Time
		limit, n      int64
		got, taken, u int64 // u: what is stored then
	}{
		{"some more", day, next, 10, 4, 4, 8, 8},
		{"the rest", day, next, 10, 4, 2, 10, 10},
		{"nothing is left", day, next, 10, 4, 0, 10, 10},
		{"another day", next, next.AddDate(0, 0, 1), 10, 4, 4, 4, 4},
		{"of a node whose clock is late", day, next, 10, 4, 0, 10, 4},
		{"a month's, with what was counted today", month, month.AddDate(0, 1, 0), 10, 4, 4, 8, 8},
		{"a lower limit", month, month.AddDate(0, 1, 0), 3, 4, 0, 8, 8},
	} {
		got, taken, err := db.ReserveQuota(t.Context(), k.ID, step.since, step.end, step.limit, step.n)
		now, _ := db.KeyByID(t.Context(), k.ID)
		if err != nil || got != step.got || taken != step.taken || now.Used.Count != step.u {
			t.Errorf("%d, %s: %d, %d, %v; stored %d", i, step.name, got, taken, err, now.Used.Count)
		}
	}
	for _, back := range []struct {
		since   time.Time
		n, left int64
	}{{month, 3, 5}, {day, 3, 5}, {month, 99, 0}} {
		if err := db.ReturnQuota(t.Context(), k.ID, back.since, back.n); err != nil {
			t.Fatal(err)
		}
		if now, _ := db.KeyByID(t.Context(), k.ID); now.Used.Count != back.left {
			t.Errorf("after %d were given back: %d", back.n, now.Used.Count)
		}
	}
	if got, _, err := db.ReserveQuota(t.Context(), "pak_gone", day, next, 10, 4); err != nil || got != 0 {
		t.Error("of a key that there is not:", got, err)
	}
	var wg sync.WaitGroup
	var had atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 10 {
				got, _, err := db.ReserveQuota(t.Context(), k.ID, month, month.AddDate(0, 1, 0), 100, 3)
				if err != nil {
					t.Error(err)
				}
				had.Add(got)
			}
		})
	}
	wg.Wait()
	if had.Load() != 100 {
		t.Errorf("nodes got %d of 100", had.Load())
	}
	if changes, _ := db.Changes(t.Context(), seq, 10); len(changes) != 0 {
		t.Errorf("use is in the change log: %v", changes)
	}
}

func testSubprojects(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	sub := platform.Project{ID: "prj_sub", Name: "sub", ParentID: p.ID, Labels: map[string]string{"a": "ü"}, CreatedAt: at}
	if err := db.CreateProject(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	want(t, db.CreateProject(t.Context(), platform.Project{ID: "prj_x", ParentID: "prj_none"}), fault.NotFound, "")
	want(t, db.CreateProject(t.Context(), platform.Project{ID: "prj_x", ParentID: sub.ID}), fault.Conflict, "nested_subproject")
	got, err := db.Project(t.Context(), sub.ID)
	sub.CreatedAt, sub.UpdatedAt = got.CreatedAt, got.CreatedAt
	if d := cmp.Diff(sub, got); d != "" || err != nil {
		t.Error("read back differs: ", d, err)
	}
	if top, _ := db.Projects(t.Context()); len(top) != 1 || top[0].ID != p.ID {
		t.Errorf("projects: %v", top)
	}
	if _, err := db.UpdateProject(t.Context(), sub.ID, at, func(p *platform.Project) error { p.Name, p.Labels = "renamed", nil; return nil }); err != nil {
		t.Fatal(err)
	}
	if c, err := db.Changes(t.Context(), 1, 10); err != nil || len(c) != 2 || c[1].Kind != platform.ChangeProject || c[1].ID != p.ID {
		t.Errorf("the changes of a subproject are %+v, %v", c, err)
	}
	list, err := db.Subprojects(t.Context(), p.ID, "", 10, false)
	if err != nil || len(list) != 1 || list[0].Name != "renamed" || len(list[0].Labels) != 0 {
		t.Errorf("subprojects: %v, %v", list, err)
	}
	k := newKey(sub.ID, "k")
	if _, err := db.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	in := deployInput(sub.ID, "fn-1", "f", "")
	if _, err := db.Deploy(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if f, _, err := db.ActiveFunction(t.Context(), in.Function.ID); err != nil || f.ParentProjectID != p.ID {
		t.Errorf("the function's parent project is %q, %v", f.ParentProjectID, err)
	}
	_, err = db.DeleteSubproject(t.Context(), p.ID, at)
	want(t, err, fault.NotFound, "") // it is no subproject
	_, err = db.DeleteSubproject(t.Context(), sub.ID, at)
	want(t, err, fault.Conflict, "project_not_empty")
	if _, _, err := db.DeleteFunction(t.Context(), sub.ID, "f", at); err != nil {
		t.Fatal(err)
	}
	if seq, err := db.DeleteSubproject(t.Context(), sub.ID, at); err != nil || seq == 0 {
		t.Fatalf("delete: change %d, %v", seq, err)
	}
	if got, _ := db.KeyByID(t.Context(), k.ID); got.RevokedAt.IsZero() {
		t.Error("the key of a deleted subproject lives")
	}
	_, err = db.Project(t.Context(), sub.ID)
	want(t, err, fault.NotFound, "")
	// Who looked before the delete and writes after it comes too late.
	_, err = db.CreateKey(t.Context(), newKey(sub.ID, "late"))
	want(t, err, fault.NotFound, "")
	_, err = db.Deploy(t.Context(), deployInput(sub.ID, "fn-2", "late", ""))
	want(t, err, fault.NotFound, "")
	if fs, err := db.FindFunctions(t.Context(), sub.ID, "", "", 10); err != nil || len(fs) != 0 {
		t.Errorf("functions of a deleted subproject: %v, %v", fs, err)
	}
	gone, _ := db.Subprojects(t.Context(), p.ID, "", 10, false)
	all, _ := db.Subprojects(t.Context(), p.ID, "", 10, true)
	if len(gone) != 0 || len(all) != 1 || all[0].DeletedAt.IsZero() {
		t.Errorf("after the delete: %v and %v", gone, all)
	}
}

func testSigningKeys(t *testing.T, db *store.DB) {
	add := func(kid, newest string) int64 {
		seq, err := db.AddSigningKey(t.Context(), platform.SigningKey{KID: kid, Algorithm: "EdDSA", Public: []byte{1, 0}, Sealed: []byte{0xff}, CreatedAt: at, ActiveAt: at.Add(time.Hour)}, newest, at.Add(2*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	if add("first", "") == 0 || add("other", "") != 0 || add("other", "none") != 0 {
		t.Fatal("the first key is made once")
	}
	var wg sync.WaitGroup
	seqs := make([]int64, 4)
	for i := range seqs {
		wg.Go(func() { seqs[i] = add("second "+string(rune('a'+i)), "first") })
	}
	wg.Wait()
	if slices.Sort(seqs); !slices.Equal(seqs[:3], []int64{0, 0, 0}) || seqs[3] == 0 {
		t.Errorf("rotations at once: %v", seqs)
	}
	keys, err := db.SigningKeys(t.Context(), at)
	if err != nil || len(keys) != 2 {
		t.Fatalf("%v, %v", keys, err)
	}
	first := keys[slices.IndexFunc(keys, func(k platform.SigningKey) bool { return k.KID == "first" })]
	if !first.ExpiresAt.Equal(at.Add(2*time.Hour)) || !slices.Equal(first.Sealed, []byte{0xff}) || !slices.Equal(first.Public, []byte{1, 0}) || !first.ActiveAt.Equal(at.Add(time.Hour)) {
		t.Errorf("the first key: %+v", first)
	}
	if keys, _ := db.SigningKeys(t.Context(), at.Add(2*time.Hour)); len(keys) != 1 || keys[0].KID == "first" {
		t.Errorf("after its end: %v", keys)
	}
}

func testRevokedTokens(t *testing.T, db *store.DB) {
	r := platform.RevokedToken{ID: "jti", ExpiresAt: at.Add(time.Hour)}
	if seq, err := db.RevokeToken(t.Context(), r, at); err != nil || seq == 0 {
		t.Fatalf("change %d, %v", seq, err)
	}
	if seq, err := db.RevokeToken(t.Context(), r, at); err != nil || seq != 0 {
		t.Errorf("again: change %d, %v", seq, err)
	}
	for id, n := range map[string]int{"": 1, "jti": 1, "other": 0} {
		if got, err := db.RevokedTokens(t.Context(), id, at); err != nil || len(got) != n || n == 1 && !got[0].ExpiresAt.Equal(r.ExpiresAt) {
			t.Errorf("%q: %v, %v", id, got, err)
		}
	}
	if got, _ := db.RevokedTokens(t.Context(), "", r.ExpiresAt); len(got) != 0 {
		t.Errorf("after its end: %v", got)
	}
}
