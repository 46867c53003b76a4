package bundle

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

// pack makes an artefact's bytes. What runs is bounded here; the sources were,
// when they were read.
func pack(files map[string][]byte) ([]byte, error) {
	size, largest := 0, ""
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasPrefix(name, SourceDir) {
			continue
		}
		if size += len(files[name]); len(files[name]) > len(files[largest]) {
			largest = name
		}
	}
	if size > MaxBytes {
		return nil, tooLarge("the bundle has", int64(size), largest, int64(len(files[largest])))
	}
	var out bytes.Buffer
	err := write(&out, files)
	return out.Bytes(), err
}

// Archive is an artefact that was opened and checked.
type Archive struct {
	manifest function.Manifest
	files    map[string][]byte
	sources  []*zip.File // which are read only when they are asked for
}

// Open reads an artefact. It takes exactly such files as Build writes, each
// once, and never more than the limits, whatever the archive says of itself.
func Open(archive []byte) (*Archive, error) {
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil || !bytes.HasPrefix(archive, []byte("PK\x03\x04")) { // with something in front it is a second kind of file
		return nil, invalid("it is no zip file")
	}
	a := &Archive{files: map[string][]byte{}}
	left, known := int64(MaxBytes), names{}
	for i, f := range z.File {
		if !f.Mode().IsRegular() {
			return nil, invalid("%.100q is no regular file", f.Name)
		}
		if strings.HasPrefix(f.Name, SourceDir) {
			a.sources = append(a.sources, f)
		}
		if n := len(a.sources); n > MaxFiles || i+1-n > MaxFiles {
			return nil, invalid("it has more than %d files", MaxFiles)
		}
		if _, twice := a.files[f.Name]; twice {
			return nil, invalid("%.100q stands twice", f.Name)
		}
		if !slices.Contains(ownFiles, f.Name) {
			if err := known.add(f.Name); err != nil {
				return nil, invalid("%s", err)
			}
		}
		if strings.HasPrefix(f.Name, SourceDir) {
			continue
		}
		data, err := readFile(f, left)
		if err != nil {
			return nil, err
		}
		left -= int64(len(data))
		a.files[f.Name] = data
	}
	if a.files[manifestFile] == nil {
		return nil, invalid("%s is missing", manifestFile)
	}
	if a.manifest, err = function.DecodeManifest(a.files[manifestFile]); err != nil {
		return nil, err
	}
	if err := a.fits(); err != nil {
		return nil, err
	}
	a.manifest.Files = publicFiles(a.files)
	return a, nil
}

// readFile reads at most limit bytes: the size in the header is only a claim.
func readFile(f *zip.File, limit int64) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, invalid("%.100q cannot be read", f.Name)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, invalid("%.100q is damaged", f.Name)
	}
	if int64(len(data)) > limit {
		return nil, invalid("it unpacks to more than %d MiB", MaxBytes>>20)
	}
	return data, nil
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, "the artefact is not valid: "+fmt.Sprintf(format, args...)).WithCode("artefact_invalid")
}

// Manifest is the artefact's manifest, with the files that are served.
func (a *Archive) Manifest() function.Manifest { return a.manifest }

// Extract writes the artefact's files into dir, read-only, unless dir is
// there already: whole, or not at all.
func (a *Archive) Extract(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".extract-*")
	if err != nil {
		return fmt.Errorf("extract the artefact: %w", err)
	}
	defer os.RemoveAll(tmp)
	for name, data := range a.files {
		path, mode := filepath.Join(tmp, name), fs.FileMode(0o400)
		if name == a.executable() {
			mode = 0o500
		}
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if err == nil {
			err = writeSynced(path, data, mode)
		}
		if err != nil {
			return fmt.Errorf("extract the artefact: %w", err)
		}
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, there := os.Stat(dir); there == nil && !errors.Is(err, os.ErrPermission) {
			return nil // another was faster
		}
		return fmt.Errorf("extract the artefact: %w", err)
	}
	return nil
}

// writeSynced writes a read-only file and waits until it is on the disk: the
// directory is used again after a crash, so what it holds must be whole.
func writeSynced(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
