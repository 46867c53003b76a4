package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

const userColumns = `id, project_id, name, password, generation, totp, totp_step, recovery, created_at, updated_at, signed_in_at, deleted_at`

// CreateUser stores a new user; their project must be there. A name that a user
// has is a Conflict with the code user_name_taken. As the first one it is a
// Conflict with the code setup_done where a user was ever made: of several that
// try at once, one is.
func (db *DB) CreateUser(ctx context.Context, u platform.User, first bool) error {
	_, err := db.update(ctx, func(t *tx) error {
		if _, err := scanProject(t.QueryRowContext(ctx, `SELECT `+projectColumns+` FROM projects WHERE id = $1 AND deleted_at = 0`, u.ProjectID)); err != nil {
			return err
		}
		var ever int
		if err := t.QueryRowContext(ctx, `SELECT COUNT(*) FROM users`).Scan(&ever); err != nil {
			return fmt.Errorf("count users: %w", err)
		}
		if first && ever > 0 {
			return fault.New(fault.Conflict, "the first user was made already").WithCode("setup_done")
		}
		_, err := t.ExecContext(ctx, `INSERT INTO users (`+userColumns+`) VALUES ($1, $2, $3, $4, 1, $5, 0, '', $6, $6, 0, 0)`,
			u.ID, u.ProjectID, u.Name, u.Password, base64.StdEncoding.EncodeToString(u.TOTP), micros(u.CreatedAt))
		return db.userConflict(err, u)
	})
	return err
}

func (db *DB) userConflict(err error, u platform.User) error {
	if constraint, ok := db.dialect.uniqueViolation(err); ok && strings.Contains(constraint, "name") {
		return fault.New(fault.Conflict, fmt.Sprintf("a user named %q exists", u.Name)).WithCode("user_name_taken")
	}
	if err != nil {
		return fmt.Errorf("write user %s: %w", u.ID, err)
	}
	return nil
}

// EverUser reports whether a user was ever made, removed ones included.
func (db *DB) EverUser(ctx context.Context) (bool, error) {
	var n int
	err := db.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM users LIMIT 1) AS one`).Scan(&n)
	return n > 0, failed("look for a user", err)
}

// User returns a user of a project; one that was removed is not found.
func (db *DB) User(ctx context.Context, projectID, id string) (platform.User, error) {
	return scanUser(db.read.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1 AND project_id = $2 AND deleted_at = 0`, id, projectID))
}

// UserByName returns the user with a name, of whichever project.
func (db *DB) UserByName(ctx context.Context, name string) (platform.User, error) {
	return scanUser(db.read.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE name = $1 AND deleted_at = 0`, name))
}

// Users lists up to limit users of a project with an ID after the given one.
func (db *DB) Users(ctx context.Context, projectID, after string, limit int) ([]platform.User, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT `+userColumns+` FROM users WHERE project_id = $1 AND id > $2 AND deleted_at = 0 ORDER BY id LIMIT $3`, projectID, after, limit)
	if err != nil {
		return nil, failed("list users", err)
	}
	defer rows.Close()
	var out []platform.User
	for rows.Next() {
		u, err := scanUser(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, failed("list users", rows.Err())
}

// UpdateUser gives change a user as they are and stores what change made of
// them, but for whose they are and their name. The sessions of a generation that
// is not theirs any more end with it. When change returns an error nothing was
// done.
func (db *DB) UpdateUser(ctx context.Context, projectID, id string, at time.Time, change func(*platform.User) error) (u platform.User, err error) {
	_, err = db.update(ctx, func(t *tx) error {
		u, err = scanUser(t.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1 AND project_id = $2 AND deleted_at = 0`, id, projectID))
		if err != nil {
			return err
		}
		if err := change(&u); err != nil {
			return err
		}
		u.UpdatedAt = fromMicros(micros(at))
		_, err := t.ExecContext(ctx, `UPDATE users SET password = $2, generation = $3, totp = $4, totp_step = $5, recovery = $6, updated_at = $7, signed_in_at = $8 WHERE id = $1`, u.ID, u.Password, u.Generation,
			base64.StdEncoding.EncodeToString(u.TOTP), u.TOTPStep, encodeHashes(u.Recovery), micros(u.UpdatedAt), micros(u.SignedInAt))
		if err != nil {
			return fmt.Errorf("update user %s: %w", id, err)
		}
		if _, err := t.ExecContext(ctx, `DELETE FROM sessions WHERE owner_id = $1 AND generation <> $2`, u.ID, u.Generation); err != nil {
			return fmt.Errorf("end the sessions of user %s: %w", id, err)
		}
		return nil
	})
	return u, err
}

// DeleteUser removes a user and ends their sessions. Nothing that opens anything
// is left of them.
func (db *DB) DeleteUser(ctx context.Context, projectID, id string, at time.Time) error {
	_, err := db.update(ctx, func(t *tx) error {
		if _, err := scanUser(t.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1 AND project_id = $2 AND deleted_at = 0`, id, projectID)); err != nil {
			return err
		}
		return endUsers(ctx, t, `id`, id, at)
	})
	return err
}

// endUsers removes the users whose column has a value.
func endUsers(ctx context.Context, t *tx, column, value string, at time.Time) error {
	if _, err := t.ExecContext(ctx, `DELETE FROM sessions WHERE owner_id IN (SELECT id FROM users WHERE `+column+` = $1)`, value); err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	_, err := t.ExecContext(ctx, `UPDATE users SET deleted_at = $2, updated_at = $2, password = '', totp = '', recovery = '' WHERE `+column+` = $1 AND deleted_at = 0`, value, micros(at))
	if err != nil {
		return fmt.Errorf("remove users: %w", err)
	}
	return nil
}

func scanUser(row scanner) (platform.User, error) {
	var u platform.User
	var totp, recovery string
	var created, updated, signedIn, deleted int64
	err := row.Scan(&u.ID, &u.ProjectID, &u.Name, &u.Password, &u.Generation, &totp, &u.TOTPStep, &recovery, &created, &updated, &signedIn, &deleted)
	if err != nil {
		return platform.User{}, notFound(err, "user")
	}
	if totp != "" {
		u.TOTP, err = base64.StdEncoding.DecodeString(totp)
	}
	if err == nil {
		u.Recovery, err = decodeHashes(recovery)
	}
	if err != nil {
		return platform.User{}, fmt.Errorf("read user %s: %w", u.ID, err)
	}
	u.CreatedAt, u.UpdatedAt, u.SignedInAt, u.DeletedAt = fromMicros(created), fromMicros(updated), fromMicros(signedIn), fromMicros(deleted)
	return u, nil
}

func encodeHashes(list [][sha256.Size]byte) string {
	texts := make([]string, len(list))
	for i, h := range list {
		texts[i] = hex.EncodeToString(h[:])
	}
	return strings.Join(texts, " ")
}

func decodeHashes(text string) (list [][sha256.Size]byte, err error) {
	for t := range strings.FieldsSeq(text) {
		h, err := decodeHash(t)
		if err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, nil
}

func decodeHash(text string) (h [sha256.Size]byte, err error) {
	if len(text) != 2*len(h) {
		return h, errHash
	}
	if _, err := hex.Decode(h[:], []byte(text)); err != nil {
		return h, errHash
	}
	return h, nil
}
