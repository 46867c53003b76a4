package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

// Each function has one last copy of its database; who replaces it is told
// which blob nobody leads to any more.
func testDatabaseCopies(t *testing.T, db *store.DB) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123000, time.UTC)
	first := platform.DatabaseCopy{Blob: "b1", Bytes: 4096, SHA256: "aa", At: at}
	second := platform.DatabaseCopy{Blob: "b2", Bytes: 1 << 40, SHA256: "bb", At: at.Add(time.Hour)}
	if _, err := db.DatabaseCopy(t.Context(), "fn-a"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("before there is one: %v", err)
	}
	for _, c := range []struct {
		functionID, replaced string
		copy                 platform.DatabaseCopy
	}{{"fn-a", "", first}, {"fn-b", "", first}, {"fn-a", "b1", second}} {
		if replaced, err := db.PutDatabaseCopy(t.Context(), c.functionID, c.copy); err != nil || replaced != c.replaced {
			t.Errorf("%s: replaced %q, want %q, %v", c.functionID, replaced, c.replaced, err)
		}
		got, err := db.DatabaseCopy(t.Context(), c.functionID)
		if diff := cmp.Diff(c.copy, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", c.functionID, err, diff)
		}
	}
	for range 2 {
		if err := db.DropDatabaseCopy(t.Context(), "fn-a"); err != nil {
			t.Error(err)
		}
	}
	if _, err := db.DatabaseCopy(t.Context(), "fn-a"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("after it was dropped: %v", err)
	}
	if _, err := db.DatabaseCopy(t.Context(), "fn-b"); err != nil {
		t.Errorf("of another function: %v", err)
	}
}
