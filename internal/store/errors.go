package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"postern.dev/postern/internal/fault"
)

// failed says what the store was doing when err came; nil stays nil.
func failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	return classed(fmt.Errorf("%s: %w", doing, err))
}

// classed tells a database that is away, which passes, from one that refuses
// what it is asked, which is our own mistake. A caller who went away is neither.
func classed(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if postgresAway(err) || sqliteAway(err) {
		return fault.Wrap(err, fault.Unavailable, "the database does not answer").WithHint("try again in a moment")
	}
	return err
}

// notFound turns a missing row into the fault that says so.
func notFound(err error, what string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.NotFound, "there is no such "+what)
	}
	return failed("read "+what, err)
}
