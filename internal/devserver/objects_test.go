package devserver

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/state"
)

// shelf is a function's storage in a directory, asked as a worker asks.
type shelf struct {
	dir  string
	call func(ctx context.Context, op string, fields [][]byte) ([][]byte, error)
}

func newShelf(t *testing.T, maxObjects int64) *shelf {
	dir := filepath.Join(t.TempDir(), "storage")
	o := &objects{dir: dir}
	s := state.New(state.Options{Cache: &state.Memory{}, Index: o, Blobs: o, ObjectBytes: 1 << 20, StorageObjects: maxObjects, StorageBytes: 4 << 20})
	return &shelf{dir, s.For("fn-1")}
}

func (s *shelf) do(op string, fields ...string) (out []string, err error) {
	var in [][]byte
	for _, f := range fields {
		in = append(in, []byte(f))
	}
	answer, err := s.call(context.Background(), op, in)
	for _, a := range answer {
		out = append(out, string(a))
	}
	return out, err
}

func (s *shelf) read(key string) string {
	out, err := s.do("storage.read", key)
	if err != nil {
		return "error: " + codeOf(err)
	}
	return out[2]
}

func codeOf(err error) string {
	f, ok := err.(*fault.Error)
	if !ok {
		return fmt.Sprint(err)
	}
	return f.Code
}

// files are what a person finds.
func (s *shelf) files(t *testing.T) (out []string) {
	err := filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(s.dir, path)
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A person finds an object under its key, and what they write there the function
// reads.
func TestObjects_AreFilesThatPeopleRead(t *testing.T) {
	t.Parallel()
	s := newShelf(t, 100)
	if got := s.read("a"); got != "error: not_found" {
		t.Errorf("of nothing: %s", got)
	}
	if _, err := os.Lstat(s.dir); err == nil {
		t.Error("the directory is there before anything was written")
	}
	for key, value := range map[string]string{"notes/2026.txt": "one", ".hidden": "two", "Grüße.md": "three", "100%": "four", "a b/c\\d": "five"} {
		if _, err := s.do("storage.write", key, value); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	want := []string{".hidden", "100%25", "Grüße.md", "a b/c\\d", "notes/2026.txt"}
	if got := s.files(t); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	if data, err := os.ReadFile(filepath.Join(s.dir, "notes", "2026.txt")); err != nil || string(data) != "one" {
		t.Errorf("%q, %v", data, err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "notes", "2026.txt"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := s.read("notes/2026.txt"); got != "mine" {
		t.Errorf("what a person wrote: %q", got)
	}
	if _, err := s.do("storage.delete", "notes/2026.txt"); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(s.dir, "notes")); err == nil {
		t.Error("an empty directory stays")
	}
	if err := os.RemoveAll(s.dir); err != nil { // by the person, meanwhile
		t.Fatal(err)
	}
	if _, err := s.do("storage.write", "again", "x"); err != nil || s.read("again") != "x" {
		t.Errorf("after all was removed: %v", err)
	}
}

// Nothing outside of the directory is read, written or listed.
func TestObjects_LeadNowhereElse(t *testing.T) {
	t.Parallel()
	s := newShelf(t, 100)
	if _, err := s.do("storage.write", "first", "x"); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(filepath.Dir(s.dir), "outside")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"link": outside, "dir": filepath.Dir(s.dir)} {
		if err := os.Symlink(to, filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := s.do("storage.list", "", ""); err != nil || !slices.Equal(list[1:], []string{"first"}) {
		t.Errorf("list %q, %v", list, err)
	}
	for _, key := range []string{"link", "dir/outside", "../outside", "/outside", "a/../../outside"} {
		if got := s.read(key); !strings.HasPrefix(got, "error: ") {
			t.Errorf("%q is read: %q", key, got)
		}
		s.do("storage.write", key, "overwritten")
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "secret" {
		t.Errorf("outside is %q, %v", data, err)
	}
}

func TestObjects_Full(t *testing.T) {
	t.Parallel()
	s := newShelf(t, 2)
	for _, key := range []string{"a", "b", "a"} {
		if _, err := s.do("storage.write", key, "x"); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.do("storage.write", "c", "x"); codeOf(err) != "storage_full" {
		t.Errorf("a third object: %v", err)
	}
	if got := s.files(t); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("files %q", got)
	}
}

// Whatever the keys are, the storage is a map of them.
func TestObjects_AreAMap(t *testing.T) {
	t.Parallel()
	parts := []string{"a", "b", "%", "%dir", "%file", "a%dir", "a%file", "%25", "%+", "x%+", ".git", "%drafts", "ü", strings.Repeat("l", 300), strings.Repeat("%", 150), strings.Repeat("é", 180)}
	rapid.Check(t, func(r *rapid.T) {
		s := newShelf(t, 1000)
		model := map[string]string{}
		key := rapid.Custom(func(r *rapid.T) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 1, 3).Draw(r, "parts"), "/")
		}).Filter(func(k string) bool { return len(k) <= 1000 })
		for i := range rapid.IntRange(1, 30).Draw(r, "steps") {
			k := key.Draw(r, "key")
			if rapid.IntRange(0, 3).Draw(r, "what") > 0 {
				model[k] = fmt.Sprint(i)
				if _, err := s.do("storage.write", k, model[k]); err != nil {
					r.Fatalf("write %q: %v", k, err)
				}
			} else {
				delete(model, k)
				if _, err := s.do("storage.delete", k); err != nil {
					r.Fatalf("delete %q: %v", k, err)
				}
			}
			out, err := s.do("storage.list", "", "")
			if want := slices.Sorted(maps.Keys(model)); err != nil || !slices.Equal(out[1:], want) {
				r.Fatalf("list %q, want %q, %v", out, want, err)
			}
		}
		for k, v := range model { // at the end: each step would read all of it again
			if got := s.read(k); got != v {
				r.Fatalf("%q is %q, want %q", k, got, v)
			}
		}
	})
}
