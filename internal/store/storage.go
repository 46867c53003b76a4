package store

import (
	"context"
	"database/sql"
	"fmt"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Object returns where a key of a function's storage leads.
func (db *DB) Object(ctx context.Context, functionID, key string) (platform.StoredObject, error) {
	o, err := scanObject(db.read.QueryRowContext(ctx, `SELECT name, blob, size, written_at FROM storage_objects WHERE function_id = $1 AND name = $2`, functionID, []byte(key)))
	if err != nil {
		return platform.StoredObject{}, notFound(err, "object")
	}
	return o, nil
}

// Objects lists up to limit objects whose keys begin with prefix and stand
// after a key, in the order of their bytes.
func (db *DB) Objects(ctx context.Context, functionID, prefix, after string, limit int) (out []platform.StoredObject, err error) {
	query := `SELECT name, blob, size, written_at FROM storage_objects WHERE function_id = $1 AND name > $2 AND name >= $3`
	args := []any{functionID, []byte(after), []byte(prefix), limit}
	if end := platform.Behind(prefix); end != nil {
		query, args = query+` AND name < $5`, append(args, end)
	}
	rows, err := db.read.QueryContext(ctx, query+` ORDER BY name LIMIT $4`, args...)
	if err != nil {
		return nil, failed("list a function's storage", err)
	}
	defer rows.Close()
	for rows.Next() {
		o, err := scanObject(rows)
		if err != nil {
			return nil, failed("list a function's storage", err)
		}
		out = append(out, o)
	}
	return out, failed("list a function's storage", rows.Err())
}

func scanObject(row scanner) (o platform.StoredObject, err error) {
	var at int64
	var name []byte
	err = row.Scan(&name, &o.Blob, &o.Size, &at)
	o.Key, o.At = string(name), fromMicros(at)
	return o, err
}

// PutObject lets a key lead to a blob, and returns the blob that it led to
// before; empty: none. When the function would have more than maxObjects or
// maxBytes nothing happens, and the fault has the code storage_full.
func (db *DB) PutObject(ctx context.Context, functionID string, o platform.StoredObject, maxObjects, maxBytes int64) (replaced string, err error) {
	err = db.changeStorage(ctx, functionID, func(t *sql.Tx, objects, bytes int64) (int64, int64, error) {
		var old int64
		err := ignoreNone(t.QueryRowContext(ctx, `SELECT blob, size FROM storage_objects WHERE function_id = $1 AND name = $2`, functionID, []byte(o.Key)).Scan(&replaced, &old))
		if err != nil {
			return 0, 0, err
		}
		if bytes += o.Size - old; replaced == "" {
			objects++
		}
		// Who is over a bound that was lowered may still make it less.
		if replaced == "" && objects > maxObjects || o.Size > old && bytes > maxBytes {
			return 0, 0, fault.New(fault.TooMany, fmt.Sprintf("the function's storage is full: it takes %d objects and %d bytes", maxObjects, maxBytes)).WithCode("storage_full")
		}
		_, err = t.ExecContext(ctx, `INSERT INTO storage_objects (function_id, name, blob, size, written_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (function_id, name) DO UPDATE SET blob = excluded.blob, size = excluded.size, written_at = excluded.written_at`, functionID, []byte(o.Key), o.Blob, o.Size, micros(o.At))
		return objects, bytes, err
	})
	if err != nil {
		return "", err
	}
	return replaced, nil
}

// DeleteObject removes a key, and returns the blob that it led to; empty: none.
func (db *DB) DeleteObject(ctx context.Context, functionID, key string) (removed string, err error) {
	err = db.changeStorage(ctx, functionID, func(t *sql.Tx, objects, bytes int64) (int64, int64, error) {
		var size int64
		err := t.QueryRowContext(ctx, `DELETE FROM storage_objects WHERE function_id = $1 AND name = $2 RETURNING blob, size`, functionID, []byte(key)).Scan(&removed, &size)
		if removed == "" {
			return objects, bytes, ignoreNone(err)
		}
		return objects - 1, bytes - size, err
	})
	if err != nil {
		return "", err
	}
	return removed, nil
}

// changeStorage runs f in a transaction that has a function's totals for
// itself; what f returns are the new ones. It queues behind no other writer but
// SQLite's one.
func (db *DB) changeStorage(ctx context.Context, functionID string, f func(t *sql.Tx, objects, bytes int64) (int64, int64, error)) error {
	t, err := db.write.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return failed("begin", err)
	}
	defer t.Rollback() // after a commit it does nothing
	var objects, bytes int64
	err = t.QueryRowContext(ctx, `INSERT INTO storage_totals (function_id, objects, bytes) VALUES ($1, 0, 0)
		ON CONFLICT (function_id) DO UPDATE SET objects = storage_totals.objects RETURNING objects, bytes`, functionID).Scan(&objects, &bytes)
	if err != nil {
		return failed("lock a function's storage", err)
	}
	if objects, bytes, err = f(t, objects, bytes); err != nil {
		return failed("change a function's storage", err)
	}
	if _, err := t.ExecContext(ctx, `UPDATE storage_totals SET objects = $2, bytes = $3 WHERE function_id = $1`, functionID, objects, bytes); err != nil {
		return failed("count a function's storage", err)
	}
	return failed("commit", t.Commit())
}

// StorageTotals is what all functions have in their storage.
func (db *DB) StorageTotals(ctx context.Context) (objects, bytes int64, err error) {
	err = db.read.QueryRowContext(ctx, `SELECT CAST(COALESCE(SUM(objects), 0) AS BIGINT), CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM storage_totals`).Scan(&objects, &bytes)
	return objects, bytes, failed("count the functions' storage", err)
}

// forgetStorage removes what a function has in its storage, but not the blobs.
func forgetStorage(ctx context.Context, t *tx, functionID string) error {
	for _, table := range []string{"storage_objects", "storage_totals"} {
		if _, err := t.ExecContext(ctx, `DELETE FROM `+table+` WHERE function_id = $1`, functionID); err != nil {
			return fmt.Errorf("forget the storage of %s: %w", functionID, err)
		}
	}
	return nil
}

// SweepStorage removes what is in the storage of functions that are gone: those
// with an ID before the given one of which nothing is recorded.
func (db *DB) SweepStorage(ctx context.Context, before string) error {
	for _, table := range []string{"storage_objects", "storage_totals"} {
		if _, err := db.write.ExecContext(ctx, `DELETE FROM `+table+` WHERE function_id < $1 AND function_id NOT IN (SELECT id FROM functions)`, before); err != nil {
			return failed("sweep the functions' storage", err)
		}
	}
	return nil
}

// FunctionExists reports whether there is a function of that ID, whatever its project.
func (db *DB) FunctionExists(ctx context.Context, id string) (bool, error) {
	var n int
	err := db.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM functions WHERE id = $1`, id).Scan(&n)
	return n > 0, failed("look for a function", err)
}
