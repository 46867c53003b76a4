// Package userfile reads and writes the small files that Postern keeps for the
// person at the terminal: profiles, and the keychain where that is a file.
//
// Such a file is 0600 in a directory that is 0700, it is written whole or not
// at all, and it is never a symbolic link: whoever could put one there would
// choose what is read as ours, or what our bytes overwrite. What others could
// have read or written is refused, not repaired.
package userfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/lockedfile"

	"postern.dev/postern/internal/fault"
)

// maxSize is more than any file of ours has.
const maxSize = 1 << 20

// Read returns what the file holds. Its error is fs.ErrNotExist where there is
// none, and a fault with a hint where the file is not fit to be trusted.
func Read(path string) ([]byte, error) {
	if err := replaceable(path); err != nil {
		return nil, err
	}
	// And once more while opening, where the system can: what stands there may
	// have changed since.
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, noFile(path, info.Mode().Type())
	}
	if hasModes && info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Denied, fmt.Sprintf("others may read or write %s (mode %04o)", path, info.Mode().Perm())).
			WithHint("chmod 600 " + path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if len(data) > maxSize {
		return nil, fault.New(fault.Invalid, path+" is larger than any file that Postern writes there").WithHint("move it away")
	}
	return data, nil
}

// Write replaces the file, or makes it and its directory. A reader sees the
// old contents or the new ones, and after a failure the old ones.
func Write(path string, data []byte) error {
	if err := Directory(filepath.Dir(path)); err != nil {
		return err
	}
	if err := replaceable(path); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Remove removes the file; that there is none is no error.
func Remove(path string) error {
	if err := replaceable(path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove: %w", err)
	}
	return nil
}

// Lock waits until no other process holds the lock of the file, and takes it:
// for reading, changing and writing as one step. It makes the directory. The
// kernel lets go of the lock when the process ends, however it ends.
func Lock(path string) (unlock func(), err error) {
	if err := Directory(filepath.Dir(path)); err != nil {
		return nil, err
	}
	path += ".lock"
	if err := replaceable(path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600) // the library would let others read it
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		unlock, err = lockedfile.MutexAt(path).Lock()
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return unlock, nil
}

// Directory makes the directory of such files, and closes it to others.
func Directory(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault.Wrap(err, fault.Denied, "the directory "+dir+" cannot be made").WithHint("set XDG_CONFIG_HOME to a directory that you may write")
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	if !hasModes || info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fault.Wrap(err, fault.Denied, "others may read "+dir).WithHint("chmod 700 " + dir)
	}
	return nil
}

// replaceable refuses what stands at path when it is no file of ours.
func replaceable(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return noFile(path, info.Mode().Type())
	}
	return nil
}

func noFile(path string, kind fs.FileMode) error {
	what := "no regular file"
	switch kind {
	case fs.ModeSymlink:
		what = "a symbolic link, and Postern follows none there"
	case fs.ModeDir:
		what = "a directory"
	}
	return fault.New(fault.Denied, path+" is "+what).WithHint("move it away: mv " + path + " " + path + ".old")
}
