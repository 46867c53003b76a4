package auth

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"slices"
	"time"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
)

// Directory is an immutable set of live keys. With and Without return another
// one that shares nearly everything with it, so that a change costs the same
// with ten keys and with a million. It is safe for concurrent use.
//
// A key that is replaced or goes leaves its record behind. When more than a
// fifth of the records are left behind, each change also moves a few live ones
// out of the oldest slab, which then goes as a whole.
type Directory struct {
	hashes  index // by SHA-256 of a secret; a key that was rotated is there twice
	ids     index // by hash of the ID
	slabs   []*slab
	first   uint32 // the number of the first slab, modulo slabNumbers
	swept   int    // the records of the first slab that were looked at to empty it
	size    int
	seed    maphash.Seed
	signing *signing // what verifies our own tokens
	revoked *revoked // shared by all that came from one another, as is lineage
	lineage *lineage
}

// signing is the keys that our own tokens are verified with. When each ends is
// kept with them: between two changes a directory may live for weeks, also
// with the database away, and a key that was stolen must not live as long.
type signing struct {
	set  *token.KeySet
	keys []token.PublicKey
	ends map[string]time.Time // by KID; not there: it has not been replaced yet
}

// ended reports whether a key verifies nothing any more.
func (s *signing) ended(kid string, now time.Time) bool {
	end := s.ends[kid]
	return !end.IsZero() && !now.Before(end)
}

// NewDirectory returns an empty directory.
func NewDirectory() *Directory {
	return &Directory{seed: maphash.MakeSeed(), signing: &signing{set: token.NewKeySet()}, revoked: &revoked{}, lineage: &lineage{}}
}

// Len is the number of keys.
func (d *Directory) Len() int { return d.size }

// ByID returns the key with an ID, or nil.
func (d *Directory) ByID(id string) *Key {
	k, _ := d.find(id)
	return k
}

// find is ByID, and says where the key is.
func (d *Directory) find(id string) (*Key, ref) {
	packed, form := packID(id)
	k, at := d.packed(packed)
	if k == nil || (k.flags&isOdd == 0) != form || !form && k.rest().id != id {
		return nil, nowhere
	}
	return k, at
}

func (d *Directory) packed(id [16]byte) (*Key, ref) {
	tag := d.idTag(id)
	leaf := d.ids.leaf(tag)
	for i := seek(leaf, entry(tag, 0)); ; i++ {
		at, ok := tagged(leaf, i, tag)
		if !ok {
			return nil, nowhere
		}
		if k := d.key(at); k.id == id {
			return k, at
		}
	}
}

// same returns the key with an identity; nil if it has changed, or is gone.
func (d *Directory) same(i identity) *Key {
	if i.lineage != d.lineage {
		return nil
	}
	if k, _ := d.packed(i.id); k != nil && k.serial == i.serial {
		return k
	}
	return nil
}

// byHash returns the key that has a secret with this hash, and the secret's
// generation, or nil.
func (d *Directory) byHash(hash [sha256.Size]byte, now time.Time) (k *Key, generation int) {
	tag := binary.BigEndian.Uint64(hash[:])
	leaf := d.hashes.leaf(tag)
	for i := seek(leaf, entry(tag, 0)); ; i++ {
		at, ok := tagged(leaf, i, tag)
		if !ok {
			return nil, 0
		}
		k := d.key(at)
		if generation, ok := k.shows(hash, now); ok {
			return k, generation
		}
	}
}

func (d *Directory) idTag(id [16]byte) uint64 { return maphash.Bytes(d.seed, id[:]) }

func (d *Directory) key(at ref) *Key {
	return &d.slabs[(uint32(at>>slotBits)-d.first)%slabNumbers].keys[at%(1<<slotBits)]
}

// ref is where a key is that is in the slab with a number, counted from the first.
func (d *Directory) ref(n int, slot int) ref {
	return ref((d.first+uint32(n))%slabNumbers<<slotBits | uint32(slot))
}

// take takes a key's slab into the directory, if it is not there, and returns
// where the key is. The last slab of a directory is the only one that can be
// its lineage's open one.
func (d *Directory) take(k *Key) ref {
	if s := k.slab(); len(d.slabs) == 0 || d.slabs[len(d.slabs)-1] != s {
		d.slabs = withSlab(d.slabs, s)
	}
	return d.ref(len(d.slabs)-1, int(k.slot))
}

// tags are under which tags of hashes a key is found, two at most; of nil none.
func (k *Key) tags(room *[2]uint64) []uint64 {
	if k == nil {
		return nil
	}
	list := append(room[:0], binary.BigEndian.Uint64(k.hash[:]))
	if m := k.rest(); m.previousUntil != 0 && m.previous != k.hash {
		list = append(list, binary.BigEndian.Uint64(m.previous[:]))
	}
	return list
}

// put puts one form of a key in the place of another in the indices; either
// may be nil, and nowhere.
func (d *Directory) put(id [16]byte, old *Key, from ref, key *Key, to ref) {
	var one, two [2]uint64
	had, has := old.tags(&one), key.tags(&two)
	for _, tag := range had {
		if !slices.Contains(has, tag) {
			d.hashes.swap(tag, from, nowhere)
		}
	}
	for _, tag := range has {
		if slices.Contains(had, tag) {
			d.hashes.swap(tag, from, to)
		} else {
			d.hashes.swap(tag, nowhere, to)
		}
	}
	d.ids.swap(d.idTag(id), from, to)
}

