package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// keepPolicies is how many policies of a project stay to be read.
const keepPolicies = 200

// compiled is the column that a gateway reads.
type compiled struct {
	Functions []platform.FunctionPolicy `json:",omitempty"`
	Groups    []platform.GroupPolicy    `json:",omitempty"`
	Upstreams []platform.Upstream       `json:",omitempty"`
}

const policyColumns = `y.project_id, p.parent_id, y.number, y.compiled, y.applied_at, y.applied_by`

const policyTables = ` FROM policies y JOIN projects p ON p.id = y.project_id WHERE p.deleted_at = 0 `

const inForce = `AND y.number = (SELECT MAX(n.number) FROM policies n WHERE n.project_id = y.project_id) `

// Policies returns the policy in force of a project, or of all where the ID is
// empty, without their documents. One that cannot be read is left out and told
// of by a platform.UnreadableError with the ID of its project, beside the
// others: what it guards must stay shut.
func (db *DB) Policies(ctx context.Context, projectID string) ([]platform.Policy, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT `+policyColumns+policyTables+inForce+`AND ($1 = '' OR y.project_id = $1) ORDER BY y.project_id`, projectID)
	if err != nil {
		return nil, failed("list policies", err)
	}
	defer rows.Close()
	var out []platform.Policy
	var bad error
	for rows.Next() {
		p, err := scanPolicy(rows)
		switch {
		case isUnreadable(err):
			bad = errors.Join(bad, err)
		case err != nil:
			return nil, err
		default:
			out = append(out, p)
		}
	}
	if err := rows.Err(); err != nil { // or half a list would count as all that there are
		return nil, failed("list policies", err)
	}
	return out, bad
}

// Policy returns a policy of a project with its document; the one in force
// where number is 0.
func (db *DB) Policy(ctx context.Context, projectID string, number int) (p platform.Policy, err error) {
	query, args := `SELECT `+policyColumns+`, y.document`+policyTables+`AND y.project_id = $1 `, []any{projectID}
	if number == 0 {
		query += inForce
	} else {
		query, args = query+`AND y.number = $2`, append(args, number)
	}
	var document string
	p, err = scanPolicy(db.read.QueryRowContext(ctx, query, args...), &document)
	p.Document = []byte(document)
	return p, err
}

// PolicyHistory lists up to limit policies of a project with a number below the
// given one, newest first; 0 begins with the newest.
func (db *DB) PolicyHistory(ctx context.Context, projectID string, before, limit int) ([]platform.Policy, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT y.project_id, y.number, y.applied_at, y.applied_by`+policyTables+`AND y.project_id = $1 AND ($2 = 0 OR y.number < $2) ORDER BY y.number DESC LIMIT $3`, projectID, before, limit)
	if err != nil {
		return nil, failed("list policies", err)
	}
	defer rows.Close()
	var out []platform.Policy
	for rows.Next() {
		var p platform.Policy
		var at int64
		if err := rows.Scan(&p.ProjectID, &p.Number, &at, &p.AppliedBy); err != nil {
			return nil, failed("list policies", err)
		}
		p.AppliedAt = fromMicros(at)
		out = append(out, p)
	}
	return out, failed("list policies", rows.Err())
}

func scanPolicy(row scanner, more ...any) (platform.Policy, error) {
	var p platform.Policy
	var text string
	var at int64
	if err := row.Scan(append([]any{&p.ProjectID, &p.ParentProjectID, &p.Number, &text, &at, &p.AppliedBy}, more...)...); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return platform.Policy{}, fault.New(fault.NotFound, "the project has no such policy").WithCode("policy_not_found")
		}
		return platform.Policy{}, failed("read a policy", err)
	}
	var c compiled
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields() // of a newer version: what it asks for beside the rest must not be passed over
	if err := d.Decode(&c); err != nil {
		return platform.Policy{ProjectID: p.ProjectID, ParentProjectID: p.ParentProjectID, Number: p.Number}, unreadable(p.ProjectID, err)
	}
	p.Functions, p.Groups, p.Upstreams, p.AppliedAt = c.Functions, c.Groups, c.Upstreams, fromMicros(at)
	return p, nil
}

// policyNumber is the number of the policy in force; 0: the project has none.
func policyNumber(ctx context.Context, t *tx, projectID string) (n int, err error) {
	err = t.QueryRowContext(ctx, `SELECT COALESCE(MAX(number), 0) FROM policies WHERE project_id = $1`, projectID).Scan(&n)
	return n, failed("read the number of the policy", err)
}

