package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

// crashEnv names the database of a process that is made to be killed.
const crashEnv = "POSTERN_TEST_CRASH"

// writeUntilKilled bootstraps the database and makes keys for ever. It says of
// each key that it is stored when the store has said so.
func writeUntilKilled(path string) {
	ctx := context.Background()
	db, err := store.Open(ctx, "sqlite:"+path)
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	now := time.Now()
	p := platform.Project{ID: function.NewProjectID(now), Name: "p", CreatedAt: now}
	if _, err := db.Bootstrap(ctx, p, newKey(p.ID, "first")); err != nil {
		fmt.Println("bootstrap:", err)
		os.Exit(1)
	}
	ps, err := db.Projects(ctx)
	for i := 0; err == nil; i++ {
		k := newKey(ps[0].ID, fmt.Sprintf("%d of %d", i, os.Getpid()))
		var seq int64
		if seq, err = db.CreateKey(ctx, k); err == nil {
			fmt.Println("stored", k.ID, seq)
		}
	}
	fmt.Println("create:", err)
	os.Exit(1)
}

// A server that is killed at any moment, the first start included, starts again
// on what it left: one project, every key that it said is stored, no gap in the
// log.
func TestSQLite_Killed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "p.db")
	stored := map[string]int64{}
	for round := range 8 {
		child := osexec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), crashEnv+"="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			word, rest, _ := strings.Cut(lines.Text(), " ")
			if word != "stored" {
				t.Fatalf("round %d: %s", round, lines.Text())
			}
			id, seq, _ := strings.Cut(rest, " ")
			if stored[id], err = strconv.ParseInt(seq, 10, 64); err != nil {
				t.Fatal(err)
			}
			if n == round*3 { // later each time; what it writes meanwhile is read too
				child.Process.Kill()
			}
		}
		child.Wait()
	}
	db := open(t, "sqlite:"+path)
	ps, err := db.Projects(t.Context())
	if err != nil || len(ps) != 1 {
		t.Fatalf("projects %v, %v", ps, err)
	}
	changes, err := db.Changes(t.Context(), 0, 1_000_000)
	if err != nil || len(changes) < len(stored) || len(stored) < 8 {
		t.Fatalf("%d keys were stored, %d changes, %v", len(stored), len(changes), err)
	}
	for i, c := range changes {
		if c.Seq != int64(i+1) {
			t.Fatalf("change %d has the number %d", i+1, c.Seq)
		}
		if seq, ok := stored[c.ID]; ok && seq != c.Seq {
			t.Errorf("key %s was stored as %d and is %d", c.ID, seq, c.Seq)
		}
		delete(stored, c.ID)
	}
	if len(stored) > 0 {
		t.Errorf("lost: %v", stored)
	}
	seq, err := db.Bootstrap(t.Context(), platform.Project{ID: "prj_x"}, newKey("prj_x", "x"))
	if err != nil || seq != 0 {
		t.Errorf("a second first project: change %d, %v", seq, err)
	}
}
