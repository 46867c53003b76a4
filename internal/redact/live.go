package redact

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Live is the secrets that are in use, by owner. The zero value has none. It is
// safe for concurrent use.
type Live struct {
	mu     sync.Mutex
	owners map[string][]secret // guarded by mu
	set    atomic.Pointer[Set] // of all; nil: to be made when it is asked for
}

// Add says what an owner's secrets are too, from before anybody is given a value.
// Those that it had before stay: who was given one may still write it.
func (l *Live) Add(owner string, values map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, value := range values {
		if s := (secret{name, value}); !slices.Contains(l.owners[owner], s) {
			if l.owners == nil {
				l.owners = map[string][]secret{}
			}
			l.owners[owner] = append(l.owners[owner], s)
			l.set.Store(nil)
		}
	}
}

// Remove forgets an owner, whose values nobody has any more.
func (l *Live) Remove(owner string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owners[owner] != nil {
		delete(l.owners, owner)
		l.set.Store(nil)
	}
}

// Set finds the values of all owners; of a nil Live, nothing.
func (l *Live) Set() *Set {
	if l == nil {
		return nil
	}
	if s := l.set.Load(); s != nil {
		return s
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.set.Load(); s != nil {
		return s
	}
	s := newSet(slices.Concat(slices.Collect(maps.Values(l.owners))...))
	l.set.Store(s)
	return s
}

func compareSecrets(a, b secret) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
}
