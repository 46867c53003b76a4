// Package scaffold writes the files that a new function begins with.
//
// A [Template] has the files, taken from examples/ where an example is the same
// thing, and [Write] writes them. What the files mean is not known here.
package scaffold

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern.dev/postern/internal/fault"
)

// Write writes files, by their names, into dir, which is made when it is absent,
// and returns their paths, sorted. If any of them is there already the error names
// all that are, and nothing is written at all. What keeps secrets is for its owner
// alone.
func Write(dir string, files map[string]string) ([]string, error) {
	paths := make([]string, 0, len(files))
	for file := range files {
		paths = append(paths, filepath.Join(dir, file))
	}
	slices.Sort(paths)
	var there []string
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			there = append(there, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fault.Wrap(err, fault.Invalid, "cannot write to "+dir)
		}
	}
	if len(there) > 0 {
		return nil, fault.New(fault.Conflict, "already there: "+strings.Join(there, ", ")).WithCode("file_exists").
			WithHint("choose another directory; nothing was written")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "cannot make "+dir)
	}
	for i, path := range paths {
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(filepath.Base(path), ".env") {
			mode = 0o600
		}
		if err := create(path, files[filepath.Base(path)], mode); err != nil {
			for _, half := range paths[:i] {
				err = errors.Join(err, os.Remove(half))
			}
			return nil, fault.Wrap(err, fault.Invalid, "cannot write "+path)
		}
	}
	return paths, nil
}

// create writes a file that was not there; what somebody else made meanwhile,
// a link included, is not touched.
func create(path, text string, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
