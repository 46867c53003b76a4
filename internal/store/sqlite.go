package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"postern.dev/postern/internal/fault"
)

type sqliteDialect struct{ path string }

// openSQLite opens a file in which a commit outlives a power cut.
func (db *DB) openSQLite(path string) error { return db.openSQLiteWith(path, "FULL") }

// openSQLiteWith opens a file with one connection that writes and some that
// read, and says how commits are synchronised with the disk. The file and its
// side files are for the owner only.
func (db *DB) openSQLiteWith(path, synchronous string) error {
	db.dialect = sqliteDialect{path}
	// SQLite would create the file with the process's umask.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return db.dialect.openFault(err)
	}
	f.Close()
	pragmas := url.Values{"_pragma": {"journal_mode(WAL)", "foreign_keys(1)", "busy_timeout(10000)", "synchronous(" + synchronous + ")"}, "_txlock": {"immediate"}}
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: pragmas.Encode()}).String()
	if db.write, err = sql.Open("sqlite", dsn); err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	db.write.SetMaxOpenConns(1)
	if db.read, err = sql.Open("sqlite", dsn); err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	db.read.SetMaxOpenConns(max(4, runtime.NumCPU()))
	return nil
}

func (sqliteDialect) name() string        { return "sqlite3" }
func (sqliteDialect) lockWriters() string { return "" } // one writing connection, BEGIN IMMEDIATE
func (sqliteDialect) notify() string      { return "" } // one process: the bell is in it
func (sqliteDialect) hasty() string       { return "" } // a pragma of its file, which has its own

func (sqliteDialect) position(in, text string) string { return "instr(" + in + ", " + text + ")" }

func (sqliteDialect) uniqueViolation(err error) (string, bool) {
	if e, ok := errors.AsType[*sqlite.Error](err); ok && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY) {
		return e.Error(), true
	}
	return "", false
}

// sqliteAway reports whether err is of a file that another program has held
// for longer than the busy timeout, or of a full disk.
func sqliteAway(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code()&0xff == sqlite3.SQLITE_BUSY || e.Code()&0xff == sqlite3.SQLITE_FULL)
}

func (d sqliteDialect) openFault(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	switch {
	case ok && (e.Code()&0xff == sqlite3.SQLITE_NOTADB || e.Code()&0xff == sqlite3.SQLITE_CORRUPT):
		return fault.Wrap(err, fault.Invalid, fmt.Sprintf("the file %s is no database, or it is damaged", d.path)).
			WithHint("restore it from a backup, or name another directory with --data")
	case ok && e.Code()&0xff == sqlite3.SQLITE_BUSY:
		return fault.Wrap(err, fault.Unavailable, fmt.Sprintf("another program holds the database file %s", d.path)).
			WithHint("stop the other program")
	}
	return fault.Wrap(err, fault.Invalid, fmt.Sprintf("the database file %q does not open", d.path)).
		WithHint("check --data and --database, and who may write there")
}

func (sqliteDialect) listen(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}
