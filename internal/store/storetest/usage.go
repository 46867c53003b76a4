package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

// day1 is the day of the tests; a leap year's end stands after it.
const day1 = platform.Day(20000)

// ran is n calls of a function by a caller on a day.
func ran(projectID string, day platform.Day, functionID, caller string, n int64) platform.UsageRow {
	return platform.UsageRow{Day: day, ProjectID: projectID, FunctionID: functionID, FunctionName: "name of " + functionID, Caller: caller,
		Counts: platform.Counts{Invocations: n, Errors: 1, ComputeMicros: 10 * n, MemoryMicros: 1280 * n, BytesIn: 2 * n, BytesOut: 3 * n}}
}

func refused(projectID string, day platform.Day, functionID, code string, n int64) platform.UsageRow {
	return platform.UsageRow{Day: day, ProjectID: projectID, FunctionID: functionID, FunctionName: "name of " + functionID, Code: code, Counts: platform.Counts{Refused: n}}
}

func write(t *testing.T, db *store.DB, writer string, batch int64, rows ...platform.UsageRow) {
	t.Helper()
	if err := db.WriteUsage(t.Context(), writer, batch, rows); err != nil {
		t.Fatal(err)
	}
}

func total(t *testing.T, db *store.DB, projectID string) platform.UsageSum {
	t.Helper()
	sum, err := db.UsageTotal(t.Context(), projectID, 0, day1+1000)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func testUsage(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	k := newKey(p.ID, "=billing, \"ü\"")
	if _, err := db.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	write(t, db, "w1", 1, ran(p.ID, day1, "fn-a", k.ID, 5), ran(p.ID, day1, "fn-a", platform.CallerOpen, 1), ran(p.ID, day1, "fn-b", k.ID, 2),
		refused(p.ID, day1, "fn-a", "unauthenticated", 7), refused(p.ID, day1, "fn-c", "rate_limited", 2), ran("prj_other", day1, "fn-x", k.ID, 1000))
	late := ran(p.ID, day1+1, "fn-a", k.ID, 100)
	late.FunctionName = "renamed"
	write(t, db, "w2", 1, late, refused(p.ID, day1+1, "fn-a", "not_allowed", 1))
	sum := func(id, name string, n, errors int64, refused map[string]int64) platform.UsageSum {
		s := platform.UsageSum{ID: id, Name: name, RefusedBy: refused, Counts: ran("", 0, "", "", n).Counts}
		s.Errors = errors
		for _, r := range refused {
			s.Refused += r
		}
		return s
	}
	all := map[string]int64{"unauthenticated": 7, "rate_limited": 2, "not_allowed": 1}
	for name, tc := range map[string]struct {
		from, to platform.Day
		by       platform.UsageBy
		after    string
		limit    int
		want     []platform.UsageSum
	}{
		"by function": {day1, day1 + 1, platform.UsageByFunction, "", 10, []platform.UsageSum{sum("fn-a", "renamed", 106, 3, map[string]int64{"unauthenticated": 7, "not_allowed": 1}),
			sum("fn-b", "name of fn-b", 2, 1, nil), sum("fn-c", "name of fn-c", 0, 0, map[string]int64{"rate_limited": 2})}},
		"first page":  {day1, day1 + 1, platform.UsageByFunction, "", 1, []platform.UsageSum{sum("fn-a", "renamed", 106, 3, map[string]int64{"unauthenticated": 7, "not_allowed": 1})}},
		"next page":   {day1, day1 + 1, platform.UsageByFunction, "fn-a", 1, []platform.UsageSum{sum("fn-b", "name of fn-b", 2, 1, nil)}},
		"one day":     {day1, day1, platform.UsageByFunction, "fn-", 1, []platform.UsageSum{sum("fn-a", "name of fn-a", 6, 2, map[string]int64{"unauthenticated": 7})}},
		"by key":      {0, 1 << 20, platform.UsageByKey, "", 10, []platform.UsageSum{sum("open", "", 1, 1, nil), sum(k.ID, "=billing, \"ü\"", 107, 3, nil)}},
		"by day":      {day1, day1 + 1, platform.UsageByDay, "", 10, []platform.UsageSum{sum("20000", "", 8, 3, map[string]int64{"unauthenticated": 7, "rate_limited": 2}), sum("20001", "", 100, 1, map[string]int64{"not_allowed": 1})}},
		"after a day": {day1, day1 + 1, platform.UsageByDay, "20000", 10, []platform.UsageSum{sum("20001", "", 100, 1, map[string]int64{"not_allowed": 1})}},
		"no day":      {day1 + 2, day1 + 9, platform.UsageByFunction, "", 10, nil},
		"backwards":   {day1 + 1, day1, platform.UsageByFunction, "", 10, nil},
		"no SQL":      {day1, day1 + 1, "' OR '1'='1", "", 1, []platform.UsageSum{sum("fn-a", "renamed", 106, 3, map[string]int64{"unauthenticated": 7, "not_allowed": 1})}},
	} {
		got, err := db.Usage(t.Context(), p.ID, tc.from, tc.to, tc.by, tc.after, tc.limit)
		if len(got) == 2 && got[0].ID > got[1].ID { // the order of texts is the database's
			got[0], got[1] = got[1], got[0]
		}
		if len(tc.want) == 2 && tc.want[0].ID > tc.want[1].ID {
			tc.want[0], tc.want[1] = tc.want[1], tc.want[0]
		}
		if d := cmp.Diff(tc.want, got); d != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, d)
		}
	}
	one, err := db.UsageOfFunction(t.Context(), p.ID, "fn-a", day1, day1+1)
	if d := cmp.Diff(sum("fn-a", "renamed", 106, 3, map[string]int64{"unauthenticated": 7, "not_allowed": 1}), one); d != "" || err != nil {
		t.Errorf("of a function: %v %s", err, d)
	}
	for _, of := range [][2]string{{p.ID, "fn-none"}, {"prj_none", "fn-a"}} {
		if one, err := db.UsageOfFunction(t.Context(), of[0], of[1], day1, day1+1); err != nil || one.Invocations != 0 || one.ID != of[1] {
			t.Errorf("of %v: %+v, %v", of, one, err)
		}
	}
	if d := cmp.Diff(sum("", "", 108, 4, all), total(t, db, p.ID)); d != "" {
		t.Errorf("total: %s", d)
	}
	if got := total(t, db, "prj_none"); got.Invocations != 0 || got.Refused != 0 {
		t.Errorf("a project that is not there used %+v", got)
	}
}

