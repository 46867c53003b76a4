package store

import (
	"github.com/pressly/goose/v3/lock"
)

// sessionLocker keeps migrations of several nodes apart; nil where one process
// owns the database.
func sessionLocker(d dialect) lock.SessionLocker {
	if d.name() != "postgres" {
		return nil
	}
	l, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil // only wrong options give an error, and there are none
	}
	return l
}
