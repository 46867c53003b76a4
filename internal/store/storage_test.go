package store_test

import (
	"testing"

	"postern.dev/postern/internal/blob"
	"postern.dev/postern/internal/state/statetest"
)

func TestStorage(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, dsn string) {
		statetest.Storage(t, func(t *testing.T) (statetest.Indexing, statetest.Blobs) {
			if dsn[:6] != "sqlite" {
				dsn := newDatabase(t)
				return open(t, dsn), openDirectory(t)
			}
			return open(t, "sqlite:"+t.TempDir()+"/p.db"), openDirectory(t)
		})
	})
}

func openDirectory(t *testing.T) *blob.Directory {
	t.Helper()
	d, err := blob.OpenDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}
