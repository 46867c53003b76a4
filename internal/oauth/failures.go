package oauth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// failures remembers for a moment which wrong credentials were tried, by hash.
type failures struct {
	mu     sync.Mutex
	tried  map[[sha256.Size]byte]time.Time // guarded by mu
	cutOff time.Time                       // guarded by mu
}

const (
	sameTry     = 5 * time.Second // within which the same mistake is the same one
	rememberMax = 10_000
)

func newFailures() *failures { return &failures{tried: map[[sha256.Size]byte]time.Time{}} }

// again reports whether the same credentials failed a moment ago. The second
// try forgets the first, so that it can be had once.
func (f *failures) again(id, secret string, now time.Time) bool {
	sum := sha256.Sum256([]byte(id + "\x00" + secret))
	f.mu.Lock()
	defer f.mu.Unlock()
	at, ok := f.tried[sum]
	if ok && now.Sub(at) < sameTry {
		delete(f.tried, sum)
		return true
	}
	if len(f.tried) >= rememberMax || now.Sub(f.cutOff) > sameTry {
		for k, at := range f.tried {
			if now.Sub(at) >= sameTry || len(f.tried) >= rememberMax {
				delete(f.tried, k)
			}
		}
		f.cutOff = now
	}
	f.tried[sum] = now
	return false
}
