package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

// fill writes n keys of a project past the store, which would take a commit
// for each.
func fill(tb testing.TB, dsn string, n int) *store.DB {
	tb.Helper()
	db, err := store.Open(tb.Context(), dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	p := platform.Project{ID: "prj_many", Name: "p", CreatedAt: time.Now()}
	if _, err := db.Bootstrap(tb.Context(), p, newKey(p.ID, "first")); err != nil {
		tb.Fatal(err)
	}
	numbered := `SELECT printf('pak_%026d', i), $1, printf('key %d', i), printf('%064x', i), 'invoke control', '', '[]', 0, 1, 0, 0, printf('key %d', i)
		FROM (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2) SELECT i FROM n)`
	if strings.HasPrefix(dsn, "postgres:") {
		numbered = `SELECT 'pak_' || lpad(i::text, 26, '0'), $1, 'key ' || i, lpad(to_hex(i), 64, '0'), 'invoke control', '', '[]', 0, 1, 0, 0, 'key ' || i
			FROM generate_series(1, $2::integer) AS i`
	}
	err = store.Exec(tb.Context(), db, `INSERT INTO access_keys (id, project_id, display_name, secret_hash, scopes, function_id, allowed_cidrs, rate_per_second, created_at, expires_at, revoked_at, search_name) `+numbered, p.ID, n)
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

func loaded(ctx context.Context, db *store.DB) (n int, err error) {
	_, err = db.Load(ctx, func(k platform.AccessKey) error {
		if len(k.Scopes) > 0 {
			n++
		}
		return nil
	}, func(platform.Function, platform.Deployment) error { return nil })
	return n, err
}

// While very many keys are loaded, a writer is not kept waiting, and none of
// them is missing. How long it takes is the benchmark's question.
func TestLoad_ManyKeysBesideAWriter(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		const keys = 10_000
		db := fill(t, dsn, keys)
		n := 0
		seq, err := db.Load(t.Context(), func(platform.AccessKey) error {
			if n++; n%2000 == 0 {
				if _, err := db.CreateKey(t.Context(), newKey("prj_many", fmt.Sprint("beside ", n))); err != nil {
					return err
				}
			}
			return nil
		}, func(platform.Function, platform.Deployment) error { return nil })
		if err != nil || n < keys+1 || n > keys+6 || seq != 1 {
			t.Errorf("%d keys, seq %d, %v", n, seq, err)
		}
		if changes, err := db.Changes(t.Context(), seq, 10); err != nil || len(changes) != 5 {
			t.Errorf("%d changes to follow, %v", len(changes), err)
		}
	})
}

func BenchmarkLoad_100000Keys(b *testing.B) {
	const keys = 100_000
	for name, dsn := range map[string]func() (string, error){
		"sqlite":   func() (string, error) { return "sqlite:" + filepath.Join(b.TempDir(), "p.db"), nil },
		"postgres": func() (string, error) { return postgres.NewDatabase(b.Context()) },
	} {
		b.Run(name, func(b *testing.B) {
			dsn, err := dsn()
			if err != nil {
				b.Fatal(err)
			}
			db := fill(b, dsn, keys)
			b.ReportAllocs()
			for b.Loop() {
				if n, err := loaded(b.Context(), db); err != nil || n != keys+1 {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// A page of a list is quick however many keys there are, and however few of
// them a search leaves.
func BenchmarkFindKeys_100000Keys(b *testing.B) {
	const keys = 100_000
	for name, dsn := range map[string]func() (string, error){
		"sqlite":   func() (string, error) { return "sqlite:" + filepath.Join(b.TempDir(), "p.db"), nil },
		"postgres": func() (string, error) { return postgres.NewDatabase(b.Context()) },
	} {
		dsn, err := dsn()
		if err != nil {
			b.Fatal(err)
		}
		db := fill(b, dsn, keys)
		if name == "postgres" { // as its own housekeeping does in time
			if err := store.Exec(b.Context(), db, `VACUUM ANALYZE access_keys`); err != nil {
				b.Fatal(err)
			}
		}
		for what, q := range map[string]platform.KeyQuery{
			"newest":           {Newest: true},
			"middle":           {Newest: true, After: fmt.Sprintf("pak_%026d", keys/2)},
			"many found":       {Newest: true, Text: "Key"},
			"one found":        {Newest: true, Text: "y 77777"},
			"none found":       {Newest: true, Text: "nobody's"},
			"by ID":            {Text: fmt.Sprintf("pak_%025d", keys/20)},
			"expired":          {Newest: true, State: platform.KeyExpired, Now: time.Now()},
			"expiring":         {Newest: true, State: platform.KeyExpiring, Now: time.Now()},
			"revoked":          {Newest: true, State: platform.KeyRevoked, Now: time.Now()},
			"functions, found": {Newest: true, Functions: true, Text: "y 7777"},
			"service plans":    {Newest: true, Plans: true},
		} {
			q.Limit = 51
			b.Run(name+"/"+what, func(b *testing.B) {
				for b.Loop() {
					if _, err := db.FindKeys(b.Context(), "prj_many", q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(name+"/count", func(b *testing.B) {
			for b.Loop() {
				if n, err := db.CountKeys(b.Context(), "prj_many", platform.KeyQuery{}, 10_001); n != 10_001 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// Keys from before names were searched are found like those of today.
func TestFindKeys_FromBeforeSearch(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		db := open(t, dsn)
		p := bootstrap(t, db)
		for _, name := range []string{"Plain", "ÖL und Gas"} {
			if _, err := db.CreateKey(t.Context(), newKey(p.ID, name)); err != nil {
				t.Fatal(err)
			}
		}
		exec(t, raw(t, dsn), `UPDATE access_keys SET search_name = $1 WHERE display_name = $2`, "Öl und gas", "ÖL und Gas") // as SQLite's lower leaves it
		if err := store.FoldNames(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"plain", "öl", "ÖL UND"} {
			if ks, err := db.FindKeys(t.Context(), p.ID, platform.KeyQuery{Text: text, Limit: 10}); err != nil || len(ks) != 1 {
				t.Errorf("%q: %v, %v", text, ks, err)
			}
		}
	})
}
