package auth

import (
	"sync"
	"time"

	"postern.dev/postern/internal/platform"
)

// usedEvery is how exactly a key's last use is known.
const usedEvery = 10 * time.Second

// Uses remembers which keys were used since it was last asked, so that it can
// be written down apart from the requests. It is safe for concurrent use; the
// zero value is ready.
type Uses struct {
	mu    sync.Mutex
	dirty map[string]*Key // by ID; guarded by mu
}

// Mark notes that a key was used. It takes a lock once in ten seconds for each
// key, and otherwise only looks at the key.
func (u *Uses) Mark(k *Key, now time.Time) {
	t, last := uint32(now.Unix()), k.lastUsed.Load()
	if t < last+uint32(usedEvery/time.Second) || !k.lastUsed.CompareAndSwap(last, t) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.dirty == nil {
		u.dirty = map[string]*Key{}
	}
	u.dirty[k.ID()] = k
}

// Take returns what is to be written: only when each key was used last.
func (u *Uses) Take() map[string]platform.AccessKey {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make(map[string]platform.AccessKey, len(u.dirty))
	for id, k := range u.dirty {
		out[id] = platform.AccessKey{ID: id, LastUsedAt: time.Unix(int64(k.lastUsed.Load()), 0).UTC()}
	}
	clear(u.dirty)
	return out
}
