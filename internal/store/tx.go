package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"postern.dev/postern/internal/platform"
)

// tx is a writing transaction. The log of its changes is written with it.
type tx struct {
	*sql.Tx
	seq int64 // of the last change logged; 0: none
}

// update runs f in one writing transaction, and rings the bell after the
// commit when f logged a change. It returns the sequence of the last change.
func (db *DB) update(ctx context.Context, f func(*tx) error) (seq int64, err error) {
	// Under a stricter level, which an operator may have made PostgreSQL's
	// default, whoever waited in lockWriters would fail instead of going on.
	sqlTx, err := db.write.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return 0, failed("begin", err)
	}
	defer sqlTx.Rollback() // after a commit it does nothing
	t := &tx{Tx: sqlTx}
	if lock := db.dialect.lockWriters(); lock != "" {
		if _, err := t.ExecContext(ctx, lock); err != nil {
			return 0, failed("queue to write", err)
		}
	}
	if err := f(t); err != nil {
		return 0, classed(err)
	}
	if notify := db.dialect.notify(); notify != "" && t.seq > 0 {
		if _, err := t.ExecContext(ctx, notify); err != nil {
			return 0, failed("notify", err)
		}
	}
	if err := t.Commit(); err != nil {
		return 0, failed("commit", err)
	}
	if t.seq > 0 {
		db.bells.ring()
	}
	return t.seq, nil
}

// log appends one row to the change log.
func (t *tx) log(ctx context.Context, kind platform.ChangeKind, id string, at time.Time) error {
	err := t.QueryRowContext(ctx, `UPDATE change_counter SET seq = seq + 1 WHERE one = 1 RETURNING seq`).Scan(&t.seq)
	if err == nil {
		_, err = t.ExecContext(ctx, `INSERT INTO changes (seq, kind, id, at) VALUES ($1, $2, $3, $4)`, t.seq, string(kind), id, micros(at))
	}
	if err != nil {
		return fmt.Errorf("log the change of %s %s: %w", kind, id, err)
	}
	return nil
}

// micros is a time as the store keeps it: UTC microseconds, 0 for never. The
// first microsecond of 1970 becomes the second, because a key that ended then
// must not come back as one that never ends.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	if n := t.UnixMicro(); n != 0 {
		return n
	}
	return 1
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// encode writes a column that holds JSON. The values are our own types, which
// always encode.
func encode(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("store: encode %T: %v", v, err))
	}
	return string(out)
}
