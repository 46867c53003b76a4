package store

import (
	"context"
	"encoding/base64"
	"time"
)

// TakeMark remembers the mark of a callback until a time, and reports whether
// it was new: of calls at the same time, on whichever nodes, exactly one is told
// that it was. It queues behind no other writer but SQLite's one.
func (db *DB) TakeMark(ctx context.Context, mark [16]byte, now, until time.Time) (fresh bool, err error) {
	done, err := db.write.ExecContext(ctx, `INSERT INTO callback_marks (mark, until) VALUES ($1, $2) ON CONFLICT (mark) DO UPDATE SET until = excluded.until WHERE callback_marks.until < $3`,
		markText(mark), micros(until), micros(now))
	if err != nil {
		return false, failed("remember a callback", err)
	}
	n, err := done.RowsAffected()
	return n == 1, failed("remember a callback", err)
}

// ForgetMark gives a mark back.
func (db *DB) ForgetMark(ctx context.Context, mark [16]byte) error {
	_, err := db.write.ExecContext(ctx, `DELETE FROM callback_marks WHERE mark = $1`, markText(mark))
	return failed("forget a callback", err)
}

// keepMarks is how long marks stay after their time, for the nodes whose clocks
// are behind: to them the callback may still be in time.
const keepMarks = 10 * time.Minute

// PruneMarks removes the marks whose time is over, and tells how many are left.
func (db *DB) PruneMarks(ctx context.Context, now time.Time) (left int, err error) {
	for {
		done, err := db.write.ExecContext(ctx, `DELETE FROM callback_marks WHERE mark IN (SELECT mark FROM callback_marks WHERE until < $1 ORDER BY until LIMIT $2)`, micros(now.Add(-keepMarks)), pruneStep)
		if err != nil {
			return 0, failed("prune callbacks", err)
		}
		if n, err := done.RowsAffected(); err != nil || n < pruneStep {
			break
		}
	}
	err = db.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM callback_marks`).Scan(&left)
	return left, failed("count callbacks", err)
}

func markText(mark [16]byte) string { return base64.RawURLEncoding.EncodeToString(mark[:]) }
