package main_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dotenv "postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/keychain/keychaintest"
)

// desk is somebody's directory of a function, with a keychain of their own.
type desk struct {
	*testing.T
	dir string
	env []string
}

// run runs the real program; after a time that is not zero it is killed.
func (d *desk) run(in string, kill time.Duration, args ...string) (out string, err error) {
	d.Helper()
	cmd := exec.CommandContext(d.Context(), binary, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = d.dir, d.env, strings.NewReader(in)
	var said strings.Builder
	cmd.Stdout = &said
	if err := cmd.Start(); err != nil {
		d.Fatal(err)
	}
	if kill > 0 {
		defer time.AfterFunc(kill, func() { cmd.Process.Kill() }).Stop()
	}
	err = cmd.Wait()
	return said.String(), err
}

// list is where each secret has its value, as `secrets list` says.
func (d *desk) list() map[string]string {
	d.Helper()
	out, err := d.run("", 0, "secrets", "list", "--json")
	var lines []struct{ Name, In string }
	if err != nil || json.Unmarshal([]byte(out), &lines) != nil {
		d.Fatalf("list: %v, %s", err, out)
	}
	all := map[string]string{}
	for _, l := range lines {
		all[l.Name] = l.In
	}
	return all
}

// Killed at any moment, a command that stores a secret, or takes one away, leaves
// a .env that is whole and a list that is true, and the next command works.
func TestSecrets_KilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	s, err := keychaintest.Start(home, "hunter2")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	d := &desk{t, t.TempDir(), s.Env}
	for name, text := range map[string]string{"postern.json": `{"name":"shop","runtime":"node"}`, ".env": "# mine\nCOLOUR='red'\n"} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if _, err := d.run("value-of-first", 0, "secrets", "add", "FIRST"); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	for i := range 30 {
		key, value := fmt.Sprintf("KEY_%d", i%6), fmt.Sprintf("value-of-round-%d", i)
		args := []string{"secrets", "add", key}
		if i%3 == 2 {
			args = []string{"secrets", "delete", key, "--force"}
		}
		_, killed := d.run(value, 1+time.Duration(rand.Int64N(int64(took))), args...)
		text, err := os.ReadFile(filepath.Join(d.dir, ".env"))
		entries, flaws := dotenv.ParseDotenv(text)
		if err != nil || flaws != nil || len(entries) < 2 || !strings.HasPrefix(string(text), "# mine\nCOLOUR='red'\nFIRST=\n") {
			t.Fatalf("round %d (%v): .env is %q: %v", i, killed, text, flaws)
		}
		all := d.list()
		held, err := d.run("", 0, "secrets", "get", key, "--show")
		if there := err == nil; there != (all[key] == "keychain") || all["FIRST"] != "keychain" {
			t.Fatalf("round %d: %s is listed as %q, and the keychain has it: %v", i, key, all[key], there)
		} else if there && !strings.HasPrefix(held, "value-of-round-") {
			t.Fatalf("round %d: %s is %q", i, key, held)
		}
	}
	for i := range 6 {
		key := fmt.Sprintf("KEY_%d", i)
		if _, err := d.run("the-last-value", 0, "secrets", "add", key); err != nil || d.list()[key] != "keychain" {
			t.Errorf("%s cannot be stored any more: %v", key, err)
		}
	}
	if _, err := d.run("", 0, "secrets", "clear", "--force"); err != nil {
		t.Error(err)
	}
	for name, in := range d.list() {
		if in != "missing" {
			t.Errorf("after all were cleared, %s is %s", name, in)
		}
	}
	left, _ := filepath.Glob(filepath.Join(d.dir, ".env?*"))
	if left != nil {
		t.Errorf("something is left: %v", left)
	}
}
