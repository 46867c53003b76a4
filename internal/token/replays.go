package token

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Replays remembers which proofs were shown, so that none is good twice.
//
// It remembers a proof by 16 bytes of a hash for twice the window, because one
// that is made ahead of our clock is good from a window before its time to a
// window after. In memory that is about 64 bytes a proof, in 64 shards with a
// lock each; the size that New was given bounds it. A shard that is full of
// proofs that are still good fails closed: it takes every proof for seen. So
// whoever may fill it must have been recognised and limited before: call Seen
// last. It is safe for concurrent use.
type Replays struct {
	keep   time.Duration
	full   int // proofs of one shard
	shards [64]replayShard
}

type replayShard struct {
	mu    sync.Mutex
	seen  map[proofHash]struct{} // guarded by mu
	queue []shownProof           // guarded by mu; the same, oldest first
}

type proofHash [16]byte

type shownProof struct {
	proof proofHash
	until int64 // Unix nanoseconds
}

// NewReplays returns a memory of up to size proofs, checked with the window.
func NewReplays(window time.Duration, size int) *Replays {
	r := &Replays{keep: 2 * window}
	r.full = (size + len(r.shards) - 1) / len(r.shards)
	for i := range r.shards {
		r.shards[i].seen = map[proofHash]struct{}{}
	}
	return r
}

// Seen reports whether the proof of that key with that ID was shown before, and
// remembers that it was. It reports true as well if it cannot remember.
func (r *Replays) Seen(jkt, jti string, now time.Time) bool {
	text := make([]byte, 0, 128)
	text = append(append(append(text, jkt...), 0), jti...) // a thumbprint has no NUL
	sum := sha256.Sum256(text)
	proof := proofHash(sum[:16])
	s := &r.shards[sum[16]%byte(len(r.shards))]
	at := now.UnixNano()

	s.mu.Lock()
	defer s.mu.Unlock()
	gone := 0
	for gone < len(s.queue) && s.queue[gone].until < at {
		delete(s.seen, s.queue[gone].proof)
		gone++
	}
	s.queue = s.queue[gone:]
	if _, again := s.seen[proof]; again || len(s.queue) >= r.full {
		return true
	}
	s.seen[proof] = struct{}{}
	s.queue = append(s.queue, shownProof{proof, at + int64(r.keep)})
	return false
}
