package scaffold_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/scaffold"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "hello")
	paths, err := scaffold.Write(dir, "hello", "declare module 'x';\n")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	if d := cmp.Diff([]string{".gitignore", "function.ts", "package.json", "postern.d.ts", "postern.json", "tsconfig.json"}, names); d != "" {
		t.Error(d)
	}
	for _, name := range []string{"postern.json", "package.json", "tsconfig.json"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !json.Valid(text) || strings.Contains(string(text), "{{") {
			t.Errorf("%s: %v\n%s", name, err, text)
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
	_, err := scaffold.Write(dir, "hello", "")
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

func TestWrite_DanglingLinkIsThereAlready(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "target")
	if err := os.Symlink(elsewhere, filepath.Join(dir, "postern.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := scaffold.Write(dir, "hello", ""); fault.KindOf(err) != fault.Conflict {
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
	if _, err := scaffold.Write(filepath.Join(file, "below"), "hello", ""); fault.KindOf(err) != fault.Invalid {
		t.Errorf("got %v", err)
	}
}
