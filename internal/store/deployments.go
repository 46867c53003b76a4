package store

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

const deploymentColumns = `d.id, d.function_id, f.project_id, d.number, d.artefact, d.runtime, d.declaration, d.handlers, d.variables, d.secret_names, d.visibility, d.key_id, d.sealed_key_secret, d.created_at, d.restored_from, d.active_at, d.ended_because`

// Deploy records a deployment and makes it the active one, or a candidate beside
// that, in one transaction: after a crash either all of it is there or nothing.
func (db *DB) Deploy(ctx context.Context, in platform.DeployInput) (out platform.DeployResult, err error) {
	at := in.Deployment.CreatedAt
	out.Seq, err = db.update(ctx, func(t *tx) error {
		f, err := db.upsertFunction(ctx, t, in.Function, at)
		if err != nil {
			return err
		}
		if f.ActiveDeploymentID != in.ExpectActive || f.CandidateID != "" && f.CandidateID != in.ExpectCandidate {
			return fault.New(fault.Conflict, "another deploy of this function was faster").WithCode("deploy_raced")
		}
		if now, err := policyNumber(ctx, t, f.ProjectID); err != nil || now != in.ExpectPolicy {
			return cmp.Or(err, error(fault.New(fault.Conflict, "the project's policy was changed during the deploy").WithCode("policy_raced")))
		}
		serves := "" // whose key lives on
		if in.Percent > 0 {
			serves = f.ActiveDeploymentID
		}
		if err := expireKeys(ctx, t, f.ID, serves, in.OldKeyExpiresAt, at); err != nil {
			return err
		}
		if err := db.insertKey(ctx, t, in.Key); err != nil {
			return err
		}
		d := in.Deployment
		if f.CandidateID, f.CandidatePercent = d.ID, in.Percent; in.Percent == 0 {
			f.ActiveDeploymentID, f.CandidateID, d.ActiveAt = d.ID, "", fromMicros(micros(at))
		}
		if err := insertDeployment(ctx, t, &d); err != nil {
			return err
		}
		if in.Secrets.Changes() {
			if err := changeSecrets(ctx, t, in.Secrets); err != nil {
				return err
			}
		}
		out.Deployment = d
		out.Function, err = t.shift(ctx, f, at)
		return err
	})
	return out, err
}

func insertDeployment(ctx context.Context, t *tx, d *platform.Deployment) error {
	err := t.QueryRowContext(ctx, `SELECT COALESCE(MAX(number), 0) + 1 FROM deployments WHERE function_id = $1`, d.FunctionID).Scan(&d.Number)
	if err == nil {
		_, err = t.ExecContext(ctx, `INSERT INTO deployments (id, function_id, number, artefact, runtime, declaration, handlers, variables, secret_names, visibility, key_id, sealed_key_secret, created_at, restored_from, active_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`, d.ID, d.FunctionID, d.Number, d.Artefact, d.Runtime, encode(d.Declaration), encode(d.Handlers),
			encode(d.Variables), encode(orEmpty(d.SecretNames)), string(d.Visibility), d.KeyID, base64.StdEncoding.EncodeToString(d.SealedKeySecret), micros(d.CreatedAt), d.RestoredFrom, micros(d.ActiveAt))
	}
	if err != nil {
		return fmt.Errorf("insert deployment %s: %w", d.ID, err)
	}
	return nil
}

// expireKeys gives the function's keys an end, but for that of one deployment.
func expireKeys(ctx context.Context, t *tx, functionID, serves string, expires, at time.Time) error {
	if expires.IsZero() {
		expires = at // zero is "never" in a row: it would revive keys that have ended
	}
	rows, err := t.QueryContext(ctx, `UPDATE access_keys SET expires_at = $1 WHERE function_id = $2 AND revoked_at = 0 AND (expires_at = 0 OR expires_at > $1)
		AND id NOT IN (SELECT key_id FROM deployments WHERE id = $3) RETURNING id`, micros(expires), functionID, serves)
	if err != nil {
		return fmt.Errorf("end the earlier keys of function %s: %w", functionID, err)
	}
	ids, err := scanStrings(rows)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := t.log(ctx, platform.ChangeKey, id, at); err != nil {
			return err
		}
	}
	return nil
}

// Deployment returns a deployment by its ID.
func (db *DB) Deployment(ctx context.Context, id string) (platform.Deployment, error) {
	return deploymentOf(ctx, db.read, id)
}

// Deployments lists the newest limit deployments of a function, newest first.
func (db *DB) Deployments(ctx context.Context, functionID string, limit int) ([]platform.Deployment, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT `+deploymentColumns+` FROM deployments d JOIN functions f ON f.id = d.function_id
		WHERE d.function_id = $1 ORDER BY d.number DESC LIMIT $2`, functionID, limit)
	if err != nil {
		return nil, failed("list deployments", err)
	}
	defer rows.Close()
	var out []platform.Deployment
	for rows.Next() {
		d, err := scanDeployment(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, failed("list deployments", rows.Err())
}

func scanDeployment(row scanner, before ...any) (platform.Deployment, error) {
	var d platform.Deployment
	var declaration, handlers, variables, names, sealed string
	var created, active int64
	err := row.Scan(append(before, &d.ID, &d.FunctionID, &d.ProjectID, &d.Number, &d.Artefact, &d.Runtime, &declaration, &handlers, &variables, &names, &d.Visibility, &d.KeyID, &sealed, &created, &d.RestoredFrom, &active, &d.EndedBecause)...)
	if err != nil {
		return platform.Deployment{}, notFound(err, "deployment")
	}
	for _, column := range []struct {
		text string
		into any
	}{{declaration, &d.Declaration}, {handlers, &d.Handlers}, {variables, &d.Variables}, {names, &d.SecretNames}} {
		if err := json.Unmarshal([]byte(column.text), column.into); err != nil {
			return platform.Deployment{}, unreadable(d.ID, err)
		}
	}
	if d.SealedKeySecret, err = base64.StdEncoding.DecodeString(sealed); err != nil {
		return platform.Deployment{}, unreadable(d.ID, err)
	}
	if len(d.SecretNames) == 0 {
		d.SecretNames = nil
	}
	d.CreatedAt, d.ActiveAt = fromMicros(created), fromMicros(active)
	return d, nil
}
