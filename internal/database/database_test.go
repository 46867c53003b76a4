package database_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"postern.dev/postern/internal/database"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

const id = "fn-01jd0000000000000000000001"

// shelf keeps copies and their index in memory.
type shelf struct {
	mu     sync.Mutex
	blobs  map[string][]byte // by function and name
	copies map[string]platform.DatabaseCopy
	gone   bool
	lost   error // the answer to PutDatabaseCopy, which has done it
}

type draft struct {
	bytes.Buffer
	s  *shelf
	id string
}

func (d *draft) Discard() {}

func (d *draft) Commit(_ context.Context, blob string) error {
	if !regexp.MustCompile(`^[0-9a-f]{12}-[a-z2-7]{26}$`).MatchString(blob) { // as the real one has it
		return fmt.Errorf("%q is no blob", blob)
	}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	d.s.blobs[d.id+"/"+blob] = bytes.Clone(d.Bytes())
	return nil
}

func (s *shelf) Create(_ context.Context, id string) (platform.Draft, error) {
	return &draft{s: s, id: id}, nil
}

func (s *shelf) Open(_ context.Context, id, name string) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[id+"/"+name]
	if !ok {
		return nil, fault.New(fault.NotFound, "no such blob")
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (s *shelf) Remove(_ context.Context, id, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs, id+"/"+name)
	return nil
}

func (s *shelf) Clear(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.blobs {
		if strings.HasPrefix(k, id+"/") {
			delete(s.blobs, k)
		}
	}
	return nil
}

func (s *shelf) Each(_ context.Context, tell func(functionID, name string) error) error {
	s.mu.Lock()
	names := slices.Sorted(maps.Keys(s.blobs))
	s.mu.Unlock()
	for _, n := range names {
		id, name, _ := strings.Cut(n, "/")
		if err := tell(id, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *shelf) DatabaseCopy(_ context.Context, id string) (platform.DatabaseCopy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.copies[id]
	if !ok {
		return c, fault.New(fault.NotFound, "no copy")
	}
	return c, nil
}

func (s *shelf) PutDatabaseCopy(_ context.Context, id string, c platform.DatabaseCopy) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.copies[id]
	s.copies[id] = c
	return before.Blob, s.lost
}

func (s *shelf) DropDatabaseCopy(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.copies, id)
	return nil
}

func (s *shelf) FunctionExists(context.Context, string) (bool, error) { return !s.gone, nil }

func (s *shelf) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.blobs)
}

func (s *shelf) copied(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.copies[id]
	return ok
}

