package app

import (
	"context"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"postern.dev/postern/internal/blob"
	"postern.dev/postern/internal/database"
	"postern.dev/postern/internal/state"
	"postern.dev/postern/internal/valkey"
	"postern.dev/postern/internal/worker"
)

// keeping is where functions' caches are.
type keeping interface {
	state.Cache
	state.Keeper
	io.Closer
}

// storing is where the bytes of functions' storage are.
type storing interface {
	state.Blobs
	state.BlobKeeper
	io.Closer
}

// openKept opens what functions keep. All of it is below the name of this
// database: another one that is pointed at the same place finds nothing, and
// sweeps nothing.
func (s *Server) openKept(ctx context.Context) error {
	instance, err := s.db.InstanceID(ctx)
	if err != nil {
		return err
	}
	cache, err := s.openCache(ctx, instance)
	if err != nil {
		return err
	}
	s.opened(cache.Close)
	blobs, err := s.openStorage(ctx, instance)
	if err != nil {
		return err
	}
	s.opened(blobs.Close)
	s.kept = state.New(state.Options{
		Cache:          cache,
		CacheEntries:   int64(s.cfg.CacheEntries),
		CacheBytes:     int64(s.cfg.CacheSize) << 20,
		Index:          s.db,
		Blobs:          blobs,
		ObjectBytes:    int64(s.cfg.StorageObjectSize) << 20,
		StorageObjects: int64(s.cfg.StorageObjects),
		StorageBytes:   int64(s.cfg.StorageSize) << 20,
		Registry:       s.db,
		Log:            s.log,
	})
	return nil
}

func (s *Server) openCache(ctx context.Context, instance string) (keeping, error) {
	if s.cfg.CacheURL != "" {
		return valkey.Open(ctx, s.cfg.CacheURL, instance)
	}
	return s.db.OpenCache(ctx, s.dir.join("cache.db"))
}

func (s *Server) openStorage(ctx context.Context, instance string) (storing, error) {
	if strings.HasPrefix(s.cfg.StorageURL, "s3:") {
		return blob.OpenBucket(ctx, s.cfg.StorageURL, instance+"/", s.dir.join("spool"))
	}
	dir := s.dir.join("storage")
	if u, err := url.Parse(s.cfg.StorageURL); err == nil && u.Path != "" {
		dir = u.Path
	} else if strings.HasPrefix(s.cfg.Database, "postgres") {
		s.log.Warn("the functions' storage is on this node alone; other nodes of the database do not see it", "flag", "--storage-url")
	}
	return blob.OpenDirectory(filepath.Join(dir, instance))
}

// openDatabases opens what keeps the functions' own databases. Their copies lie
// beside the functions' storage.
func (s *Server) openDatabases(ctx context.Context) error {
	instance, err := s.db.InstanceID(ctx)
	if err != nil {
		return err
	}
	blobs, err := s.openStorage(ctx, instance+"-databases")
	if err != nil {
		return err
	}
	s.opened(blobs.Close)
	if s.databases, err = database.New(database.Options{Dir: s.dir.join("databases"), Index: s.db, Blobs: blobs, Every: s.cfg.DatabaseCopy, Log: s.log}); err != nil {
		return err
	}
	return s.databases.Sweep(ctx)
}

// hostCall answers the calls of a function's workers.
func (s *Server) hostCall(functionID string) worker.HostCall { return s.kept.For(functionID) }

// forget removes what a function has kept that was deleted.
func (s *Server) forget(ctx context.Context, functionID string) {
	if err := s.kept.Forget(ctx, functionID); err != nil {
		s.log.Warn("what a deleted function has kept was not removed; it will be swept", "function", functionID, "error", err)
	}
	if err := s.databases.Forget(ctx, functionID); err != nil {
		s.log.Warn("the database of a deleted function was not removed; it will be at the next start", "function", functionID, "error", err)
	}
}
