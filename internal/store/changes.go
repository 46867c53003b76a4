package store

import (
	"context"
	"fmt"
	"time"

	"postern.dev/postern/internal/platform"
)

// keepChanges is how many change rows stay. A gateway that was away for longer
// sees a gap and reloads.
const keepChanges = 100_000

// Load calls onKey with every key that may still open something and
// onFunction with every function that has an active deployment, and returns
// the sequence from which to follow the change log. The sequence is read
// first, so a change made meanwhile is seen twice rather than never.
func (db *DB) Load(ctx context.Context, onKey func(platform.AccessKey) error, onFunction func(platform.Function, platform.Deployment) error) (seq int64, err error) {
	if err := db.read.QueryRowContext(ctx, `SELECT seq FROM change_counter WHERE one = 1`).Scan(&seq); err != nil {
		return 0, fmt.Errorf("read the change counter: %w", err)
	}
	if err := db.eachKey(ctx, onKey, `SELECT `+keyColumns+` FROM access_keys WHERE revoked_at = 0 AND (expires_at = 0 OR expires_at > $1)`, micros(time.Now())); err != nil {
		return 0, err
	}
	rows, err := db.read.QueryContext(ctx, activeQuery)
	if err != nil {
		return 0, fmt.Errorf("list active functions: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		f, d, err := scanActive(rows)
		if err == nil {
			err = onFunction(f, d)
		}
		if err != nil {
			return 0, err
		}
	}
	return seq, rows.Err()
}

const activeQuery = `SELECT ` + functionColumns + `, ` + deploymentColumns + ` FROM functions f JOIN deployments d ON d.id = f.active_deployment_id`

// ActiveFunction returns a function and its active deployment; NotFound when
// the function is gone or was never deployed.
func (db *DB) ActiveFunction(ctx context.Context, functionID string) (platform.Function, platform.Deployment, error) {
	return scanActive(db.read.QueryRowContext(ctx, activeQuery+` WHERE f.id = $1`, functionID))
}

func scanActive(row scanner) (f platform.Function, d platform.Deployment, err error) {
	var created, updated int64
	d, err = scanDeployment(row, &f.ID, &f.ProjectID, &f.Name, &f.Slug, &f.ActiveDeploymentID, &created, &updated)
	f.CreatedAt, f.UpdatedAt = fromMicros(created), fromMicros(updated)
	return f, d, err
}

// Changes returns up to limit changes after a sequence, in order. When the
// first is not after+1 the log has been pruned: reload.
func (db *DB) Changes(ctx context.Context, after int64, limit int) ([]platform.Change, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT seq, kind, id, at FROM changes WHERE seq > $1 ORDER BY seq LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	defer rows.Close()
	var out []platform.Change
	for rows.Next() {
		var c platform.Change
		var at int64
		if err := rows.Scan(&c.Seq, &c.Kind, &c.ID, &at); err != nil {
			return nil, fmt.Errorf("read changes: %w", err)
		}
		c.At = fromMicros(at)
		out = append(out, c)
	}
	return out, rows.Err()
}

// prune keeps the change log bounded, once an hour.
func (db *DB) prune(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// A failure leaves rows for the next hour; nothing depends on it.
			db.update(ctx, func(t *tx) error {
				_, err := t.ExecContext(ctx, `DELETE FROM changes WHERE seq <= (SELECT seq FROM change_counter WHERE one = 1) - $1`, keepChanges)
				return err
			})
		}
	}
}
