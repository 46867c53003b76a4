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
	count  int                 // of all owners' secrets; guarded by mu
	base   *Set                // of what was there when it was made; guarded by mu
	young  []secret            // that came since; guarded by mu
	gone   int                 // how many went since; guarded by mu
	set    atomic.Pointer[Set] // of all; nil: to be made when it is asked for
}

const (
	// mostOfOwner is how many secrets are known of one owner, whose values may be
	// changed for as long as it lives: of more the oldest are forgotten.
	mostOfOwner = 1000
	// The set of all is made anew when one in lag of them came or went: not for each
	// function that starts where there are thousands, while the log waits. What came
	// since is a small set before it. Up to few it is made anew for each.
	lag, few = 32, 256
)

// Add says what an owner's secrets are too, from before anybody is given a value.
// Those that it had before stay: who was given one may still write it.
func (l *Live) Add(owner string, values map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owners == nil {
		l.owners = map[string][]secret{}
	}
	list := l.owners[owner]
	for name, value := range values {
		if s := (secret{name, value}); !slices.Contains(list, s) {
			list, l.young = append(list, s), append(l.young, s)
			l.count++
			l.set.Store(nil)
		}
	}
	if over := len(list) - mostOfOwner; over > 0 {
		list = slices.Delete(list, 0, over)
		l.count, l.gone = l.count-over, l.gone+over
	}
	if len(list) > 0 {
		l.owners[owner] = list
	}
	if len(l.young) > l.count { // nobody asks
		l.base, l.young = nil, nil
	}
}

// Remove forgets an owner, whose values nobody has any more. Where there are many
// others they may be found for a while.
func (l *Live) Remove(owner string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.owners[owner]); n > 0 {
		delete(l.owners, owner)
		l.count, l.gone = l.count-n, l.gone+n
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
	s := l.made()
	l.set.Store(s)
	return s
}

// made is the set of all. l.mu is held.
func (l *Live) made() *Set {
	if l.base == nil || l.count <= few || (len(l.young)+l.gone)*lag > l.count {
		l.base, l.young, l.gone = newSet(slices.Concat(slices.Collect(maps.Values(l.owners))...)), nil, 0
	}
	if len(l.young) == 0 {
		return l.base
	}
	s := newSet(slices.Clone(l.young))
	s.more = l.base
	return s
}

func compareSecrets(a, b secret) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
}
