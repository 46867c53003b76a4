package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

// event is the n-th of a minute's events, a second apart.
func event(project string, n int) platform.AuditEvent {
	when := at.Add(time.Duration(n) * time.Second)
	var id ulid.ULID
	id.SetTime(ulid.Timestamp(when))
	id[15] = byte(n) + 1
	return platform.AuditEvent{ID: "evt_" + strings.ToLower(id.String()), At: when.UTC(), ProjectID: project, Door: platform.DoorControl, Action: "listFunctions",
		Target: "functions", Outcome: platform.OutcomeAllowed, Status: 200, KeyID: "pak_a", Method: "basic", RequestID: fmt.Sprintf("req_%s%d", project, n), Remote: "192.0.2.1:1", Count: 1}
}

func testAudit(t *testing.T, db *store.DB) {
	var all []platform.AuditEvent
	for n := range 6 {
		e := event("prj_a", n)
		switch n {
		case 1:
			e.Outcome, e.Code, e.Status, e.KeyID, e.Count, e.Detail = platform.OutcomeRefused, "unauthenticated", 401, "", 1<<40, map[string]string{"step": "3", "ünï": "'quoted' \x01\uFFFD"}
		case 2:
			e.Action = "deploy"
		}
		all = append(all, e)
	}
	foreign, nobodys := event("prj_b", 0), event("", 0)
	foreign.ID, nobodys.ID = foreign.ID[:len(foreign.ID)-1]+"x", nobodys.ID[:len(nobodys.ID)-1]+"y"
	before, err := db.Changes(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.WriteAudit(t.Context(), append(all[:3:3], foreign, nobodys)); err != nil {
		t.Fatal(err)
	}
	if err := db.WriteAudit(t.Context(), all[1:]); err != nil { // two of them again
		t.Fatal(err)
	}
	if after, err := db.Changes(t.Context(), 0, 10); err != nil || len(after) != len(before) {
		t.Errorf("audit events are in the change log: %v, %v", after, err)
	}
	list := func(project string, f platform.AuditFilter, after string, limit int) (out []platform.AuditEvent) {
		t.Helper()
		out, err := db.AuditEvents(t.Context(), project, f, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	newest := func(numbers ...int) (out []platform.AuditEvent) {
		for _, n := range numbers {
			out = append(out, all[n])
		}
		return out
	}
	for name, tc := range map[string]struct {
		filter platform.AuditFilter
		after  string
		limit  int
		want   []platform.AuditEvent
	}{
		"all":             {platform.AuditFilter{}, "", 10, newest(5, 4, 3, 2, 1, 0)},
		"a page":          {platform.AuditFilter{}, "", 2, newest(5, 4)},
		"the next page":   {platform.AuditFilter{}, all[4].ID, 2, newest(3, 2)},
		"since":           {platform.AuditFilter{Since: all[4].At}, "", 10, newest(5, 4)},
		"until":           {platform.AuditFilter{Until: all[1].At}, "", 10, newest(0)},
		"a moment":        {platform.AuditFilter{Since: all[2].At, Until: all[2].At.Add(time.Microsecond)}, "", 10, newest(2)},
		"key":             {platform.AuditFilter{KeyID: "pak_a", Until: all[2].At}, "", 10, newest(0)},
		"action":          {platform.AuditFilter{Action: "deploy"}, "", 10, newest(2)},
		"outcome":         {platform.AuditFilter{Outcome: platform.OutcomeRefused}, "", 10, newest(1)},
		"code":            {platform.AuditFilter{Code: "unauthenticated"}, "", 10, newest(1)},
		"another code":    {platform.AuditFilter{Code: "unauthenticate"}, "", 10, nil},
		"without":         {platform.AuditFilter{Without: []string{"listFunctions", "' OR '1'='1"}}, "", 10, newest(2)},
		"request":         {platform.AuditFilter{RequestID: "req_prj_a3"}, "", 10, newest(3)},
		"another's":       {platform.AuditFilter{RequestID: "req_prj_b0"}, "", 10, nil},
		"nothing alike":   {platform.AuditFilter{Action: "deploy", Outcome: platform.OutcomeRefused}, "", 10, nil},
		"no SQL of yours": {platform.AuditFilter{KeyID: "' OR '1'='1"}, "", 10, nil},
	} {
		if d := cmp.Diff(tc.want, list("prj_a", tc.filter, tc.after, tc.limit)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if got := list("prj_b", platform.AuditFilter{}, "", 10); len(got) != 1 || got[0].ID != foreign.ID {
		t.Errorf("another project's: %v", got)
	}
	if got := list("", platform.AuditFilter{}, "", 10); len(got) != 1 || got[0].ID != nobodys.ID {
		t.Errorf("nobody's: %v", got)
	}
}

func testAuditAtOnce(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := range 10 {
				e := event(p.ID, n)
				e.ID = e.ID[:len(e.ID)-1] + fmt.Sprint(w)
				if err := db.WriteAudit(t.Context(), []platform.AuditEvent{e}); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for i := range 5 {
				if _, err := db.CreateKey(t.Context(), newKey(p.ID, fmt.Sprintf("k%d-%d", w, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got, err := db.AuditEvents(t.Context(), p.ID, platform.AuditFilter{}, "", 100); err != nil || len(got) != 40 {
		t.Errorf("%d events, %v", len(got), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.WriteAudit(ctx, []platform.AuditEvent{event(p.ID, 60)}); err == nil {
		t.Error("a write that was cancelled succeeded")
	}
}

// Age first, then refusals beyond half of what is kept, then what is oldest.
func testAuditPruned(t *testing.T, db *store.DB) {
	var all []platform.AuditEvent
	for n := range 40 {
		e := event("prj_a", n)
		if n >= 10 {
			e.Outcome = platform.OutcomeRefused
		}
		all = append(all, e)
	}
	if err := db.WriteAudit(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name          string
		before        time.Time
		keep          int
		done, refused int
	}{
		{"nothing to do", at, 1000, 10, 30},
		{"too old", at.Add(3 * time.Second), 1000, 7, 30},
		{"a flood of refusals", at, 20, 7, 10},
		{"too many", at, 12, 6, 6},
	} {
		if err := db.PruneAudit(t.Context(), tc.before, tc.keep); err != nil {
			t.Fatal(err)
		}
		done, _ := db.AuditEvents(t.Context(), "prj_a", platform.AuditFilter{Outcome: platform.OutcomeAllowed}, "", 100)
		refused, _ := db.AuditEvents(t.Context(), "prj_a", platform.AuditFilter{Outcome: platform.OutcomeRefused}, "", 100)
		if len(done) != tc.done || len(refused) != tc.refused || refused[0].ID != all[39].ID || done[0].ID != all[9].ID {
			t.Errorf("%s: %d and %d refusals stay, want %d and %d, the newest", tc.name, len(done), len(refused), tc.done, tc.refused)
		}
	}
}

// The recorder over a real database: a flood, changes that wait for it, an
// ordinary end, and another start; every decision is accounted for.
func testAuditRecorded(t *testing.T, db *store.DB) {
	const each, writers, starts = 300, 4, 2
	for range starts {
		r := audit.New(audit.Options{}, db)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					s := audit.Series{Door: platform.DoorGateway, ProjectID: "prj_a", Action: "invoke", Outcome: platform.OutcomeRefused, Code: "unauthenticated"}
					if r.Take(s) {
						r.Offer(audit.Event{Door: s.Door, ProjectID: s.ProjectID, Action: s.Action, Outcome: s.Outcome, Code: s.Code, Target: "NUL \x00 and \xff", Detail: map[string]string{"a": "\x00"}})
					}
					record := r.Record
					if i%30 == 0 {
						record = r.Commit
					}
					if err := record(t.Context(), audit.Event{Door: platform.DoorControl, ProjectID: "prj_a", Action: fmt.Sprint("act", w), Outcome: platform.OutcomeAllowed}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	sums, rows, last := map[string]int64{}, 0, ""
	for {
		page, err := db.AuditEvents(t.Context(), "prj_a", platform.AuditFilter{}, last, 500)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			sums[string(e.Outcome)] += e.Count
			rows++
			last = e.ID
		}
		if len(page) < 500 {
			break
		}
	}
	if sums["allowed"] != each*writers*starts || sums["refused"] != each*writers*starts || rows > each*writers*starts+200 {
		t.Errorf("%v in %d rows", sums, rows)
	}
}
