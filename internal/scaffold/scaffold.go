// Package scaffold writes the files that a new function begins with.
//
// It knows nothing of what the files mean; [Write] is all there is.
package scaffold

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern.dev/postern/internal/fault"
)

//go:embed template
var template embed.FS

// typesFile holds the declarations that an editor needs; it is of no use at
// run time.
const typesFile = "postern.d.ts"

// Write makes a function of that name in dir, which is made when it is absent,
// and returns the paths of the files, sorted. types is the text of the
// declarations for editors. If any of the files is there already the error
// names all that are, and nothing is written at all.
func Write(dir, name, types string) ([]string, error) {
	files, err := render(name)
	if err != nil {
		return nil, err
	}
	files[typesFile] = types
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
		if err := create(path, files[filepath.Base(path)]); err != nil {
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
func create(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// render reads the template. Its names have no leading dot and no .ts at the
// end, so that neither Go's embedding nor other tools take them for their own.
func render(name string) (map[string]string, error) {
	entries, err := template.ReadDir("template")
	if err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	files := make(map[string]string, len(entries)+1)
	for _, e := range entries {
		text, err := template.ReadFile("template/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("read template: %w", err)
		}
		target := strings.TrimSuffix(e.Name(), ".txt")
		if rest, ok := strings.CutPrefix(target, "dot-"); ok {
			target = "." + rest
		}
		files[target] = strings.ReplaceAll(string(text), "{{name}}", name)
	}
	return files, nil
}