// With returns a directory that has the key, in place of any with its ID. A
// key that keeps its limits keeps their state as well.
func (d *Directory) With(k platform.AccessKey) *Directory {
	next := *d
	old, from := d.find(k.ID)
	key := d.lineage.add(&k, old)
	next.put(key.id, old, from, key, next.take(key))
	if old == nil {
		next.size++
	}
	next.sweep()
	return &next
}

// Without returns a directory that has no key with that ID.
func (d *Directory) Without(id string) *Directory {
	key, from := d.find(id)
	if key == nil {
		return d
	}
	next := *d
	next.put(key.id, key, from, nil, nowhere)
	next.size--
	next.sweep()
	return &next
}

// How much of a sweep a change does. Once through all records, where a quarter
// as many are dead as live, takes a change for five live ones at most: those and
// the changes are 6/5 as many new records as there are keys, and 5/4 go.
const (
	sweepLooks = 12
	sweepMoves = 5
)

// sweep goes on emptying the oldest slab, if too many records are left behind.
// That slab is none that a key can still come into: there are two more.
func (d *Directory) sweep() {
	for looks, moves := 0, 0; len(d.slabs)*slabSize > d.size+d.size/4+2*slabSize && looks < sweepLooks && moves < sweepMoves; looks++ {
		k, at := &d.slabs[0].keys[d.swept], d.ref(0, d.swept)
		if d.ids.has(d.idTag(k.id), at) {
			moved := d.lineage.move(k)
			d.put(k.id, k, at, moved, d.take(moved))
			moves++
		}
		if d.swept++; d.swept == slabSize {
			// Copied, because what is before a slice stays in memory with it.
			d.slabs, d.first, d.swept = slices.Clone(d.slabs[1:]), (d.first+1)%slabNumbers, 0
		}
	}
}

// WithSigning returns a directory in which tokens are verified with these
// keys, each until it ends. One that cannot be read verifies nothing, and is
// told of by a platform.UnreadableError beside a directory with the others.
func (d *Directory) WithSigning(keys []platform.SigningKey) (*Directory, error) {
	s := &signing{ends: map[string]time.Time{}}
	var bad error
	for _, k := range keys {
		p, err := x509.ParsePKIXPublicKey(k.Public)
		if err != nil {
			bad = errors.Join(bad, &platform.UnreadableError{ID: k.KID, Err: err})
			continue
		}
		s.keys = append(s.keys, token.PublicKey{KID: k.KID, Algorithm: token.Algorithm(k.Algorithm), Key: p})
		if !k.ExpiresAt.IsZero() {
			s.ends[k.KID] = k.ExpiresAt
		}
	}
	s.set = token.NewKeySet(s.keys...)
	next := *d
	next.signing = s
	return &next, bad
}

// Signing is the keys that tokens are verified with, ended ones included.
func (d *Directory) Signing() *token.KeySet { return d.signing.set }

// JWKS is the keys that verify tokens now, as a JSON document (RFC 7517).
func (d *Directory) JWKS(now time.Time) []byte {
	live := slices.Clone(d.signing.keys)
	live = slices.DeleteFunc(live, func(k token.PublicKey) bool { return d.signing.ended(k.KID, now) })
	return token.NewKeySet(live...).JWKS()
}

// Revoked reports whether a token, or what else has an ID in the list of what
// was ended one by one, was.
func (d *Directory) Revoked(id string) bool { return d.revoked.has(id) }

// Revoke ends tokens. It works at once in every directory that came from the
// same one.
func (d *Directory) Revoke(now time.Time, tokens ...platform.RevokedToken) {
	d.revoked.add(now, tokens)
}

// Builder makes a directory of many keys at once. It is not safe for
// concurrent use, and of no use after Directory.
type Builder struct {
	d   *Directory
	old *Directory // whose keys keep the state of their limits
}

// NewBuilder returns an empty builder.
func NewBuilder() *Builder { return Rebuild(NewDirectory()) }

// Rebuild returns an empty builder of a directory that takes the place of
// another one: a key that keeps its limits keeps their state as well.
func Rebuild(old *Directory) *Builder {
	d := NewDirectory()
	d.signing, d.revoked, d.lineage = old.signing, old.revoked, old.lineage
	return &Builder{d, old}
}

// Add adds a key, in place of any with its ID.
func (b *Builder) Add(k platform.AccessKey) {
	b.d = b.d.Without(k.ID) // it may have changed while the keys were read
	old, _ := b.old.find(k.ID)
	key := b.d.lineage.add(&k, old)
	at := b.d.take(key)
	var room [2]uint64
	for _, tag := range key.tags(&room) {
		b.d.hashes.add(tag, at)
	}
	b.d.ids.add(b.d.idTag(key.id), at)
	b.d.size++
}

// Directory returns what was built.
func (b *Builder) Directory() *Directory {
	b.d.hashes.clip()
	b.d.ids.clip()
	return b.d
}