func keeper(t *testing.T, dir string, s *shelf) *database.Keeper {
	t.Helper()
	k, err := database.New(database.Options{Dir: dir, Index: s, Blobs: s, Every: 100 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newShelf() *shelf {
	return &shelf{blobs: map[string][]byte{}, copies: map[string]platform.DatabaseCopy{}}
}

func open(t *testing.T, path string, more string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"+more)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRow("SELECT COUNT(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// What was committed when a copy was taken is there after the directory was
// lost, whatever the journal is and although the file is open.
func TestKeeper_CopiesAndRestores(t *testing.T) {
	t.Parallel()
	for name, pragma := range map[string]string{"a journal": "", "a write-ahead log": "&_pragma=journal_mode(wal)"} {
		dir, s := t.TempDir(), newShelf()
		k := keeper(t, dir, s)
		path, err := k.Path(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		db := open(t, path, pragma)
		exec(t, db, "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)")
		for range 3 { // each copy replaces the one before
			exec(t, db, "INSERT INTO t VALUES (3)")
			if err := k.Copy(t.Context(), id); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		exec(t, db, "INSERT INTO t VALUES ('not copied')")
		db.Close()
		if n := s.count(); n != 1 {
			t.Errorf("%s: %d copies are kept", name, n)
		}
		// Another machine, or this one after its disk.
		again, err := keeper(t, t.TempDir(), s).Path(t.Context(), id)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := count(t, open(t, again, "")); n != 5 {
			t.Errorf("%s: %d rows after the restore, want 5", name, n)
		}
	}
}

// A file that is there is never replaced, and a copy that is damaged never used.
func TestKeeper_RestoresOnlyWhatIsMissing(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), newShelf()
	k := keeper(t, dir, s)
	path, _ := k.Path(t.Context(), id)
	db := open(t, path, "")
	exec(t, db, "CREATE TABLE t (a); INSERT INTO t VALUES (1)")
	if err := k.Copy(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "INSERT INTO t VALUES (2)")
	if _, err := k.Path(t.Context(), id); err != nil || count(t, db) != 2 {
		t.Errorf("the file that is there: %v, %d rows", err, count(t, db))
	}
	for name := range s.blobs {
		s.blobs[name][100] ^= 1
	}
	if _, err := keeper(t, t.TempDir(), s).Path(t.Context(), id); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged copy: %v", err)
	}
	s.blobs = map[string][]byte{}
	if _, err := keeper(t, t.TempDir(), s).Path(t.Context(), id); err == nil {
		t.Error("a copy that is gone is taken for an empty database")
	}
}

// What is no database does not replace the copy of one.
func TestKeeper_RefusesWhatIsNoDatabase(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(path string) error{
		"text":        func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("not a database\n", 1000)), 0o600) },
		"half a file": func(p string) error { return os.Truncate(p, 6000) },
		"nothing":     func(p string) error { return os.Remove(p) },
		"a directory": func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
		"a link": func(p string) error {
			return errors.Join(os.Rename(p, p+".other"), os.Symlink(p+".other", p))
		},
	} {
		dir, s := t.TempDir(), newShelf()
		k := keeper(t, dir, s)
		path, _ := k.Path(t.Context(), id)
		db := open(t, path, "")
		exec(t, db, "CREATE TABLE t (a); INSERT INTO t SELECT randomblob(3000) FROM (VALUES (1), (2), (3), (4))")
		if err := k.Copy(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		db.Close()
		before := s.copies[id]
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		if err := k.Copy(t.Context(), id); err == nil {
			t.Errorf("%s: copied", name)
		}
		if s.copies[id] != before || s.count() != 1 {
			t.Errorf("%s: the copy before is gone", name)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, id, ".copy-*")); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

// Run copies what changed, once, and at its end what changed last.
func TestKeeper_RunFollowsChanges(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), newShelf()
	k := keeper(t, dir, s)
	path, _ := k.Path(t.Context(), id)
	db := open(t, path, "&_pragma=journal_mode(wal)")
	exec(t, db, "CREATE TABLE t (a)")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	for deadline := time.Now().Add(time.Minute); !s.copied(id); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it was never copied")
		}
	}
	exec(t, db, "INSERT INTO t VALUES (1)")
	cancel()
	<-done
	again, err := keeper(t, t.TempDir(), s).Path(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, open(t, again, "")); n != 1 {
		t.Errorf("%d rows in the last copy", n)
	}
}

// A function that was deleted leaves nothing, also when the server was killed
// meanwhile; and an ID is no path.
func TestKeeper_Forgets(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), newShelf()
	k := keeper(t, dir, s)
	path, _ := k.Path(t.Context(), id)
	exec(t, open(t, path, ""), "CREATE TABLE t (a)")
	if err := k.Copy(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := k.Sweep(t.Context()); err != nil || s.count() != 1 {
		t.Fatalf("a sweep with the function there: %v, %d copies", err, s.count())
	}
	s.gone = true
	if err := k.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) || s.count() != 0 || len(s.copies) != 0 {
		t.Errorf("left: %v, %d copies", err, s.count())
	}
	for _, bad := range []string{"", "..", "../x", "fn-", "fn-01JD0000000000000000000001", id + "/..", "fn-../../../../../../etc/cron."} {
		if got, err := k.Path(t.Context(), bad); err == nil {
			t.Errorf("the ID %q leads to %s", bad, got)
		}
	}
}

// Where the answer of the index was lost, the copy that it may lead to stays; and
// what a server that was killed has left beside the last copy goes, but for what
// another one may just be recording.
func TestKeeper_SweepsWhatIsLeft(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), newShelf()
	k := keeper(t, dir, s)
	path, err := k.Path(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, open(t, path, ""), "CREATE TABLE t (a)")
	if err := k.Copy(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s.lost = errors.New("the connection was lost")
	if err := k.Copy(t.Context(), id); !errors.Is(err, s.lost) {
		t.Fatalf("err = %v", err)
	}
	last := s.copies[id].Blob
	if _, ok := s.blobs[id+"/"+last]; !ok || s.count() != 2 {
		t.Fatalf("the last copy is not there, of %d", s.count())
	}
	old := "000000000001-" + strings.Repeat("a", 26)
	s.blobs[id+"/"+old] = nil
	for _, name := range []string{".copy-X", ".restore-1"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.blobs[id+"/"+old]; ok || s.count() != 2 {
		t.Errorf("of three copies there are %d", s.count())
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if _, err := os.Stat(path); err != nil || len(left) != 0 {
		t.Errorf("beside the database: %v %v", left, err)
	}
}
