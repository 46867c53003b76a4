package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

func ring(t *testing.T, bell <-chan struct{}) {
	t.Helper()
	select {
	case <-bell:
	case <-time.After(time.Minute):
		t.Fatal("the bell does not ring")
	}
}

// A second process hears of a change through NOTIFY.
func TestPostgres_BellRingsInAnotherProcess(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t)
	writer, reader := open(t, dsn), open(t, dsn)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	bell := reader.Bell()
	go func() { reader.Run(ctx); close(done) }()
	<-bell // LISTEN is in force
	bootstrap(t, writer)
	ring(t, bell)
	cancel()
	<-done
}

// The server ends the connection on which the store listens, as at its
// restart: the store comes back to it, rings for what it may have missed, and
// hears again.
func TestPostgres_ListensAgain(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t)
	writer, reader := open(t, dsn), open(t, dsn)
	p := bootstrap(t, writer)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	bell := reader.Bell()
	go func() { reader.Run(ctx); close(done) }()
	listener := 0
	for i := range 3 {
		listener = waitListening(t, dsn, listener)
		if _, err := writer.CreateKey(t.Context(), newKey(p.ID, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		ring(t, bell)
		exec(t, raw(t, dsn), `SELECT pg_terminate_backend($1)`, listener)
	}
	waitListening(t, dsn, listener)
	cancel()
	<-done
}

// waitListening returns the process of the one connection that is in LISTEN,
// when that is another than the one before.
func waitListening(t *testing.T, dsn string, before int) (pid int) {
	t.Helper()
	other := raw(t, dsn)
	for {
		err := other.QueryRowContext(t.Context(), `SELECT COALESCE(MAX(pid), 0) FROM pg_stat_activity, pg_sleep(0.02)
			WHERE datname = current_database() AND query LIKE 'LISTEN %' AND state = 'idle' AND pid <> $1`, before).Scan(&pid)
		if err != nil || t.Context().Err() != nil {
			t.Fatal(err)
		}
		if pid != 0 {
			return pid
		}
	}
}

// An operator may have made a stricter isolation the default; writers still
// queue instead of failing.
func TestPostgres_StricterDefaultIsolation(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t)
	bootstrap(t, open(t, dsn))
	var name string
	admin := raw(t, dsn)
	if err := admin.QueryRowContext(t.Context(), `SELECT current_database()`).Scan(&name); err != nil {
		t.Fatal(err)
	}
	exec(t, admin, `ALTER DATABASE `+name+` SET default_transaction_isolation = 'serializable'`)
	db := open(t, dsn)
	ps, err := db.Projects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			if _, err := db.CreateKey(t.Context(), newKey(ps[0].ID, fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if changes, err := db.Changes(t.Context(), 0, 100); err != nil || len(changes) != 25 || changes[24].Seq != 25 {
		t.Errorf("%d changes, %v", len(changes), err)
	}
}

// While the server takes no connections the store says that it is away, in
// whatever it is asked; when it does again the store works on.
func TestPostgres_Away(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t)
	db := open(t, dsn)
	p := bootstrap(t, db)
	var name string
	if err := raw(t, dsn).QueryRowContext(t.Context(), `SELECT current_database()`).Scan(&name); err != nil {
		t.Fatal(err)
	}
	admin := raw(t, newDatabase(t))
	exec(t, admin, `ALTER DATABASE `+name+` ALLOW_CONNECTIONS false`)
	exec(t, admin, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, name)
	for name, call := range map[string]func() error{
		"Ping":       func() error { return db.Ping(t.Context()) },
		"Projects":   func() error { _, err := db.Projects(t.Context()); return err },
		"InstanceID": func() error { _, err := db.InstanceID(t.Context()); return err },
		"CreateKey":  func() error { _, err := db.CreateKey(t.Context(), newKey(p.ID, "k")); return err },
		"RevokeKey":  func() error { _, err := db.RevokeKey(t.Context(), p.ID, "pak_x", time.Now()); return err },
		"Key":        func() error { _, err := db.Key(t.Context(), p.ID, "pak_x"); return err },
		"KeyByID":    func() error { _, err := db.KeyByID(t.Context(), "pak_x"); return err },
		"Keys":       func() error { _, err := db.Keys(t.Context(), p.ID, "", 1, false); return err },
		"Function":   func() error { _, err := db.Function(t.Context(), p.ID, "f"); return err },
		"Functions":  func() error { _, err := db.FindFunctions(t.Context(), p.ID, "", "", 1); return err },
		"Deployment": func() error { _, err := db.Deployment(t.Context(), "dep_x"); return err },
		"Changes":    func() error { _, err := db.Changes(t.Context(), 0, 1); return err },
		"Load":       func() error { _, err := db.Load(t.Context(), nil, nil); return err },
	} {
		if err := call(); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	exec(t, admin, `ALTER DATABASE `+name+` ALLOW_CONNECTIONS true`)
	if _, err := db.CreateKey(t.Context(), newKey(p.ID, "k")); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// What cannot be read is left out of a load. That the connection broke half-way
// is another matter: the half is not taken for all that there is.
func TestPostgres_LoadBreaksOffBesideAnUnreadableKey(t *testing.T) {
	t.Parallel()
	db := open(t, newDatabase(t))
	p := bootstrap(t, db)
	statement := func(text string, args ...any) {
		t.Helper()
		if err := store.Exec(t.Context(), db, text, args...); err != nil {
			t.Fatal(err)
		}
	}
	const many = 20_000 // more than what the server sends ahead
	statement(`INSERT INTO access_keys (id, project_id, display_name, secret_hash, scopes, function_id, allowed_cidrs, rate_per_second, created_at, expires_at, revoked_at)
		SELECT 'pak_' || n, $1, 'k' || n, CASE WHEN n % 2 = 0 THEN 'zz' || n ELSE lpad(n::text, 64, '0') END, 'invoke', '', '[]', 0, 1, 0, 0 FROM generate_series(1, $2::int) n`, p.ID, many)
	seen := 0
	_, err := db.Load(t.Context(), func(platform.AccessKey) error {
		if seen++; seen == 10 {
			statement(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		}
		return nil
	}, nil)
	if _, ok := errors.AsType[*platform.UnreadableError](err); err == nil || ok || seen >= many/2 {
		t.Errorf("after %d of %d keys: unreadable %v, %.200v", seen, many/2, ok, err)
	}
}
