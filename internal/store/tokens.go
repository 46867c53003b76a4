package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"postern.dev/postern/internal/platform"
)

const signingColumns = `kid, algorithm, public, sealed, created_at, active_at, expires_at`

// SigningKeys lists the signing keys that have not expired at a time, oldest
// first. Those that cannot be read are left out, and told of by a
// platform.UnreadableError beside the others.
func (db *DB) SigningKeys(ctx context.Context, now time.Time) ([]platform.SigningKey, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT `+signingColumns+` FROM signing_keys WHERE expires_at = 0 OR expires_at > $1 ORDER BY active_at, kid`, micros(now))
	if err != nil {
		return nil, failed("list signing keys", err)
	}
	defer rows.Close()
	var out []platform.SigningKey
	var bad error
	for rows.Next() {
		var k platform.SigningKey
		var public, sealed string
		var created, active, expires int64
		if err := rows.Scan(&k.KID, &k.Algorithm, &public, &sealed, &created, &active, &expires); err != nil {
			return nil, failed("list signing keys", err)
		}
		if k.Public, err = base64.StdEncoding.DecodeString(public); err == nil {
			k.Sealed, err = base64.StdEncoding.DecodeString(sealed)
		}
		if err != nil {
			bad = errors.Join(bad, unreadable(k.KID, err))
			continue
		}
		k.CreatedAt, k.ActiveAt, k.ExpiresAt = fromMicros(created), fromMicros(active), fromMicros(expires)
		out = append(out, k)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("list signing keys", err)
	}
	return out, bad
}

// AddSigningKey stores a signing key that replaces the newest one, which
// expires at replacedExpires. It does so only if the newest is the one that the
// caller knows, or there is none and newest is empty: of several nodes that
// rotate at once, one does, and the others get seq 0.
func (db *DB) AddSigningKey(ctx context.Context, k platform.SigningKey, newest string, replacedExpires time.Time) (seq int64, err error) {
	return db.update(ctx, func(t *tx) error {
		rows, err := t.QueryContext(ctx, `SELECT kid FROM signing_keys WHERE expires_at = 0`)
		if err != nil {
			return fmt.Errorf("read the newest signing key: %w", err)
		}
		have, err := scanStrings(rows)
		if err != nil {
			return err
		}
		if len(have) > 1 || len(have) == 1 && have[0] != newest || len(have) == 0 && newest != "" {
			return nil
		}
		if newest != "" {
			if _, err := t.ExecContext(ctx, `UPDATE signing_keys SET expires_at = $2 WHERE kid = $1`, newest, micros(replacedExpires)); err != nil {
				return fmt.Errorf("expire signing key %s: %w", newest, err)
			}
		}
		_, err = t.ExecContext(ctx, `INSERT INTO signing_keys (`+signingColumns+`) VALUES ($1, $2, $3, $4, $5, $6, 0)`, k.KID, k.Algorithm,
			base64.StdEncoding.EncodeToString(k.Public), base64.StdEncoding.EncodeToString(k.Sealed), micros(k.CreatedAt), micros(k.ActiveAt))
		if err != nil {
			return fmt.Errorf("insert signing key %s: %w", k.KID, err)
		}
		return t.log(ctx, platform.ChangeSigning, k.KID, k.CreatedAt)
	})
}

// RevokeToken ends one access token. Revoking it again changes nothing.
func (db *DB) RevokeToken(ctx context.Context, r platform.RevokedToken, at time.Time) (seq int64, err error) {
	return db.update(ctx, func(t *tx) error {
		done, err := t.ExecContext(ctx, `INSERT INTO revoked_tokens (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`, r.ID, micros(r.ExpiresAt))
		if err != nil {
			return fmt.Errorf("revoke token: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return t.log(ctx, platform.ChangeToken, r.ID, at)
	})
}

// RevokedTokens lists the tokens that were revoked and have not expired at a
// time: one of them when an ID is given, else all.
func (db *DB) RevokedTokens(ctx context.Context, id string, now time.Time) ([]platform.RevokedToken, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT id, expires_at FROM revoked_tokens WHERE expires_at > $1 AND ($2 = '' OR id = $2)`, micros(now), id)
	if err != nil {
		return nil, failed("list revoked tokens", err)
	}
	defer rows.Close()
	var out []platform.RevokedToken
	for rows.Next() {
		var r platform.RevokedToken
		var expires int64
		if err := rows.Scan(&r.ID, &expires); err != nil {
			return nil, failed("list revoked tokens", err)
		}
		r.ExpiresAt = fromMicros(expires)
		out = append(out, r)
	}
	return out, failed("list revoked tokens", rows.Err())
}

// keepEnded is how long the rows of tokens and signing keys stay after their
// end. Any node prunes for all, and its clock may be ahead of the others': to
// them a token that it forgets would not have been revoked.
const keepEnded = 24 * time.Hour

// pruneTokens removes what expired some time ago.
func (db *DB) pruneTokens(ctx context.Context, now time.Time) error {
	_, err := db.update(ctx, func(t *tx) error {
		for _, table := range []string{"revoked_tokens", "signing_keys"} {
			if _, err := t.ExecContext(ctx, `DELETE FROM `+table+` WHERE expires_at <> 0 AND expires_at <= $1`, micros(now.Add(-keepEnded))); err != nil {
				return fmt.Errorf("prune %s: %w", table, err)
			}
		}
		return nil
	})
	return err
}
