package userfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	err = os.Link(tmp, path) // unlike a rename it takes nothing's place
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, there := os.Lstat(path); there == nil { // a file system without links
		return &fs.PathError{Op: "write", Path: path, Err: fs.ErrExist}
	}
	return os.Rename(tmp, path)
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
