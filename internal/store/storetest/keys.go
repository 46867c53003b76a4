package storetest

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/store"
)

func testKeys(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	k := newKey(p.ID, "billing ünïcode 'quoted'")
	k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	k.RatePerSecond, k.ExpiresAt = 7, at.Add(time.Hour)
	seq, err := db.CreateKey(t.Context(), k)
	if err != nil || seq != 2 {
		t.Fatalf("CreateKey: seq %d, err %v", seq, err)
	}
	got, err := db.Key(t.Context(), p.ID, k.ID)
	if err != nil {
		t.Fatal(err)
	}
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
	list, err := db.Keys(t.Context(), p.ID, "", 1)
	if err != nil || len(list) != 1 {
		t.Fatalf("first page: %v, %v", list, err)
	}
	rest, err := db.Keys(t.Context(), p.ID, list[0].ID, 10)
	if err != nil || len(rest) != 1 || rest[0].ID == list[0].ID {
		t.Errorf("second page: %v, %v", rest, err)
	}
}

func testKeyNames(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for range 8 {
		wg.Go(func() {
			_, err := db.CreateKey(t.Context(), newKey(p.ID, "same"))
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		want(t, err, fault.Conflict, "display_name_taken")
	}
	if won != 1 {
		t.Errorf("%d keys of one name were made", won)
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
	if list, _ := db.Keys(t.Context(), p.ID, "", 10); len(list) != 1 {
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
