package oauth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// failures remembers for a moment which wrong credentials were tried, by hash.
// It keeps them in two lots, and drops the older one as a whole: looking for
// what may go, one by one, would let whoever sends wrong secrets choose how
// long all others wait.
type failures struct {
	mu         sync.Mutex
	now, older map[[sha256.Size]byte]time.Time // guarded by mu
	began      time.Time                       // of the newer lot; guarded by mu
}

const (
	sameTry     = 5 * time.Second // within which the same mistake is the same one
	rememberMax = 5000            // in one lot
)

func newFailures() *failures { return &failures{now: map[[sha256.Size]byte]time.Time{}} }

// again reports whether the same credentials failed a moment ago. The second
// try forgets the first, so that it can be had once.
func (f *failures) again(id, secret string, now time.Time) bool {
	sum := sha256.Sum256([]byte(id + "\x00" + secret))
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, lot := range []map[[sha256.Size]byte]time.Time{f.now, f.older} {
		if at, ok := lot[sum]; ok && now.Sub(at) < sameTry {
			delete(lot, sum)
			return true
		}
	}
	if len(f.now) >= rememberMax || now.Sub(f.began) >= sameTry {
		f.now, f.older, f.began = map[[sha256.Size]byte]time.Time{}, f.now, now
	}
	f.now[sum] = now
	return false
}
