package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

const keyColumns = `k.id, k.project_id, k.display_name, k.secret_hash, k.generation, k.previous_hash, k.previous_until, k.scopes, k.function_id, k.by_policy, k.service_plan_id, k.route_groups,
	k.allowed_cidrs, k.rate_per_second, k.quota_limit, k.quota_per, k.binding, k.cert_thumbprint, k.metadata, k.created_at, k.updated_at, k.expires_at, k.revoked_at,
	COALESCE(u.last_used_at, 0), COALESCE(u.period_began, 0), COALESCE(u.used, 0)`

const keyTables = ` FROM access_keys k LEFT JOIN key_usage u ON u.key_id = k.id `

// CreateKey stores a new key; its project must be there. A display name that a live key of the project
// has is a Conflict with the code display_name_taken.
func (db *DB) CreateKey(ctx context.Context, k platform.AccessKey) (seq int64, err error) {
	return db.update(ctx, func(t *tx) error { return db.insertKey(ctx, t, k) })
}

func (db *DB) insertKey(ctx context.Context, t *tx, k platform.AccessKey) error {
	// The project may have been ended since the caller looked, and its keys with
	// it: one that came later would be the key of nothing.
	if _, err := scanProject(t.QueryRowContext(ctx, `SELECT `+projectColumns+` FROM projects WHERE id = $1 AND deleted_at = 0`, k.ProjectID)); err != nil {
		return err
	}
	k.Generation, k.UpdatedAt = 1, k.CreatedAt
	_, err := t.ExecContext(ctx, `INSERT INTO access_keys (id, project_id, function_id, by_policy, service_plan_id, created_at, revoked_at,
			display_name, secret_hash, generation, previous_hash, previous_until, scopes, route_groups, allowed_cidrs, rate_per_second, quota_limit, quota_per, binding, cert_thumbprint, metadata, updated_at, expires_at, search_name)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)`,
		append([]any{k.ID, k.ProjectID, k.FunctionID, number(k.ByPolicy), k.ServicePlanID, micros(k.CreatedAt), micros(k.RevokedAt)}, mutable(k)...)...)
	if err := db.keyConflict(err, k); err != nil {
		return err
	}
	return t.log(ctx, platform.ChangeKey, k.ID, k.CreatedAt)
}

// mutable is the columns of a key that may change, from display_name on.
func mutable(k platform.AccessKey) []any {
	scopes := make([]string, len(k.Scopes))
	for i, s := range k.Scopes {
		scopes[i] = string(s)
	}
	previous := ""
	if !k.PreviousUntil.IsZero() {
		previous = hex.EncodeToString(k.PreviousHash[:])
	}
	return []any{k.DisplayName, hex.EncodeToString(k.SecretHash[:]), k.Generation, previous, micros(k.PreviousUntil), strings.Join(scopes, " "), encode(orEmpty(k.Groups)),
		encode(orEmpty(k.AllowedCIDRs)), k.RatePerSecond, k.Quota.Limit, string(k.Quota.Per), string(k.Binding), k.CertThumbprint, encodeMap(k.Metadata), micros(k.UpdatedAt), micros(k.ExpiresAt), foldName(k.DisplayName)}
}

