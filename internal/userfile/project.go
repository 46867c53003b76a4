package userfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"postern.dev/postern/internal/fault"
)

// Put writes a file of a person's project, which others may read: whole or not at
// all, with this mode, in the place of a regular file or of none. Its directory
// has to be there, and stays as it is.
func Put(path string, data []byte, mode fs.FileMode) error {
	if err := replaceable(path); err != nil {
		return err
	}
	tmp, err := beside(path, data, mode)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	return os.Rename(tmp, path)
}

// PutNew is Put where nothing is to be replaced: its error is fs.ErrExist if
// anything stands at path.
func PutNew(path string, data []byte, mode fs.FileMode) error {
	tmp, err := beside(path, data, mode)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	return take(tmp, path)
}

// beside writes a file of another name beside path, and returns its name. It is
// always the same one, so that what a write that was cut off has left does not stay;
// the .env.* of a .gitignore covers that of .env, and no deploy takes it.
func beside(path string, data []byte, mode fs.FileMode) (name string, err error) {
	name = path + ".new"
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		os.Remove(name)
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	return name, nil
}

// Save is what Put is for size bytes that come from elsewhere, in the mode of a file
// of its owner's alone. Without replace its error is fs.ErrExist if there is
// a file; with it that is replaced. What is no regular file never is. What comes short is
// not kept: then it fails with the kind Unavailable.
func Save(path string, from io.Reader, size int64, replace bool) error {
	if err := MayTake(path, replace); err != nil { // before anything is read
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".postern-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	n, err := io.Copy(f, from)
	if err == nil && n != size {
		err = fault.New(fault.Unavailable, fmt.Sprintf("%d of %d bytes came", n, size)).WithHint("try again")
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if replace {
		if err := MayTake(path, replace); err != nil {
			return err
		}
		return os.Rename(f.Name(), path)
	}
	return take(f.Name(), path)
}

// take gives a file a name that nothing has.
func take(tmp, path string) error {
	err := os.Link(tmp, path) // unlike a rename it takes nothing's place
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := MayTake(path, false); err != nil { // a file system without links
		return err
	}
	return os.Rename(tmp, path)
}

// MayTake says whether Save may write a file at path, before it is fetched.
func MayTake(path string, replace bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fault.New(fault.Conflict, path+" is no regular file, and is not replaced").WithHint("name another file")
	case !replace:
		return &fs.PathError{Op: "write", Path: path, Err: fs.ErrExist}
	}
	return nil
}
