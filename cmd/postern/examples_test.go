package main_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// folder is where the examples are.
const folder = "../../examples"

// copied copies an example. Variables, as NAME=value, are written into its
// manifest, as somebody does who tries it.
func copied(t *testing.T, name string, variables ...string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), filepath.Base(name))
	from, err := filepath.Abs(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := copyExample(dir, from); err != nil {
		t.Fatal(err)
	}
	if len(variables) == 0 {
		return dir
	}
	path := filepath.Join(dir, "postern.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	manifest := map[string]any{}
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	all, _ := manifest["variables"].(map[string]any)
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		all[name] = value
	}
	if text, err = json.Marshal(manifest); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copyExample copies what is no package from npm; packages are linked to.
func copyExample(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := to + strings.TrimPrefix(path, from)
		switch {
		case d.Name() == "node_modules":
			if err := os.Symlink(path, name); err != nil || !d.IsDir() {
				return err
			}
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(name, 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(name, text, info.Mode().Perm())
	})
}

// example deploys one of the examples, and returns its address and what the
// command said.
func (s *site) example(name string, variables ...string) (url, said string) {
	s.Helper()
	return s.gateway + "/fn/" + filepath.Base(name), s.must("functions", "deploy", copied(s.T, name, variables...))
}

// logs is what a function has written.
func (s *site) logs(name string) string {
	s.Helper()
	return s.must("functions", "logs", name)
}
