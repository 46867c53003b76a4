package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
)

// Parts keeps uploads of artefacts that are not complete, in files below a
// directory, until the rest comes: a piece at a time, each where the one before
// ended. It is safe for concurrent use, also of several callers who upload the
// same artefact: whoever is behind is told where to go on.
//
// What is kept is bounded: a project has at most maxParts, of which the oldest
// makes room, all together maxAllParts, of which one makes room to which nothing
// was added for a minute, and a day after its last piece a part is gone.
type Parts struct {
	dir   string
	store *Store
	mu    sync.Mutex // held while files are looked at or changed
}

const (
	maxParts    = 4
	maxAllParts = 256
	partAge     = 24 * time.Hour
	partStalled = time.Minute
)

// OffsetError says that a piece does not begin where the bytes that are there end.
type OffsetError struct{ At int64 }

func (e *OffsetError) Error() string {
	return fmt.Sprintf("the upload goes on at byte %d", e.At)
}

// OpenParts opens the parts in a directory, which is made for its owner only.
// What is complete goes into store.
func OpenParts(dir string, store *Store) (*Parts, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open uploads in %s: %w", dir, err)
	}
	p := &Parts{dir: dir, store: store}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, _, err := p.sweep(time.Now()); err != nil {
		return nil, fmt.Errorf("open uploads in %s: %w", dir, err)
	}
	return p, nil
}

// Offset is how many bytes of an artefact are there; whole says that it is
// complete, and needs no more.
func (p *Parts) Offset(ctx context.Context, projectID, hash string) (at int64, whole bool, err error) {
	path, err := p.path(projectID, hash)
	if err != nil {
		return 0, false, err
	}
	if whole, err = p.store.Has(ctx, projectID, hash); whole || err != nil {
		return 0, whole, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at, err = size(path)
	return at, false, err
}

// Append adds a piece to an artefact of length bytes. With the last one the
// artefact is checked and stored; one that is not what its name says is
// forgotten, and begins anew: ErrHashMismatch. A piece that begins elsewhere
// than at the end of what is there is an *OffsetError, and changes nothing.
func (p *Parts) Append(ctx context.Context, projectID, hash string, offset, length int64, piece []byte) (at int64, whole bool, err error) {
	path, err := p.path(projectID, hash)
	if err != nil {
		return 0, false, err
	}
	if offset < 0 || offset+int64(len(piece)) > length {
		return 0, false, ErrTooLarge
	}
	at, mine, err := p.write(path, offset, length, piece)
	if err != nil || at < length {
		return at, false, err
	}
	defer os.Remove(mine)
	f, err := os.Open(mine)
	if err != nil {
		return at, false, fmt.Errorf("receive artefact %s: %w", hash, err)
	}
	defer f.Close()
	if err := p.store.Put(ctx, projectID, hash, f, length); err != nil {
		return 0, false, err
	}
	return at, true, nil
}

// write adds a piece to a part. One that is complete by it is taken aside, under
// the name that is returned, so that nobody else completes it as well.
func (p *Parts) write(path string, offset, length int64, piece []byte) (at int64, mine string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, err = size(path); err != nil {
		return 0, "", err
	}
	if at != offset {
		return 0, "", &OffsetError{at}
	}
	if at == 0 {
		if err := p.makeRoom(filepath.Dir(path), time.Now()); err != nil {
			return 0, "", err
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, "", fmt.Errorf("receive an upload: %w", err)
	}
	_, err = f.Write(piece)
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, "", fmt.Errorf("receive an upload: %w", err)
	}
	if at += int64(len(piece)); at == length {
		mine = path + "." + rand.Text() + ".whole" // others may come as far with the same, behind this one
		err = os.Rename(path, mine)
	}
	return at, mine, err
}

// makeRoom sees to it that one part more may begin in a project's directory.
func (p *Parts) makeRoom(dir string, now time.Time) error {
	all, stalled, err := p.sweep(now)
	if err != nil {
		return err
	}
	// Whoever begins many uploads in many projects and ends none must not keep
	// all others from theirs for a day.
	if all >= maxAllParts && (stalled == "" || os.Remove(stalled) != nil) {
		return fault.New(fault.Unavailable, "too many uploads have begun and not ended").WithHint("try again later")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("receive an upload: %w", err)
	}
	parts, err := list(dir)
	if err != nil {
		return err
	}
	for len(parts) >= maxParts {
		if err := os.Remove(filepath.Join(dir, parts[0].Name())); err != nil {
			return err
		}
		parts = parts[1:]
	}
	return nil
}

// sweep removes parts to which nothing was added for long, and returns how many
// stay, and of those that stall the oldest. What was set aside complete stays for as
// long, if a killed process did it.
func (p *Parts) sweep(now time.Time) (left int, stalled string, err error) {
	projects, err := os.ReadDir(p.dir)
	if err != nil {
		return 0, "", err
	}
	since := now.Add(-partStalled)
	for _, project := range projects {
		dir := filepath.Join(p.dir, project.Name())
		parts, err := list(dir)
		if err != nil {
			return 0, "", err
		}
		for _, f := range parts {
			if now.Sub(f.ModTime()) > partAge {
				err = errors.Join(err, os.Remove(filepath.Join(dir, f.Name())))
				continue
			}
			if left++; f.ModTime().Before(since) {
				since, stalled = f.ModTime(), filepath.Join(dir, f.Name())
			}
		}
		os.Remove(dir) // which fails where something is in it
		if err != nil {
			return 0, "", err
		}
	}
	return left, stalled, nil
}

// list are the files of a directory, oldest first.
func list(dir string) (files []fs.FileInfo, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // completed meanwhile
		}
		if err != nil {
			return nil, err
		}
		files = append(files, info)
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	return files, nil
}

func size(path string) (int64, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("receive an upload: %w", err)
	}
	return info.Size(), nil
}

func (p *Parts) path(projectID, hash string) (string, error) {
	key, err := keyOf(projectID, hash)
	return filepath.Join(p.dir, filepath.FromSlash(key)), err
}
