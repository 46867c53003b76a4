package store

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

const keyColumns = `id, project_id, display_name, secret_hash, scopes, function_id, allowed_cidrs, rate_per_second, created_at, expires_at, revoked_at`

// CreateKey stores a new key. A display name that a live key of the project
// has is a Conflict with the code display_name_taken.
func (db *DB) CreateKey(ctx context.Context, k platform.AccessKey) (seq int64, err error) {
	return db.update(ctx, func(t *tx) error { return db.insertKey(ctx, t, k) })
}

func (db *DB) insertKey(ctx context.Context, t *tx, k platform.AccessKey) error {
	scopes := make([]string, len(k.Scopes))
	for i, s := range k.Scopes {
		scopes[i] = string(s)
	}
	cidrs := k.AllowedCIDRs
	if cidrs == nil {
		cidrs = []netip.Prefix{}
	}
	_, err := t.ExecContext(ctx, `INSERT INTO access_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		k.ID, k.ProjectID, k.DisplayName, hex.EncodeToString(k.SecretHash[:]), strings.Join(scopes, " "), k.FunctionID,
		encode(cidrs), k.RatePerSecond, micros(k.CreatedAt), micros(k.ExpiresAt), micros(k.RevokedAt))
	if constraint, ok := db.dialect.uniqueViolation(err); ok {
		if strings.Contains(constraint, "display_name") {
			return fault.New(fault.Conflict, fmt.Sprintf("a key named %q exists in this project", k.DisplayName)).WithCode("display_name_taken")
		}
		return fault.Wrap(err, fault.Conflict, "the key exists already")
	}
	if err != nil {
		return fmt.Errorf("insert key %s: %w", k.ID, err)
	}
	return t.log(ctx, platform.ChangeKey, k.ID, k.CreatedAt)
}

// Key returns a key of a project, revoked ones included.
func (db *DB) Key(ctx context.Context, projectID, id string) (platform.AccessKey, error) {
	return scanKey(db.read.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM access_keys WHERE id = $1 AND project_id = $2`, id, projectID))
}

// KeyByID returns a key of any project, revoked ones included.
func (db *DB) KeyByID(ctx context.Context, id string) (platform.AccessKey, error) {
	return scanKey(db.read.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM access_keys WHERE id = $1`, id))
}

// Keys lists up to limit keys of a project that people made and that are not
// revoked, with an ID after the given one.
func (db *DB) Keys(ctx context.Context, projectID, after string, limit int) ([]platform.AccessKey, error) {
	var out []platform.AccessKey
	err := db.eachKey(ctx, func(k platform.AccessKey) error { out = append(out, k); return nil },
		`SELECT `+keyColumns+` FROM access_keys WHERE project_id = $1 AND id > $2 AND revoked_at = 0 AND function_id = '' ORDER BY id LIMIT $3`, projectID, after, limit)
	return out, err
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

func (db *DB) eachKey(ctx context.Context, f func(platform.AccessKey) error, query string, args ...any) error {
	rows, err := db.read.QueryContext(ctx, query, args...)
	if err != nil {
		return failed("list keys", err)
	}
	defer rows.Close()
	for rows.Next() {
		k, err := scanKey(rows)
		if err == nil {
			err = f(k)
		}
		if err != nil {
			return err
		}
	}
	return failed("list keys", rows.Err())
}

type scanner interface{ Scan(...any) error }

func scanKey(row scanner) (platform.AccessKey, error) {
	var k platform.AccessKey
	var hash, scopes, cidrs string
	var created, expires, revoked int64
	err := row.Scan(&k.ID, &k.ProjectID, &k.DisplayName, &hash, &scopes, &k.FunctionID, &cidrs, &k.RatePerSecond, &created, &expires, &revoked)
	if err != nil {
		return platform.AccessKey{}, notFound(err, "access key")
	}
	if n, err := hex.Decode(k.SecretHash[:], []byte(hash)); err != nil || n != len(k.SecretHash) {
		return platform.AccessKey{}, fmt.Errorf("key %s: its hash does not parse", k.ID)
	}
	if cidrs != "[]" {
		if err := json.Unmarshal([]byte(cidrs), &k.AllowedCIDRs); err != nil {
			// An address list that cannot be read must not become "any address".
			return platform.AccessKey{}, fmt.Errorf("key %s: its addresses do not parse: %w", k.ID, err)
		}
	}
	for s := range strings.FieldsSeq(scopes) {
		k.Scopes = append(k.Scopes, platform.Scope(s))
	}
	k.CreatedAt, k.ExpiresAt, k.RevokedAt = fromMicros(created), fromMicros(expires), fromMicros(revoked)
	return k, nil
}
