package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Bootstrap makes the first project and its first key if there is no project
// yet, and returns the sequence of that change; 0 when there was a project. Of
// several that try at once, one makes it.
func (db *DB) Bootstrap(ctx context.Context, p platform.Project, k platform.AccessKey) (seq int64, err error) {
	return db.update(ctx, func(t *tx) error {
		var n int
		if err := t.QueryRowContext(ctx, `SELECT COUNT(*) FROM projects`).Scan(&n); err != nil {
			return fmt.Errorf("count projects: %w", err)
		}
		if n > 0 {
			return nil
		}
		if err := insertProject(ctx, t, p); err != nil {
			return err
		}
		return db.insertKey(ctx, t, k)
	})
}

// CreateProject stores another project, without a key. One whose parent is not
// there, or has a parent itself, is refused.
func (db *DB) CreateProject(ctx context.Context, p platform.Project) error {
	_, err := db.update(ctx, func(t *tx) error {
		if p.ParentID != "" {
			parent, err := scanProject(t.QueryRowContext(ctx, `SELECT `+projectColumns+` FROM projects WHERE id = $1 AND deleted_at = 0`, p.ParentID))
			if err != nil {
				return err
			}
			if parent.ParentID != "" {
				return fault.New(fault.Conflict, "a subproject can have no subprojects").WithCode("nested_subproject")
			}
		}
		if err := insertProject(ctx, t, p); err != nil {
			return err
		}
		return logProject(ctx, t, p.ParentID, p.CreatedAt)
	})
	return err
}

// logProject notes that a subproject of a project is another; empty: it was none.
func logProject(ctx context.Context, t *tx, parentID string, at time.Time) error {
	if parentID == "" {
		return nil
	}
	return t.log(ctx, platform.ChangeProject, parentID, at)
}

func insertProject(ctx context.Context, t *tx, p platform.Project) error {
	_, err := t.ExecContext(ctx, `INSERT INTO projects (id, name, parent_id, labels, created_at, updated_at, deleted_at) VALUES ($1, $2, $3, $4, $5, $5, 0)`,
		p.ID, p.Name, p.ParentID, encodeMap(p.Labels), micros(p.CreatedAt))
	if err != nil {
		return fmt.Errorf("insert project: %w", err)
	}
	return nil
}

const projectColumns = `id, name, parent_id, labels, created_at, updated_at, deleted_at`

// Project returns a project; deleted ones are not found.
func (db *DB) Project(ctx context.Context, id string) (platform.Project, error) {
	return scanProject(db.read.QueryRowContext(ctx, `SELECT `+projectColumns+` FROM projects WHERE id = $1 AND deleted_at = 0`, id))
}

// Projects lists all projects that are no subprojects, by ID.
func (db *DB) Projects(ctx context.Context) ([]platform.Project, error) {
	return db.projects(ctx, `SELECT `+projectColumns+` FROM projects WHERE parent_id = '' AND deleted_at = 0 ORDER BY id`)
}

// Subprojects lists up to limit subprojects of a project with an ID after the
// given one; deleted ones too when asked.
func (db *DB) Subprojects(ctx context.Context, parentID, after string, limit int, deleted bool) ([]platform.Project, error) {
	return db.projects(ctx, `SELECT `+projectColumns+` FROM projects WHERE parent_id = $1 AND id > $2 AND (deleted_at = 0 OR $3 = 1) ORDER BY id LIMIT $4`, parentID, after, number(deleted), limit)
}

func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// UpdateProject gives change a project as it is and stores the name and the
// labels that change made of it.
func (db *DB) UpdateProject(ctx context.Context, id string, at time.Time, change func(*platform.Project) error) (p platform.Project, err error) {
	_, err = db.update(ctx, func(t *tx) error {
		p, err = scanProject(t.QueryRowContext(ctx, `SELECT `+projectColumns+` FROM projects WHERE id = $1 AND deleted_at = 0`, id))
		if err != nil {
			return err
		}
		if err := change(&p); err != nil {
			return err
		}
		p.UpdatedAt = fromMicros(micros(at))
		if _, err := t.ExecContext(ctx, `UPDATE projects SET name = $2, labels = $3, updated_at = $4 WHERE id = $1`, id, p.Name, encodeMap(p.Labels), micros(at)); err != nil {
			return fmt.Errorf("update project %s: %w", id, err)
		}
		return logProject(ctx, t, p.ParentID, at)
	})
	return p, err
}

// DeleteSubproject ends a subproject, revokes its keys and removes its users.
// One that has functions is a Conflict: they would go on running for nobody.
func (db *DB) DeleteSubproject(ctx context.Context, id string, at time.Time) (seq int64, err error) {
	return db.update(ctx, func(t *tx) error {
		p, err := scanProject(t.QueryRowContext(ctx, `SELECT `+projectColumns+` FROM projects WHERE id = $1 AND parent_id <> '' AND deleted_at = 0`, id))
		if err != nil {
			return err
		}
		var functions int
		if err := t.QueryRowContext(ctx, `SELECT COUNT(*) FROM functions WHERE project_id = $1`, id).Scan(&functions); err != nil {
			return fmt.Errorf("count the functions of project %s: %w", id, err)
		}
		if functions > 0 {
			return fault.New(fault.Conflict, fmt.Sprintf("the subproject has %d functions", functions)).WithCode("project_not_empty").WithHint("delete its functions first")
		}
		if _, err := t.ExecContext(ctx, `UPDATE projects SET deleted_at = $2, updated_at = $2 WHERE id = $1`, id, micros(at)); err != nil {
			return fmt.Errorf("delete project %s: %w", id, err)
		}
		if err := endPolicy(ctx, t, id, at); err != nil {
			return err
		}
		if err := forgetSecrets(ctx, t, id); err != nil {
			return err
		}
		if err := logProject(ctx, t, p.ParentID, at); err != nil {
			return err
		}
		if err := endUsers(ctx, t, `project_id`, id, at); err != nil {
			return err
		}
		return endKeys(ctx, t, `project_id`, id, at)
	})
}

func (db *DB) projects(ctx context.Context, query string, args ...any) ([]platform.Project, error) {
	rows, err := db.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, failed("list projects", err)
	}
	defer rows.Close()
	var out []platform.Project
	for rows.Next() {
		p, err := scanProject(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, failed("list projects", rows.Err())
}

func scanProject(row scanner) (platform.Project, error) {
	var p platform.Project
	var labels string
	var created, updated, deleted int64
	if err := row.Scan(&p.ID, &p.Name, &p.ParentID, &labels, &created, &updated, &deleted); err != nil {
		return platform.Project{}, notFound(err, "project")
	}
	if labels != "{}" {
		if err := json.Unmarshal([]byte(labels), &p.Labels); err != nil {
			return platform.Project{}, fmt.Errorf("project %s: its labels do not parse: %w", p.ID, err)
		}
	}
	p.CreatedAt, p.UpdatedAt, p.DeletedAt = fromMicros(created), fromMicros(updated), fromMicros(deleted)
	return p, nil
}

// InstanceID is the random name of this database, made at the first call. It
// marks the processes of this installation.
func (db *DB) InstanceID(ctx context.Context) (id string, err error) {
	_, err = db.update(ctx, func(t *tx) error {
		_, err := t.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ('instance', $1) ON CONFLICT (name) DO NOTHING`, rand.Text())
		if err == nil {
			err = t.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'instance'`).Scan(&id)
		}
		if err != nil {
			return fmt.Errorf("read the instance ID: %w", err)
		}
		return nil
	})
	return id, err
}
