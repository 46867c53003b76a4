package environ

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/userfile"
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
	return added, written(path, userfile.Put(path, withKeys(data, added, comment), mode.Perm()))
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
	err := userfile.PutNew(path, []byte(text), 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Conflict, path+" is there already").WithCode("file_exists")
	}
	return written(path, err)
}

// written says of which file a write has failed.
func written(path string, err error) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(err, fault.Invalid, "cannot write "+path).WithHint("see that the directory may be written to")
}
