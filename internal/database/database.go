// Package database keeps the SQLite file that each function has.
//
// [Keeper] is the one type to know. A function opens its file by itself; the
// keeper says where it lies, takes whole copies of it while it is in use, and
// puts the last copy back where the file is missing. It reads the file with
// SQLite, so what it copies is what a reader would see, whoever writes; and it
// never changes what a function has written
// (docs/decisions/0030-copies-of-databases.md).
package database

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Index knows the last copy of each function's database. *store.DB is one.
type Index interface {
	// DatabaseCopy is the last copy; NotFound: there is none.
	DatabaseCopy(ctx context.Context, functionID string) (platform.DatabaseCopy, error)
	// PutDatabaseCopy makes c the last copy, and returns the blob of the one before.
	PutDatabaseCopy(ctx context.Context, functionID string, c platform.DatabaseCopy) (replaced string, err error)
	// DropDatabaseCopy forgets it, whether there is one or not.
	DropDatabaseCopy(ctx context.Context, functionID string) error
	FunctionExists(ctx context.Context, functionID string) (bool, error)
}

// Blobs keeps the copies: see state.Blobs and state.BlobKeeper.
type Blobs interface {
	Create(ctx context.Context, functionID string) (platform.Draft, error)
	Open(ctx context.Context, functionID, name string) (io.ReadCloser, error)
	Remove(ctx context.Context, functionID, name string) error
	Clear(ctx context.Context, functionID string) error
	Each(ctx context.Context, tell func(functionID, name string) error) error
}

// Options are what a keeper works with.
type Options struct {
	Dir   string // where the files lie; made for its owner only
	Index Index
	Blobs Blobs
	// Every is how long after a change it is copied at the latest, while copies
	// take no more than a twentieth of that; 0 means 10 s.
	Every time.Duration
	// Largest is how large a database may be that takes the place of a function's
	// own; 0 means 1 GiB.
	Largest int64
	Log     *slog.Logger
}

// File is the name of a function's database in its own directory.
const File = "function.db"

// What lies beside it while it is copied, or put back.
const (
	copying   = ".copy-*"
	restoring = ".restore-*"
)

// Keeper is safe for concurrent use.
type Keeper struct {
	o     Options
	mu    sync.Mutex
	known map[string]*copied     // by function ID; guarded by mu
	locks map[string]*sync.Mutex // guarded by mu
	// replacing are the functions whose database is being replaced; guarded by mu.
	replacing map[string]bool
}

// copied is what is known of a function's last copy.
type copied struct {
	seen  string    // the fingerprint of the files that were copied
	after time.Time // no copy before
	told  string    // the error that was told last
}

// New makes a keeper.
func New(o Options) (*Keeper, error) {
	if o.Every == 0 {
		o.Every = 10 * time.Second
	}
	if o.Largest == 0 {
		o.Largest = 1 << 30
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the directory "+o.Dir+" for the functions' databases cannot be made")
	}
	return &Keeper{o: o, known: map[string]*copied{}, locks: map[string]*sync.Mutex{}}, nil
}

var functionID = regexp.MustCompile(`^fn-[0-9a-z]{26}$`)

func (k *Keeper) dir(id string) string { return filepath.Join(k.o.Dir, id) }

// lock keeps copies, restores and removals of one function apart.
func (k *Keeper) lock(id string) (unlock func()) {
	k.mu.Lock()
	l := k.locks[id]
	if l == nil {
		l = &sync.Mutex{}
		k.locks[id] = l
	}
	k.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// Path is where a function's database is, or will be when it writes one. Its
// directory is made; where the file is missing and there is a copy, that is put
// back first. Call it before a worker of the function starts.
func (k *Keeper) Path(ctx context.Context, id string) (string, error) {
	if !functionID.MatchString(id) {
		return "", fmt.Errorf("%.64q is no function ID", id)
	}
	defer k.lock(id)()
	if err := os.MkdirAll(k.dir(id), 0o700); err != nil {
		return "", fmt.Errorf("make the directory of a function's database: %w", err)
	}
	path := filepath.Join(k.dir(id), File)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	c, err := k.o.Index.DatabaseCopy(ctx, id)
	if fault.KindOf(err) == fault.NotFound && err != nil {
		return path, nil
	}
	if err == nil {
		err = k.restore(ctx, id, path, c)
	}
	if err != nil {
		return "", fmt.Errorf("restore the database of %s: %w", id, err)
	}
	k.o.Log.Info("a function's database was put back from its copy", "function", id, "taken", c.At)
	return path, nil
}

// restore puts a copy in place, whole or not at all.
func (k *Keeper) restore(ctx context.Context, id, path string, c platform.DatabaseCopy) error {
	from, err := k.o.Blobs.Open(ctx, id, c.Blob)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := dropSides(path); err != nil {
		return err
	}
	f, err := os.CreateTemp(k.dir(id), restoring)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), from)
	if err == nil && hex.EncodeToString(sum.Sum(nil)) != c.SHA256 {
		err = errors.New("the copy is damaged")
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Run takes copies of what changes until ctx ends, and then once more of all
// that did: start it before the workers, and end it behind them.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(min(k.o.Every/2, time.Second))
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			k.round(ctx, now)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			k.round(last, time.Time{})
			return nil
		}
	}
}

