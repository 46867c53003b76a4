package database

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	_ "modernc.org/sqlite" // the driver
)

// vacuumInto writes what a database holds into a new file, as one reader sees it
// at one moment: it takes the locks that every writer by SQLite respects. A file
// that was only half written by other means is an error of SQLite's, and so is
// one that is none of its own.
func vacuumInto(ctx context.Context, from, to string) error {
	if info, err := os.Lstat(from); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file: %w", File, fs.ErrInvalid)
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: from}).EscapedPath()+"?mode=rw&_pragma=busy_timeout(2000)&_pragma=trusted_schema(0)")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
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
