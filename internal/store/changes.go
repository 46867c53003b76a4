package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern.dev/postern/internal/platform"
)

// keepChanges is how many change rows stay. A gateway that was away for longer
// sees a gap and reloads.
const keepChanges = 100_000

// Load calls onKey with every key that may still open something and
// onFunction with every function that has an active deployment, and returns
// the sequence from which to follow the change log. Of a key it reads what lets
// it in, not its name, its dates or its metadata. The sequence is read first, so
// a change made meanwhile is seen twice rather than never; a key may then come
// twice, the later one last. What cannot be read is left out, and told of by a
// platform.UnreadableError beside a sequence that is good.
func (db *DB) Load(ctx context.Context, onKey func(platform.AccessKey) error, onFunction func(platform.Function, platform.Deployment) error) (seq int64, err error) {
	if seq, err = db.LastChange(ctx); err != nil {
		return 0, err
	}
	now := micros(time.Now())
	bad := db.eachPlainKey(ctx, onKey, now)
	if bad != nil && !isUnreadable(bad) {
		return 0, bad
	}
	if err := db.eachKey(ctx, onKey, `SELECT `+keyColumns+keyTables+`WHERE NOT (`+plainKey+`) AND k.revoked_at = 0 AND (k.expires_at = 0 OR k.expires_at > $1)`, now); isUnreadable(err) {
		bad = errors.Join(bad, err)
	} else if err != nil {
		return 0, err
	}
	rows, err := db.read.QueryContext(ctx, activeQuery)
	if err != nil {
		return 0, failed("list active functions", err)
	}
	defer rows.Close()
	for rows.Next() {
		f, d, err := scanActive(rows)
		if isUnreadable(err) {
			bad = errors.Join(bad, err)
			continue
		}
		if err == nil {
			err = onFunction(f, d)
		}
		if err != nil {
			return 0, err
		}
	}
	if err := rows.Err(); err != nil {
		return 0, failed("list active functions", err)
	}
	return seq, bad
}

const (
	activeColumns = functionColumns + `, p.parent_id, ` + deploymentColumns
	activeTables  = ` FROM functions f JOIN deployments d ON d.id = f.active_deployment_id JOIN projects p ON p.id = f.project_id`
	activeQuery   = `SELECT ` + activeColumns + activeTables
)

// ActiveFunction returns a function and its active deployment; NotFound when
// the function is gone or was never deployed.
func (db *DB) ActiveFunction(ctx context.Context, functionID string) (platform.Function, platform.Deployment, error) {
	return scanActive(db.read.QueryRowContext(ctx, activeQuery+` WHERE f.id = $1`, functionID))
}

// ActiveFunctions lists the functions of a project with what of them serves, by
// name.
func (db *DB) ActiveFunctions(ctx context.Context, projectID string) (out []platform.ActiveFunction, err error) {
	rows, err := db.read.QueryContext(ctx, activeOf, projectID)
	if err != nil {
		return nil, failed("list active functions", err)
	}
	defer rows.Close()
	for rows.Next() {
		f, d, err := scanActive(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, platform.ActiveFunction{Function: f, Deployment: d})
	}
	if err := rows.Err(); err != nil {
		return nil, failed("list active functions", err)
	}
	return out, candidates(ctx, db.read, out)
}

const activeOf = activeQuery + ` WHERE f.project_id = $1 ORDER BY f.name`

func scanActive(row scanner, before ...any) (f platform.Function, d platform.Deployment, err error) {
	var created, updated int64
	d, err = scanDeployment(row, append(before, &f.ID, &f.ProjectID, &f.Name, &f.Slug, &f.ActiveDeploymentID, &f.CandidateID, &f.CandidatePercent, &created, &updated, &f.ParentProjectID)...)
	f.CreatedAt, f.UpdatedAt = fromMicros(created), fromMicros(updated)
	return f, d, err
}

// Changes returns up to limit changes after a sequence, in order. When the
// first is not after+1 the log is not the one that was read before: reload. It
// was pruned meanwhile; or it ends before after, because the database was
// restored from a backup or failed over to a copy that lagged. Then the one
// change returned has nothing but the sequence at which the log ends. Without
// it a reader would wait for numbers to come that were given away already, and
// miss the revocations that they stand for.
func (db *DB) Changes(ctx context.Context, after int64, limit int) ([]platform.Change, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT seq, kind, id, at FROM changes WHERE seq > $1 ORDER BY seq LIMIT $2`, after, limit)
	if err != nil {
		return nil, failed("read changes", err)
	}
	defer rows.Close()
	var out []platform.Change
	for rows.Next() {
		var c platform.Change
		var at int64
		if err := rows.Scan(&c.Seq, &c.Kind, &c.ID, &at); err != nil {
			return nil, failed("read changes", err)
		}
		c.At = fromMicros(at)
		out = append(out, c)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("read changes", err)
	}
	if len(out) == 0 {
		end, err := db.LastChange(ctx)
		if err != nil {
			return nil, err
		}
		if end < after {
			out = append(out, platform.Change{Seq: end})
		}
	}
	return out, nil
}

// LastChange is the sequence at which the change log ends: what was read after it, and
// is of what the log tells of, is the same until it is another.
func (db *DB) LastChange(ctx context.Context) (seq int64, err error) {
	if err := db.read.QueryRowContext(ctx, `SELECT seq FROM change_counter WHERE one = 1`).Scan(&seq); err != nil {
		return 0, failed("read the change counter", err)
	}
	return seq, nil
}

// pruneHourly keeps the change log bounded, at once and then every hour.
func (db *DB) pruneHourly(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		// A failure leaves rows for the next hour; nothing depends on it.
		db.prune(ctx, keepChanges)
		db.pruneTokens(ctx, time.Now())
		db.PruneSessions(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// prune removes all but the newest keep rows of the change log.
func (db *DB) prune(ctx context.Context, keep int) error {
	_, err := db.update(ctx, func(t *tx) error {
		_, err := t.ExecContext(ctx, `DELETE FROM changes WHERE seq <= (SELECT seq FROM change_counter WHERE one = 1) - $1`, keep)
		if err != nil {
			return fmt.Errorf("prune the change log: %w", err)
		}
		return nil
	})
	return err
}
