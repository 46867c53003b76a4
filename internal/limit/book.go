package limit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/platform"
)

// Book keeps a rate for each name that comes, for so many names at most. It is
// safe for concurrent use; make one with NewBook or BookOf. A name that it
// knows costs no allocation, and no lock that all names share.
type Book[K comparable] struct {
	model  *Rate
	room   *Room // nil: its own bound alone
	seed   maphash.Seed
	shards []shard[K]
	// crowd is what names share that come when the book is full of others that
	// are busy: strangers are then the stricter for it, never the freer.
	crowd *Rate
}

// shard holds the names of one part of all hashes.
type shard[K comparable] struct {
	mu     sync.Mutex
	rates  map[K]*Rate // guarded by mu
	most   int         // none once the book is closed; guarded by mu
	swept  time.Time   // guarded by mu
	padded [64]byte    // of its neighbour's cache line
}

// Room is for how many names there is room in the books that share it.
type Room struct{ left atomic.Int64 }

// NewRoom returns room for so many names.
func NewRoom(names int) *Room {
	r := new(Room)
	r.left.Store(int64(names))
	return r
}

func (r *Room) take() bool {
	if r == nil || r.left.Add(-1) >= 0 {
		return true
	}
	r.left.Add(1)
	return false
}

func (r *Room) give(names int) {
	if r != nil {
		r.left.Add(int64(names))
	}
}

// NewBook returns an empty book of rates of perSecond with a burst, for most
// names at a time; all three must be positive.
func NewBook[K comparable](perSecond, burst, most int) *Book[K] {
	return newBook[K](NewBurst(perSecond, burst), most, nil)
}

// BookOf returns an empty book of rates of a limit. Its names take of a room
// that others share; Close gives that back.
func BookOf[K comparable](l platform.RateLimit, most int, room *Room) (*Book[K], error) {
	model, err := Of(l)
	if err != nil {
		return nil, err
	}
	return newBook[K](model, most, room), nil
}

// A book of fewer names than this is not worth dividing.
const (
	divided = 1024
	parts   = 16
)

func newBook[K comparable](model *Rate, most int, room *Room) *Book[K] {
	n := 1
	if most >= divided {
		n = parts
	}
	b := &Book[K]{model: model, room: room, seed: maphash.MakeSeed(), shards: make([]shard[K], n), crowd: model.like()}
	for i := range b.shards {
		b.shards[i].most, b.shards[i].rates = most/n, map[K]*Rate{}
	}
	return b
}

// Allow takes one event of a name at the given time, or says how long to wait.
func (b *Book[K]) Allow(name K, now time.Time) (wait time.Duration, ok bool) {
	for {
		rates := [1]*Rate{b.Rate(name, now)}
		if place, wait := Take(now, rates[:]); place < 0 {
			return 0, true
		} else if wait > 0 {
			return wait, false
		}
	}
}

// Len is the number of names in the book.
func (b *Book[K]) Len() (n int) {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		n += len(s.rates)
		s.mu.Unlock()
	}
	return n
}

// Used is how many names have taken of their rate lately, and how many of these
// have nothing left at the given time.
func (b *Book[K]) Used(now time.Time) (names, spent int) {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		for _, r := range s.rates {
			if _, ok := r.Peek(now); !ok {
				spent++
			}
			if left, reset := r.Left(now); reset > 0 || left == 0 {
				names++
			}
		}
		s.mu.Unlock()
	}
	return names, spent
}

// Look is the rate of a name at the given time, without a place in the book for
// a name that has none.
func (b *Book[K]) Look(name K) *Rate {
	s := b.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rates[name]; r != nil {
		return r
	}
	if len(s.rates) >= s.most {
		return b.crowd
	}
	return b.model
}

// Rate is the rate of a name. It is to be taken from at once, with Take: a name
// that is idle may be forgotten.
func (b *Book[K]) Rate(name K, now time.Time) *Rate {
	s := b.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rates[name]; r != nil {
		return r
	}
	if len(s.rates) < s.most && b.room.take() {
		return s.add(name, b.model)
	}
	// What is full is looked through once a second, not for each stranger.
	if s.most > 0 && now.Sub(s.swept) >= time.Second {
		s.swept = now
		before := len(s.rates)
		for name, r := range s.rates {
			if r.forget(now) {
				delete(s.rates, name)
			}
		}
		b.room.give(before - len(s.rates))
		if len(s.rates) < s.most && b.room.take() {
			return s.add(name, b.model)
		}
	}
	return b.crowd
}

func (s *shard[K]) add(name K, model *Rate) *Rate {
	r := model.like()
	s.rates[name] = r
	return r
}

func (b *Book[K]) shard(name K) *shard[K] {
	if len(b.shards) == 1 {
		return &b.shards[0]
	}
	return &b.shards[maphash.Comparable(b.seed, name)%uint64(len(b.shards))]
}

// Close gives the room back. Who still has the book meets its names as strangers.
func (b *Book[K]) Close() {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		b.room.give(len(s.rates))
		clear(s.rates)
		s.most = 0
		s.mu.Unlock()
	}
}
