package app

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"postern.dev/postern/internal/fault"
)

func TestDataDir_MadePrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "b")
	d, err := openDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v, want 0700", info.Mode(), err)
	}
}

func TestDataDir_EmptyOneIsClosed(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := openDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v, want 0700", info.Mode(), err)
	}
}

func TestDataDir_SecondIsToldWhoHoldsIt(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	first, err := openDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openDataDir(path)
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Code != "data_locked" || f.Kind != fault.Conflict || !strings.Contains(f.Text, "process "+strconv.Itoa(os.Getpid())+" since ") || f.Hint == "" {
		t.Fatalf("second: %v", err)
	}
	first.close()
	again, err := openDataDir(path)
	if err != nil {
		t.Fatalf("the lock outlives its holder: %v", err)
	}
	again.close()
}

func TestDataDir_Refuses(t *testing.T) {
	t.Parallel()
	t.Run("readable by others", func(t *testing.T) {
		t.Parallel()
		path := t.TempDir()
		if err := os.WriteFile(filepath.Join(path, "x"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o750); err != nil {
			t.Fatal(err)
		}
		_, err := openDataDir(path)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Denied || f.Hint != "chmod 700 "+path {
			t.Errorf("got %v", err)
		}
		if _, err := os.Stat(filepath.Join(path, "lock")); err == nil {
			t.Error("a lock file was made all the same")
		}
	})
	t.Run("a file", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openDataDir(path); fault.KindOf(err) != fault.Invalid {
			t.Errorf("got %v", err)
		}
	})
	t.Run("below a file", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openDataDir(filepath.Join(path, "data")); fault.KindOf(err) != fault.Invalid {
			t.Errorf("got %v", err)
		}
	})
}
