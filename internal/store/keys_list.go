package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"postern.dev/postern/internal/platform"
)

// FindKeys lists keys of a project.
func (db *DB) FindKeys(ctx context.Context, projectID string, q platform.KeyQuery) ([]platform.AccessKey, error) {
	where, args := db.keyFilter(projectID, q)
	if where == "" {
		return nil, nil
	}
	order, after := "k.id", ">"
	if q.Newest {
		order, after = "k.id DESC", "<"
	}
	if q.After != "" {
		args = append(args, q.After)
		where += ` AND k.id ` + after + ` $` + strconv.Itoa(len(args))
	}
	args = append(args, q.Limit)
	var out []platform.AccessKey
	// The IDs come from an index alone, and only what is on the page is read.
	err := db.eachKey(ctx, func(k platform.AccessKey) error { out = append(out, k); return nil },
		`SELECT `+keyColumns+keyTables+`WHERE k.id IN (SELECT k.id FROM access_keys k WHERE `+where+` ORDER BY `+order+` LIMIT $`+strconv.Itoa(len(args))+`) ORDER BY `+order, args...)
	return out, err
}

// CountKeys counts the keys that FindKeys lists on all pages, up to a number.
func (db *DB) CountKeys(ctx context.Context, projectID string, q platform.KeyQuery, most int) (n int, err error) {
	where, args := db.keyFilter(projectID, q)
	if where == "" {
		return 0, nil
	}
	args = append(args, most)
	err = db.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT k.id FROM access_keys k WHERE `+where+` LIMIT $`+strconv.Itoa(len(args))+`) AS found`, args...).Scan(&n)
	return n, failed("count keys", err)
}

// keyFilter is the condition of a query on access_keys k; empty where nothing
// can meet it. What it says of revoked_at is what the partial indices say.
func (db *DB) keyFilter(projectID string, q platform.KeyQuery) (where string, args []any) {
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	where = `k.project_id = ` + arg(projectID) + ` AND k.revoked_at = 0`
	switch now := micros(q.Now); q.State {
	case platform.KeyRevoked:
		where = `k.project_id = $1 AND k.revoked_at > 0`
	case platform.KeyLive:
		where += ` AND (k.expires_at = 0 OR k.expires_at > ` + arg(now) + `)`
	case platform.KeyExpiring:
		where += ` AND k.expires_at > ` + arg(now) + ` AND k.expires_at <= ` + arg(micros(q.Now.Add(platform.ExpiringWithin)))
	case platform.KeyExpired:
		where += ` AND k.expires_at > 0 AND k.expires_at <= ` + arg(now)
	}
	if !searchable(q.Text) {
		return "", nil
	}
	if q.Text != "" { // before what most keys meet: SQLite looks at one after the other
		text := db.dialect.position("k.search_name", arg(foldName(q.Text))) + ` > 0`
		if id := strings.ToLower(q.Text); strings.HasPrefix(id, "pak_") {
			text = `(` + text + ` OR ` + db.dialect.position("k.id", arg(id)) + ` = 1)`
		}
		where += ` AND ` + text
	}
	if !q.Functions {
		where += ` AND k.function_id = ''`
	}
	if q.Plans { // there are few, and an index has them alone
		where += ` AND k.id IN (SELECT p.id FROM access_keys p WHERE p.service_plan_id <> '')`
	}
	return where, args
}

// searchable reports whether a text can be in what is stored as text; another
// one PostgreSQL does not take.
func searchable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// foldName is a display name as searches compare it. By way of capitals the
// small letters that share one, such as the two sigmas, become one.
func foldName(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// foldNames is the migration after that which folded the letters of ASCII.
func foldNames(ctx context.Context, t *sql.Tx) error {
	rows, err := t.QueryContext(ctx, `SELECT id, display_name FROM access_keys WHERE length(display_name) <> octet_length(display_name)`)
	if err != nil {
		return fmt.Errorf("read display names: %w", err)
	}
	defer rows.Close()
	folded := map[string]string{}
	for rows.Next() {
		var id, name string
		if err := rows.Scan(&id, &name); err != nil {
			return fmt.Errorf("read display names: %w", err)
		}
		folded[id] = foldName(name)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read display names: %w", err)
	}
	for id, name := range folded {
		if _, err := t.ExecContext(ctx, `UPDATE access_keys SET search_name = $2 WHERE id = $1`, id, name); err != nil {
			return fmt.Errorf("fold the display name of %s: %w", id, err)
		}
	}
	return nil
}
