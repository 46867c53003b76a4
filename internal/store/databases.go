package store

import (
	"context"
	"database/sql"

	"postern.dev/postern/internal/platform"
)

// DatabaseCopy returns the last copy of a function's own database.
func (db *DB) DatabaseCopy(ctx context.Context, functionID string) (c platform.DatabaseCopy, err error) {
	var at int64
	err = db.read.QueryRowContext(ctx, `SELECT blob, bytes, sha256, taken_at FROM database_copies WHERE function_id = $1`, functionID).Scan(&c.Blob, &c.Bytes, &c.SHA256, &at)
	if err != nil {
		return platform.DatabaseCopy{}, notFound(err, "copy of a database")
	}
	c.At = fromMicros(at)
	return c, nil
}

// PutDatabaseCopy makes c the last copy, and returns the blob of the one before;
// empty: there was none.
func (db *DB) PutDatabaseCopy(ctx context.Context, functionID string, c platform.DatabaseCopy) (replaced string, err error) {
	t, err := db.write.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return "", failed("record the copy of a database", err)
	}
	defer t.Rollback()
	if err := ignoreNone(t.QueryRowContext(ctx, `SELECT blob FROM database_copies WHERE function_id = $1`, functionID).Scan(&replaced)); err != nil {
		return "", failed("record the copy of a database", err)
	}
	_, err = t.ExecContext(ctx, `INSERT INTO database_copies (function_id, blob, bytes, sha256, taken_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (function_id) DO UPDATE SET blob = excluded.blob, bytes = excluded.bytes, sha256 = excluded.sha256, taken_at = excluded.taken_at`,
		functionID, c.Blob, c.Bytes, c.SHA256, micros(c.At))
	if err == nil {
		err = t.Commit()
	}
	return replaced, failed("record the copy of a database", err)
}

// DropDatabaseCopy forgets the copy of a function's database, if there is one.
func (db *DB) DropDatabaseCopy(ctx context.Context, functionID string) error {
	_, err := db.write.ExecContext(ctx, `DELETE FROM database_copies WHERE function_id = $1`, functionID)
	return failed("forget the copy of a database", err)
}
