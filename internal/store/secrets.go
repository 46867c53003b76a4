package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Secrets lists the secrets of a function, or of a project that shares them, by
// name.
func (db *DB) Secrets(ctx context.Context, ownerID string) ([]platform.Secret, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT name, version, created_at, updated_at, updated_by FROM secrets WHERE owner_id = $1 AND sealed <> '' ORDER BY name`, ownerID)
	if err != nil {
		return nil, failed("list secrets", err)
	}
	defer rows.Close()
	var out []platform.Secret
	for rows.Next() {
		s := platform.Secret{OwnerID: ownerID}
		var created, updated int64
		if err := rows.Scan(&s.Name, &s.Version, &created, &updated, &s.UpdatedBy); err != nil {
			return nil, failed("list secrets", err)
		}
		s.CreatedAt, s.UpdatedAt = fromMicros(created), fromMicros(updated)
		out = append(out, s)
	}
	return out, failed("list secrets", rows.Err())
}

const sealedQuery = `SELECT k.owner_id, k.id, k.keeper, k.sealed, k.created_at, COALESCE(s.name, ''), COALESCE(s.version, 0), COALESCE(s.sealed, ''), COALESCE(s.created_at, 0), COALESCE(s.updated_at, 0), COALESCE(s.updated_by, '')
	FROM data_keys k LEFT JOIN secrets s ON s.owner_id = k.owner_id `

// SealedSecrets returns what is sealed of each of some owners, as it was at one
// moment; an owner that never had a secret is left out. Without owners it
// returns all that there are. What was removed is among them.
func (db *DB) SealedSecrets(ctx context.Context, owners ...string) ([]platform.SealedSecrets, error) {
	where, args := "", make([]any, len(owners))
	for i, id := range owners {
		args[i] = id
		where += fmt.Sprintf(", $%d", i+1)
	}
	if where != "" {
		where = "WHERE k.owner_id IN (" + where[2:] + ") "
	}
	rows, err := db.read.QueryContext(ctx, sealedQuery+where+`ORDER BY k.owner_id, s.name`, args...)
	if err != nil {
		return nil, failed("read what is sealed", err)
	}
	return scanSealed(rows)
}

func scanSealed(rows *sql.Rows) (out []platform.SealedSecrets, _ error) {
	defer rows.Close()
	for rows.Next() {
		var k platform.DataKey
		var s platform.SealedSecret
		var key, sealed string
		var made, created, updated int64
		if err := rows.Scan(&k.OwnerID, &k.ID, &k.Keeper, &key, &made, &s.Name, &s.Version, &sealed, &created, &updated, &s.UpdatedBy); err != nil {
			return nil, failed("read what is sealed", err)
		}
		if n := len(out); n == 0 || out[n-1].Key.OwnerID != k.OwnerID {
			k.Sealed, k.CreatedAt = sealedBytes(key), fromMicros(made)
			out = append(out, platform.SealedSecrets{Key: k})
		}
		if s.Name == "" {
			continue
		}
		s.OwnerID, s.Sealed, s.CreatedAt, s.UpdatedAt = k.OwnerID, sealedBytes(sealed), fromMicros(created), fromMicros(updated)
		last := &out[len(out)-1]
		last.Secrets = append(last.Secrets, s)
	}
	return out, failed("read what is sealed", rows.Err())
}

// sealedBytes reads what is sealed. What is damaged opens never, like anything that
// somebody else sealed; to refuse to read it would be to keep all others waiting who
// are read with it, and the changes behind it.
func sealedBytes(text string) []byte {
	if out, err := base64.StdEncoding.DecodeString(text); err == nil {
		return out
	}
	return []byte(text)
}

// errSecretsRaced says that what a change was made for is not so any more.
var errSecretsRaced = fault.New(fault.Conflict, "the secrets were changed meanwhile").WithCode("secrets_raced").WithHint("try again")

// ChangeSecrets sets and removes secrets in one transaction. It is a Conflict
// with the code secrets_raced when others were faster, and NotFound when the
// owner is gone.
func (db *DB) ChangeSecrets(ctx context.Context, in platform.SecretInput) (seq int64, err error) {
	return db.update(ctx, func(t *tx) error { return changeSecrets(ctx, t, in) })
}

func changeSecrets(ctx context.Context, t *tx, in platform.SecretInput) error {
	if err := ownerThere(ctx, t, in.OwnerID); err != nil {
		return err
	}
	key, err := dataKeyID(ctx, t, in.OwnerID)
	if err != nil {
		return err
	}
	if key != in.ExpectKey {
		return errSecretsRaced
	}
	if key == "" {
		if err := insertDataKey(ctx, t, in.Key); err != nil {
			return err
		}
	}
	for _, s := range in.Set {
		done, err := t.ExecContext(ctx, `INSERT INTO secrets (owner_id, name, version, sealed, created_at, updated_at, updated_by) VALUES ($1, $2, $3, $4, $5, $5, $6)
			ON CONFLICT (owner_id, name) DO UPDATE SET version = excluded.version, sealed = excluded.sealed, updated_at = excluded.updated_at, updated_by = excluded.updated_by,
			created_at = CASE WHEN secrets.sealed = '' THEN excluded.created_at ELSE secrets.created_at END WHERE secrets.version = excluded.version - 1`,
			in.OwnerID, s.Name, s.Version, base64.StdEncoding.EncodeToString(s.Sealed), micros(in.At), in.By)
		if err := changedOne(done, err, "set the secret "+s.Name); err != nil {
			return err
		}
	}
	for _, name := range in.Remove {
		if _, err := t.ExecContext(ctx, `UPDATE secrets SET sealed = '', updated_at = $3, updated_by = $4 WHERE owner_id = $1 AND name = $2 AND sealed <> ''`, in.OwnerID, name, micros(in.At), in.By); err != nil {
			return fmt.Errorf("remove the secret %s: %w", name, err)
		}
	}
	return t.log(ctx, platform.ChangeSecret, in.OwnerID, in.At)
}

// changedOne makes a statement that changed no row the loss of a race.
func changedOne(done sql.Result, err error, doing string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return errSecretsRaced
	}
	return nil
}

// ownerThere looks for the function, or the project, with an ID: secrets that
// came after its end would be nobody's.
func ownerThere(ctx context.Context, t *tx, id string) error {
	var there int
	err := t.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM functions WHERE id = $1) + (SELECT COUNT(*) FROM projects WHERE id = $1 AND deleted_at = 0)`, id).Scan(&there)
	if err != nil {
		return fmt.Errorf("look for the owner of secrets: %w", err)
	}
	if there == 0 {
		return fault.New(fault.NotFound, "whose secrets these are is gone").WithCode("function_not_found")
	}
	return nil
}

