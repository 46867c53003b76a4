package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/internal/platform"
)

// WriteUsage adds a batch of usage to what is there, unless a batch of the same
// writer with this number or a higher one has been added already: a batch whose
// answer was lost may be written again. It is no part of the change log, and
// does not wait for those who write that.
func (db *DB) WriteUsage(ctx context.Context, writer string, batch int64, rows []platform.UsageRow) error {
	// All writers take rows in one order, so that none waits for another in a circle.
	rows = slices.SortedFunc(slices.Values(rows), func(a, b platform.UsageRow) int {
		return cmp.Or(strings.Compare(a.ProjectID, b.ProjectID), cmp.Compare(a.Day, b.Day), strings.Compare(a.FunctionID, b.FunctionID),
			strings.Compare(a.Caller, b.Caller), strings.Compare(a.Code, b.Code))
	})
	tx, err := db.write.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return failed("begin", err)
	}
	defer tx.Rollback() // after a commit it does nothing
	if fresh, err := claimBatch(ctx, tx, writer, batch); err != nil || !fresh {
		return failed("claim a batch of usage", err)
	}
	insert, err := tx.PrepareContext(ctx, `INSERT INTO usage_days AS u (project_id, day, function_id, caller, code, function_name, caller_name,
			invocations, errors, compute_micros, memory_micros, bytes_in, bytes_out, refused)
		VALUES ($1, $2, $3, $4, $5, $6, COALESCE((SELECT display_name FROM access_keys WHERE id = $4), ''), $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (project_id, day, function_id, caller, code) DO UPDATE SET function_name = excluded.function_name, caller_name = excluded.caller_name,
			invocations = u.invocations + excluded.invocations, errors = u.errors + excluded.errors,
			compute_micros = u.compute_micros + excluded.compute_micros, memory_micros = u.memory_micros + excluded.memory_micros,
			bytes_in = u.bytes_in + excluded.bytes_in, bytes_out = u.bytes_out + excluded.bytes_out, refused = u.refused + excluded.refused`)
	if err != nil {
		return failed("write usage", err)
	}
	defer insert.Close()
	for _, u := range rows {
		_, err := insert.ExecContext(ctx, u.ProjectID, int(u.Day), u.FunctionID, u.Caller, u.Code, u.FunctionName,
			u.Invocations, u.Errors, u.ComputeMicros, u.MemoryMicros, u.BytesIn, u.BytesOut, u.Refused)
		if err != nil {
			return failed("write the usage of function "+u.FunctionID, err)
		}
	}
	return failed("commit usage", tx.Commit())
}

