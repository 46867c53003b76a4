package state

import (
	"context"
	"fmt"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
)

// tally is what one function has in its cache: what was counted, and on top of
// it everything that was set since, so that it is never too low but for what
// other nodes did.
type tally struct {
	mu             sync.Mutex
	entries, bytes int64     // guarded by mu
	at             time.Time // of the count; guarded by mu
	loose          bool      // there may be less by now than the count says; guarded by mu
}

const (
	recount = time.Minute            // after how long other nodes' doings are looked at
	settled = 250 * time.Millisecond // how long a cache that was counted full is
)

func (s *Service) tallyOf(functionID string) *tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tallies[functionID]
	if t == nil {
		t = &tally{}
		s.tallies[functionID] = t
	}
	return t
}

// released says that there may be room again.
func (s *Service) released(functionID string) {
	t := s.tallyOf(functionID)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loose = true
}

// reserve makes sure that a function's cache has room for a value of at most
// worst bytes; exact says how many they are beside, or instead of, an old value.
// Nothing is ever put out to make room. Who replaces a value needs room for the
// difference.
func (s *Service) reserve(ctx context.Context, functionID, key string, worst int, exact func(old []byte) int, now time.Time) error {
	t := s.tallyOf(functionID)
	t.mu.Lock()
	defer t.mu.Unlock()
	count := func() (err error) {
		t.entries, t.bytes, err = s.o.Cache.Usage(ctx, functionID, now)
		t.at, t.loose = now, err != nil
		return err
	}
	if age := now.Sub(t.at); age > recount || age < 0 {
		if err := count(); err != nil {
			return err
		}
	}
	fits := func(entries, bytes int64) bool {
		return t.entries+entries <= s.o.CacheEntries && t.bytes+bytes <= s.o.CacheBytes
	}
	if need := int64(len(key) + worst); fits(1, need) {
		t.entries, t.bytes, t.loose = t.entries+1, t.bytes+need, true
		return nil
	}
	old, err := s.o.Cache.Get(ctx, functionID, []string{key}, now)
	if err != nil {
		return err
	}
	entries, bytes := int64(0), int64(exact(old[0])-len(old[0]))
	if old[0] == nil {
		entries, bytes = 1, int64(len(key)+exact(nil))
	}
	if !fits(entries, bytes) && (t.loose || now.Sub(t.at) > settled) {
		if err := count(); err != nil {
			return err
		}
	}
	if !fits(entries, bytes) {
		return fault.New(fault.TooMany, fmt.Sprintf("the function's cache is full: it takes %d entries and %d bytes. Nothing is put out to make room", s.o.CacheEntries, s.o.CacheBytes)).WithCode("cache_full")
	}
	t.entries, t.bytes = t.entries+entries, t.bytes+bytes
	return nil
}
