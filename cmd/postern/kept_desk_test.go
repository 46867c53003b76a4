package main_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// databaseCmd is `database FILE ROWS`: makes a SQLite database with so many rows, or
// holds one against that.
func databaseCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: database FILE ROWS")
	}
	path := ts.MkAbs(args[0])
	if _, err := os.Stat(path); err != nil {
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		ts.Check(rowsIn(path, n))
		return
	}
	got, err := countIn(path)
	ts.Check(err)
	if got != args[1] {
		ts.Fatalf("%s has %s rows, not %s", args[0], got, args[1])
	}
}

// modeCmd is `mode FILE MODE`, in octal digits.
func modeCmd(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Lstat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[1] || neg {
		ts.Fatalf("%s has the mode %s, not %s", args[0], got, args[1])
	}
}

const python = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\n"

func rowsIn(path string, n int) error {
	out, err := exec.Command("python3", "-c", python+"c.execute('CREATE TABLE t (a)')\nc.executemany('INSERT INTO t VALUES (?)', [('x' * 100,)] * int(sys.argv[2]))\nc.commit()", path, fmt.Sprint(n)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func countIn(path string) (string, error) {
	out, err := exec.Command("python3", "-c", python+"print(c.execute('SELECT COUNT(*) FROM t').fetchone()[0])", path).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// TestDesk_DatabaseUnderLoad: while a function writes its database and is called all
// the time, it is replaced again and again. No call fails, what a call reads is one of
// the databases that were uploaded, whole, and a download is one too.
func TestDesk_DatabaseUnderLoad(t *testing.T) {
	s := newSite(t)
	s.deployed(`{"name":"keeper","runtime":"node"}`, `
import { existsSync, readFileSync, statSync } from 'node:fs';
export const auth: string[] = [];
let held: Buffer | undefined;
export const size = (c: any) => { if (!existsSync(c.database)) return '0'; held ??= readFileSync(c.database); return held.length === statSync(c.database).size ? String(held.length) : 'another while it runs'; };
`)
	dir := t.TempDir()
	sizes := map[string]bool{"0": true}
	var files []string
	for i, rows := range []int{10, 4000, 20000} {
		files = append(files, filepath.Join(dir, fmt.Sprint(i)))
		if err := rowsIn(files[i], rows); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(files[i])
		if err != nil {
			t.Fatal(err)
		}
		sizes[fmt.Sprint(info.Size())] = true
	}
	var stop atomic.Bool
	var calls atomic.Int64
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for !stop.Load() {
				if status, body := call(t, http.DefaultClient, "GET", s.gateway+"/fn/keeper/size", "", "", ""); status != http.StatusOK || !sizes[body] {
					t.Errorf("%d %s", status, body)
					return
				}
				calls.Add(1)
			}
		})
	}
	for _, file := range files {
		s.must("functions", "db", "upload", file, "--function", "keeper", "--force")
		got := filepath.Join(dir, "got.db")
		s.must("functions", "db", "download", "--function", "keeper", "--output", got, "--force")
		want, err := countIn(file)
		if n, err2 := countIn(got); err != nil || err2 != nil || n != want {
			t.Errorf("%s rows came back, not %s; %v, %v", n, want, err, err2)
		}
	}
	stop.Store(true)
	load.Wait()
	if calls.Load() < 20 {
		t.Errorf("%d calls", calls.Load())
	}
}

// TestDesk_LargeObject: an object of the largest size goes there and back as it is,
// and one that is larger is refused.
func TestDesk_LargeObject(t *testing.T) {
	s := newSite(t)
	s.stop()
	s.start("--storage-object-size", "24")
	s.deployed(`{"name":"keeper","runtime":"node"}`, `export const auth: string[] = []; export const a = () => 1;`)
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	sum, err := randomFile(from, 24<<20)
	if err != nil {
		t.Fatal(err)
	}
	s.must("functions", "storage", "upload", from, "large/one", "--function", "keeper")
	s.must("functions", "storage", "download", "large/one", to, "--function", "keeper")
	got, err := os.ReadFile(to)
	if now := sha256.Sum256(got); err != nil || !bytes.Equal(now[:], sum) {
		t.Errorf("%d bytes came back, others than went, %v", len(got), err)
	}
	if _, err := randomFile(from, 24<<20+1); err != nil {
		t.Fatal(err)
	}
	if out, err := s.command("functions", "storage", "upload", from, "large/one", "--function", "keeper"); err == nil || !strings.Contains(out, "at most 25165824 bytes") {
		t.Errorf("a byte more: %v, %s", err, out)
	}
	if out := s.must("functions", "storage", "list", "--function", "keeper"); !strings.Contains(out, "24.0 MiB") {
		t.Errorf("list: %s", out)
	}
}

// randomFile writes a file of so many bytes, and returns their sum.
func randomFile(path string, size int64) ([]byte, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, sum), rand.NewChaCha8([32]byte{1}), size)
	return sum.Sum(nil), err
}
