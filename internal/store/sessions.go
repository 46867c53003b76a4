package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"postern.dev/postern/internal/platform"
)

const sessionColumns = `hash, id, owner_id, project_id, generation, half, remote, agent, created_at, seen_at, idle_at, expires_at`

// CreateSession stores a sign-in. Of one owner the newest keep are left, and as
// many that wait for a code: who knows a password can sign in without end, and
// must not end those who showed the code as well.
func (db *DB) CreateSession(ctx context.Context, s platform.Session, keep int) error {
	_, err := db.update(ctx, func(t *tx) error {
		_, err := t.ExecContext(ctx, `INSERT INTO sessions (`+sessionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`, hex.EncodeToString(s.Hash[:]), s.ID, s.OwnerID, s.ProjectID,
			s.Generation, number(s.Half), s.Remote, s.Agent, micros(s.CreatedAt), micros(s.SeenAt), micros(s.IdleAt), micros(s.ExpiresAt))
		if err == nil {
			_, err = t.ExecContext(ctx, `DELETE FROM sessions WHERE owner_id = $1 AND half = $3 AND id NOT IN (SELECT id FROM sessions WHERE owner_id = $1 AND half = $3 ORDER BY id DESC LIMIT $2)`, s.OwnerID, keep, number(s.Half))
		}
		if err != nil {
			return fmt.Errorf("store a session of %s: %w", s.OwnerID, err)
		}
		return nil
	})
	return err
}

// Session returns the session of a cookie's hash, whether it has ended by itself
// or not.
func (db *DB) Session(ctx context.Context, hash [sha256.Size]byte) (platform.Session, error) {
	return scanSession(db.read.QueryRowContext(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE hash = $1`, hex.EncodeToString(hash[:])))
}

// Sessions lists those of an owner that have not ended by a time, newest first.
func (db *DB) Sessions(ctx context.Context, ownerID string, now time.Time) ([]platform.Session, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE owner_id = $1 AND idle_at > $2 AND expires_at > $2 ORDER BY id DESC`, ownerID, micros(now))
	if err != nil {
		return nil, failed("list sessions", err)
	}
	defer rows.Close()
	var out []platform.Session
	for rows.Next() {
		s, err := scanSession(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, failed("list sessions", rows.Err())
}

// SeeSession notes that a session was used at a time, and when it ends if it is
// not used again. One that was ended meanwhile stays so.
func (db *DB) SeeSession(ctx context.Context, id string, at, idle time.Time) error {
	_, err := db.update(ctx, func(t *tx) error {
		if _, err := t.ExecContext(ctx, `UPDATE sessions SET seen_at = $2, idle_at = $3 WHERE id = $1 AND seen_at < $2`, id, micros(at), micros(idle)); err != nil {
			return fmt.Errorf("see session %s: %w", id, err)
		}
		return nil
	})
	return err
}

// EndSession ends one session of an owner; one that is not there has ended.
func (db *DB) EndSession(ctx context.Context, ownerID, id string) error {
	return db.endSessions(ctx, `owner_id = $1 AND id = $2`, ownerID, id)
}

// EndOtherSessions ends all of an owner but one; without an ID all.
func (db *DB) EndOtherSessions(ctx context.Context, ownerID, but string) error {
	return db.endSessions(ctx, `owner_id = $1 AND id <> $2`, ownerID, but)
}

func (db *DB) endSessions(ctx context.Context, where string, args ...any) error {
	_, err := db.update(ctx, func(t *tx) error {
		if _, err := t.ExecContext(ctx, `DELETE FROM sessions WHERE `+where, args...); err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
		return nil
	})
	return err
}

// PruneSessions removes what ended by itself some time ago: of nodes whose
// clocks differ, none must end for all what lives for another.
func (db *DB) PruneSessions(ctx context.Context, now time.Time) error {
	return db.endSessions(ctx, `idle_at <= $1 OR expires_at <= $1`, micros(now.Add(-keepEnded)))
}

func scanSession(row scanner) (platform.Session, error) {
	var s platform.Session
	var hash string
	var half int
	var created, seen, idle, expires int64
	err := row.Scan(&hash, &s.ID, &s.OwnerID, &s.ProjectID, &s.Generation, &half, &s.Remote, &s.Agent, &created, &seen, &idle, &expires)
	if err != nil {
		return platform.Session{}, notFound(err, "session")
	}
	if s.Hash, err = decodeHash(hash); err != nil {
		return platform.Session{}, fmt.Errorf("read session %s: %w", s.ID, err)
	}
	s.Half, s.CreatedAt, s.SeenAt, s.IdleAt, s.ExpiresAt = half != 0, fromMicros(created), fromMicros(seen), fromMicros(idle), fromMicros(expires)
	return s, nil
}
