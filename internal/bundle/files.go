package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

// staticDirs are the directories of a project whose files go into the artefact
// as they are: served to callers, and for the function alone.
var staticDirs = []string{"public", "assets"}

// collect reads the files of public/ and assets/. Hidden ones are left out, with
// a warning: editors and file managers leave them behind. Whatever is no regular
// file is an error: a link could lead to anything, and would lead elsewhere
// where the artefact is unpacked.
func collect(dir string, exclude function.Excludes) (files map[string][]byte, warnings []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", dir, err)
	}
	defer root.Close()
	w := walk{root: root, exclude: exclude, known: names{}}
	for _, top := range staticDirs {
		info, err := root.Lstat(top)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && !info.IsDir() {
			return nil, nil, unfit(fmt.Errorf("%q is no directory", top))
		}
		if err == nil {
			err = fs.WalkDir(root.FS(), top, w.visit)
		}
		if err != nil {
			return nil, nil, unfit(err)
		}
	}
	if len(w.hidden) > 0 {
		warnings = append(warnings, "left out, for their names begin with a dot: "+strings.Join(w.hidden, ", "))
	}
	if w.size > MaxBytes {
		return nil, nil, tooLarge("public/ and assets/ have", w.size, w.largest, w.most)
	}
	files = make(map[string][]byte, len(w.names))
	for _, name := range w.names {
		if files[name], err = root.ReadFile(name); err != nil {
			return nil, nil, unfit(fmt.Errorf("cannot be read: %w", err))
		}
	}
	return files, warnings, nil
}

// walk gathers names before anything is read.
type walk struct {
	root    *os.Root
	exclude function.Excludes
	known   names
	names   []string
	hidden  []string
	size    int64
	largest string
	most    int64
}

func (w *walk) visit(name string, e fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if w.exclude.Match(name, e.IsDir()) {
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if hidden(path.Base(name), strings.Count(name, "/")) {
		w.hidden = append(w.hidden, fmt.Sprintf("%.100q", name))
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if e.IsDir() {
		return nil
	}
	if !e.Type().IsRegular() {
		return fmt.Errorf("%.100q is %s, and no regular file", name, kindOf(e.Type()))
	}
	if err := w.known.add(name); err != nil {
		return err
	}
	info, err := e.Info()
	if err != nil {
		return err
	}
	if w.names = append(w.names, name); len(w.names) > MaxFiles-len(ownFiles) {
		return fmt.Errorf("there are more than %d files in public/ and assets/", MaxFiles-len(ownFiles))
	}
	if w.size += info.Size(); info.Size() > w.most {
		w.largest, w.most = name, info.Size()
	}
	return nil
}

func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

func unfit(err error) error {
	return fault.New(fault.Invalid, "public/ or assets/ cannot be deployed: "+err.Error()).WithCode("bundle_failed").
		WithHint("only plain files with plain names are deployed: copy what is elsewhere, rename the others")
}

func tooLarge(what string, size int64, largest string, most int64) error {
	const mib = 1 << 20
	return fault.New(fault.Invalid, fmt.Sprintf("%s %.1f MiB; at most %d MiB can be deployed. The largest file is %s with %.1f MiB", what, float64(size)/mib, MaxBytes/mib, largest, float64(most)/mib)).
		WithCode("bundle_failed").WithHint("import less, for large packages are bundled whole; large files belong into a bucket")
}
