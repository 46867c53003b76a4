package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/platform"
)

// Names are what IDs of access keys and users of some projects stand for at a time,
// revoked and removed ones included; what is no such ID is left out.
func (db *DB) Names(ctx context.Context, projectIDs, ids []string, at time.Time) (map[string]platform.Named, error) {
	out := map[string]platform.Named{}
	for _, kind := range []struct{ prefix, query string }{
		{"pak_", `SELECT id, project_id, display_name, expires_at, revoked_at FROM access_keys WHERE project_id IN `},
		{"usr_", `SELECT id, project_id, name, 0, deleted_at FROM users WHERE project_id IN `},
	} {
		var asked []string
		for _, id := range ids {
			if strings.HasPrefix(id, kind.prefix) && searchable(id) {
				asked = append(asked, id)
			}
		}
		if len(asked) == 0 || len(projectIDs) == 0 {
			continue
		}
		of, args := among(projectIDs, nil)
		in, args := among(asked, args)
		if err := db.named(ctx, out, at, kind.query+of+` AND id IN `+in, args); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// named reads names into a map: rows of ID, project, name, expiry and end.
func (db *DB) named(ctx context.Context, into map[string]platform.Named, at time.Time, query string, args []any) error {
	rows, err := db.read.QueryContext(ctx, query, args...)
	if err != nil {
		return failed("read names", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, project, name string
		var expires, ended int64
		if err := rows.Scan(&id, &project, &name, &expires, &ended); err != nil {
			return failed("read names", err)
		}
		into[id] = platform.Named{Name: name, ProjectID: project, State: platform.AccessKey{ExpiresAt: fromMicros(expires), RevokedAt: fromMicros(ended)}.StateAt(at)}
	}
	return failed("read names", rows.Err())
}

// among is a list for IN, each of its texts an argument.
func among(list []string, args []any) (string, []any) {
	places := make([]string, len(list))
	for i, text := range list {
		args = append(args, text)
		places[i] = "$" + strconv.Itoa(len(args))
	}
	return "(" + strings.Join(places, ", ") + ")", args
}
