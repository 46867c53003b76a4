package database

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	"modernc.org/sqlite"
)

// allowed is how long a database may be worked on here, by its size: an expression
// of its own schema, which is evaluated when it is checked, may take for ever.
func allowed(size int64) time.Duration {
	return time.Minute + time.Duration(size>>20)*100*time.Millisecond
}

// lengthLimit is SQLITE_LIMIT_LENGTH.
const lengthLimit = 0

// opened opens a function's database for work in this process, which is the server
// of everybody: no value may become longer than all that is in its files, and a
// little, whatever its schema says is to be computed. Close what is returned; the
// context ends the work when it takes too long.
func opened(ctx context.Context, path, query string) (within context.Context, c *sql.Conn, done func(), err error) {
	size := int64(0)
	for _, side := range []string{"", "-wal"} {
		if info, err := os.Lstat(path + side); err == nil {
			size += info.Size()
		}
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+query+"&_pragma=trusted_schema(0)")
	if err != nil {
		return nil, nil, nil, err
	}
	within, cancel := context.WithTimeout(ctx, allowed(size))
	c, err = db.Conn(within)
	if err == nil {
		_, err = sqlite.Limit(c, lengthLimit, int(min(size+1<<20, 1_000_000_000)))
	}
	if err != nil {
		cancel()
		db.Close()
		return nil, nil, nil, err
	}
	return within, c, func() { cancel(); c.Close(); db.Close() }, nil
}

// vacuumInto writes what a database holds into a new file, as one reader sees it
// at one moment: it takes the locks that every writer by SQLite respects. A file
// that was only half written by other means is an error of SQLite's, and so is
// one that is none of its own.
func vacuumInto(ctx context.Context, from, to string) error {
	if info, err := os.Lstat(from); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file: %w", File, fs.ErrInvalid)
	}
	ctx, db, done, err := opened(ctx, from, "mode=rw&_pragma=busy_timeout(2000)")
	if err != nil {
		return err
	}
	defer done()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("read %s: %w", File, err)
	}
	if verdict != "ok" {
		return fmt.Errorf("%s is damaged: %s", File, verdict)
	}
	if _, err := db.ExecContext(ctx, "VACUUM INTO $1", to); err != nil {
		return fmt.Errorf("copy %s: %w", File, err)
	}
	return nil
}
