package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestSecretNames(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "postern")
	system, file := load(t, dir, nil), load(t, dir, map[string]string{"keychain": "file"})
	for _, c := range []struct {
		function    string
		add, remove []string
	}{{"shop", []string{"B", "A", "B"}, nil}, {"shop", nil, []string{"B", "C"}}, {"shop2", []string{"X"}, nil}, {"gone", []string{"X"}, nil}, {"gone", nil, []string{"X"}}, {"none", nil, nil}} {
		if err := system.NoteSecrets(c.function, c.add, c.remove); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.NoteSecrets("shop", []string{"F"}, nil); err != nil {
		t.Fatal(err)
	}
	for function, want := range map[string][]string{"shop": {"A"}, "shop2": {"X"}, "gone": nil} {
		if got, err := load(t, dir, nil).SecretNames(function); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", function, got, err)
		}
	}
	if got, err := file.SecretNames("shop"); err != nil || !slices.Equal(got, []string{"F"}) {
		t.Errorf("in the file: %v, %v", got, err)
	}
	path := filepath.Join(dir, "secrets.json")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	for name, text := range map[string]string{"damaged": `{"system":`, "another thing": `[1]`, "null": "null"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := system.SecretNames("shop"); len(got) != 0 || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if err := system.NoteSecrets("shop", []string{"A"}, nil); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), path); err != nil {
		t.Fatal(err)
	}
	if _, err := system.SecretNames("shop"); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link: %v", err)
	}
	if err := system.NoteSecrets("shop", []string{"A"}, nil); err == nil {
		t.Error("a link was written to")
	}
}

// Of many commands at once, none loses what another noted.
func TestSecretNames_Concurrent(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "postern")
	c := load(t, dir, nil)
	var all sync.WaitGroup
	for _, name := range []string{"A", "B", "C", "D", "E", "F", "G", "H"} {
		all.Go(func() {
			if err := c.NoteSecrets("shop", []string{name}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := c.SecretNames("shop"); len(got) != 8 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}
