package userfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/userfile"
)

// What stands at the path before, and what becomes of it; whatever happens nothing is
// left beside it, and a directory that others may read stays so.
func TestProject_WholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	put := func(path string) error { return userfile.Put(path, []byte("new"), 0o640) }
	putNew := func(path string) error { return userfile.PutNew(path, []byte("new"), 0o600) }
	save := func(replace bool, size int64) func(string) error {
		return func(path string) error { return userfile.Save(path, strings.NewReader("new"), size, replace) }
	}
	breaks := func(path string) error {
		return userfile.Save(path, iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("new"))), 3, true)
	}
	is := func(err error) func(error) bool { return func(got error) bool { return errors.Is(got, err) } }
	kind := func(k fault.Kind) func(error) bool {
		return func(got error) bool { return got != nil && fault.KindOf(got) == k }
	}
	for name, tc := range map[string]struct {
		before string // nothing, file, link, directory or left, by a write that was cut off
		write  func(string) error
		fails  func(error) bool // nil: it does not
		mode   fs.FileMode
	}{
		"put, nothing":         {"nothing", put, nil, 0o640},
		"put, a file":          {"file", put, nil, 0o640},
		"put, a link":          {"link", put, kind(fault.Denied), 0},
		"put, a directory":     {"directory", put, kind(fault.Denied), 0},
		"put, one cut off":     {"left", put, nil, 0o640},
		"new, nothing":         {"nothing", putNew, nil, 0o600},
		"new, a file":          {"file", putNew, is(fs.ErrExist), 0},
		"new, a link":          {"link", putNew, is(fs.ErrExist), 0},
		"new, one cut off":     {"left", putNew, nil, 0o600},
		"save, nothing":        {"nothing", save(false, 3), nil, 0o600},
		"save, a file":         {"file", save(false, 3), is(fs.ErrExist), 0},
		"save, a link":         {"link", save(false, 3), kind(fault.Conflict), 0},
		"save, too little":     {"nothing", save(false, 4), kind(fault.Unavailable), 0},
		"replace, a file":      {"file", save(true, 3), nil, 0o600},
		"replace, a link":      {"link", save(true, 3), kind(fault.Conflict), 0},
		"replace, a directory": {"directory", save(true, 3), kind(fault.Conflict), 0},
		"replace, too little":  {"file", save(true, 4), kind(fault.Unavailable), 0},
		"replace, it breaks":   {"file", breaks, is(iotest.ErrTimeout), 0},
	} {
		dir, theirs := t.TempDir(), filepath.Join(t.TempDir(), "theirs")
		path := filepath.Join(dir, "f")
		var err error
		switch tc.before {
		case "file":
			err = os.WriteFile(path, []byte("old"), 0o644)
		case "link":
			err = errors.Join(os.WriteFile(theirs, []byte("old"), 0o644), os.Symlink(theirs, path))
		case "directory":
			err = os.Mkdir(path, 0o755)
		case "left":
			err = errors.Join(os.WriteFile(theirs, []byte("old"), 0o644), os.Symlink(theirs, path+".new"))
		}
		if err = errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
		err = tc.write(path)
		text, _ := os.ReadFile(path)
		switch {
		case tc.fails == nil && (err != nil || string(text) != "new" || mode(t, path) != tc.mode):
			t.Errorf("%s: %v, %q", name, err, text)
		case tc.fails != nil && (!tc.fails(err) || string(text) == "new"):
			t.Errorf("%s: %v, %q", name, err, text)
		}
		if text, err := os.ReadFile(theirs); err == nil && string(text) != "old" {
			t.Errorf("%s: the link's target became %q", name, text)
		}
		want := 1
		if tc.fails != nil && tc.before == "nothing" {
			want = 0
		}
		if all, _ := os.ReadDir(dir); len(all) != want || mode(t, dir) != 0o755 {
			t.Errorf("%s: there is %v", name, all)
		}
	}
}
