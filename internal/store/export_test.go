package store

import (
	"context"
	"time"
)

// Prune is what Run does every hour, with a number of rows that a test can make.
func (db *DB) Prune(ctx context.Context, keep int) error { return db.prune(ctx, keep) }

// PruneTokens is the other thing that Run does every hour.
func (db *DB) PruneTokens(ctx context.Context, now time.Time) error { return db.pruneTokens(ctx, now) }

// Exec runs a statement that no method of the store runs.
func Exec(ctx context.Context, db *DB, statement string, args ...any) error {
	_, err := db.write.ExecContext(ctx, statement, args...)
	return err
}

// FoldNames is the migration of that name.
func FoldNames(ctx context.Context, db *DB) error {
	_, err := db.update(ctx, func(t *tx) error { return foldNames(ctx, t.Tx) })
	return err
}