// What was used stays when the function and the key have gone, under the names
// that they had.
func testUsageStays(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	in := deployInput(p.ID, "", "orders", "")
	if _, err := db.Deploy(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	k := newKey(p.ID, "Acme")
	if _, err := db.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	u := ran(p.ID, day1, in.Function.ID, k.ID, 1)
	u.FunctionName = "orders"
	write(t, db, "w", 1, u)
	if _, err := db.RevokeKey(t.Context(), p.ID, k.ID, at); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.DeleteFunction(t.Context(), p.ID, "orders", at); err != nil {
		t.Fatal(err)
	}
	write(t, db, "w", 2, u) // a call that was in flight
	for by, name := range map[platform.UsageBy]string{platform.UsageByFunction: "orders", platform.UsageByKey: "Acme"} {
		got, err := db.Usage(t.Context(), p.ID, day1, day1, by, "", 10)
		if err != nil || len(got) != 1 || got[0].Name != name || got[0].Invocations != 2 {
			t.Errorf("by %s: %+v, %v", by, got, err)
		}
	}
}

// A batch counts once, however often and by however many it is written.
func testUsageOnce(t *testing.T, db *store.DB) {
	var wg sync.WaitGroup
	for w := range 3 {
		for range 3 { // as after a lost answer, or with a copied data directory
			wg.Go(func() {
				for batch := int64(1); batch <= 5; batch++ {
					var rows []platform.UsageRow
					for i := range 8 { // in another order each time
						rows = append(rows, ran("prj_a", day1, fmt.Sprint("fn-", (int64(i)*3+batch+int64(w))%8), "open", 1))
					}
					if err := db.WriteUsage(t.Context(), fmt.Sprint("w", w), batch, rows); err != nil && fault.KindOf(err) != fault.Unavailable {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	for w := range 3 {
		for batch := range int64(6) {
			write(t, db, fmt.Sprint("w", w), batch, ran("prj_a", day1, "fn-0", "open", 1000)) // too late
		}
	}
	if got := total(t, db, "prj_a"); got.Invocations != 3*5*8 {
		t.Errorf("%d calls counted, want %d", got.Invocations, 3*5*8)
	}
	// A batch is whole or not at all.
	bad := []platform.UsageRow{ran("prj_b", day1, "fn-a", "open", 1), ran("prj_b", day1, "fn-b\x00", "open", 1)}
	if err := db.WriteUsage(t.Context(), "w9", 1, bad); err == nil {
		return // SQLite takes the NUL
	}
	write(t, db, "w9", 1, bad[0])
	if got := total(t, db, "prj_b"); got.Invocations != 1 {
		t.Errorf("after a batch that failed %d calls, want 1", got.Invocations)
	}
}

func testUsagePruned(t *testing.T, db *store.DB) {
	today := platform.DayOf(time.Now())
	write(t, db, "w", 1, ran("prj_a", today-2, "fn-a", "open", 1), ran("prj_a", today-1, "fn-a", "open", 10), ran("prj_a", today, "fn-a", "open", 100))
	if err := db.PruneUsage(t.Context(), today-1); err != nil {
		t.Fatal(err)
	}
	write(t, db, "w", 1, ran("prj_a", today, "fn-a", "open", 1000)) // its writer is remembered
	if got := total(t, db, "prj_a"); got.Invocations != 110 {
		t.Errorf("%d calls stay, want 110", got.Invocations)
	}
	if err := db.PruneUsage(t.Context(), today+2); err != nil {
		t.Fatal(err)
	}
	if got := total(t, db, "prj_a"); got.Invocations != 0 {
		t.Errorf("%d calls stay, want none", got.Invocations)
	}
}

func testUsageOfKey(t *testing.T, db *store.DB) {
	write(t, db, "w1", 1, ran("prj_a", day1, "fn-a", "pak_1", 5), ran("prj_a", day1+1, "fn-a", "pak_1", 5), ran("prj_b", day1, "fn-b", "pak_1", 70), ran("prj_a", day1, "fn-c", "pak_1", 1),
		ran("prj_a", day1-1, "fn-d", "pak_1", 9), ran("prj_a", day1+2, "fn-e", "pak_1", 9), ran("prj_a", day1, "fn-a", "pak_2", 1000), refused("prj_a", day1, "fn-f", "rate_limited", 3))
	got, err := db.UsageOfKey(t.Context(), "pak_1", day1, day1+1, 2)
	want := []platform.UsageSum{{ID: "fn-b", Name: "name of fn-b", Counts: platform.Counts{Invocations: 70, Errors: 1}}, {ID: "fn-a", Name: "name of fn-a", Counts: platform.Counts{Invocations: 10, Errors: 2}}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	if got, err := db.UsageOfKey(t.Context(), "pak_1", day1, day1+1, 10); len(got) != 3 || err != nil {
		t.Errorf("all: %v, %v", got, err)
	}
	for _, id := range []string{"pak_3", "", "' OR 1=1 --"} {
		if got, err := db.UsageOfKey(t.Context(), id, day1, day1+1, 10); len(got) != 0 || err != nil {
			t.Errorf("%q: %v, %v", id, got, err)
		}
	}
}
