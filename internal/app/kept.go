package app

import (
	"context"

	"postern.dev/postern/internal/state"
	"postern.dev/postern/internal/worker"
)

// openKept opens what functions keep.
func (s *Server) openKept(ctx context.Context) error {
	cache, err := s.db.OpenCache(ctx, s.dir.join("cache.db"))
	if err != nil {
		return err
	}
	s.opened(cache.Close)
	s.kept = state.New(state.Options{
		Cache:        cache,
		CacheEntries: int64(s.cfg.CacheEntries),
		CacheBytes:   int64(s.cfg.CacheSize) << 20,
		Log:          s.log,
	})
	return nil
}

// hostCall answers the calls of a function's workers.
func (s *Server) hostCall(functionID string) worker.HostCall { return s.kept.For(functionID) }
