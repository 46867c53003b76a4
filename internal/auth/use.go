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
	dirty map[string]use // by key ID; guarded by mu
}

type use struct {
	key  *Key
	last bool // of a key with a quota: what came since it was last written is still to be
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
		u.dirty = map[string]use{}
	}
	u.dirty[k.ID()] = use{key: k}
}

// Take returns what is to be written: only when each key was used last, and
// what it used of its quota.
func (u *Uses) Take() map[string]platform.AccessKey {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make(map[string]platform.AccessKey, len(u.dirty))
	for id, e := range u.dirty {
		k := platform.AccessKey{ID: id, LastUsedAt: time.Unix(int64(e.key.lastUsed.Load()), 0).UTC()}
		q := e.key.Quota()
		if q != nil {
			k.Used = q.Used()
		}
		out[id] = k
		if q == nil || e.last {
			delete(u.dirty, id)
		} else {
			u.dirty[id] = use{key: e.key, last: true}
		}
	}
	return out
}
