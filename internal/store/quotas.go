package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// ReserveQuota takes up to n of a key's quota in a period, for a node to use up.
// It returns how many it got, fewer where the limit is near, and how many are
// taken now by all nodes. Of a period that was over when the quota was counted
// last there is nothing to have: a node whose clock is late does not begin it
// again. What was counted in a part of the period, when the quota was another,
// counts.
func (db *DB) ReserveQuota(ctx context.Context, keyID string, since, end time.Time, limit, n int64) (got, taken int64, err error) {
	_, err = db.update(ctx, func(t *tx) error {
		began := micros(since)
		var counted int64
		err := t.QueryRowContext(ctx, `SELECT period_began, used FROM key_usage WHERE key_id = $1`, keyID).Scan(&counted, &taken)
		switch {
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("read the quota of key %s: %w", keyID, err)
		case counted >= micros(end):
			got, taken = 0, limit
			return nil
		case counted < began:
			taken = 0
		}
		got = max(min(n, limit-taken), 0)
		taken += got
		res, err := t.ExecContext(ctx, `INSERT INTO key_usage (key_id, last_used_at, period_began, used) SELECT id, 0, $2, $3 FROM access_keys WHERE id = $1
			ON CONFLICT (key_id) DO UPDATE SET period_began = excluded.period_began, used = excluded.used`, keyID, began, taken)
		if err != nil {
			return fmt.Errorf("reserve of the quota of key %s: %w", keyID, err)
		}
		if n, err := res.RowsAffected(); err == nil && n == 0 {
			got, taken = 0, limit // the key is gone
		}
		return nil
	})
	return got, taken, err
}

// ReturnQuota gives back what a node has reserved in a period and not used.
func (db *DB) ReturnQuota(ctx context.Context, keyID string, since time.Time, n int64) error {
	_, err := db.update(ctx, func(t *tx) error {
		_, err := t.ExecContext(ctx, `UPDATE key_usage SET used = CASE WHEN used > $3 THEN used - $3 ELSE 0 END WHERE key_id = $1 AND period_began = $2`, keyID, micros(since), n)
		if err != nil {
			return fmt.Errorf("give back of the quota of key %s: %w", keyID, err)
		}
		return nil
	})
	return err
}
