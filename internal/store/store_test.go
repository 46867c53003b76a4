package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
	"postern.dev/postern/internal/store/storetest"
)

var postgres *storetest.Server

func TestMain(m *testing.M) {
	var err error
	if path := os.Getenv(crashEnv); path != "" {
		writeUntilKilled(path)
	}
	if postgres, err = storetest.StartPostgres(context.Background(), os.Getenv("TEST_POSTGRES_DSN")); err != nil {
		fmt.Fprintln(os.Stderr, "the store is tested on PostgreSQL too:", err)
		os.Exit(1)
	}
	code := m.Run()
	postgres.Stop()
	os.Exit(code)
}

func open(t *testing.T, dsn string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *store.DB {
		return open(t, "sqlite:"+filepath.Join(t.TempDir(), "a dir?#%41.db"))
	})
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *store.DB {
		return open(t, newDatabase(t))
	})
}

// onBoth runs a test on an empty database of each kind, given by its address.
func onBoth(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, newDatabase(t))
	})
}

func newDatabase(t *testing.T) string {
	t.Helper()
	dsn, err := postgres.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// raw opens a database beside the store, for what no method of it does.
func raw(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	driver, name := "pgx", dsn
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, name = "sqlite", path
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func bootstrap(t *testing.T, db *store.DB) platform.Project {
	t.Helper()
	p := platform.Project{ID: function.NewProjectID(time.Now()), Name: "p", CreatedAt: time.Now()}
	if _, err := db.Bootstrap(t.Context(), p, newKey(p.ID, "first")); err != nil {
		t.Fatal(err)
	}
	return p
}

func newKey(projectID, name string) platform.AccessKey {
	return platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: projectID, DisplayName: name, SecretHash: accesskey.NewSecret().Hash(),
		Scopes: []platform.Scope{platform.ScopeInvoke}, CreatedAt: time.Now()}
}

// A deployment from before there were routes and styles reads as one without:
// its worker declares no style either, and its handlers answer by their names.
func TestDeployment_FromBeforeRoutes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		db := open(t, dsn)
		p := bootstrap(t, db)
		k := newKey(p.ID, "function:f")
		id := function.NewFunctionID(time.Now())
		out, err := db.Deploy(t.Context(), platform.DeployInput{Function: platform.Function{ID: id, ProjectID: p.ID, Name: "f"}, Key: k,
			Deployment: platform.Deployment{ID: function.NewDeploymentID(time.Now()), FunctionID: id, ProjectID: p.ID, Artefact: "aa", Runtime: "node", KeyID: k.ID, CreatedAt: time.Now()}})
		if err != nil {
			t.Fatal(err)
		}
		exec(t, raw(t, dsn), `UPDATE deployments SET declaration = $1, handlers = $2`, `{"Handlers":[{"Name":"a","Kind":0}],"Auth":{"Present":true,"All":false,"Names":["a"]}}`,
			`[{"Name":"a","Kind":0,"Guard":1,"Body":1,"BodyLimit":7,"Timeout":1000000000}]`)
		d, err := db.Deployment(t.Context(), out.Deployment.ID)
		if err != nil {
			t.Fatal(err)
		}
		declared := platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "a"}}, Auth: platform.AuthDeclaration{Present: true, Names: []string{"a"}}}
		handlers := []platform.Handler{{Name: "a", Guard: platform.GuardOpen, Body: platform.BodyStream, Rule: platform.Rule{BodyLimit: 7, Timeout: time.Second}}}
		if !d.Declaration.Equal(declared) || !cmp.Equal(d.Handlers, handlers) {
			t.Errorf("read as %+v, %+v", d.Declaration, d.Handlers)
		}
		if m, ok := function.NewTable(d.Handlers).Match("DELETE", "/x/a"); !ok || m.Guard != platform.GuardOpen {
			t.Errorf("its handler is not found by its name: %+v", m)
		}
	})
}

// What was written is there after a restart, and the migrations that made the
// room for it are not run again.
func TestReopen(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		db := open(t, dsn)
		p := bootstrap(t, db)
		id, err := db.InstanceID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open(t, dsn)
		ps, err := db.Projects(t.Context())
		again, err2 := db.InstanceID(t.Context())
		changes, err3 := db.Changes(t.Context(), 0, 10)
		if err := errors.Join(err, err2, err3); err != nil || len(ps) != 1 || ps[0].ID != p.ID || again != id || len(changes) != 1 {
			t.Errorf("projects %v, instance %s after %s, changes %v, %v", ps, again, id, changes, err)
		}
	})
}

