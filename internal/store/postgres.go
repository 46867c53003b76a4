package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"postern.dev/postern/internal/fault"
)

type postgresDialect struct{ config *pgx.ConnConfig }

func (db *DB) openPostgres(dsn string) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// pgx leaves the password out of its message.
		return fault.Wrap(err, fault.Invalid, "the database address does not parse")
	}
	db.write = stdlib.OpenDB(*config)
	db.write.SetMaxOpenConns(16)
	db.read = db.write
	db.dialect = postgresDialect{config}
	return nil
}

func (postgresDialect) name() string { return "postgres" }

// lockWriters makes writing transactions queue at the counter's row, so that
// the change log's order is the order of commits.
func (postgresDialect) lockWriters() string {
	return "SELECT seq FROM change_counter WHERE one = 1 FOR UPDATE"
}

func (postgresDialect) notify() string { return "NOTIFY postern_changes" }

func (postgresDialect) uniqueViolation(err error) (string, bool) {
	const uniqueViolation = "23505" // PostgreSQL manual, appendix A
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == uniqueViolation {
		return e.ConstraintName, true
	}
	return "", false
}

func (d postgresDialect) listen(ctx context.Context, ring func()) error {
	conn, err := pgx.ConnectConfig(ctx, d.config.Copy())
	if err != nil {
		return endOr(ctx, fmt.Errorf("connect for notifications: %w", err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN postern_changes"); err != nil {
		return endOr(ctx, fmt.Errorf("listen for notifications: %w", err))
	}
	ring() // what came before LISTEN
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return endOr(ctx, fmt.Errorf("wait for a notification: %w", err))
		}
		ring()
	}
}

func endOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