// claimBatch reports whether a batch has not been counted, and notes that it is
// now. Who claims for the same writer meanwhile waits for this transaction.
func claimBatch(ctx context.Context, tx *sql.Tx, writer string, batch int64) (fresh bool, err error) {
	if _, err := tx.ExecContext(ctx, `INSERT INTO usage_writers (id, batch, at) VALUES ($1, 0, 0) ON CONFLICT (id) DO NOTHING`, writer); err != nil {
		return false, err
	}
	done, err := tx.ExecContext(ctx, `UPDATE usage_writers SET batch = $2, at = $3 WHERE id = $1 AND batch < $2`, writer, batch, micros(time.Now()))
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// usageColumn is what a sum is by: the column of its ID, and of its name.
func usageColumn(by platform.UsageBy) (id, name string) {
	switch by {
	case platform.UsageByKey:
		return "caller", "caller_name"
	case platform.UsageByDay:
		return "CAST(day AS TEXT)", "''"
	}
	return "function_id", "function_name"
}

// Usage adds up to limit sums of a project's usage from one day to another,
// both included, in the order of what they are by, from after an ID on. A day's
// ID is its number.
func (db *DB) Usage(ctx context.Context, projectID string, from, to platform.Day, by platform.UsageBy, after string, limit int) ([]platform.UsageSum, error) {
	id, name := usageColumn(by)
	where := `project_id = $1 AND day >= $2 AND day <= $3 AND ` + id + ` > $4`
	if by == platform.UsageByKey {
		where += ` AND code = ''`
	}
	return db.usageSums(ctx, id+`, `+name, where+` AND `+id+` IN (SELECT DISTINCT `+id+` FROM usage_days WHERE `+where+` ORDER BY 1 LIMIT $5)`,
		projectID, int(from), int(to), after, limit)
}

// UsageOfFunction is what a function used from one day to another, both included.
func (db *DB) UsageOfFunction(ctx context.Context, projectID, functionID string, from, to platform.Day) (platform.UsageSum, error) {
	sums, err := db.usageSums(ctx, `function_id, function_name`, `project_id = $1 AND day >= $2 AND day <= $3 AND function_id = $4`, projectID, int(from), int(to), functionID)
	if err != nil || len(sums) == 0 {
		return platform.UsageSum{ID: functionID}, err
	}
	return sums[0], nil
}

// UsageTotal is all of a project's usage from one day to another, both included.
func (db *DB) UsageTotal(ctx context.Context, projectID string, from, to platform.Day) (platform.UsageSum, error) {
	sums, err := db.usageSums(ctx, `'', ''`, `project_id = $1 AND day >= $2 AND day <= $3`, projectID, int(from), int(to))
	if err != nil || len(sums) == 0 {
		return platform.UsageSum{}, err
	}
	return sums[0], nil
}

// usageSums adds up the rows of a condition by ID, in the database's order of
// IDs, so that pages follow one another. A name is that of the latest
// day; what was refused is told by code as well.
func (db *DB) usageSums(ctx context.Context, columns, where string, args ...any) ([]platform.UsageSum, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT `+columns+`, code, MAX(day), CAST(SUM(invocations) AS BIGINT), CAST(SUM(errors) AS BIGINT),
			CAST(SUM(compute_micros) AS BIGINT), CAST(SUM(memory_micros) AS BIGINT), CAST(SUM(bytes_in) AS BIGINT), CAST(SUM(bytes_out) AS BIGINT), CAST(SUM(refused) AS BIGINT)
		FROM usage_days WHERE `+where+` GROUP BY 1, 2, code ORDER BY 1`, args...)
	if err != nil {
		return nil, failed("add up usage", err)
	}
	defer rows.Close()
	var out []platform.UsageSum
	index, named := map[string]int{}, map[string]int{}
	for rows.Next() {
		var part platform.UsageSum
		var code string
		var day int
		c := &part.Counts
		if err := rows.Scan(&part.ID, &part.Name, &code, &day, &c.Invocations, &c.Errors, &c.ComputeMicros, &c.MemoryMicros, &c.BytesIn, &c.BytesOut, &c.Refused); err != nil {
			return nil, failed("add up usage", err)
		}
		i, known := index[part.ID]
		if !known {
			i = len(out)
			index[part.ID] = i
			out = append(out, platform.UsageSum{ID: part.ID})
		}
		sum := &out[i]
		sum.Add(part.Counts)
		if last, ok := named[part.ID]; !ok || day > last || day == last && part.Name > sum.Name {
			sum.Name, named[part.ID] = part.Name, day
		}
		if code != "" {
			if sum.RefusedBy == nil {
				sum.RefusedBy = map[string]int64{}
			}
			sum.RefusedBy[code] += part.Refused
		}
	}
	return out, failed("add up usage", rows.Err())
}

// UsageOfKey lists up to limit functions that a key called from one day to another,
// both included, and which: those that it called most come first. They may be of
// other projects than the key.
func (db *DB) UsageOfKey(ctx context.Context, keyID string, from, to platform.Day, limit int) (out []platform.UsageSum, err error) {
	rows, err := db.read.QueryContext(ctx, `SELECT function_id, MAX(function_name), CAST(SUM(invocations) AS BIGINT), CAST(SUM(errors) AS BIGINT) FROM usage_days
		WHERE caller = $1 AND day >= $2 AND day <= $3 AND code = '' GROUP BY function_id ORDER BY 3 DESC, 1 LIMIT $4`, keyID, int(from), int(to), limit)
	if err != nil {
		return nil, failed("add up the usage of a key", err)
	}
	defer rows.Close()
	for rows.Next() {
		var sum platform.UsageSum
		if err := rows.Scan(&sum.ID, &sum.Name, &sum.Counts.Invocations, &sum.Counts.Errors); err != nil {
			return nil, failed("add up the usage of a key", err)
		}
		out = append(out, sum)
	}
	return out, failed("add up the usage of a key", rows.Err())
}

// PruneUsage removes what is from before a day, and forgets writers that have
// written nothing since: what one of them may still write is from before it too.
func (db *DB) PruneUsage(ctx context.Context, before platform.Day) error {
	for {
		done, err := db.write.ExecContext(ctx, `DELETE FROM usage_days WHERE (project_id, day, function_id, caller, code) IN
			(SELECT project_id, day, function_id, caller, code FROM usage_days WHERE day < $1 LIMIT $2)`, int(before), pruneStep)
		if err != nil {
			return failed("prune usage", err)
		}
		if n, err := done.RowsAffected(); err != nil || n < pruneStep {
			break
		}
	}
	_, err := db.write.ExecContext(ctx, `DELETE FROM usage_writers WHERE at < $1`, micros(before.Time()))
	return failed("prune usage", err)
}
