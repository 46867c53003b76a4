package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"postern.dev/postern/internal/fault"
)

type postgresDialect struct{ config *pgx.ConnConfig }

func (db *DB) openPostgres(dsn string) error {
	if _, err := url.Parse(dsn); err != nil {
		// Its message quotes what it took for the port: a piece of the password.
		return fault.New(fault.Invalid, "the database address is no URL").
			WithHint("write / : ? # @ % in the user and the password as %2F %3A %3F %23 %40 %25")
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// pgx leaves the password out of its message.
		return fault.Wrap(err, fault.Invalid, "the database address does not parse").WithHint(addressHint)
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
func (postgresDialect) hasty() string  { return "SET LOCAL synchronous_commit = off" }

func (postgresDialect) position(in, text string) string { return "strpos(" + in + ", " + text + ")" }

func (postgresDialect) uniqueViolation(err error) (string, bool) {
	const uniqueViolation = "23505" // PostgreSQL manual, appendix A
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == uniqueViolation {
		return e.ConstraintName, true
	}
	return "", false
}

// postgresAway reports whether err is of a server that cannot be reached, that
// ends its connections or that takes no more (PostgreSQL manual, appendix A).
func postgresAway(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true // whatever the server said to it
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		// The classes of connections, resources and operators' intervention.
		return strings.HasPrefix(e.Code, "08") || strings.HasPrefix(e.Code, "53") || strings.HasPrefix(e.Code, "57")
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.ErrUnexpectedEOF)
}

func (postgresDialect) openFault(err error) error {
	return fault.Wrap(err, fault.Unavailable, "the database does not answer").WithHint("check --database, and that the server runs")
}

func (d postgresDialect) listen(ctx context.Context, ring func()) error {
	conn, err := pgx.ConnectConfig(ctx, d.config.Copy())
	if err != nil {
		return endOr(ctx, fmt.Errorf("connect for notifications: %w", err))
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(closing)
	}()
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