// ApplyPolicy gives decide what a project has, and writes what it returns: a
// policy with the next number, the keys that it makes, and their changes, in
// one transaction. When decide returns an error, or something is in the way,
// nothing was done. A dry run does all of it and takes it back.
//
// What is in the way is a Conflict: policy_raced when another number than
// expected is in force; digest_taken when
// another key has a digest, as its secret of now or of before a rotation;
// key_taken when an ID is that of a key of another kind; key_revoked; name_taken
// when an upstream is named like a function.
func (db *DB) ApplyPolicy(ctx context.Context, a platform.PolicyApply, decide func(platform.PolicyState) (platform.PolicyInput, error)) (out platform.PolicyResult, err error) {
	projectID, at := a.ProjectID, a.At
	out.Seq, err = db.update(ctx, func(t *tx) error {
		state, err := db.policyState(ctx, t, projectID, a.KeyIDs)
		if err != nil {
			return err
		}
		now, err := policyNumber(ctx, t, projectID)
		if err != nil {
			return err
		}
		if a.Expect >= 0 && now != a.Expect {
			return fault.New(fault.Conflict, fmt.Sprintf("number %d of the policy is in force, not %d", now, a.Expect)).WithCode("policy_raced")
		}
		in, err := decide(state)
		if err != nil {
			return err
		}
		in.Policy.ProjectID, in.Policy.Number, in.Policy.AppliedAt = projectID, now+1, fromMicros(micros(at))
		if err := db.applyKeys(ctx, t, projectID, state.Keys, in.Keys, at); err != nil {
			return err
		}
		if err := applyUpstreams(ctx, t, projectID, state, in.Policy.Upstreams, at); err != nil {
			return err
		}
		if c := state.Current; c != nil && t.seq == 0 && bytes.Equal(c.Document, in.Policy.Document) {
			out.Policy, out.Unchanged = *c, true
			return nil
		}
		out.Policy = in.Policy
		if err := insertPolicy(ctx, t, in.Policy); err != nil {
			return err
		}
		if a.DryRun {
			return errDry
		}
		return nil
	})
	if errors.Is(err, errDry) {
		err = nil
	}
	return out, err
}

// errDry takes a dry run back.
var errDry = errors.New("dry run")

func insertPolicy(ctx context.Context, t *tx, p platform.Policy) error {
	_, err := t.ExecContext(ctx, `INSERT INTO policies (project_id, number, document, compiled, applied_at, applied_by) VALUES ($1, $2, $3, $4, $5, $6)`,
		p.ProjectID, p.Number, string(p.Document), encode(compiled{p.Functions, p.Groups, p.Upstreams}), micros(p.AppliedAt), p.AppliedBy)
	if err == nil {
		_, err = t.ExecContext(ctx, `DELETE FROM policies WHERE project_id = $1 AND number <= $2`, p.ProjectID, p.Number-keepPolicies)
	}
	if err != nil {
		return fmt.Errorf("write policy %d of project %s: %w", p.Number, p.ProjectID, err)
	}
	return t.log(ctx, platform.ChangePolicy, p.ProjectID, p.AppliedAt)
}

