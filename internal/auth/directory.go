package auth

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
)

// Directory is an immutable set of live keys. With and Without return another
// one that shares nearly everything with it, so that a change costs the same
// with ten keys and with a million. It is safe for concurrent use.
type Directory struct {
	hashes  index // by SHA-256 of a secret; a key that was rotated is there twice
	ids     index // by hash of the ID
	seed    maphash.Seed
	size    int
	signing *signing // what verifies our own tokens
	revoked *revoked // shared by all that came from one another
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

// index is a two-level table of small buckets. A bucket is found by 16 bits
// of a tag and searched for the whole tag.
type index [256]*[256][]place

type place struct {
	tag uint64
	key *Key
}

// NewDirectory returns an empty directory.
func NewDirectory() *Directory {
	return &Directory{seed: maphash.MakeSeed(), signing: &signing{set: token.NewKeySet()}, revoked: &revoked{}}
}

// Len is the number of keys.
func (d *Directory) Len() int { return d.size }

// ByID returns the key with an ID, or nil.
func (d *Directory) ByID(id string) *Key {
	for _, p := range d.ids.bucket(d.idTag(id)) {
		if p.key.ID == id {
			return p.key
		}
	}
	return nil
}

// byHash returns the key that has a secret with this hash, and the secret's
// generation, or nil.
func (d *Directory) byHash(hash [sha256.Size]byte, now time.Time) (k *Key, generation int) {
	tag := binary.BigEndian.Uint64(hash[:])
	for _, p := range d.hashes.bucket(tag) {
		if p.tag == tag {
			if generation, ok := p.key.shows(hash, now); ok {
				return p.key, generation
			}
		}
	}
	return nil, 0
}

func (d *Directory) idTag(id string) uint64 { return maphash.String(d.seed, id) }

func (x *index) bucket(tag uint64) []place {
	if middle := x[tag>>56]; middle != nil {
		return middle[byte(tag>>48)]
	}
	return nil
}

// edit returns the bucket of a tag for writing, with the way to it copied.
func (x *index) edit(tag uint64) *[]place {
	middle := new([256][]place)
	if old := x[tag>>56]; old != nil {
		*middle = *old
	}
	x[tag>>56] = middle
	return &middle[byte(tag>>48)]
}

// spot is one place of a key in one of the indices.
type spot struct {
	at  *index
	tag uint64
}

// spots lists where a key stands in the directory.
func (d *Directory) spots(k *Key) []spot {
	list := []spot{{at: &d.hashes, tag: binary.BigEndian.Uint64(k.hash[:])}, {at: &d.ids, tag: d.idTag(k.ID)}}
	if m := k.rest(); m.previousUntil != 0 {
		list = append(list, spot{at: &d.hashes, tag: binary.BigEndian.Uint64(m.previous[:])})
	}
	return list
}

// With returns a directory that has the key, in place of any with its ID. A
// key that keeps its limits keeps their state as well.
func (d *Directory) With(k platform.AccessKey) *Directory {
	key := newKey(&k)
	old := d.ByID(k.ID)
	key.keepState(old)
	next := *d
	if old != nil {
		next = *d.Without(k.ID)
	}
	for _, s := range next.spots(key) {
		b := s.at.edit(s.tag)
		*b = append((*b)[:len(*b):len(*b)], place{s.tag, key})
	}
	next.size++
	return &next
}

// Without returns a directory that has no key with that ID.
func (d *Directory) Without(id string) *Directory {
	key := d.ByID(id)
	if key == nil {
		return d
	}
	next := *d
	for _, s := range next.spots(key) {
		b := s.at.edit(s.tag)
		var kept []place
		for _, p := range *b {
			if p.key != key {
				kept = append(kept, p)
			}
		}
		*b = kept
	}
	next.size--
	return &next
}

// WithSigning returns a directory in which tokens are verified with these
// keys, each until it ends.
func (d *Directory) WithSigning(keys []platform.SigningKey) (*Directory, error) {
	s := &signing{ends: map[string]time.Time{}}
	for _, k := range keys {
		p, err := x509.ParsePKIXPublicKey(k.Public)
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %w", k.KID, err)
		}
		s.keys = append(s.keys, token.PublicKey{KID: k.KID, Algorithm: token.Algorithm(k.Algorithm), Key: p})
		if !k.ExpiresAt.IsZero() {
			s.ends[k.KID] = k.ExpiresAt
		}
	}
	s.set = token.NewKeySet(s.keys...)
	next := *d
	next.signing = s
	return &next, nil
}

// Signing is the keys that tokens are verified with, ended ones included.
func (d *Directory) Signing() *token.KeySet { return d.signing.set }

// JWKS is the keys that verify tokens now, as a JSON document (RFC 7517).
func (d *Directory) JWKS(now time.Time) []byte {
	live := slices.Clone(d.signing.keys)
	live = slices.DeleteFunc(live, func(k token.PublicKey) bool { return d.signing.ended(k.KID, now) })
	return token.NewKeySet(live...).JWKS()
}

// Revoke ends tokens. It works at once in every directory that came from the
// same one.
func (d *Directory) Revoke(now time.Time, tokens ...platform.RevokedToken) {
	d.revoked.add(now, tokens)
}

// Builder makes a directory of many keys at once. It is not safe for
// concurrent use, and of no use after Directory.
type Builder struct {
	d        *Directory
	projects map[string]string // so that a project's ID is in memory once
	old      *Directory        // whose keys keep the state of their limits
}

// NewBuilder returns an empty builder.
func NewBuilder() *Builder { return Rebuild(NewDirectory()) }

// Rebuild returns an empty builder of a directory that takes the place of
// another one: a key that keeps its limits keeps their state as well.
func Rebuild(old *Directory) *Builder {
	d := NewDirectory()
	d.signing, d.revoked = old.signing, old.revoked
	return &Builder{d, map[string]string{}, old}
}

// Add adds a key, in place of any with its ID.
func (b *Builder) Add(k platform.AccessKey) {
	if b.d.ByID(k.ID) != nil { // it changed while the keys were read
		b.d = b.d.Without(k.ID)
	}
	if p, ok := b.projects[k.ProjectID]; ok {
		k.ProjectID = p
	} else {
		b.projects[k.ProjectID] = k.ProjectID
	}
	key := newKey(&k)
	key.keepState(b.old.ByID(k.ID))
	for _, s := range b.d.spots(key) {
		s.at.insert(s.tag, key)
	}
	b.d.size++
}

func (x *index) insert(tag uint64, key *Key) {
	middle := x[tag>>56]
	if middle == nil {
		middle = new([256][]place)
		x[tag>>56] = middle
	}
	bucket := &middle[byte(tag>>48)]
	*bucket = append(*bucket, place{tag, key})
}

// Directory returns what was built.
func (b *Builder) Directory() *Directory { return b.d }