func (db *DB) keyConflict(err error, k platform.AccessKey) error {
	if constraint, ok := db.dialect.uniqueViolation(err); ok {
		if strings.Contains(constraint, "display_name") {
			return fault.New(fault.Conflict, fmt.Sprintf("a key named %q exists in this project", k.DisplayName)).WithCode("display_name_taken")
		}
		return fault.Wrap(err, fault.Conflict, "the key exists already").WithCode("key_exists")
	}
	if err != nil {
		return fmt.Errorf("write key %s: %w", k.ID, err)
	}
	return nil
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func encodeMap(m map[string]string) string {
	if m == nil {
		return "{}"
	}
	return encode(m)
}

// UpdateKey gives change the key of a project as it is and stores what change
// made of it, in one transaction: its name, secrets, limits and expiry; what a
// key is and whose stays. A key that is revoked is not found. When change
// returns an error nothing was done.
func (db *DB) UpdateKey(ctx context.Context, projectID, id string, at time.Time, change func(*platform.AccessKey) error) (k platform.AccessKey, seq int64, err error) {
	seq, err = db.update(ctx, func(t *tx) error {
		k, err = scanKey(t.QueryRowContext(ctx, `SELECT `+keyColumns+keyTables+`WHERE k.id = $1 AND k.project_id = $2 AND k.revoked_at = 0`, id, projectID))
		if err != nil {
			return err
		}
		if err := change(&k); err != nil {
			return err
		}
		k.UpdatedAt = fromMicros(micros(at))
		return db.writeKey(ctx, t, k)
	})
	return k, seq, err
}

// writeKey stores what may change of a key.
func (db *DB) writeKey(ctx context.Context, t *tx, k platform.AccessKey) error {
	_, err := t.ExecContext(ctx, `UPDATE access_keys SET display_name = $2, secret_hash = $3, generation = $4, previous_hash = $5, previous_until = $6, scopes = $7, route_groups = $8,
		allowed_cidrs = $9, rate_per_second = $10, quota_limit = $11, quota_per = $12, binding = $13, cert_thumbprint = $14, metadata = $15, updated_at = $16, expires_at = $17, search_name = $18 WHERE id = $1`,
		append([]any{k.ID}, mutable(k)...)...)
	if err := db.keyConflict(err, k); err != nil {
		return err
	}
	return t.log(ctx, platform.ChangeKey, k.ID, k.UpdatedAt)
}

// RecordUse writes when keys were used last.
func (db *DB) RecordUse(ctx context.Context, used map[string]platform.AccessKey) error {
	_, err := db.update(ctx, func(t *tx) error {
		for id, k := range used {
			_, err := t.ExecContext(ctx, `INSERT INTO key_usage (key_id, last_used_at, period_began, used) SELECT id, $2, 0, 0 FROM access_keys WHERE id = $1
				ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at`, id, micros(k.LastUsedAt))
			if err != nil {
				return fmt.Errorf("record the use of key %s: %w", id, err)
			}
		}
		return nil
	})
	return err
}

// Key returns a key of a project, revoked ones included.
func (db *DB) Key(ctx context.Context, projectID, id string) (platform.AccessKey, error) {
	return scanKey(db.read.QueryRowContext(ctx, `SELECT `+keyColumns+keyTables+`WHERE k.id = $1 AND k.project_id = $2`, id, projectID))
}

// KeyByID returns a key of any project, revoked ones included.
func (db *DB) KeyByID(ctx context.Context, id string) (platform.AccessKey, error) {
	return scanKey(db.read.QueryRowContext(ctx, `SELECT `+keyColumns+keyTables+`WHERE k.id = $1`, id))
}

// Keys lists up to limit keys of a project that are not revoked, with an ID
// after the given one: those that people made, and when asked those that
// functions were given too.
func (db *DB) Keys(ctx context.Context, projectID, after string, limit int, functions bool) ([]platform.AccessKey, error) {
	return db.FindKeys(ctx, projectID, platform.KeyQuery{After: after, Limit: limit, Functions: functions})
}

// RevokeKey ends a key of a project at the given time. Revoking a key that is
// revoked already changes nothing and returns seq 0.
func (db *DB) RevokeKey(ctx context.Context, projectID, id string, at time.Time) (seq int64, err error) {
	return db.update(ctx, func(t *tx) error {
		var revoked int64
		err := t.QueryRowContext(ctx, `SELECT revoked_at FROM access_keys WHERE id = $1 AND project_id = $2`, id, projectID).Scan(&revoked)
		if err != nil {
			return notFound(err, "access key")
		}
		if revoked != 0 {
			return nil
		}
		if _, err := t.ExecContext(ctx, `UPDATE access_keys SET revoked_at = $1 WHERE id = $2`, micros(at), id); err != nil {
			return fmt.Errorf("revoke key %s: %w", id, err)
		}
		return t.log(ctx, platform.ChangeKey, id, at)
	})
}

// eachKey calls f with every key that can be read, and tells in its error of
// those that cannot, when all others have been seen.
func (db *DB) eachKey(ctx context.Context, f func(platform.AccessKey) error, query string, args ...any) error {
	rows, err := db.read.QueryContext(ctx, query, args...)
	if err != nil {
		return failed("list keys", err)
	}
	defer rows.Close()
	var bad error
	for rows.Next() {
		k, err := scanKey(rows)
		if isUnreadable(err) {
			bad = errors.Join(bad, err)
			continue
		}
		if err == nil {
			err = f(k)
		}
		if err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil { // or half a list would count as all that can be read
		return failed("list keys", err)
	}
	return bad
}

// plainKey says that a key has nothing but a secret and scopes, as nearly all
// of a million have. Their other columns need not be read.
const plainKey = `k.function_id = '' AND k.service_plan_id = '' AND k.previous_hash = '' AND k.route_groups = '[]' AND k.allowed_cidrs = '[]' AND k.rate_per_second = 0
	AND k.quota_limit = 0 AND k.binding = '' AND k.cert_thumbprint = ''`

// eachPlainKey calls f with what a gateway needs of each live plain key.
func (db *DB) eachPlainKey(ctx context.Context, f func(platform.AccessKey) error, now int64) error {
	rows, err := db.read.QueryContext(ctx, `SELECT k.id, k.project_id, k.secret_hash, k.generation, k.scopes, k.expires_at FROM access_keys k
		WHERE `+plainKey+` AND k.revoked_at = 0 AND (k.expires_at = 0 OR k.expires_at > $1)`, now)
	if err != nil {
		return failed("list keys", err)
	}
	defer rows.Close()
	var bad error
	for rows.Next() {
		var k platform.AccessKey
		var hash, scopes sql.RawBytes
		var expires int64
		if err := rows.Scan(&k.ID, &k.ProjectID, &hash, &k.Generation, &scopes, &expires); err != nil {
			return failed("list keys", err)
		}
		if n, err := hex.Decode(k.SecretHash[:], hash); err != nil || n != len(k.SecretHash) {
			bad = errors.Join(bad, unreadable(k.ID, errHash))
			continue
		}
		k.Scopes, k.ExpiresAt = parseScopes(string(scopes)), fromMicros(expires)
		if err := f(k); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil { // or half a list would count as all that can be read
		return failed("list keys", err)
	}
	return bad
}

var errHash = errors.New("a hash does not parse")

func unreadable(id string, err error) error { return &platform.UnreadableError{ID: id, Err: err} }

func isUnreadable(err error) bool {
	_, ok := errors.AsType[*platform.UnreadableError](err)
	return ok
}

func parseScopes(text string) (out []platform.Scope) {
	for s := range strings.FieldsSeq(text) {
		out = append(out, platform.Scope(s))
	}
	return out
}

type scanner interface{ Scan(...any) error }

func scanKey(row scanner) (platform.AccessKey, error) {
	var k platform.AccessKey
	var hash, previous, scopes, groups, cidrs, metadata string
	var until, created, updated, expires, revoked, lastUsed, since, byPolicy int64
	err := row.Scan(&k.ID, &k.ProjectID, &k.DisplayName, &hash, &k.Generation, &previous, &until, &scopes, &k.FunctionID, &byPolicy, &k.ServicePlanID, &groups,
		&cidrs, &k.RatePerSecond, &k.Quota.Limit, &k.Quota.Per, &k.Binding, &k.CertThumbprint, &metadata, &created, &updated, &expires, &revoked,
		&lastUsed, &since, &k.Used.Count)
	if err != nil {
		return platform.AccessKey{}, notFound(err, "access key")
	}
	if n, err := hex.Decode(k.SecretHash[:], []byte(hash)); err != nil || n != len(k.SecretHash) {
		return platform.AccessKey{}, unreadable(k.ID, errHash)
	}
	if previous != "" {
		if n, err := hex.Decode(k.PreviousHash[:], []byte(previous)); err != nil || n != len(k.PreviousHash) {
			return platform.AccessKey{}, unreadable(k.ID, errHash)
		}
	}
	for _, column := range []struct {
		text, empty string
		into        any
	}{{groups, "[]", &k.Groups}, {cidrs, "[]", &k.AllowedCIDRs}, {metadata, "{}", &k.Metadata}} {
		if column.text == column.empty {
			continue
		}
		if err := json.Unmarshal([]byte(column.text), column.into); err != nil {
			// A list that cannot be read must not become "any".
			return platform.AccessKey{}, unreadable(k.ID, err)
		}
	}
	k.Scopes, k.ByPolicy = parseScopes(scopes), byPolicy != 0
	k.PreviousUntil, k.CreatedAt, k.UpdatedAt, k.ExpiresAt, k.RevokedAt = fromMicros(until), fromMicros(created), fromMicros(updated), fromMicros(expires), fromMicros(revoked)
	k.LastUsedAt, k.Used.Since = fromMicros(lastUsed), fromMicros(since)
	return k, nil
}
