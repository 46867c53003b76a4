package redact

import (
	"cmp"
	"maps"
	"sync"
	"sync/atomic"
)

// Live is the secrets that are in use, by owner. The zero value has none. It is
// safe for concurrent use.
type Live struct {
	mu     sync.Mutex
	owners map[string]map[string]string // guarded by mu
	set    atomic.Pointer[Set]          // of all; nil: to be made when it is asked for
}

// Put says what an owner's secrets are from now on, in place of what was said
// before. Say it before anybody is given a value; an owner is whoever may write
// it, so that one who still has an old value needs a name of their own.
func (l *Live) Put(owner string, values map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owners == nil {
		l.owners = map[string]map[string]string{}
	}
	l.owners[owner] = maps.Clone(values)
	l.set.Store(nil)
}

// Remove forgets an owner, whose values nobody has any more.
func (l *Live) Remove(owner string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.owners, owner)
	l.set.Store(nil)
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
	var list []secret
	for _, values := range l.owners {
		for name, value := range values {
			list = append(list, secret{name, value})
		}
	}
	s := newSet(list)
	l.set.Store(s)
	return s
}

func compareSecrets(a, b secret) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
}
