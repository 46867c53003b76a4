package signature

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errFull is the cause of an ErrMemory.
var errFull = errors.New("the replay memory is full")

// Replays is a Memory of one process: what it knows goes with it. It holds up to
// a number of marks, about 80 bytes each, in 64 shards with a lock each. A
// shard that is full of marks whose time has not come remembers no other, and
// says so: it fails closed. Only a sender with a secret puts marks in, so only
// one can fill it. It is safe for concurrent use.
type Replays struct {
	full   int // marks of one shard
	shards [64]replayShard
}

type replayShard struct {
	mu    sync.Mutex
	marks map[Mark]int64 // until when, in Unix nanoseconds; guarded by mu
	queue []dueMark      // the same as a heap, the first to go on top; guarded by mu
}

type dueMark struct {
	until int64
	mark  Mark
}

// NewReplays returns a memory of up to size marks.
func NewReplays(size int) *Replays {
	r := &Replays{}
	r.full = (size + len(r.shards) - 1) / len(r.shards)
	for i := range r.shards {
		r.shards[i].marks = map[Mark]int64{}
	}
	return r
}

func (r *Replays) shard(m Mark) *replayShard { return &r.shards[m[0]%byte(len(r.shards))] }

// Take implements Memory. Its one error is that the memory is full.
func (r *Replays) Take(_ context.Context, m Mark, now, until time.Time) (fresh bool, err error) {
	s := r.shard(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 && s.queue[0].until < now.UnixNano() {
		delete(s.marks, s.queue[0].mark)
		s.remove(0)
	}
	if _, again := s.marks[m]; again {
		return false, nil
	}
	if len(s.queue) >= r.full {
		return false, errFull
	}
	s.marks[m] = until.UnixNano()
	s.queue = append(s.queue, dueMark{until.UnixNano(), m})
	s.up(len(s.queue) - 1)
	return true, nil
}

// Forget implements Memory. It looks through a shard: failures are few.
func (r *Replays) Forget(_ context.Context, m Mark) error {
	s := r.shard(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.marks[m]; !known {
		return nil
	}
	delete(s.marks, m)
	for i := range s.queue {
		if s.queue[i].mark == m {
			s.remove(i)
			break
		}
	}
	return nil
}

// remove takes an entry out of the heap.
func (s *replayShard) remove(i int) {
	last := len(s.queue) - 1
	s.queue[i] = s.queue[last]
	s.queue = s.queue[:last]
	if i < last {
		s.down(i)
		s.up(i)
	}
}

func (s *replayShard) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if s.queue[parent].until <= s.queue[i].until {
			return
		}
		s.queue[parent], s.queue[i] = s.queue[i], s.queue[parent]
		i = parent
	}
}

func (s *replayShard) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(s.queue); child++ {
			if s.queue[child].until < s.queue[least].until {
				least = child
			}
		}
		if least == i {
			return
		}
		s.queue[least], s.queue[i] = s.queue[i], s.queue[least]
		i = least
	}
}
