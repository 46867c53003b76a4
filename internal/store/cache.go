package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern.dev/postern/internal/platform"
)

// Cache keeps the functions' caches. It is not a part of the change log, and
// less careful than the store: a power cut may take what was written in the
// last moments, a killed process takes nothing (docs/decisions/0021).
type Cache struct {
	db     *DB
	own    bool // db is a file of the cache alone
	commit string

	mu      sync.Mutex
	waiting []*cacheWrite // guarded by mu
	writing bool          // somebody takes what waits; guarded by mu
}

// OpenCache opens the functions' caches: in PostgreSQL those of the database,
// beside SQLite a file of their own.
func (db *DB) OpenCache(ctx context.Context, path string) (*Cache, error) {
	c := &Cache{db: db, commit: db.dialect.hasty()}
	if db.read != db.write {
		c.db, c.own = &DB{}, true
		if err := c.db.openSQLiteWith(path, "NORMAL"); err != nil {
			return nil, err
		}
		if err := c.db.Ping(ctx); err != nil {
			c.db.Close()
			return nil, c.db.dialect.openFault(err)
		}
	}
	if err := c.db.migrateSet(ctx, "migrations/cache", "cache_schema"); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close closes a file of its own.
func (c *Cache) Close() error {
	if c.own {
		return c.db.Close()
	}
	return nil
}

// Get implements state.Cache.
func (c *Cache) Get(ctx context.Context, functionID string, keys []string, now time.Time) ([][]byte, error) {
	out := make([][]byte, len(keys))
	if c.own { // quick, and a context that can end costs the driver a goroutine a query
		ctx = context.WithoutCancel(ctx)
	}
	if len(keys) == 1 {
		err := c.db.read.QueryRowContext(ctx, `SELECT value FROM cache_entries WHERE function_id = $1 AND name = $2 AND expires_at > $3`, functionID, []byte(keys[0]), micros(now)).Scan(&out[0])
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return out, failed("read a function's cache", err)
	}
	args := []any{functionID, micros(now)}
	at := map[string][]int{}
	for i, k := range keys {
		if at[k] = append(at[k], i); len(at[k]) == 1 {
			args = append(args, []byte(k))
		}
	}
	rows, err := c.db.read.QueryContext(ctx, `SELECT name, value FROM cache_entries WHERE function_id = $1 AND expires_at > $2 AND name IN (`+placeholders(3, len(at))+`)`, args...)
	if err != nil {
		return nil, failed("read a function's cache", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, value []byte
		if err := rows.Scan(&name, &value); err != nil {
			return nil, failed("read a function's cache", err)
		}
		for _, i := range at[string(name)] {
			out[i] = value
		}
	}
	return out, failed("read a function's cache", rows.Err())
}

// placeholders are n of them from a number on.
func placeholders(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("$" + strconv.Itoa(from+i))
	}
	return b.String()
}

// Keys implements state.Cache.
func (c *Cache) Keys(ctx context.Context, functionID, prefix, after string, limit int, now time.Time) ([]string, error) {
	query := `SELECT name FROM cache_entries WHERE function_id = $1 AND expires_at > $2 AND name > $3 AND name >= $4`
	args := []any{functionID, micros(now), []byte(after), []byte(prefix), limit}
	if end := platform.Behind(prefix); end != nil {
		query, args = query+` AND name < $6`, append(args, end)
	}
	rows, err := c.db.read.QueryContext(ctx, query+` ORDER BY name LIMIT $5`, args...)
	if err != nil {
		return nil, failed("list a function's cache", err)
	}
	return scanStrings(rows)
}

// Usage implements state.Cache.
func (c *Cache) Usage(ctx context.Context, functionID string, now time.Time) (entries, bytes int64, err error) {
	err = c.db.read.QueryRowContext(ctx, `SELECT COUNT(*), CAST(COALESCE(SUM(LENGTH(name) + LENGTH(value)), 0) AS BIGINT) FROM cache_entries WHERE function_id = $1 AND expires_at > $2`, functionID, micros(now)).Scan(&entries, &bytes)
	return entries, bytes, failed("count a function's cache", err)
}

// Prune implements state.Keeper.
func (c *Cache) Prune(ctx context.Context, now time.Time) error {
	for {
		done, err := c.db.write.ExecContext(ctx, `DELETE FROM cache_entries WHERE (function_id, name) IN (SELECT function_id, name FROM cache_entries WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`, micros(now), pruneStep)
		if err != nil {
			return failed("prune the functions' caches", err)
		}
		if n, err := done.RowsAffected(); err != nil || n < pruneStep {
			return nil
		}
	}
}

// Clear implements state.Keeper.
func (c *Cache) Clear(ctx context.Context, functionID string) error {
	_, err := c.db.write.ExecContext(ctx, `DELETE FROM cache_entries WHERE function_id = $1`, functionID)
	return failed("clear a function's cache", err)
}

// Owners implements state.Keeper.
func (c *Cache) Owners(ctx context.Context) ([]string, error) {
	rows, err := c.db.read.QueryContext(ctx, `SELECT DISTINCT function_id FROM cache_entries`)
	if err != nil {
		return nil, failed("list the functions' caches", err)
	}
	return scanStrings(rows)
}

// cacheWrite is a change that waits for its turn.
type cacheWrite struct {
	functionID string
	change     platform.CacheChange
	result     platform.CacheResult
	err        error
	done       chan struct{} // closed when it was made, or it is this one's turn to write
	made       bool          // guarded by Cache.mu
}

// maxWrites is how many changes are made in one transaction.
const maxWrites = 128

// Apply implements state.Cache. In a file, which has one writer, the changes
// that wait while another transaction runs are made together in the next.
func (c *Cache) Apply(ctx context.Context, functionID string, change platform.CacheChange) (platform.CacheResult, error) {
	w := &cacheWrite{functionID: functionID, change: change, done: make(chan struct{})}
	if !c.own {
		err := c.transact(ctx, []*cacheWrite{w})
		return w.result, errors.Join(err, w.err)
	}
	c.mu.Lock()
	c.waiting = append(c.waiting, w)
	mine := !c.writing
	c.writing = true
	c.mu.Unlock()
	if !mine {
		<-w.done // whoever writes is quick, and never goes without a word
		c.mu.Lock()
		mine = !w.made
		c.mu.Unlock()
	}
	if mine {
		c.writeNext(context.WithoutCancel(ctx))
	}
	return w.result, w.err
}

// writeNext makes a batch of what waits, the caller's own change among it, and
// hands the pen on.
func (c *Cache) writeNext(ctx context.Context) {
	c.mu.Lock()
	batch := slices.Clone(c.waiting[:min(len(c.waiting), maxWrites)])
	c.waiting = append(c.waiting[:0], c.waiting[len(batch):]...)
	c.mu.Unlock()
	err := c.transact(ctx, batch)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, w := range batch {
		if err != nil {
			w.err = err
		}
		w.made = true
		if i > 0 { // the first is the caller, who waits no more
			close(w.done)
		}
	}
	if c.writing = len(c.waiting) > 0; c.writing {
		close(c.waiting[0].done)
	}
}

// transact makes changes in one transaction.
func (c *Cache) transact(ctx context.Context, batch []*cacheWrite) error {
	t, err := c.db.write.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return failed("begin", err)
	}
	defer t.Rollback()
	if c.commit != "" {
		if _, err := t.ExecContext(ctx, c.commit); err != nil {
			return failed("begin", err)
		}
	}
	for _, w := range batch {
		if err := w.apply(ctx, t); err != nil {
			return failed("change a function's cache", err)
		}
	}
	return failed("commit", t.Commit())
}