// Nodes that start together on an empty database: one migrates, all open. (A
// SQLite file belongs to one server; the data directory's lock sees to it.)
func TestPostgres_OpenAtOnce(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			db, err := store.Open(t.Context(), dsn)
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			if _, err := db.Projects(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestOpen_RefusesNewerSchema(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		bootstrap(t, open(t, dsn))
		other := raw(t, dsn)
		var before, n int
		if err := other.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM goose_db_version`).Scan(&before); err != nil {
			t.Fatal(err)
		}
		exec(t, other, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, $1)`, true)
		exec(t, other, `ALTER TABLE projects ADD COLUMN colour TEXT`)
		db, err := store.Open(t.Context(), dsn)
		if f, ok := errors.AsType[*fault.Error](err); !ok || db != nil || f.Kind != fault.Conflict || f.Code != "schema_newer" || f.Hint == "" || !strings.Contains(f.Text, "9999") {
			t.Fatalf("newer schema: %v", err)
		}
		if err := other.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM goose_db_version`).Scan(&n); err != nil || n != before+1 {
			t.Errorf("the refused database was touched: %d versions, %v", n, err)
		}
	})
}

// A database that was restored from a backup, or that failed over to a copy
// that lagged, gives away numbers again that a reader has seen.
func TestChanges_LogWentBack(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		db := open(t, dsn)
		p := bootstrap(t, db)
		for i := range 4 {
			if _, err := db.CreateKey(t.Context(), newKey(p.ID, fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := db.Changes(t.Context(), 5, 10); err != nil || len(got) != 0 {
			t.Errorf("at the end of the log: %v, %v", got, err)
		}
		other := raw(t, dsn)
		for _, end := range []int64{3, 0} {
			exec(t, other, `DELETE FROM changes WHERE seq > $1`, end)
			exec(t, other, `UPDATE change_counter SET seq = $1`, end)
			got, err := db.Changes(t.Context(), 5, 10)
			if err != nil || len(got) != 1 || got[0].Seq != end {
				t.Errorf("log ends at %d, reader is at 5: %v, %v", end, got, err)
			}
			if got, err := db.Changes(t.Context(), end, 10); err != nil || len(got) != 0 {
				t.Errorf("reader is at the end %d: %v, %v", end, got, err)
			}
		}
	})
}

func TestPrune(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		db := open(t, dsn)
		p := bootstrap(t, db)
		for i := range 9 {
			if _, err := db.CreateKey(t.Context(), newKey(p.ID, fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Prune(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		if got, err := db.Changes(t.Context(), 0, 100); err != nil || len(got) != 10 {
			t.Errorf("fewer than are kept: %d changes, %v", len(got), err)
		}
		if err := db.Prune(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		got, err := db.Changes(t.Context(), 2, 100)
		if err != nil || len(got) != 4 || got[0].Seq != 7 { // not 3: the reader sees the gap
			t.Errorf("after pruning: %v, %v", got, err)
		}
		if err := db.Prune(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if seq, err := db.CreateKey(t.Context(), newKey(p.ID, "next")); err != nil || seq != 11 {
			t.Errorf("the numbers began anew: %d, %v", seq, err)
		}
	})
}

// A node whose clock is hours ahead prunes for all. What it takes for ended
// must still be there for the others.
func TestPruneTokens_ClockAhead(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		db := open(t, dsn)
		end := time.Now()
		if _, err := db.RevokeToken(t.Context(), platform.RevokedToken{ID: "jti", ExpiresAt: end}, end); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			at   time.Duration
			want int
		}{{12 * time.Hour, 1}, {25 * time.Hour, 0}} {
			if err := db.PruneTokens(t.Context(), end.Add(tc.at)); err != nil {
				t.Fatal(err)
			}
			if got, err := db.RevokedTokens(t.Context(), "", end.Add(-time.Minute)); err != nil || len(got) != tc.want {
				t.Errorf("pruned %v after its end: %v, %v", tc.at, got, err)
			}
		}
	})
}

func TestOpen_Refuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tc := range []struct {
		name, dsn string
		kind      fault.Kind
		says      string
	}{
		{"unknown form", "mysql://u:hunter2@h/d", fault.Invalid, "unknown form"},
		{"empty", "", fault.Invalid, "unknown form"},
		{"no path", "sqlite:", fault.Invalid, "does not open"},
		{"no directory", "sqlite:" + filepath.Join(dir, "none", "p.db"), fault.Invalid, filepath.Join(dir, "none", "p.db")},
		{"a directory", "sqlite:" + dir, fault.Invalid, dir},
		{"no database", "sqlite:" + write("text.db", strings.Repeat("no database ", 1000)), fault.Invalid, "text.db is no database"},
		{"damaged database", "sqlite:" + write("header.db", "SQLite format 3\x00"+strings.Repeat("\xff", 4096)), fault.Invalid, "header.db is no database"},
		{"no server", "postgres://u:hunter2@/x?host=" + dir, fault.Unavailable, "does not answer"},
		{"no such option", "postgres://u:hunter2@h/d?sslmode=perhaps", fault.Invalid, "does not parse"},
		{"slash in the password", "postgres://u:hunter2/x@h/d", fault.Invalid, "no URL"},
		{"percent in the password", "postgres://u:hunter2%zz@h/d", fault.Invalid, "no URL"},
		{"no port", "postgres://u:hunter2@h:hunter2/d", fault.Invalid, "no URL"},
		{"control character", "postgres://u:hunter2\x7f@h/d", fault.Invalid, "no URL"},
	} {
		db, err := store.Open(t.Context(), tc.dsn)
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || db != nil || f.Kind != tc.kind || !strings.Contains(f.Text, tc.says) || f.Hint == "" {
			t.Errorf("%s: %#v", tc.name, err)
		}
		if strings.Contains(fmt.Sprint(err), "hunter2") || ok && strings.Contains(f.Hint, "hunter2") {
			t.Errorf("%s: the password gets out: %v", tc.name, err)
		}
	}
}

func TestSQLite_FilesAreTheOwnersAndHoldNoSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, "sqlite:"+filepath.Join(dir, "p.db"))
	secret := accesskey.NewSecret()
	p := bootstrap(t, db)
	k := newKey(p.ID, "k")
	k.SecretHash = secret.Hash()
	if _, err := db.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil || bytes.Contains(data, []byte(secret.Reveal()[4:])) {
			t.Errorf("%s: err %v, or it holds the secret", f.Name(), err)
		}
	}
}

// A row that cannot be read is left out, and takes no other with it.
func TestLoad_LeavesOutWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		db := open(t, dsn)
		p := bootstrap(t, db)
		bad := []platform.AccessKey{newKey(p.ID, "hash"), newKey(p.ID, "addresses"), newKey(p.ID, "previous")}
		bad[1].RatePerSecond = 1
		bad[2].PreviousUntil = time.Now().Add(time.Hour)
		good := newKey(p.ID, "good")
		good.RatePerSecond = 1
		for _, k := range append(bad, good) {
			if _, err := db.CreateKey(t.Context(), k); err != nil {
				t.Fatal(err)
			}
		}
		other := raw(t, dsn)
		exec(t, other, `UPDATE access_keys SET secret_hash = 'zz' WHERE id = $1`, bad[0].ID)
		exec(t, other, `UPDATE access_keys SET allowed_cidrs = '["10.0.0.0/x"]' WHERE id = $1`, bad[1].ID)
		exec(t, other, `UPDATE access_keys SET previous_hash = 'zz' WHERE id = $1`, bad[2].ID)
		got := map[string]bool{}
		seq, err := db.Load(t.Context(), func(k platform.AccessKey) error { got[k.ID] = true; return nil }, nil)
		if _, ok := errors.AsType[*platform.UnreadableError](err); !ok || seq != 5 || len(got) != 2 || !got[good.ID] {
			t.Errorf("change %d, %d keys, %v", seq, len(got), err)
		}
		for _, k := range bad {
			if got[k.ID] || !strings.Contains(fmt.Sprint(err), k.ID) {
				t.Errorf("%s: loaded %v, told of in %v", k.DisplayName, got[k.ID], err)
			}
			_, err := db.KeyByID(t.Context(), k.ID)
			if e, ok := errors.AsType[*platform.UnreadableError](err); !ok || e.ID != k.ID {
				t.Errorf("%s by its ID: %v", k.DisplayName, err)
			}
		}
	})
}

// A secret that somebody damaged in the database keeps nobody else's from being read.
func TestSealedSecrets_Damaged(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		db := open(t, dsn)
		p, other := bootstrap(t, db), platform.Project{ID: function.NewProjectID(time.Now()), Name: "other", CreatedAt: time.Now()}
		if err := db.CreateProject(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{p.ID, other.ID} {
			k := platform.DataKey{ID: "dk_" + id, OwnerID: id, Keeper: "k", Sealed: []byte("key"), CreatedAt: time.Now()}
			set := []platform.SealedSecret{{Secret: platform.Secret{OwnerID: id, Name: "A", Version: 1}, Sealed: []byte("value")}}
			if _, err := db.ChangeSecrets(t.Context(), platform.SecretInput{OwnerID: id, Key: k, Set: set, At: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		beside := raw(t, dsn)
		exec(t, beside, `UPDATE secrets SET sealed = '~' WHERE owner_id = $1`, p.ID)
		exec(t, beside, `UPDATE data_keys SET sealed = '~' WHERE owner_id = $1`, p.ID)
		all, err := db.SealedSecrets(t.Context())
		if err != nil || len(all) != 2 {
			t.Fatalf("%d owners, %v", len(all), err)
		}
		for _, o := range all {
			want := map[string]string{p.ID: "~ ~", other.ID: "key value"}[o.Key.OwnerID]
			if got := string(o.Key.Sealed) + " " + string(o.Secrets[0].Sealed); got != want {
				t.Errorf("%s has %q, want %q", o.Key.OwnerID, got, want)
			}
		}
		if keys, err := db.DataKeysBut(t.Context(), "another", 10); err != nil || len(keys) != 2 {
			t.Errorf("%d data keys, %v", len(keys), err)
		}
	})
}

// What remembering a callback costs, alone and beside others.
func BenchmarkTakeMark(b *testing.B) {
	db, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "postern.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	var n atomic.Uint32
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			var mark [16]byte
			binary.BigEndian.PutUint32(mark[:], n.Add(1))
			if fresh, err := db.TakeMark(b.Context(), mark, time.Now(), time.Now().Add(time.Minute)); err != nil || !fresh {
				b.Error(fresh, err)
			}
		}
	})
}
