package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"postern.dev/postern/internal/platform"
)

const auditColumns = `id, at, project_id, door, action, target, outcome, code, status, key_id, method, request_id, remote, stands_for, detail`

// WriteAudit stores events in one transaction; one whose ID is there already
// is passed over, so that a batch can be written again. It is no part of the
// change log, and does not wait for those who write that.
func (db *DB) WriteAudit(ctx context.Context, events []platform.AuditEvent) error {
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return failed("begin", err)
	}
	defer tx.Rollback() // after a commit it does nothing
	insert, err := tx.PrepareContext(ctx, `INSERT INTO audit_events (`+auditColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (id) DO NOTHING`)
	if err != nil {
		return failed("write audit events", err)
	}
	defer insert.Close()
	for _, e := range events {
		_, err := insert.ExecContext(ctx, e.ID, micros(e.At), e.ProjectID, string(e.Door), e.Action, e.Target, string(e.Outcome), e.Code, e.Status,
			e.KeyID, e.Method, e.RequestID, e.Remote, e.Count, encodeMap(e.Detail))
		if err != nil {
			return failed("write audit event "+e.ID, err)
		}
	}
	return failed("commit audit events", tx.Commit())
}

// AuditEvents lists up to limit events of a project that a filter asks for,
// newest first, from before the event with the ID after; an empty after begins
// with the newest. The project "" has the events that belong to none.
func (db *DB) AuditEvents(ctx context.Context, projectID string, f platform.AuditFilter, after string, limit int) ([]platform.AuditEvent, error) {
	if after == "" {
		after = "evt_~" // sorts after every ID
	}
	until := int64(math.MaxInt64)
	if !f.Until.IsZero() {
		until = micros(f.Until)
	}
	request := `$9 = ''`
	if f.RequestID != "" {
		request = `request_id = $9` // for which there is an index
	}
	args := []any{projectID, after, max(auditIDAt(f.Since), f.From), micros(f.Since), until, f.KeyID, f.Action, string(f.Outcome), f.RequestID, f.Code, limit}
	without := ""
	if len(f.Without) > 0 {
		without, args = among(f.Without, args)
		without = ` AND action NOT IN ` + without
	}
	if f.Text != "" {
		if !searchable(f.Text) {
			return nil, nil
		}
		var text string
		text, args = db.auditText(f, args)
		without += ` AND ` + text
	}
	rows, err := db.read.QueryContext(ctx, `SELECT `+auditColumns+` FROM audit_events
		WHERE project_id = $1 AND id < $2 AND id >= $3 AND at >= $4 AND at < $5
		AND ($6 = '' OR key_id = $6) AND ($7 = '' OR action = $7) AND ($8 = '' OR outcome = $8) AND ($10 = '' OR code = $10) AND `+request+without+`
		ORDER BY id DESC LIMIT $11`, args...)
	if err != nil {
		return nil, failed("list audit events", err)
	}
	defer rows.Close()
	var out []platform.AuditEvent
	for rows.Next() {
		var e platform.AuditEvent
		var at int64
		var detail string
		if err := rows.Scan(&e.ID, &at, &e.ProjectID, &e.Door, &e.Action, &e.Target, &e.Outcome, &e.Code, &e.Status, &e.KeyID, &e.Method, &e.RequestID, &e.Remote, &e.Count, &detail); err != nil {
			return nil, failed("list audit events", err)
		}
		if detail != "{}" {
			if err := json.Unmarshal([]byte(detail), &e.Detail); err != nil {
				return nil, fmt.Errorf("audit event %s: its detail does not parse: %w", e.ID, err)
			}
		}
		e.At = fromMicros(at)
		out = append(out, e)
	}
	return out, failed("list audit events", rows.Err())
}

// auditText is the condition that an event has a text, or was caused by whom has it
// in their name.
func (db *DB) auditText(f platform.AuditFilter, args []any) (string, []any) {
	args = append(args, f.Text)
	found := db.dialect.position(`LOWER(action || ' ' || target || ' ' || key_id || ' ' || code)`, `LOWER($`+strconv.Itoa(len(args))+`)`) + ` > 0`
	if len(f.NamesOf) > 0 {
		var of string
		of, args = among(f.NamesOf, args)
		args = append(args, foldName(f.Text))
		name := `$` + strconv.Itoa(len(args))
		found += ` OR key_id IN (SELECT id FROM access_keys WHERE project_id IN ` + of + ` AND ` + db.dialect.position("search_name", name) + ` > 0)` +
			` OR key_id IN (SELECT id FROM users WHERE project_id IN ` + of + ` AND ` + db.dialect.position("name", name) + ` > 0)`
	}
	return `(` + found + `)`, args
}

// AuditBefore is the ID of the event that is the n-th of a project before the one
// with the ID after, or before all, of those since a time; empty: there are fewer.
func (db *DB) AuditBefore(ctx context.Context, projectID string, since time.Time, after string, n int) (id string, err error) {
	if after == "" {
		after = "evt_~"
	}
	err = db.read.QueryRowContext(ctx, `SELECT id FROM audit_events WHERE project_id = $1 AND id < $2 AND id >= $3 ORDER BY id DESC LIMIT 1 OFFSET $4`, projectID, after, auditIDAt(since), n-1).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, failed("list audit events", err)
}

// auditIDAt is not after the ID of any event from a time on.
func auditIDAt(t time.Time) string {
	if t.Before(time.UnixMilli(0)) {
		return ""
	}
	var id ulid.ULID
	id.SetTime(ulid.Timestamp(t)) // the rest is zero
	return "evt_" + strings.ToLower(id.String())
}

// pruneStep bounds how long one transaction of pruning keeps writers waiting.
const pruneStep = 2000

// PruneAudit removes events from before a time, then the oldest refusals
// beyond half of keep, then the oldest beyond keep: refusals, which strangers
// can cause, never push out what was done.
func (db *DB) PruneAudit(ctx context.Context, before time.Time, keep int) error {
	for _, step := range []struct {
		which string
		bound any
	}{
		{`id < $1`, auditIDAt(before)},
		{`outcome = 'refused' AND id <= (SELECT id FROM audit_events WHERE outcome = 'refused' ORDER BY id DESC LIMIT 1 OFFSET $1)`, keep / 2},
		{`id <= (SELECT id FROM audit_events ORDER BY id DESC LIMIT 1 OFFSET $1)`, keep},
	} {
		for {
			done, err := db.write.ExecContext(ctx, `DELETE FROM audit_events WHERE id IN (SELECT id FROM audit_events WHERE `+step.which+` ORDER BY id LIMIT $2)`, step.bound, pruneStep)
			if err != nil {
				return failed("prune the audit log", err)
			}
			if n, err := done.RowsAffected(); err != nil || n < pruneStep {
				break
			}
		}
	}
	return nil
}
