package database

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"postern.dev/postern/internal/fault"
)

var (
	errNone = fault.New(fault.NotFound, "the function has written no database yet").WithCode("database_missing")
	errBusy = fault.New(fault.Conflict, "somebody else is replacing the function's database").WithCode("database_busy")
)

// Snapshot is a function's database as one reader sees it at one moment, while
// others write; of a function whose file is not on this node, its last copy. Close
// what it returns.
func (k *Keeper) Snapshot(ctx context.Context, id string) (from io.ReadCloser, size int64, err error) {
	if !functionID.MatchString(id) {
		return nil, 0, errNone
	}
	defer k.lock(id)()
	path := filepath.Join(k.dir(id), File)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return k.lastCopy(ctx, id)
	}
	tmp := filepath.Join(k.dir(id), strings.Replace(copying, "*", rand.Text(), 1))
	defer os.Remove(tmp) // what is open is read to its end
	if err := vacuumInto(ctx, path, tmp); err != nil {
		return nil, 0, fault.Wrap(err, fault.Unavailable, "the function's database cannot be read at the moment: "+err.Error()).WithHint("see whether the function is writing it, and try again")
	}
	f, err := os.Open(tmp)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func (k *Keeper) lastCopy(ctx context.Context, id string) (io.ReadCloser, int64, error) {
	c, err := k.o.Index.DatabaseCopy(ctx, id)
	if fault.KindOf(err) == fault.NotFound {
		return nil, 0, errNone
	}
	if err != nil {
		return nil, 0, err
	}
	from, err := k.o.Blobs.Open(ctx, id, c.Blob)
	return from, c.Bytes, err
}

// Replace puts what it reads in place of a function's database: all of it, once it
// has come whole and SQLite finds nothing wrong with it, or nothing. quietly calls
// what it is given at a moment when nobody has the old file open. One at a time may
// replace the database of a function.
func (k *Keeper) Replace(ctx context.Context, id string, from io.Reader, quietly func(func() error) error) (size int64, err error) {
	path, err := k.Path(ctx, id)
	if err != nil {
		return 0, err
	}
	if !k.begin(id) {
		return 0, errBusy
	}
	defer k.finish(id)
	f, err := os.CreateTemp(k.dir(id), restoring)
	if err != nil {
		return 0, fmt.Errorf("receive a database: %w", err)
	}
	defer os.Remove(f.Name())
	size, err = io.Copy(f, io.LimitReader(from, k.o.Largest+1))
	if err == nil && size > k.o.Largest {
		err = fault.New(fault.Invalid, fmt.Sprintf("a database that is uploaded has at most %d bytes", k.o.Largest)).WithCode("body_too_large")
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	if err := sound(ctx, f.Name()); err != nil {
		return 0, err
	}
	return size, quietly(func() error { return k.swap(context.WithoutCancel(ctx), id, f.Name(), path) })
}

// swap puts a file in place of a database that nobody has open. What of the old one
// stands in its log comes into its file before that goes, so that a server which is
// killed in between leaves all of the old one.
func (k *Keeper) swap(ctx context.Context, id, from, path string) error {
	defer k.lock(id)()
	if err := settle(ctx, path); err != nil {
		k.o.Log.Warn("the log of a database that is replaced was not read; it is dropped", "function", id, "error", err)
	}
	if err := dropSides(path); err != nil {
		return err
	}
	if err := os.Rename(from, path); err != nil {
		return fmt.Errorf("replace the database of %s: %w", id, err)
	}
	dir, err := os.Open(k.dir(id))
	if err != nil {
		return nil // it is replaced; only how long that takes to reach the disk is not known
	}
	defer dir.Close()
	return dir.Sync()
}

func (k *Keeper) begin(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.replacing[id] {
		return false
	}
	if k.replacing == nil {
		k.replacing = map[string]bool{}
	}
	k.replacing[id] = true
	return true
}

func (k *Keeper) finish(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.replacing, id)
}

// dropSides removes what lies beside a database that is replaced or gone: it would
// be taken for that of the next.
func dropSides(path string) error {
	for _, side := range []string{"-wal", "-shm", "-journal"} {
		if err := os.Remove(path + side); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// magic is how each file of SQLite begins.
var magic = []byte("SQLite format 3\x00")

// sound refuses a file that is no whole database of SQLite. It is not changed, and
// nothing is made beside it.
func sound(ctx context.Context, path string) error {
	head := make([]byte, len(magic))
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(f, head)
	f.Close()
	if err != nil || !bytes.Equal(head, magic) {
		return unsound("it does not begin like one")
	}
	within, db, done, err := opened(ctx, path, "mode=ro&immutable=1&_pragma=cell_size_check(1)")
	if err != nil {
		return err
	}
	defer done()
	var verdict string
	if err := db.QueryRowContext(within, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return unsound(err.Error())
	}
	if verdict != "ok" {
		return unsound(verdict)
	}
	return nil
}

func unsound(why string) error {
	return fault.New(fault.Invalid, "what was uploaded is no whole SQLite database: "+why).WithCode("database_invalid")
}

// settle brings what stands in the log of a database into its file.
func settle(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	ctx, db, done, err := opened(ctx, path, "mode=rw&_pragma=busy_timeout(2000)")
	if err != nil {
		return err
	}
	defer done()
	_, err = db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}
