package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"postern.dev/postern/internal/fault"
)

// dataDir is the directory that holds everything one server keeps, locked by
// that server. The kernel lets go of the lock when the process ends, however it
// ends, so there is never a stale one to remove.
type dataDir struct {
	path string
	lock *os.File
}

func (d *dataDir) join(name string) string { return filepath.Join(d.path, name) }

// openDataDir makes the directory when it is absent, refuses one that others
// may read, and takes its lock.
func openDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the data directory "+path+" cannot be made").
			WithHint("choose a directory that you may write: --data DIR")
	}
	if err := keepPrivate(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the data directory "+path+" cannot be written").
			WithHint("choose a directory that you may write: --data DIR")
	}
	if err := lockFile(lock); err != nil {
		defer lock.Close()
		if errors.Is(err, errLocked) {
			return nil, heldBy(path, lock)
		}
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	d := &dataDir{path: path, lock: lock}
	if err := d.sign(); err != nil {
		lock.Close()
		return nil, err
	}
	return d, nil
}

// keepPrivate refuses a directory that belongs to somebody else, or that
// others may read: it holds the sealing key. An empty one is closed to others.
func keepPrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("look at data directory: %w", err)
	}
	if !info.IsDir() {
		return fault.New(fault.Invalid, path+" is not a directory").WithHint("choose another: --data DIR")
	}
	if owner, ok := ownerOf(info); ok && owner != os.Geteuid() {
		return fault.New(fault.Denied, fmt.Sprintf("the data directory %s belongs to user %d, and the server runs as user %d", path, owner, os.Geteuid())).
			WithHint(fmt.Sprintf("run the server as its owner, or: chown -R %d %s", os.Geteuid(), path))
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if entries, err := os.ReadDir(path); err != nil || len(entries) > 0 {
		return fault.New(fault.Denied, fmt.Sprintf("the data directory %s may be read by others (mode %04o)", path, info.Mode().Perm())).
			WithHint("chmod 700 " + path)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return fmt.Errorf("close data directory to others: %w", err)
	}
	return nil
}

// sign writes who holds the lock, for [heldBy] of another process.
func (d *dataDir) sign() error {
	note := fmt.Appendf(nil, "process %d since %s\n", os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	if err := d.lock.Truncate(0); err != nil {
		return fmt.Errorf("write %s: %w", d.lock.Name(), err)
	}
	if _, err := d.lock.WriteAt(note, 0); err != nil {
		return fmt.Errorf("write %s: %w", d.lock.Name(), err)
	}
	return nil
}

func heldBy(path string, lock io.Reader) error {
	note, _ := io.ReadAll(io.LimitReader(lock, 200))
	who := string(bytes.TrimSpace(note))
	if who == "" {
		who = "a process that does not say its name"
	}
	return fault.New(fault.Conflict, fmt.Sprintf("the data directory %s is in use by another server (%s)", path, who)).
		WithCode("data_locked").WithHint("stop that server, or choose another directory: --data DIR")
}

// close lets go of the lock.
func (d *dataDir) close() error { return d.lock.Close() }
