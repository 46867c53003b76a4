// Package store keeps projects, access keys, users, functions and deployments, and
// the ordered change log that tells gateways about them, in SQLite or
// PostgreSQL.
//
// [DB] is the one type to know. Each of its methods is one whole, atomic
// operation; no transaction leaves the package. The same SQL text runs on both
// databases; what differs is a method of dialect. The store keeps integrity
// (unique names, references, compare-and-swap); rules and permissions are
// elsewhere. Secrets reach it hashed or sealed, never bare.
package store

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
)

// DB is an open store. It is safe for concurrent use.
type DB struct {
	read    *sql.DB
	write   *sql.DB // SQLite: one connection; PostgreSQL: the same pool as read
	dialect dialect
	bells   bells
}

// dialect is what SQLite and PostgreSQL do not say alike.
type dialect interface {
	name() string // as goose knows it
	// lockWriters is the statement that makes writers queue, after BEGIN; may be empty.
	lockWriters() string
	// notify is the statement that rings other processes' bells; may be empty.
	notify() string
	// hasty is the statement, after BEGIN, by which a commit does not wait for
	// the disk; may be empty.
	hasty() string
	// position is the expression of where the second text begins in the first,
	// from 1; 0: nowhere.
	position(in, text string) string
	// uniqueViolation reports whether err says that a unique constraint was
	// broken, and names it as far as the database does.
	uniqueViolation(err error) (constraint string, ok bool)
	// openFault says why a database did not answer when it was opened.
	openFault(err error) error
	// listen blocks and calls ring at each notification; nil when ctx ended.
	listen(ctx context.Context, ring func()) error
}

const addressHint = "use sqlite:/path/to/postern.db or postgres://user:password@host/database"

// Open opens the store that dsn names and brings its schema up to date:
// "sqlite:" and a file's path, or a "postgres://" URL. A schema that is newer
// than this program is refused with the code schema_newer.
func Open(ctx context.Context, dsn string) (*DB, error) {
	db := &DB{}
	var err error
	switch {
	case strings.HasPrefix(dsn, "sqlite:"):
		err = db.openSQLite(strings.TrimPrefix(strings.TrimPrefix(dsn, "sqlite:"), "//"))
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		err = db.openPostgres(dsn)
	default:
		return nil, fault.New(fault.Invalid, "the database address has an unknown form").WithHint(addressHint)
	}
	if err != nil {
		return nil, err
	}
	if err := db.Ping(ctx); err != nil {
		db.Close()
		return nil, db.dialect.openFault(err)
	}
	if err := db.migrate(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// Close closes the store. Operations in flight fail.
func (db *DB) Close() error {
	err := db.read.Close()
	if db.write != db.read {
		if werr := db.write.Close(); err == nil {
			err = werr
		}
	}
	return err
}

// Ping asks the database whether it is there.
func (db *DB) Ping(ctx context.Context) error {
	return failed("ping the database", db.write.PingContext(ctx))
}

// Run listens for other nodes' changes and prunes old change rows until ctx
// ends. A store works without it, but then hears of other nodes' changes only
// when its readers poll.
func (db *DB) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { db.listen(ctx) })
	wg.Go(func() { db.pruneHourly(ctx) })
	wg.Wait()
	return nil
}

func (db *DB) listen(ctx context.Context) {
	for wait := 100 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
		began := time.Now()
		if db.dialect.listen(ctx, db.bells.ring) == nil {
			return
		}
		db.bells.ring() // something may have been missed while away
		if time.Since(began) > 10*time.Second {
			wait = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// bells are the subscriptions of this process to changes.
type bells struct {
	mu   sync.Mutex
	subs []chan struct{} // guarded by mu
}

// Bell returns a subscription that is signalled after a change was committed,
// here or on another node. Signals coalesce; one may come for nothing.
func (db *DB) Bell() <-chan struct{} {
	c := make(chan struct{}, 1)
	db.bells.mu.Lock()
	defer db.bells.mu.Unlock()
	db.bells.subs = append(db.bells.subs, c)
	return c
}

func (b *bells) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.subs {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
