package database_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/internal/database"
	"postern.dev/postern/internal/fault"
)

func now(swap func() error) error { return swap() }

func codeOf(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Code
	}
	return fmt.Sprint(err)
}

// made is the bytes of a database with n rows.
func made(t *testing.T, n int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "made.db")
	db := open(t, path, "")
	exec(t, db, "CREATE TABLE t (a)")
	exec(t, db, fmt.Sprintf("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO t SELECT hex(randomblob(200)) FROM n", n))
	db.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// bent is a database with an index of what it was not made of.
func bent(t *testing.T, of string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bent.db")
	db := open(t, path, "")
	exec(t, db, "CREATE TABLE t (a)")
	exec(t, db, "INSERT INTO t VALUES (1), (2), (3)")
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE INDEX i ON t (abs(a))")
	exec(t, db, "PRAGMA writable_schema = 1")
	exec(t, db, "UPDATE sqlite_master SET sql = 'CREATE INDEX i ON t ("+strings.ReplaceAll(of, "'", "''")+")' WHERE name = 'i'")
	db.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func rows(t *testing.T, from []byte) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "got.db")
	if err := os.WriteFile(path, from, 0o600); err != nil {
		t.Fatal(err)
	}
	return count(t, open(t, path, ""))
}

func snapshot(t *testing.T, k *database.Keeper) []byte {
	t.Helper()
	r, size, err := k.Snapshot(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil || int64(len(data)) != size {
		t.Fatalf("%d bytes of %d, %v", len(data), size, err)
	}
	return data
}

// A snapshot has what was committed while others go on writing, and leaves nothing
// behind; where the file is gone it is the last copy.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), newShelf()
	k := keeper(t, dir, s)
	for _, of := range []string{id, "fn-../../etc", ""} {
		if _, _, err := k.Snapshot(t.Context(), of); codeOf(err) != "database_missing" {
			t.Errorf("%q: %v", of, err)
		}
	}
	path, err := k.Path(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, path, "&_pragma=journal_mode(wal)")
	exec(t, db, "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)")
	if n := rows(t, snapshot(t, k)); n != 2 {
		t.Errorf("%d rows", n)
	}
	left, err := filepath.Glob(filepath.Join(dir, id, ".copy-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := k.Copy(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if err := os.RemoveAll(filepath.Join(dir, id)); err != nil {
		t.Fatal(err)
	}
	if n := rows(t, snapshot(t, k)); n != 2 {
		t.Errorf("of the copy: %d rows", n)
	}
	if err := os.MkdirAll(filepath.Join(dir, id), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("no database at all, but long enough to look at"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Snapshot(t.Context(), id); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("of what is none: %v", err)
	}
}

// What is no whole database takes the place of none, and leaves nothing behind.
func TestReplace_Refused(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), newShelf()
	k, err := database.New(database.Options{Dir: dir, Index: s, Blobs: s, Largest: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	old, big := made(t, 7), made(t, 200)
	if _, err := k.Replace(t.Context(), id, bytes.NewReader(old), now); err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(big)
	for i := 8192; i < 12288; i++ {
		damaged[i] ^= 0x5a
	}
	for name, tc := range map[string]struct {
		from io.Reader
		want string
	}{
		"nothing":       {strings.NewReader(""), "database_invalid"},
		"a text":        {strings.NewReader("SQLite format 4\x00 and so on"), "database_invalid"},
		"its head":      {bytes.NewReader(big[:100]), "database_invalid"},
		"half of it":    {bytes.NewReader(big[:len(big)/2/4096*4096]), "database_invalid"},
		"damaged pages": {bytes.NewReader(damaged), "database_invalid"},
		"too large":     {io.LimitReader(zeros{}, 2<<20), "body_too_large"},
		"cut off":       {io.MultiReader(bytes.NewReader(big[:5000]), broken{}), "unexpected EOF"},
		"code to load":  {bytes.NewReader(bent(t, "load_extension('/tmp/x')")), "database_invalid"},
	} {
		_, err := k.Replace(t.Context(), id, tc.from, func(func() error) error { t.Errorf("%s: workers are stopped for it", name); return nil })
		if codeOf(err) != tc.want {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, id, database.File)); err != nil || !bytes.Equal(got, old) {
			t.Fatalf("%s: the database is another, %v", name, err)
		}
	}
	// It is refused for what it would compute, and not when it has: 8 KiB would
	// become a gibibyte in the process of everybody.
	if _, err := k.Replace(t.Context(), id, bytes.NewReader(bent(t, "length(hex(zeroblob(400000000 + a)))")), now); err == nil || !strings.Contains(err.Error(), "too big") {
		t.Errorf("a bomb: %v", err)
	}
	if _, err := k.Replace(t.Context(), id, bytes.NewReader(big), func(func() error) error { return errors.New("not quiet") }); err == nil || err.Error() != "not quiet" {
		t.Errorf("got %v", err)
	}
	if _, err := k.Replace(t.Context(), "fn-../x", bytes.NewReader(big), now); err == nil {
		t.Error("for what is no function")
	}
	entries, err := os.ReadDir(filepath.Join(dir, id))
	if err != nil || len(entries) != 1 || rows(t, snapshot(t, k)) != 7 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// The new database takes the place of the old one with its log, whatever journal
// each of them has, and one at a time.
func TestReplace(t *testing.T) {
	t.Parallel()
	for name, pragma := range map[string]string{"a journal": "", "a write-ahead log": "&_pragma=journal_mode(wal)"} {
		dir, s := t.TempDir(), newShelf()
		k := keeper(t, dir, s)
		path, err := k.Path(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		db := open(t, path, pragma)
		exec(t, db, "CREATE TABLE t (a); INSERT INTO t VALUES (1)")
		if pragma != "" { // as a worker that was killed leaves it
			log, err := os.ReadFile(path + "-wal")
			if err != nil || len(log) == 0 {
				t.Fatal(err)
			}
			db.Close()
			if err := os.WriteFile(path+"-wal", log, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		db.Close()
		data := made(t, 5)
		size, err := k.Replace(t.Context(), id, bytes.NewReader(data), func(swap func() error) error {
			if _, err := k.Replace(t.Context(), id, bytes.NewReader(data), now); codeOf(err) != "database_busy" {
				t.Errorf("%s: two at once: %v", name, err)
			}
			return swap()
		})
		if err != nil || size != int64(len(data)) {
			t.Fatalf("%s: %d, %v", name, size, err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: it is not what was uploaded, %v", name, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if n := count(t, open(t, path, "")); n != 5 {
			t.Errorf("%s: %d rows", name, n)
		}
	}
}