func dataKeyID(ctx context.Context, t *tx, ownerID string) (id string, err error) {
	if err := ignoreNone(t.QueryRowContext(ctx, `SELECT id FROM data_keys WHERE owner_id = $1`, ownerID).Scan(&id)); err != nil {
		return "", fmt.Errorf("read the data key of %s: %w", ownerID, err)
	}
	return id, nil
}

func insertDataKey(ctx context.Context, t *tx, k platform.DataKey) error {
	_, err := t.ExecContext(ctx, `INSERT INTO data_keys (owner_id, id, keeper, sealed, created_at) VALUES ($1, $2, $3, $4, $5)`,
		k.OwnerID, k.ID, k.Keeper, base64.StdEncoding.EncodeToString(k.Sealed), micros(k.CreatedAt))
	if err != nil {
		return fmt.Errorf("insert the data key of %s: %w", k.OwnerID, err)
	}
	return nil
}

// RotateDataKey puts a new data key in the place of that with the ID expect,
// with all that was sealed under it sealed anew, in one transaction. Anything
// that was changed since it was read makes it a Conflict with the code
// secrets_raced.
func (db *DB) RotateDataKey(ctx context.Context, expect string, anew platform.SealedSecrets, at time.Time) (seq int64, err error) {
	k := anew.Key
	return db.update(ctx, func(t *tx) error {
		done, err := t.ExecContext(ctx, `UPDATE data_keys SET id = $3, keeper = $4, sealed = $5, created_at = $6 WHERE owner_id = $1 AND id = $2`,
			k.OwnerID, expect, k.ID, k.Keeper, base64.StdEncoding.EncodeToString(k.Sealed), micros(k.CreatedAt))
		if err := changedOne(done, err, "replace the data key of "+k.OwnerID); err != nil {
			return err
		}
		var there int
		if err := t.QueryRowContext(ctx, `SELECT COUNT(*) FROM secrets WHERE owner_id = $1 AND sealed <> ''`, k.OwnerID).Scan(&there); err != nil {
			return fmt.Errorf("count the secrets of %s: %w", k.OwnerID, err)
		}
		for _, s := range anew.Secrets {
			if len(s.Sealed) == 0 {
				continue
			}
			there--
			done, err := t.ExecContext(ctx, `UPDATE secrets SET sealed = $4 WHERE owner_id = $1 AND name = $2 AND version = $3 AND sealed <> ''`,
				k.OwnerID, s.Name, s.Version, base64.StdEncoding.EncodeToString(s.Sealed))
			if err := changedOne(done, err, "seal the secret "+s.Name); err != nil {
				return err
			}
		}
		if there != 0 { // one came meanwhile, and is sealed under what is gone
			return errSecretsRaced
		}
		return t.log(ctx, platform.ChangeSecret, k.OwnerID, at)
	})
}

