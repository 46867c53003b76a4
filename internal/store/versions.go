package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Promote gives a function's candidate another part of the calls, makes it the
// active one, or ends it, in one transaction. The result has the deployment that
// was the candidate.
func (db *DB) Promote(ctx context.Context, in platform.PromoteInput) (out platform.DeployResult, err error) {
	out.Seq, err = db.update(ctx, func(t *tx) error {
		f, err := scanFunction(t.QueryRowContext(ctx, `SELECT `+functionColumns+` FROM functions f WHERE f.id = $1`, in.FunctionID))
		if err != nil {
			return err
		}
		if in.ExpectCandidate == "" || f.ActiveDeploymentID != in.ExpectActive || f.CandidateID != in.ExpectCandidate {
			return fault.New(fault.Conflict, "the function's versions were changed meanwhile").WithCode("versions_raced")
		}
		serves := f.ActiveDeploymentID
		switch f.CandidatePercent = in.Percent; in.Percent {
		case 100:
			serves = f.CandidateID
			if _, err := t.ExecContext(ctx, `UPDATE deployments SET active_at = $1 WHERE id = $2`, micros(in.At), serves); err != nil {
				return fmt.Errorf("date deployment %s: %w", serves, err)
			}
			f.ActiveDeploymentID, f.CandidateID, f.CandidatePercent = serves, "", 0
		case 0:
			if _, err := t.ExecContext(ctx, `UPDATE deployments SET ended_because = $1 WHERE id = $2`, in.Because, f.CandidateID); err != nil {
				return fmt.Errorf("end deployment %s: %w", f.CandidateID, err)
			}
			f.CandidateID = ""
		}
		if f.CandidateID == "" {
			if err := expireKeys(ctx, t, f.ID, serves, in.OldKeyExpiresAt, in.At); err != nil {
				return err
			}
		}
		if out.Function, err = t.shift(ctx, f, in.At); err != nil {
			return err
		}
		out.Deployment, err = deploymentOf(ctx, t, in.ExpectCandidate)
		return err
	})
	return out, err
}

// Version returns a deployment of a function by its number.
func (db *DB) Version(ctx context.Context, functionID string, number int) (platform.Deployment, error) {
	return db.version(ctx, functionID, `d.number = $2`, number)
}

// VersionBefore returns the newest deployment of a function below a number that
// was the active one.
func (db *DB) VersionBefore(ctx context.Context, functionID string, number int) (platform.Deployment, error) {
	return db.version(ctx, functionID, `d.number < $2 AND d.active_at > 0`, number)
}

func (db *DB) version(ctx context.Context, functionID, which string, number int) (platform.Deployment, error) {
	d, err := scanDeployment(db.read.QueryRowContext(ctx, `SELECT `+deploymentColumns+` FROM deployments d JOIN functions f ON f.id = d.function_id
		WHERE d.function_id = $1 AND `+which+` ORDER BY d.number DESC LIMIT 1`, functionID, number))
	if fault.KindOf(err) == fault.NotFound {
		return d, fault.New(fault.NotFound, fmt.Sprintf("the function has no version %d", number)).WithCode("version_not_found")
	}
	return d, err
}

// shift writes which deployments of a function get calls, and tells of it.
func (t *tx) shift(ctx context.Context, f platform.Function, at time.Time) (platform.Function, error) {
	f.UpdatedAt = fromMicros(micros(at))
	_, err := t.ExecContext(ctx, `UPDATE functions SET active_deployment_id = $1, candidate_deployment_id = $2, candidate_percent = $3, updated_at = $4 WHERE id = $5`,
		f.ActiveDeploymentID, f.CandidateID, f.CandidatePercent, micros(at), f.ID)
	if err != nil {
		return f, fmt.Errorf("give the calls of function %s to its versions: %w", f.ID, err)
	}
	return f, t.log(ctx, platform.ChangeFunction, f.ID, at)
}

// querier is the database, or a transaction in it.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func deploymentOf(ctx context.Context, from querier, id string) (platform.Deployment, error) {
	return scanDeployment(from.QueryRowContext(ctx, `SELECT `+deploymentColumns+` FROM deployments d JOIN functions f ON f.id = d.function_id WHERE d.id = $1`, id))
}

// candidates adds to functions the deployments that get a part of their calls.
func candidates(ctx context.Context, from querier, fs []platform.ActiveFunction) error {
	for i := range fs {
		if err := addCandidate(ctx, from, &fs[i]); err != nil {
			return err
		}
	}
	return nil
}

// addCandidate adds to a function the deployment that gets a part of its calls. One
// that is gone by now, or cannot be read, gets none.
func addCandidate(ctx context.Context, from querier, f *platform.ActiveFunction) error {
	if f.Function.CandidateID == "" {
		return nil
	}
	d, err := deploymentOf(ctx, from, f.Function.CandidateID)
	if err == nil {
		f.Candidate = &d
	} else if fault.KindOf(err) != fault.NotFound && !isUnreadable(err) {
		return err
	}
	return nil
}