// policyState reads, in the transaction, what an apply must fit.
func (db *DB) policyState(ctx context.Context, t *tx, projectID string, keyIDs []string) (s platform.PolicyState, err error) {
	if _, err := scanProject(t.QueryRowContext(ctx, `SELECT `+projectColumns+` FROM projects WHERE id = $1 AND deleted_at = 0`, projectID)); err != nil {
		return s, err
	}
	var document string
	current, err := scanPolicy(t.QueryRowContext(ctx, `SELECT `+policyColumns+`, y.document`+policyTables+inForce+`AND y.project_id = $1`, projectID), &document)
	switch {
	case err == nil:
		current.Document = []byte(document)
		s.Current = &current
	case isUnreadable(err): // without its document: the very same one takes the place of what was damaged
		s.Current = &current
	case fault.KindOf(err) != fault.NotFound:
		return s, err
	}
	err = each(ctx, t, func(rows *sql.Rows) error {
		f, d, err := scanActive(rows)
		if err == nil {
			s.Functions = append(s.Functions, platform.ActiveFunction{Function: f, Deployment: d})
		}
		return err
	}, activeOf, projectID)
	if err == nil {
		err = candidates(ctx, t, s.Functions)
	}
	if err != nil {
		return s, err
	}
	err = each(ctx, t, func(rows *sql.Rows) error {
		u := platform.Upstream{ProjectID: projectID}
		err := rows.Scan(&u.ID, &u.Name, &u.Slug)
		s.Upstreams = append(s.Upstreams, u)
		return err
	}, `SELECT id, name, slug FROM upstreams WHERE project_id = $1 ORDER BY name`, projectID)
	if err != nil {
		return s, err
	}
	key := func(rows *sql.Rows) error {
		k, err := scanKey(rows)
		if err == nil {
			s.Keys = append(s.Keys, k)
		}
		return err
	}
	const live = `SELECT ` + keyColumns + keyTables + `WHERE k.project_id = $1 AND k.revoked_at = 0 AND k.function_id = '' `
	if err := each(ctx, t, key, live+`AND k.by_policy = 1`, projectID); err != nil {
		return s, err
	}
	for _, id := range keyIDs { // not all keys that people made: there may be a million
		if err := each(ctx, t, key, live+`AND k.by_policy = 0 AND k.id = $2`, projectID, id); err != nil {
			return s, err
		}
	}
	return s, nil
}

// each calls f with every row. What cannot be read opens nothing and is not
// served: it is passed over, and holds up nobody.
func each(ctx context.Context, t *tx, f func(*sql.Rows) error, query string, args ...any) error {
	rows, err := t.QueryContext(ctx, query, args...)
	if err != nil {
		return failed("read what an apply must fit", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil && !isUnreadable(err) {
			return err
		}
	}
	return failed("read what an apply must fit", rows.Err())
}

// applyUpstreams gives each upstream its ID and its slug, and ends those that
// are gone.
func applyUpstreams(ctx context.Context, t *tx, projectID string, s platform.PolicyState, us []platform.Upstream, at time.Time) error {
	for i := range us {
		u := &us[i]
		u.ProjectID = projectID
		if have := slices.IndexFunc(s.Upstreams, func(h platform.Upstream) bool { return h.Name == u.Name }); have >= 0 {
			u.ID, u.Slug = s.Upstreams[have].ID, s.Upstreams[have].Slug
			continue
		}
		var taken int
		err := t.QueryRowContext(ctx, `SELECT COUNT(*) FROM functions WHERE project_id = $1 AND name = $2`, projectID, u.Name).Scan(&taken)
		if err != nil || taken > 0 {
			return cmp.Or(failed("look for a function "+u.Name, err), error(fault.New(fault.Conflict, fmt.Sprintf("the upstream %q is named like a function of the project", u.Name)).WithCode("name_taken")))
		}
		if u.Slug, err = takeSlug(ctx, t, u.Name, u.ID); err != nil {
			return err
		}
		if _, err = t.ExecContext(ctx, `INSERT INTO upstreams (id, project_id, name, slug, created_at) VALUES ($1, $2, $3, $4, $5)`, u.ID, projectID, u.Name, u.Slug, micros(at)); err != nil {
			return fmt.Errorf("insert upstream %s: %w", u.Name, err)
		}
	}
	for _, old := range s.Upstreams {
		if slices.ContainsFunc(us, func(u platform.Upstream) bool { return u.Name == old.Name }) {
			continue
		}
		if err := endUpstream(ctx, t, old.ID); err != nil {
			return err
		}
	}
	return nil
}

func endUpstream(ctx context.Context, t *tx, id string) error {
	if _, err := t.ExecContext(ctx, `DELETE FROM upstreams WHERE id = $1`, id); err != nil {
		return fmt.Errorf("delete upstream %s: %w", id, err)
	}
	return freeSlug(ctx, t, id)
}

// endPolicy ends what the policy of a project serves; the project itself is
// gone, and its policy is in force no more.
func endPolicy(ctx context.Context, t *tx, projectID string, at time.Time) error {
	n, err := policyNumber(ctx, t, projectID)
	if err != nil || n == 0 {
		return err
	}
	rows, err := t.QueryContext(ctx, `SELECT id FROM upstreams WHERE project_id = $1`, projectID)
	if err != nil {
		return fmt.Errorf("list the upstreams of project %s: %w", projectID, err)
	}
	ids, err := scanStrings(rows)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := endUpstream(ctx, t, id); err != nil {
			return err
		}
	}
	return t.log(ctx, platform.ChangePolicy, projectID, at)
}
