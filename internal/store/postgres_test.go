package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

func ring(t *testing.T, bell <-chan struct{}) {
	t.Helper()
	select {
	case <-bell:
	case <-time.After(20 * time.Second):
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
	ring(t, bell) // LISTEN is in force
	for i := range 3 {
		other := raw(t, dsn)
		var ended int
		if err := other.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE 'LISTEN %' AND pid <> pg_backend_pid()) AS ended`).Scan(&ended); err != nil || ended != 1 {
			t.Fatalf("ended %d connections, %v", ended, err)
		}
		ring(t, bell) // the loss itself
		// The loss and the return both ring, and the two signals may come as
		// one; a change after the return rings on its own.
		waitListening(t, dsn)
		if _, err := writer.CreateKey(t.Context(), newKey(p.ID, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		ring(t, bell)
		select { // what coalesced before
		case <-bell:
		default:
		}
	}
	cancel()
	<-done
}

// waitListening returns when one connection of the database is in LISTEN.
func waitListening(t *testing.T, dsn string) {
	t.Helper()
	other := raw(t, dsn)
	for t.Context().Err() == nil {
		var n int
		err := other.QueryRowContext(t.Context(), `SELECT COUNT(*), pg_sleep(0.02) IS NULL FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE 'LISTEN %' AND state = 'idle' AND pid <> pg_backend_pid()`).Scan(&n, new(any))
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			return
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
