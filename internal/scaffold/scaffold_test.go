package scaffold_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/scaffold"
)

var update = flag.Bool("update", false, "copy the examples that are modules of their own")

// files are those of a template as it is written.
func files(t *testing.T, template, name string) map[string]string {
	t.Helper()
	found, ok := scaffold.Find(template)
	if !ok {
		t.Fatalf("there is no template %s", template)
	}
	out, err := found.Files(name, "s.json")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Each template has what a function of its runtime needs, under the new name, and
// nothing of where it was taken from.
func TestTemplates(t *testing.T) {
	t.Parallel()
	if all := scaffold.Templates(); len(all) < 10 || !slices.ContainsFunc(all, func(t scaffold.Template) bool { return t.Name == scaffold.Default }) {
		t.Fatal(all)
	}
	for _, tt := range scaffold.Templates() {
		fs := files(t, tt.Name, "mine")
		need := []string{".gitignore", "postern.json"}
		if tt.Runtime == "node" {
			need = append(need, "function.ts", "package.json", "tsconfig.json")
		}
		for _, name := range need {
			if fs[name] == "" {
				t.Errorf("%s has no %s", tt.Name, name)
			}
		}
		for name, text := range fs {
			if strings.HasSuffix(name, ".json") && (!json.Valid([]byte(text)) || strings.Contains(text, "{{") || strings.Contains(text, `"name": "`+tt.Name+`"`)) {
				t.Errorf("%s: %s is\n%s", tt.Name, name, text)
			}
			if strings.ContainsAny(name, `/\`) || strings.HasSuffix(name, ".txt") || name == "README.md" {
				t.Errorf("%s has the file %s", tt.Name, name)
			}
		}
		var manifest struct{ Schema, Name, Runtime string }
		if err := json.Unmarshal([]byte(strings.Replace(fs["postern.json"], "$schema", "schema", 1)), &manifest); err != nil || manifest.Name != "mine" || manifest.Schema != "./s.json" || manifest.Runtime != tt.Runtime {
			t.Errorf("%s: %+v, %v", tt.Name, manifest, err)
		}
		if ignored := fs[".gitignore"]; !strings.Contains(ignored, ".env\n") || !strings.Contains(ignored, "/function.db*\n") {
			t.Errorf("%s: git would take .env or the database: %s", tt.Name, ignored)
		}
	}
	if _, ok := scaffold.Find("nothing"); ok {
		t.Error("there is a template of nothing")
	}
}

// An example that is a module of its own cannot be embedded where it lies: the copy
// is the same.
func TestTemplates_CopiesAreTheExamples(t *testing.T) {
	t.Parallel()
	const example = "../../examples/http-go"
	for _, name := range []string{"main.go", "go.mod", "postern.json"} {
		want, err := os.ReadFile(filepath.Join(example, name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("template/http-go", name+".txt")
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != string(want) {
			t.Errorf("%s is not %s (%v): go test ./internal/scaffold -update", path, filepath.Join(example, name), err)
		}
	}
}

func TestSetVariable(t *testing.T) {
	t.Parallel()
	const manifest = `{"secrets": ["A"], "variables": {"A": "old \" one", "AB" : ""}}`
	for _, tc := range []struct{ name, value, want string }{
		{"A", `a "new" $1 ☃`, `{"secrets": ["A"], "variables": {"A": "a \"new\" $1 ☃", "AB" : ""}}`},
		{"AB", "", manifest},
		{"AB", "x", `{"secrets": ["A"], "variables": {"A": "old \" one", "AB" : "x"}}`},
	} {
		if got, err := scaffold.SetVariable(manifest, tc.name, tc.value); err != nil || got != tc.want {
			t.Errorf("%s: %s, %v", tc.name, got, err)
		}
	}
	if got, err := scaffold.SetVariable(manifest, "B", "x"); err == nil || got != manifest {
		t.Errorf("one that is not there: %s", got)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "hello")
	paths, err := scaffold.Write(dir, map[string]string{"b.ts": "b", ".env": "A=\n", "a.json": "{}"})
	if err != nil || !slices.Equal(paths, []string{filepath.Join(dir, ".env"), filepath.Join(dir, "a.json"), filepath.Join(dir, "b.ts")}) {
		t.Fatal(paths, err)
	}
	for name, mode := range map[string]os.FileMode{".env": 0o600, "b.ts": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm()&^0o022 != mode&^0o022 || name == ".env" && info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestWrite_LeavesWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine := filepath.Join(dir, "function.ts")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tsconfig.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := scaffold.Write(dir, files(t, "protect", "hello"))
	if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), mine+", "+filepath.Join(dir, "tsconfig.json")) {
		t.Errorf("got %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%d entries, %v: something was written", len(entries), err)
	}
	if text, err := os.ReadFile(mine); err != nil || string(text) != "mine" {
		t.Errorf("function.ts is %q, %v", text, err)
	}
}

// A link is in the way like any other file: nothing is written where it points.
func TestWrite_FollowsNoLink(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Symlink(elsewhere, filepath.Join(dir, ".env")); err != nil {
		t.Fatal(err)
	}
	if _, err := scaffold.Write(dir, map[string]string{".env": "A=\n"}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(elsewhere); err == nil {
		t.Error("the link was followed")
	}
}

func TestWrite_NoDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := scaffold.Write(filepath.Join(file, "below"), map[string]string{"a": ""}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("got %v", err)
	}
}