// round copies the databases that changed and are due; with the zero time all
// that changed.
func (k *Keeper) round(ctx context.Context, now time.Time) {
	entries, err := os.ReadDir(k.o.Dir)
	if err != nil {
		k.o.Log.Error("the functions' databases are not copied", "error", err)
		return
	}
	for _, e := range entries {
		if ctx.Err() == nil && functionID.MatchString(e.Name()) {
			k.tend(ctx, e.Name(), now)
		}
	}
}

func (k *Keeper) tend(ctx context.Context, id string, now time.Time) {
	k.mu.Lock()
	c := k.known[id]
	if c == nil {
		c = &copied{}
		k.known[id] = c
	}
	k.mu.Unlock()
	if !now.IsZero() && now.Before(c.after) {
		return
	}
	print := fingerprint(filepath.Join(k.dir(id), File))
	if print == "" || print == c.seen {
		return
	}
	began := time.Now()
	err := k.Copy(ctx, id)
	c.after = began.Add(max(k.o.Every, 20*time.Since(began)))
	switch {
	case err == nil:
		// Reading may have tidied the log of the file, which is no change.
		c.seen, c.told = fingerprint(filepath.Join(k.dir(id), File)), ""
		if c.seen != print {
			c.seen = "" // or it may have been written meanwhile
		}
	case ctx.Err() == nil && err.Error() != c.told: // once for each reason: it is tried again
		c.told = err.Error()
		k.o.Log.Warn("a function's database was not copied", "function", id, "error", err)
	}
}

// fingerprint changes when a database does; empty: there is none.
func fingerprint(path string) (print string) {
	for _, side := range []string{"", "-wal"} {
		info, err := os.Lstat(path + side)
		if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			print += fmt.Sprint(side, info.Size(), info.ModTime().UnixNano(), ";")
		} else if side == "" {
			return ""
		}
	}
	return print
}

// Copy takes a copy of a function's database now, whether it changed or not.
// The copy before is only let go of when this one is whole.
func (k *Keeper) Copy(ctx context.Context, id string) error {
	defer k.lock(id)()
	tmp := filepath.Join(k.dir(id), strings.Replace(copying, "*", rand.Text(), 1))
	defer os.Remove(tmp)
	if err := vacuumInto(ctx, filepath.Join(k.dir(id), File), tmp); err != nil {
		return err
	}
	f, err := os.Open(tmp)
	if err != nil {
		return err
	}
	defer f.Close()
	draft, err := k.o.Blobs.Create(ctx, id)
	if err != nil {
		return err
	}
	defer draft.Discard()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(draft, sum), f)
	if err != nil {
		return err
	}
	c := platform.DatabaseCopy{Blob: fmt.Sprintf("%012x-%s", time.Now().UnixMilli(), strings.ToLower(rand.Text())), Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil)), At: time.Now()}
	if err := draft.Commit(ctx, c.Blob); err != nil {
		return err
	}
	replaced, err := k.o.Index.PutDatabaseCopy(ctx, id, c)
	if err != nil {
		return err // where only the answer was lost it is the last copy; else it is swept
	}
	if replaced != "" {
		return k.o.Blobs.Remove(ctx, id, replaced)
	}
	return nil
}

// Forget removes the database of a function that was deleted, and its copy.
func (k *Keeper) Forget(ctx context.Context, id string) error {
	if !functionID.MatchString(id) {
		return nil
	}
	defer k.lock(id)()
	k.mu.Lock()
	delete(k.known, id)
	k.mu.Unlock()
	return errors.Join(os.RemoveAll(k.dir(id)), k.o.Index.DropDatabaseCopy(ctx, id), k.o.Blobs.Clear(ctx, id))
}

// sweepAge is how old a copy to which nothing leads must be before it is taken for
// a leftover: on another node it may be about to be recorded.
const sweepAge = time.Hour

// Sweep removes databases of functions that are gone, copies that were replaced,
// and what was begun and not finished: a server that was killed leaves them. Call
// it before any deploy.
func (k *Keeper) Sweep(ctx context.Context) error {
	entries, err := os.ReadDir(k.o.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !functionID.MatchString(e.Name()) {
			continue
		}
		there, err := k.o.Index.FunctionExists(ctx, e.Name())
		if err == nil && !there {
			err = k.Forget(ctx, e.Name())
		}
		if err == nil && there {
			err = k.tidy(e.Name())
		}
		if err != nil {
			return err
		}
	}
	return k.sweepCopies(ctx)
}

// tidy removes files of copies that were not finished.
func (k *Keeper) tidy(id string) error {
	for _, pattern := range []string{copying, restoring} {
		left, err := filepath.Glob(filepath.Join(k.dir(id), pattern))
		if err != nil {
			return err
		}
		for _, name := range left {
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// sweepCopies removes the copies that are no function's last one.
func (k *Keeper) sweepCopies(ctx context.Context) error {
	oldest := time.Now().Add(-sweepAge).UnixMilli()
	return k.o.Blobs.Each(ctx, func(id, name string) error {
		stamp, _, _ := strings.Cut(name, "-")
		if made, err := strconv.ParseInt(stamp, 16, 64); err == nil && made > oldest {
			return nil
		}
		c, err := k.o.Index.DatabaseCopy(ctx, id)
		if err != nil && fault.KindOf(err) != fault.NotFound || err == nil && c.Blob == name {
			return err
		}
		return k.o.Blobs.Remove(ctx, id, name)
	})
}
