package store_test

import (
	"path/filepath"
	"testing"

	"postern.dev/postern/internal/state/statetest"
	"postern.dev/postern/internal/store"
)

func openCache(t *testing.T, dsn, path string) *store.Cache {
	t.Helper()
	c, err := open(t, dsn).OpenCache(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCache(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		statetest.Cache(t, openCache(t, dsn, filepath.Join(t.TempDir(), "a cache?#%41.db")), statetest.NewSteps())
	})
}
