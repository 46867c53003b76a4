package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
	"postern.dev/postern/internal/store/storetest"
)

var postgres *storetest.Server

func TestMain(m *testing.M) {
	var err error
	if postgres, err = storetest.StartPostgres(context.Background(), os.Getenv("TEST_POSTGRES_DSN")); err != nil {
		fmt.Fprintln(os.Stderr, "the store is tested on PostgreSQL too:", err)
		os.Exit(1)
	}
	code := m.Run()
	postgres.Stop()
	os.Exit(code)
}

func open(t *testing.T, dsn string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *store.DB {
		return open(t, "sqlite:"+filepath.Join(t.TempDir(), "a dir?#%41.db"))
	})
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *store.DB {
		dsn, err := postgres.NewDatabase(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return open(t, dsn)
	})
}

// A second process hears of a change through NOTIFY.
func TestPostgres_BellRingsInAnotherProcess(t *testing.T) {
	t.Parallel()
	dsn, err := postgres.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	writer, reader := open(t, dsn), open(t, dsn)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	bell := reader.Bell()
	go func() { reader.Run(ctx); close(done) }()
	<-bell // LISTEN is in force
	p := platform.Project{ID: function.NewProjectID(time.Now()), Name: "p", CreatedAt: time.Now()}
	if _, err := writer.Bootstrap(t.Context(), p, platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: p.ID, CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-bell:
	case <-time.After(10 * time.Second):
		t.Error("the other process heard nothing")
	}
	cancel()
	<-done
}

func TestOpen_Refuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "p.db")
	open(t, "sqlite:"+path).Close()
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	raw.Close()
	_, err = store.Open(t.Context(), "sqlite:"+path)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Conflict || f.Code != "schema_newer" || f.Hint == "" {
		t.Errorf("newer schema: %v", err)
	}
	if _, err := store.Open(t.Context(), "mysql://x"); fault.KindOf(err) != fault.Invalid {
		t.Errorf("unknown form: %v", err)
	}
	if _, err := store.Open(t.Context(), "postgres://postgres:hunter2@/x?host="+dir); fault.KindOf(err) != fault.Unavailable || bytes.Contains([]byte(err.Error()), []byte("hunter2")) {
		t.Errorf("no server: %v", err)
	}
	if _, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "none", "p.db")); err == nil {
		t.Error("a directory that is not there was accepted")
	}
}

func TestSQLite_FilesAreTheOwnersAndHoldNoSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, "sqlite:"+filepath.Join(dir, "p.db"))
	secret := accesskey.NewSecret()
	p := platform.Project{ID: function.NewProjectID(time.Now()), Name: "p", CreatedAt: time.Now()}
	if _, err := db.Bootstrap(t.Context(), p, platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: p.ID, SecretHash: secret.Hash(), CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil || bytes.Contains(data, []byte(secret.Reveal()[4:])) {
			t.Errorf("%s: err %v, or it holds the secret", f.Name(), err)
		}
	}
}
