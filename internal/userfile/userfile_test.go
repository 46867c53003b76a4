package userfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/userfile"
)

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestWrite_ReadsBackAndIsPrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "f")
	if _, err := userfile.Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is written: %v", err)
	}
	for _, text := range []string{"one", "", "two"} {
		if err := userfile.Write(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := userfile.Read(path); err != nil || string(got) != text {
			t.Errorf("Read = %q, %v; want %q", got, err, text)
		}
	}
	if mode(t, dir) != 0o700 || mode(t, path) != 0o600 {
		t.Errorf("modes %o and %o", mode(t, dir), mode(t, path))
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("something is left beside the file: %v", entries)
	}
	for range 2 {
		if err := userfile.Remove(path); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
}

func TestWrite_ClosesADirectoryThatIsOpen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := userfile.Write(filepath.Join(dir, "f"), nil); err != nil || mode(t, dir) != 0o700 {
		t.Errorf("%v, mode %o", err, mode(t, dir))
	}
}

// What is not a file of ours is neither read nor written nor removed, and what
// a link points at stays as it was.
func TestRefusals(t *testing.T) {
	t.Parallel()
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		put  func(path string) error
		text string
	}{
		{"symlink", func(p string) error { return os.Symlink(target, p) }, "symbolic link"},
		{"symlink to nothing", func(p string) error { return os.Symlink(target+"2", p) }, "symbolic link"},
		{"directory", func(p string) error { return os.Mkdir(p, 0o700) }, "is a directory"},
		{"fifo", func(p string) error { return syscall.Mkfifo(p, 0o600) }, "no regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := tt.put(path); err != nil {
				t.Fatal(err)
			}
			if err := tt.put(path + ".lock"); err != nil {
				t.Fatal(err)
			}
			_, read := userfile.Read(path)
			_, lock := userfile.Lock(path)
			for what, err := range map[string]error{"read": read, "write": userfile.Write(path, []byte("ours")), "remove": userfile.Remove(path), "lock": lock} {
				f, ok := errors.AsType[*fault.Error](err)
				if !ok || f.Kind != fault.Denied || !strings.Contains(f.Text, tt.text) || !strings.HasPrefix(f.Hint, "move it away: mv ") {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
	if got, err := os.ReadFile(target); string(got) != "theirs" {
		t.Errorf("the target of a link: %q, %v", got, err)
	}
	if _, err := os.Stat(target + "2"); err == nil {
		t.Error("a link to nothing was followed")
	}
}

func TestRead_RefusesWhatOthersMayReach(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	if err := userfile.Write(path, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, m := range []fs.FileMode{0o644, 0o660, 0o602, 0o610} {
		if err := os.Chmod(path, m); err != nil {
			t.Fatal(err)
		}
		_, err := userfile.Read(path)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Hint != "chmod 600 "+path {
			t.Errorf("mode %o: %v", m, err)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 2<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := userfile.Read(path); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("2 MiB: %v", err)
	}
}

// Under its lock, many who read and write lose nothing.
func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d", "count")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			unlock, err := userfile.Lock(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			data, _ := userfile.Read(path)
			n, _ := strconv.Atoi(string(data))
			if err := userfile.Write(path, []byte(strconv.Itoa(n+1))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if data, err := userfile.Read(path); string(data) != "20" {
		t.Errorf("count %q, %v; want 20", data, err)
	}
	if mode(t, path+".lock") != 0o600 {
		t.Errorf("the lock's mode is %o", mode(t, path+".lock"))
	}
}
