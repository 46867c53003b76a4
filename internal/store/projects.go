package store

import (
	"context"
	"crypto/rand"
	"fmt"

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

// CreateProject stores another project, without a key.
func (db *DB) CreateProject(ctx context.Context, p platform.Project) error {
	_, err := db.update(ctx, func(t *tx) error { return insertProject(ctx, t, p) })
	return err
}

func insertProject(ctx context.Context, t *tx, p platform.Project) error {
	if _, err := t.ExecContext(ctx, `INSERT INTO projects (id, name, created_at) VALUES ($1, $2, $3)`, p.ID, p.Name, micros(p.CreatedAt)); err != nil {
		return fmt.Errorf("insert project: %w", err)
	}
	return nil
}

// Projects lists all projects by ID.
func (db *DB) Projects(ctx context.Context) ([]platform.Project, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT id, name, created_at FROM projects ORDER BY id`)
	if err != nil {
		return nil, failed("list projects", err)
	}
	defer rows.Close()
	var out []platform.Project
	for rows.Next() {
		var p platform.Project
		var created int64
		if err := rows.Scan(&p.ID, &p.Name, &created); err != nil {
			return nil, failed("list projects", err)
		}
		p.CreatedAt = fromMicros(created)
		out = append(out, p)
	}
	return out, failed("list projects", rows.Err())
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
