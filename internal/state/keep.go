package state

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/function"
)

// BlobKeeper is the part of what keeps blobs that keeps house. What implements
// Blobs implements it too.
type BlobKeeper interface {
	// Each tells of every blob that is there, those of one function one after another.
	Each(ctx context.Context, tell func(functionID, name string) error) error
	// Clear removes all blobs of a function.
	Clear(ctx context.Context, functionID string) error
}

const (
	pruneEvery = time.Minute // until then what is over is only hidden
	sweepEvery = time.Hour
	// sweepAge is how old a function's ID or a blob must be before it is taken
	// for a leftover: no deploy and no upload takes that long to be recorded.
	sweepAge = time.Hour
)

// Run keeps house until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	prune, sweep := time.NewTicker(pruneEvery), time.NewTicker(sweepEvery)
	defer prune.Stop()
	defer sweep.Stop()
	s.tell(ctx, "what functions that are gone have left was not swept", s.Sweep(ctx))
	for {
		select {
		case <-ctx.Done():
			s.handles.close()
			return nil
		case <-prune.C:
			s.Idle()
			s.tell(ctx, "what is over in the functions' caches was not removed", s.o.Cache.Prune(ctx, s.o.Now()))
		case <-sweep.C:
			s.tell(ctx, "what functions that are gone have left was not swept", s.Sweep(ctx))
		}
	}
}

func (s *Service) tell(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.o.Log.Warn(what, "error", err)
	}
}

// Idle lets go of objects that somebody began to read or write in parts, and has
// left alone since.
func (s *Service) Idle() { s.handles.sweep(s.o.Now()) }

// InParts is how many objects are being read and written in parts.
func (s *Service) InParts() int { return s.handles.count() }

// Forget removes what a function that was deleted has kept. Its workers that
// still run are refused from now on; what is missed is swept.
func (s *Service) Forget(ctx context.Context, functionID string) error {
	s.mu.Lock()
	s.gone[functionID] = true
	delete(s.tallies, functionID)
	s.mu.Unlock()
	return errors.Join(s.o.Cache.Clear(ctx, functionID), s.o.Blobs.Clear(ctx, functionID))
}

func (s *Service) isGone(functionID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone[functionID]
}

// Sweep removes what nobody can reach any more: what functions have kept that
// are gone, and blobs to which no key leads. Both are left by a server that was
// killed between two steps, and by workers that outlived their function.
func (s *Service) Sweep(ctx context.Context) error {
	before := function.NewFunctionID(s.o.Now().Add(-sweepAge))
	if err := s.o.Registry.SweepStorage(ctx, before); err != nil {
		return err
	}
	owners, err := s.o.Cache.Owners(ctx)
	if err != nil {
		return err
	}
	for _, id := range owners {
		left, err := s.left(ctx, id, before)
		if err == nil && left {
			err = s.o.Cache.Clear(ctx, id)
		}
		if err != nil {
			return err
		}
	}
	return s.sweepBlobs(ctx, before)
}

// left reports whether a function is gone, and not only young.
func (s *Service) left(ctx context.Context, functionID, before string) (bool, error) {
	if functionID >= before {
		return false, nil
	}
	there, err := s.o.Registry.FunctionExists(ctx, functionID)
	return !there && err == nil, err
}

func (s *Service) sweepBlobs(ctx context.Context, before string) error {
	oldest := s.o.Now().Add(-sweepAge).UnixMilli()
	current, gone, led := "", false, map[string]bool{}
	return s.o.Blobs.Each(ctx, func(functionID, name string) (err error) {
		if functionID != current {
			current = functionID
			if gone, err = s.left(ctx, functionID, before); err != nil {
				return err
			}
			if led, err = s.ledTo(ctx, functionID); err != nil {
				return err
			}
		}
		stamp, _, _ := strings.Cut(name, "-")
		made, err := strconv.ParseInt(stamp, 16, 64)
		if !gone && (led[name] || err == nil && made > oldest) {
			return nil
		}
		return s.o.Blobs.Remove(ctx, functionID, name)
	})
}

// ledTo are the blobs to which keys of a function lead.
func (s *Service) ledTo(ctx context.Context, functionID string) (map[string]bool, error) {
	led := map[string]bool{}
	for after := ""; ; {
		objects, err := s.o.Index.Objects(ctx, functionID, "", after, maxListPage)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			led[o.Blob] = true
			after = o.Key
		}
		if len(objects) < maxListPage {
			return led, nil
		}
	}
}
