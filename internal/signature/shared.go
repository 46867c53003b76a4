package signature

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// Marks is a store in which marks outlive a process, and which nodes share.
type Marks interface {
	// TakeMark and ForgetMark are a Memory's.
	TakeMark(ctx context.Context, mark [16]byte, now, until time.Time) (fresh bool, err error)
	ForgetMark(ctx context.Context, mark [16]byte) error
	// PruneMarks removes what is over and tells how many marks are left.
	PruneMarks(ctx context.Context, now time.Time) (left int, err error)
}

const (
	// How long a callback waits for the store. Its caller who goes away ends
	// nothing: what was half done would be neither taken nor new.
	storeTimeout = 5 * time.Second
	pruneEvery   = time.Minute
)

var errStoreFull = errors.New("the store remembers as many callbacks as it may")

// Shared is a Memory of all nodes on one store. In front stands the memory of
// this process, which refuses most replays without asking anybody; new is only
// what the store says is new. It is safe for concurrent use.
type Shared struct {
	near  *Replays
	store Marks
	most  int // marks in the store
	full  atomic.Bool
	log   *slog.Logger
}

// NewShared returns a memory that keeps up to size marks in this process and up
// to most, counted by Run, in the store.
func NewShared(store Marks, size, most int, log *slog.Logger) *Shared {
	return &Shared{near: NewReplays(size), store: store, most: most, log: log}
}

// Take implements Memory. What this process could not get into the store it
// forgets as well.
func (s *Shared) Take(ctx context.Context, m Mark, now, until time.Time) (fresh bool, err error) {
	if fresh, err = s.near.Take(ctx, m, now, until); err != nil || !fresh {
		return false, err
	}
	if s.full.Load() {
		err = errStoreFull
	} else {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		fresh, err = s.store.TakeMark(ctx, m, now, until)
	}
	if err != nil || !fresh {
		// Another node has it, and may give it back: that is for the store to know.
		s.near.Forget(ctx, m)
		return false, err
	}
	return true, nil
}

// Forget implements Memory. The store goes first: while it is away the callback
// stays taken.
func (s *Shared) Forget(ctx context.Context, m Mark) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := s.store.ForgetMark(ctx, m); err != nil {
		return err
	}
	return s.near.Forget(ctx, m)
}

// Run prunes the store until ctx ends, and shuts the memory while the store
// remembers too much: any sender with a secret could fill the disk.
func (s *Shared) Run(ctx context.Context) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		s.prune(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Shared) prune(ctx context.Context) {
	left, err := s.store.PruneMarks(ctx, time.Now())
	if err != nil {
		return // it is away, and so nothing is taken either
	}
	if full := left >= s.most; full != s.full.Swap(full) && full {
		s.log.Error("callbacks are refused: the store remembers too many", "callbacks", left)
	}
}
