package main_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// databaseSource writes and reads its file whole, as sql.js does.
const databaseSource = `
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
export const path = (c: any) => c.database;
export const there = (c: any) => existsSync(c.database);
export const write = (c: any, r: any) => { writeFileSync(c.database + '.new', r.rawBody); renameSync(c.database + '.new', c.database); return 'written'; };
export const read = (c: any) => readFileSync(c.database);
`

// sqlite has a real client of SQLite make, or look at, a database.
func sqlite(t *testing.T, path, statements string) string {
	t.Helper()
	out, err := exec.Command("python3", "-c", "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nrows = [str(r) for s in sys.argv[2].split(';') for r in c.execute(s)]\nc.commit()\nprint(' '.join(rows))", path, statements).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// A function's database outlives its workers, its versions, a crash of the
// server and, by its copy, its disk; and is no other function's of the same name.
func TestDatabase_Deployed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	manifest := `{"name": "keeper", "runtime": "node"}`
	s.deployed(manifest, databaseSource)
	ask := func(what, body string) string {
		t.Helper()
		status, text := call(t, http.DefaultClient, "POST", s.gateway+"/fn/keeper/"+what, s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"], body)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s\n%s", what, status, text, s.must("functions", "logs", "keeper"))
		}
		return text
	}
	if got := ask("there", ""); got != "false" {
		t.Errorf("before it is written it is there: %s", got)
	}
	made := filepath.Join(t.TempDir(), "made.db")
	sqlite(t, made, "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)")
	data, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	ask("write", string(data))
	path := ask("path", "")
	rows := func(when string) {
		t.Helper()
		got := filepath.Join(t.TempDir(), "got.db")
		if err := os.WriteFile(got, []byte(ask("read", "")), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := sqlite(t, got, "SELECT COUNT(*) FROM t"); n != "(3,)" {
			t.Errorf("%s there are %s rows", when, n)
		}
	}
	rows("at first")
	s.deployed(manifest, databaseSource+"export const more = () => 1;")
	rows("in the next version")
	s.kill()
	s.start()
	rows("after a crash")

	// The disk is lost, and with it what was not copied when the server stopped.
	s.stop()
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	s.start()
	rows("after its disk was lost")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the file can be read by others: %v, %v", info, err)
	}

	s.must("functions", "delete", "keeper", "--yes")
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Errorf("its database outlives the function: %v", err)
	}
	s.deployed(manifest, databaseSource)
	if got := ask("there", ""); got != "false" || ask("path", "") == path {
		t.Errorf("another function of that name has the database of the one before: %s", got)
	}
}
