package main_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folder is where the examples are.
const folder = "../../examples"

// sampleSecrets are those that the README of examples/webhooks has, to try it.
var sampleSecrets = []string{"GITHUB_SECRET=change-me-github", "STRIPE_SECRET=change-me-stripe", "MESSAGES_SECRET=whsec_Y2hhbmdlLW1lLXBsZWFzZQ=="}

// copied copies an example. Settings, as NAME=value, are written down as somebody
// does who tries it: a variable in its manifest, a secret in .env.
func copied(t *testing.T, name string, settings ...string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), filepath.Base(name))
	from, err := filepath.Abs(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := copyExample(dir, from); err != nil {
		t.Fatal(err)
	}
	if len(settings) == 0 {
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
	secrets, _ := manifest["secrets"].([]any)
	var env strings.Builder
	for _, v := range settings {
		name, value, _ := strings.Cut(v, "=")
		if slices.Contains(secrets, any(name)) {
			env.WriteString(name + "='" + value + "'\n")
		} else {
			all[name] = value
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(env.String()), 0o600); err != nil {
		t.Fatal(err)
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

// example deploys one of the examples, also without the secrets that it needs, and
// returns its address and what the command said.
func (s *site) example(name string, settings ...string) (url, said string) {
	s.Helper()
	return s.gateway + "/fn/" + filepath.Base(name), s.must("functions", "deploy", "--force", copied(s.T, name, settings...))
}

// logs is what a function has written.
func (s *site) logs(name string) string {
	s.Helper()
	return s.must("functions", "logs", name)
}
