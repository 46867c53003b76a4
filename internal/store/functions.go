package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

const functionColumns = `f.id, f.project_id, f.name, f.slug, f.active_deployment_id, f.candidate_deployment_id, f.candidate_percent, f.created_at, f.updated_at`

// Function returns a function of a project by its name.
func (db *DB) Function(ctx context.Context, projectID, name string) (platform.Function, error) {
	return scanFunction(db.read.QueryRowContext(ctx, `SELECT `+functionColumns+` FROM functions f WHERE f.project_id = $1 AND f.name = $2`, projectID, name))
}

// FunctionByID returns a function of a project by its ID.
func (db *DB) FunctionByID(ctx context.Context, projectID, id string) (platform.Function, error) {
	return scanFunction(db.read.QueryRowContext(ctx, `SELECT `+functionColumns+` FROM functions f WHERE f.project_id = $1 AND f.id = $2`, projectID, id))
}

// FindFunctions lists functions of a project that have a text in their name or slug, whatever its
// case, or that have an ID which begins with it, prefix included: up to limit with a
// name after the given one, with what of them serves.
func (db *DB) FindFunctions(ctx context.Context, projectID, text, after string, limit int) (out []platform.ListedFunction, err error) {
	where, args := db.functionFilter(projectID, text)
	if where == "" {
		return nil, nil
	}
	rows, err := db.read.QueryContext(ctx, `SELECT (SELECT MAX(n.number) FROM deployments n WHERE n.function_id = f.id), `+activeColumns+activeTables+` WHERE `+where+` AND f.name > $3 ORDER BY f.name LIMIT $4`, append(args, after, limit)...)
	if err != nil {
		return nil, failed("list functions", err)
	}
	defer rows.Close()
	for rows.Next() {
		var f platform.ListedFunction
		if f.Function, f.Deployment, err = scanActive(rows, &f.Newest); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("list functions", err)
	}
	for i := range out {
		if err := addCandidate(ctx, db.read, &out[i].ActiveFunction); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// CountFunctions counts the functions that FindFunctions lists on all pages, up
// to a number.
func (db *DB) CountFunctions(ctx context.Context, projectID, text string, most int) (n int, err error) {
	where, args := db.functionFilter(projectID, text)
	if where == "" {
		return 0, nil
	}
	err = db.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT f.id FROM functions f WHERE `+where+` LIMIT $3) AS found`, append(args, most)...).Scan(&n)
	return n, failed("count functions", err)
}

// functionFilter is the condition of a search on functions f, whose arguments
// are $1 and $2; empty where nothing can meet it.
func (db *DB) functionFilter(projectID, text string) (where string, args []any) {
	if !searchable(text) {
		return "", nil
	}
	text = strings.ToLower(text) // names are of ASCII
	found := db.dialect.position("f.name", "$2") + ` > 0 OR ` + db.dialect.position("f.slug", "$2") + ` > 0`
	if strings.HasPrefix(text, "fn-") {
		found += ` OR ` + db.dialect.position("f.id", "$2") + ` = 1`
	}
	return `f.project_id = $1 AND ($2 = '' OR ` + found + `)`, []any{projectID, text}
}

// DeleteFunction removes a function, its deployments, its secrets and what its
// storage's keys lead to, and revokes the access keys that it was given. What it returns is the function as it was.
func (db *DB) DeleteFunction(ctx context.Context, projectID, name string, at time.Time) (f platform.Function, seq int64, err error) {
	seq, err = db.update(ctx, func(t *tx) error {
		f, err = scanFunction(t.QueryRowContext(ctx, `SELECT `+functionColumns+` FROM functions f WHERE f.project_id = $1 AND f.name = $2`, projectID, name))
		if err != nil {
			return err
		}
		if err := endKeys(ctx, t, `function_id`, f.ID, at); err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, `DELETE FROM functions WHERE id = $1`, f.ID); err != nil {
			return fmt.Errorf("delete function %s: %w", f.ID, err)
		}
		if err := freeSlug(ctx, t, f.ID); err != nil {
			return err
		}
		if err := forgetStorage(ctx, t, f.ID); err != nil {
			return err
		}
		if err := forgetSecrets(ctx, t, f.ID); err != nil {
			return err
		}
		return t.log(ctx, platform.ChangeFunction, f.ID, at)
	})
	return f, seq, err
}

// endKeys revokes every live key that has an ID in a column.
func endKeys(ctx context.Context, t *tx, column, of string, at time.Time) error {
	rows, err := t.QueryContext(ctx, `UPDATE access_keys SET revoked_at = $1 WHERE `+column+` = $2 AND revoked_at = 0 RETURNING id`, micros(at), of)
	if err != nil {
		return fmt.Errorf("revoke the keys of %s: %w", of, err)
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

func scanStrings(rows *sql.Rows) (out []string, err error) {
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, fmt.Errorf("scan: %w", err)
		}
		out = append(out, s)
	}
	return out, failed("scan", rows.Err())
}

// upsertFunction returns the stored function of the given project and name,
// making it with the given ID and a free slug when there is none.
func (db *DB) upsertFunction(ctx context.Context, t *tx, f platform.Function, at time.Time) (platform.Function, error) {
	have, err := scanFunction(t.QueryRowContext(ctx, `SELECT `+functionColumns+` FROM functions f WHERE f.project_id = $1 AND f.name = $2`, f.ProjectID, f.Name))
	if err == nil {
		if have.ID != f.ID {
			return have, fault.New(fault.Conflict, "the function was made anew meanwhile").WithCode("deploy_raced")
		}
		return have, nil
	}
	if fault.KindOf(err) != fault.NotFound {
		return have, err
	}
	var taken int
	if err := t.QueryRowContext(ctx, `SELECT COUNT(*) FROM upstreams WHERE project_id = $1 AND name = $2`, f.ProjectID, f.Name).Scan(&taken); err != nil {
		return f, fmt.Errorf("look for an upstream %s: %w", f.Name, err)
	}
	if taken > 0 {
		return f, fault.New(fault.Conflict, fmt.Sprintf("%q is the name of an upstream of this project's policy", f.Name)).WithCode("name_taken")
	}
	if f.Slug, err = takeSlug(ctx, t, f.Name, f.ID); err != nil {
		return f, err
	}
	f.CreatedAt, f.UpdatedAt, f.ActiveDeploymentID, f.CandidateID, f.CandidatePercent = at, at, "", "", 0
	_, err = t.ExecContext(ctx, `INSERT INTO functions (id, project_id, name, slug, active_deployment_id, created_at, updated_at) VALUES ($1, $2, $3, $4, '', $5, $5)`,
		f.ID, f.ProjectID, f.Name, f.Slug, micros(at))
	if err != nil {
		return f, fmt.Errorf("insert function %s: %w", f.Name, err)
	}
	return f, nil
}

func scanFunction(row scanner) (platform.Function, error) {
	var f platform.Function
	var created, updated int64
	if err := row.Scan(&f.ID, &f.ProjectID, &f.Name, &f.Slug, &f.ActiveDeploymentID, &f.CandidateID, &f.CandidatePercent, &created, &updated); err != nil {
		if err = notFound(err, "function"); fault.KindOf(err) == fault.NotFound {
			err = err.(*fault.Error).WithCode("function_not_found")
		}
		return platform.Function{}, err
	}
	f.CreatedAt, f.UpdatedAt = fromMicros(created), fromMicros(updated)
	return f, nil
}
