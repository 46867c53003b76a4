package environ

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern.dev/postern/internal/fault"
)

// AddKeys adds lines KEY= to the .env file in dir for those keys that it does not
// have, and returns these. Where there is no file nothing is done. No line that a
// person wrote is changed; mode and line endings stay, and the file is written
// whole or not at all.
func AddKeys(dir string, keys []string, comment string) (added []string, err error) {
	d, err := ReadDotenv(dir)
	if err != nil || !d.Present {
		return nil, err
	}
	for _, key := range keys {
		if !slices.ContainsFunc(d.Entries, func(e Entry) bool { return e.Name == key }) && !slices.Contains(added, key) {
			added = append(added, key)
		}
	}
	if added == nil {
		return nil, nil
	}
	path := filepath.Join(dir, DotenvFile)
	data, mode, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return added, replace(path, withKeys(data, added, comment), mode.Perm())
}

// withKeys is a text with lines at its end.
func withKeys(data []byte, keys []string, comment string) []byte {
	end := "\n"
	if bytes.Contains(data, []byte("\r\n")) {
		end = "\r\n"
	}
	var b strings.Builder
	b.Write(data)
	if len(data) > 0 && data[len(data)-1] != '\n' {
		b.WriteString(end)
	}
	if comment != "" {
		b.WriteString(end + "# " + comment + end)
	}
	for _, key := range keys {
		b.WriteString(key + "=" + end)
	}
	return []byte(b.String())
}

// CreateDotenv writes a new .env file into dir, for nobody else to read. It fails
// with the kind Conflict where something of that name is there.
func CreateDotenv(dir, text string) error {
	path := filepath.Join(dir, DotenvFile)
	tmp, err := write(path, []byte(text), 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	err = os.Link(tmp, path) // unlike a rename it takes nothing's place
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Conflict, path+" is there already").WithCode("file_exists")
	}
	if err != nil { // a file system without links
		if _, there := os.Lstat(path); there == nil {
			return fault.New(fault.Conflict, path+" is there already").WithCode("file_exists")
		}
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "cannot write "+path)
	}
	return nil
}

// replace puts data in the place of a regular file.
func replace(path string, data []byte, mode fs.FileMode) error {
	tmp, err := write(path, data, mode)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := os.Rename(tmp, path); err != nil {
		return fault.Wrap(err, fault.Invalid, "cannot write "+path)
	}
	return nil
}

// write writes a file of another name beside path, and returns its name. It is
// always the same one, so that what a write that was cut off has left does not stay;
// .gitignore's .env.* covers it, and no deploy takes it.
func write(path string, data []byte, mode fs.FileMode) (name string, err error) {
	name = path + ".new"
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fault.Wrap(err, fault.Invalid, "cannot remove "+name)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "cannot write "+path).WithHint("see that the directory may be written to")
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		os.Remove(name)
		return "", fault.Wrap(err, fault.Invalid, "cannot write "+path)
	}
	return name, nil
}
