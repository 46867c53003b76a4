package environ_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/fault"
)

func TestAddKeys(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before, comment string
		keys, added     []string
		after           string
	}{
		"a key more":              {"A=1\n", "", []string{"B"}, []string{"B"}, "A=1\nB=\n"},
		"without a line feed":     {"A=1", "", []string{"B"}, []string{"B"}, "A=1\nB=\n"},
		"lines of Windows":        {"A=1\r\n# why", "", []string{"B", "C"}, []string{"B", "C"}, "A=1\r\n# why\r\nB=\r\nC=\r\n"},
		"to an empty file":        {"", "", []string{"A"}, []string{"A"}, "A=\n"},
		"one that is there":       {"A=1\nB=\n", "", []string{"B", "A"}, nil, "A=1\nB=\n"},
		"one that is exported":    {"export A='x\nB='\n", "", []string{"A"}, nil, "export A='x\nB='\n"},
		"in a value only":         {"A='x\nB='\n", "", []string{"B"}, []string{"B"}, "A='x\nB='\nB=\n"},
		"in a comment only":       {"# B=\n", "", []string{"B", "B"}, []string{"B"}, "# B=\nB=\n"},
		"with a comment":          {"A=1\n", "more", []string{"B"}, []string{"B"}, "A=1\n\n# more\nB=\n"},
		"nothing, with a comment": {"A=1\n", "more", nil, nil, "A=1\n"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, ".env")
		if err := os.WriteFile(path, []byte(tc.before), 0o640); err != nil {
			t.Fatal(err)
		}
		if tc.added != nil { // as a write that was cut off leaves it
			if err := os.Symlink(filepath.Join(dir, "elsewhere"), path+".new"); err != nil {
				t.Fatal(err)
			}
		}
		added, err := environ.AddKeys(dir, tc.keys, tc.comment)
		after, _ := os.ReadFile(path)
		info, _ := os.Stat(path)
		if err != nil || !slices.Equal(added, tc.added) || string(after) != tc.after || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %q, %q, mode %o", name, err, added, after, info.Mode().Perm())
		}
		if all, _ := os.ReadDir(dir); len(all) != 1 {
			t.Errorf("%s: something is left: %v", name, all)
		}
	}
}

// What a link points at stays as it was, and so does a file that cannot be read in
// one way.
func TestAddKeys_Refuses(t *testing.T) {
	t.Parallel()
	if added, err := environ.AddKeys(t.TempDir(), []string{"A"}, ""); err != nil || added != nil {
		t.Errorf("without a file: %v, %v", added, err)
	}
	dir, theirs := t.TempDir(), filepath.Join(t.TempDir(), "theirs")
	if err := os.WriteFile(theirs, []byte("X=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(theirs, filepath.Join(dir, ".env")); err != nil {
		t.Fatal(err)
	}
	if _, err := environ.AddKeys(dir, []string{"A"}, ""); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a link: %v", err)
	}
	if err := environ.CreateDotenv(dir, "A=\n"); fault.KindOf(err) != fault.Conflict {
		t.Errorf("over a link: %v", err)
	}
	if text, _ := os.ReadFile(theirs); string(text) != "X=1\n" {
		t.Errorf("the link's target became %q", text)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte("A=1\nA=2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := environ.AddKeys(dir, []string{"B"}, ""); err == nil || !strings.Contains(err.Error(), "stands in line 1") {
		t.Errorf("a key that stands twice: %v", err)
	}
}

func TestCreateDotenv(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := environ.CreateDotenv(dir, "A=\n"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, ".env"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := environ.CreateDotenv(dir, "B=\n"); fault.KindOf(err) != fault.Conflict {
		t.Errorf("once more: %v", err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, ".env")); string(text) != "A=\n" {
		t.Errorf("it became %q", text)
	}
	if all, _ := os.ReadDir(dir); len(all) != 1 {
		t.Errorf("something is left: %v", all)
	}
	if err := environ.CreateDotenv(filepath.Join(dir, "nowhere"), ""); fault.KindOf(err) != fault.Invalid {
		t.Errorf("no directory: %v", err)
	}
}
