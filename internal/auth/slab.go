package auth

import (
	"math/bits"
	"slices"
	"sync"
	"unique"
	"unsafe"

	"postern.dev/postern/internal/platform"
)

const (
	slotBits = 10
	// slabSize is how many keys are in a slab: as many as fit with its head
	// into ten pages of 8 KiB.
	slabSize = 1016
	// A directory numbers its slabs modulo this.
	slabNumbers = 1 << (32 - slotBits)
)

// slab is memory for many keys at once. All its pointers stand at its head, and
// so the garbage collector looks at that and not at the keys.
//
// A key is written once, under its lineage's lock, before any directory has it;
// nothing of it but its last use changes then. What is at the head grows with
// the keys, and no key looks at what came after it: so nobody who reads takes a
// lock.
type slab struct {
	lineage *lineage
	// projects are the IDs of the projects of the keys: 8 in the first table,
	// 16 in the next, and so on. A table is made whole when it is needed.
	projects [7][]unique.Handle[string]
	rest     *[slabSize]*more // by slot; nil as long as no key needs it
	used     int
	ids      int // in projects
	keys     [slabSize]Key
}

// A slab is not larger than it should be.
var _ [10*8192 - unsafe.Sizeof(slab{})]byte

// slab is the slab that the key is in. Every key is in one: it is made nowhere
// else, and a pointer to it keeps all of the slab.
func (k *Key) slab() *slab {
	return (*slab)(unsafe.Add(unsafe.Pointer(k), -int(unsafe.Offsetof(slab{}.keys)+uintptr(k.slot)*unsafe.Sizeof(*k))))
}

// table is where an entry of projects is.
func table(i int) (n, at int) {
	n = bits.Len(uint(i)>>3+1) - 1
	return n, i - (8<<n - 8)
}

func (s *slab) project(i uint16) string {
	n, at := table(int(i))
	return s.projects[n][at].Value()
}

// projectsLooked is how far back a project is looked for, so that it is in the
// slab once. One that is farther back is there again: there is room for as many
// as there are keys.
const projectsLooked = 128

// intern returns the number of a project in the slab.
func (s *slab) intern(id string) uint16 {
	h := unique.Make(id)
	for i := s.ids - 1; i >= max(0, s.ids-projectsLooked); i-- {
		if n, at := table(i); s.projects[n][at] == h {
			return uint16(i)
		}
	}
	n, at := table(s.ids)
	if s.projects[n] == nil {
		s.projects[n] = make([]unique.Handle[string], 8<<n)
	}
	s.projects[n][at] = h
	s.ids++
	return uint16(s.ids - 1)
}

// lineage is what all directories that came from one another share.
type lineage struct {
	mu     sync.Mutex
	open   *slab  // where the next key goes; guarded by mu
	serial uint64 // of the last key; guarded by mu
}

// place gives out room for one key.
func (l *lineage) place() *Key {
	if l.open == nil || l.open.used == slabSize {
		l.open = &slab{lineage: l}
	}
	k := &l.open.keys[l.open.used]
	k.slot = uint16(l.open.used)
	l.open.used++
	return k
}

// add makes a key, which keeps the state of an older form of it, if there is one.
func (l *lineage) add(from *platform.AccessKey, old *Key) *Key {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.place()
	l.serial++
	k.serial = l.serial
	k.read(from, old)
	return k
}

// move makes a copy of a key, which is the same key as far as anybody can tell.
func (l *lineage) move(k *Key) *Key {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.place()
	out.record = k.record
	out.project = l.open.intern(k.ProjectID())
	out.lastUsed.Store(k.lastUsed.Load())
	if k.flags&isRare != 0 {
		out.slab().keep(out, k.rest())
	}
	return out
}

// keep notes the part of a key that few keys have.
func (s *slab) keep(k *Key, m *more) {
	if s.rest == nil {
		s.rest = new([slabSize]*more)
	}
	s.rest[k.slot] = m
	k.flags |= isRare
}

// withSlab returns a table of slabs with one more, without touching the old one.
func withSlab(slabs []*slab, s *slab) []*slab { return append(slices.Clip(slabs), s) }