// DataKeysBut returns up to limit data keys that were sealed by another keeper
// than that of a name.
func (db *DB) DataKeysBut(ctx context.Context, keeper string, limit int) (out []platform.DataKey, err error) {
	rows, err := db.read.QueryContext(ctx, `SELECT owner_id, id, keeper, sealed, created_at FROM data_keys WHERE keeper <> $1 ORDER BY owner_id LIMIT $2`, keeper, limit)
	if err != nil {
		return nil, failed("list data keys", err)
	}
	defer rows.Close()
	for rows.Next() {
		var k platform.DataKey
		var sealed string
		var at int64
		if err := rows.Scan(&k.OwnerID, &k.ID, &k.Keeper, &sealed, &at); err != nil {
			return nil, failed("list data keys", err)
		}
		k.Sealed, k.CreatedAt = sealedBytes(sealed), fromMicros(at)
		out = append(out, k)
	}
	return out, failed("list data keys", rows.Err())
}

// ResealDataKey stores a data key as another keeper sealed it. One that is gone,
// or that somebody else was faster with, is passed over.
func (db *DB) ResealDataKey(ctx context.Context, k platform.DataKey, before string) error {
	_, err := db.update(ctx, func(t *tx) error {
		_, err := t.ExecContext(ctx, `UPDATE data_keys SET keeper = $4, sealed = $5 WHERE owner_id = $1 AND id = $2 AND keeper = $3`,
			k.OwnerID, k.ID, before, k.Keeper, base64.StdEncoding.EncodeToString(k.Sealed))
		if err != nil {
			return fmt.Errorf("seal the data key of %s anew: %w", k.OwnerID, err)
		}
		return t.log(ctx, platform.ChangeSecret, k.OwnerID, time.Now())
	})
	return err
}

// SecretOwners lists who of a project has a data key: the project itself, and
// its functions.
func (db *DB) SecretOwners(ctx context.Context, projectID string) ([]string, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT owner_id FROM data_keys WHERE owner_id = $1 OR owner_id IN (SELECT id FROM functions WHERE project_id = $1) ORDER BY owner_id`, projectID)
	if err != nil {
		return nil, failed("list owners of secrets", err)
	}
	return scanStrings(rows)
}

// forgetSecrets removes the secrets of an owner that ends, and the key without
// which none of their copies opens.
func forgetSecrets(ctx context.Context, t *tx, ownerID string) error {
	for _, table := range []string{"secrets", "data_keys"} {
		if _, err := t.ExecContext(ctx, `DELETE FROM `+table+` WHERE owner_id = $1`, ownerID); err != nil {
			return fmt.Errorf("forget the secrets of %s: %w", ownerID, err)
		}
	}
	return nil
}
