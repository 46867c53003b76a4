package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

// ofFunction is the function that a command is about: the one that was named, or
// that in this directory.
func ofFunction(named string) (string, error) {
	if named != "" {
		return named, function.ValidName(named)
	}
	m, _, err := function.LoadManifest(".")
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Code == "manifest_missing" {
		return "", usageError{"there is no function in this directory", "go to the function's directory, or name it: --function NAME"}
	}
	return m.Name, err
}

// saveAs writes what it reads into a file of its owner's, whole or not at all: size
// bytes, or what came is not kept. Without force no file is replaced; a symbolic link
// never is.
func saveAs(path string, from io.Reader, size int64, force bool) error {
	if err := mayWrite(path, force); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".postern-*") // mode 0600
	if err != nil {
		return fault.Wrap(err, fault.Denied, "cannot write into "+filepath.Dir(path)).WithHint("name another file")
	}
	defer os.Remove(f.Name())
	n, err := io.Copy(f, from)
	if err == nil && n != size {
		err = fault.New(fault.Unavailable, fmt.Sprintf("%d of %d bytes came", n, size)).WithHint("try again")
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if !force { // somebody else may have made it meanwhile: a link is made of what is not there
		if os.Link(f.Name(), path) == nil {
			return nil
		}
	}
	if err := mayWrite(path, force); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// mayWrite refuses to write where something stands that is not to be replaced.
func mayWrite(path string, force bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return usageError{clean(path) + " is no regular file; nothing was written", "name another file"}
	case !force:
		return usageError{clean(path) + " is there already; nothing was written", "name another file, or replace it with --force"}
	}
	return nil
}

// openRegular opens a file to be uploaded. A directory, a pipe or a device is none.
func openRegular(path string) (f *os.File, size int64, err error) {
	if f, err = os.Open(path); err != nil {
		return nil, 0, usageError{"cannot read " + clean(path) + ": " + reason(err), "name a file that is there"}
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = usageError{clean(path) + " is no regular file", "name a file"}
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// reason is why a file cannot be had, without its path.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// amount is a number of bytes as people read it.
func amount(n int64) string {
	const units = "KMGT"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1024, 0
	for ; v >= 1023.95 && unit < len(units)-1; unit++ {
		v /= 1024
	}
	return fmt.Sprintf("%.1f %ciB", v, units[unit])
}
