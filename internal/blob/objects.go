package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Directory keeps the bytes of functions' storage in files, by function ID and
// blob. No name of theirs comes from a function, and nothing that is not a
// regular file below the directory is ever read or written.
type Directory struct{ root *os.Root }

// unfinished is where drafts are, in the same file system.
const unfinished = "unfinished"

// OpenDirectory opens the directory, which is made for its owner only.
func OpenDirectory(dir string) (*Directory, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the directory "+dir+" for the functions' storage cannot be made")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the functions' storage in %s: %w", dir, err)
	}
	d := &Directory{root}
	if err := d.mkdir(unfinished); err != nil {
		root.Close()
		return nil, err
	}
	return d, nil
}

// Close closes the directory.
func (d *Directory) Close() error { return d.root.Close() }

// mkdir makes a directory that outlives a power cut.
func (d *Directory) mkdir(name string) error {
	err := d.root.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = d.sync(".")
	}
	if err != nil {
		return fmt.Errorf("make a directory of the functions' storage: %w", err)
	}
	return nil
}

// sync makes the names in a directory outlive a power cut.
func (d *Directory) sync(name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

type fileDraft struct {
	d          *Directory
	f          *os.File // nil: committed or discarded
	functionID string
	name       string
}

// Create begins a blob.
func (d *Directory) Create(_ context.Context, functionID string) (platform.Draft, error) {
	if _, err := objectName(functionID, anyBlob); err != nil {
		return nil, err
	}
	name := path.Join(unfinished, rand.Text())
	f, err := d.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("begin an object of %s: %w", functionID, err)
	}
	return &fileDraft{d, f, functionID, name}, nil
}

func (w *fileDraft) Write(p []byte) (int, error) {
	if w.f == nil {
		return 0, os.ErrClosed
	}
	return w.f.Write(p)
}

// Commit gives the blob its name once its bytes are on the disk.
func (w *fileDraft) Commit(_ context.Context, blob string) error {
	to, err := objectName(w.functionID, blob)
	if err != nil {
		return err
	}
	if w.f == nil {
		return os.ErrClosed
	}
	if err := errors.Join(w.f.Sync(), w.f.Close()); err != nil {
		return fmt.Errorf("write an object of %s: %w", w.functionID, err)
	}
	if err := w.d.mkdir(w.functionID); err != nil {
		return err
	}
	if err := w.d.root.Rename(w.name, to); err != nil {
		return fmt.Errorf("name an object of %s: %w", w.functionID, err)
	}
	w.f = nil
	if err := w.d.sync(w.functionID); err != nil {
		return fmt.Errorf("name an object of %s: %w", w.functionID, err)
	}
	return nil
}

func (w *fileDraft) Discard() {
	if w.f != nil {
		w.f.Close()
		w.d.root.Remove(w.name) // what stays is cleared as unfinished
		w.f = nil
	}
}

// Open reads a blob. It can be read to its end although it is removed meanwhile.
func (d *Directory) Open(_ context.Context, functionID, blob string) (io.ReadCloser, error) {
	name, err := objectName(functionID, blob)
	if err != nil {
		return nil, err
	}
	info, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "there is no such blob")
	}
	if err != nil {
		return nil, fmt.Errorf("open an object of %s: %w", functionID, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open an object of %s: %s is no regular file", functionID, blob)
	}
	f, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) { // removed just now
		return nil, fault.New(fault.NotFound, "there is no such blob")
	}
	if err != nil {
		return nil, fmt.Errorf("open an object of %s: %w", functionID, err)
	}
	return f, nil
}

// Remove removes a blob, whether it is there or not.
func (d *Directory) Remove(_ context.Context, functionID, blob string) error {
	name, err := objectName(functionID, blob)
	if err != nil {
		return err
	}
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an object of %s: %w", functionID, err)
	}
	return nil
}

// Clear removes all blobs of a function.
func (d *Directory) Clear(_ context.Context, functionID string) error {
	if _, err := objectName(functionID, anyBlob); err != nil {
		return err
	}
	if err := d.root.RemoveAll(functionID); err != nil {
		return fmt.Errorf("clear the storage of %s: %w", functionID, err)
	}
	return nil
}

// Each tells of every blob, those of one function one after another. Before
// that it clears what was begun long ago and never finished.
func (d *Directory) Each(ctx context.Context, tell func(functionID, name string) error) error {
	if err := d.clearUnfinished(time.Now().Add(-leftoverAge)); err != nil {
		return err
	}
	functions, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return fmt.Errorf("list the functions' storage: %w", err)
	}
	for _, f := range functions {
		if !f.IsDir() || !validFunction.MatchString(f.Name()) {
			continue
		}
		blobs, err := fs.ReadDir(d.root.FS(), f.Name())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("list the storage of %s: %w", f.Name(), err)
		}
		for _, b := range blobs {
			if !validBlob.MatchString(b.Name()) {
				continue
			}
			if err := errors.Join(ctx.Err(), tell(f.Name(), b.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Directory) clearUnfinished(before time.Time) error {
	files, err := fs.ReadDir(d.root.FS(), unfinished)
	if err != nil {
		return fmt.Errorf("list unfinished objects: %w", err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || info.ModTime().After(before) {
			continue
		}
		if err := d.root.Remove(path.Join(unfinished, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clear an unfinished object: %w", err)
		}
	}
	return nil
}

var (
	validFunction = regexp.MustCompile(`^fn-[0-9a-z]{26}$`)
	validBlob     = regexp.MustCompile(`^[0-9a-f]{12}-[a-z2-7]{26}$`)
)

const anyBlob = "000000000000-aaaaaaaaaaaaaaaaaaaaaaaaaa"

// objectName is where a blob lies.
func objectName(functionID, blob string) (string, error) {
	if !validFunction.MatchString(functionID) {
		return "", fault.New(fault.Invalid, fmt.Sprintf("%.80q is no function ID", functionID))
	}
	if !validBlob.MatchString(blob) {
		return "", fault.New(fault.Invalid, fmt.Sprintf("%.80q is no blob", blob))
	}
	return functionID + "/" + blob, nil
}
