package store

import (
	"fmt"

	"github.com/pressly/goose/v3/lock"
)

// sessionLocker keeps migrations of several nodes apart; nil where one process
// owns the database.
func sessionLocker(d dialect) (lock.SessionLocker, error) {
	if d.name() != "postgres" {
		return nil, nil
	}
	// Every second, for five minutes: nodes that start together should not
	// wait for goose's own five seconds each.
	l, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, fmt.Errorf("prepare the migrations' lock: %w", err)
	}
	return l, nil
}