// apply makes a change. What it returns fails the whole transaction; a fault of
// this change alone is its own.
func (w *cacheWrite) apply(ctx context.Context, t *sql.Tx) error {
	name, now, end := []byte(w.change.Key), micros(w.change.Now), micros(w.change.ExpiresAt)
	switch w.change.Edit {
	case platform.CacheSet:
		_, err := t.ExecContext(ctx, `INSERT INTO cache_entries (function_id, name, value, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT (function_id, name) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at`, w.functionID, name, w.change.Value, end)
		return err
	case platform.CacheDelete:
		var was int64
		err := t.QueryRowContext(ctx, `DELETE FROM cache_entries WHERE function_id = $1 AND name = $2 RETURNING expires_at`, w.functionID, name).Scan(&was)
		w.result.Was = was > now
		return ignoreNone(err)
	case platform.CacheExtend:
		done, err := t.ExecContext(ctx, `UPDATE cache_entries SET expires_at = $4 WHERE function_id = $1 AND name = $2 AND expires_at > $3`, w.functionID, name, now, end)
		if err != nil {
			return err
		}
		n, err := done.RowsAffected()
		w.result.Was = n > 0
		return err
	case platform.CacheAdd:
		return w.add(ctx, t, name, now, end)
	}
	return fmt.Errorf("an unknown change %d", w.change.Edit)
}

// add puts a zero where there is nothing, locks the row in either case, and
// adds. Where the value is no number nothing has changed but that lock.
func (w *cacheWrite) add(ctx context.Context, t *sql.Tx, name []byte, now, end int64) error {
	var value []byte
	var expires int64
	err := t.QueryRowContext(ctx, `INSERT INTO cache_entries (function_id, name, value, expires_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (function_id, name) DO UPDATE SET value = CASE WHEN cache_entries.expires_at > $5 THEN cache_entries.value ELSE excluded.value END,
			expires_at = CASE WHEN cache_entries.expires_at > $5 THEN cache_entries.expires_at ELSE excluded.expires_at END
		RETURNING value, expires_at`, w.functionID, name, []byte("0"), end, now).Scan(&value, &expires)
	if err != nil {
		return err
	}
	if w.result.Sum, w.err = platform.AddTo(value, w.change.By); w.err != nil {
		return nil
	}
	_, err = t.ExecContext(ctx, `UPDATE cache_entries SET value = $3 WHERE function_id = $1 AND name = $2`, w.functionID, name, strconv.AppendInt(nil, w.result.Sum, 10))
	return err
}

func ignoreNone(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
