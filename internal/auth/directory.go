package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash/maphash"

	"postern.dev/postern/internal/platform"
)

// Directory is an immutable set of live keys. With and Without return another
// one that shares nearly everything with it, so that a change costs the same
// with ten keys and with a million. It is safe for concurrent use.
type Directory struct {
	hashes index // by SHA-256 of the secret
	ids    index // by hash of the ID
	seed   maphash.Seed
	size   int
}

// index is a two-level table of small buckets. A bucket is found by 16 bits
// of a tag and searched for the whole tag.
type index [256]*[256][]place

type place struct {
	tag uint64
	key *Key
}

// NewDirectory returns an empty directory.
func NewDirectory() *Directory { return &Directory{seed: maphash.MakeSeed()} }

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

func (d *Directory) byHash(hash [sha256.Size]byte) *Key {
	tag := binary.BigEndian.Uint64(hash[:])
	for _, p := range d.hashes.bucket(tag) {
		if p.tag == tag && subtle.ConstantTimeCompare(p.key.hash[:], hash[:]) == 1 {
			return p.key
		}
	}
	return nil
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

// With returns a directory that has the key, in place of any with its ID. A
// key that keeps its rate keeps the rate's state as well.
func (d *Directory) With(k platform.AccessKey) *Directory {
	next := *d
	key := newKey(&k)
	if d.ByID(k.ID) != nil {
		next = *d.Without(k.ID)
	}
	key.keepRate(d)
	hashTag, idTag := binary.BigEndian.Uint64(key.hash[:]), d.idTag(key.ID)
	for at, tag := range map[*index]uint64{&next.hashes: hashTag, &next.ids: idTag} {
		b := at.edit(tag)
		*b = append((*b)[:len(*b):len(*b)], place{tag, key})
	}
	next.size++
	return &next
}

// keepRate takes over the state of the rate that the key has in a directory.
func (k *Key) keepRate(d *Directory) {
	if k.Rate == nil {
		return
	}
	if old := d.ByID(k.ID); old != nil && old.perSecond == k.perSecond {
		k.Rate = old.Rate
	}
}

// Without returns a directory that has no key with that ID.
func (d *Directory) Without(id string) *Directory {
	key := d.ByID(id)
	if key == nil {
		return d
	}
	next := *d
	for at, tag := range map[*index]uint64{&next.hashes: binary.BigEndian.Uint64(key.hash[:]), &next.ids: d.idTag(id)} {
		b := at.edit(tag)
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

// Builder makes a directory of many keys at once. It is not safe for
// concurrent use, and of no use after Directory.
type Builder struct {
	d        *Directory
	projects map[string]string // so that a project's ID is in memory once
	old      *Directory        // whose keys keep the state of their rates
}

// NewBuilder returns an empty builder.
func NewBuilder() *Builder { return Rebuild(NewDirectory()) }

// Rebuild returns an empty builder of a directory that takes the place of
// another one: a key that keeps its rate keeps the rate's state as well.
func Rebuild(old *Directory) *Builder { return &Builder{NewDirectory(), map[string]string{}, old} }

// Add adds a key that has not been added yet.
func (b *Builder) Add(k platform.AccessKey) {
	if p, ok := b.projects[k.ProjectID]; ok {
		k.ProjectID = p
	} else {
		b.projects[k.ProjectID] = k.ProjectID
	}
	key := newKey(&k)
	key.keepRate(b.old)
	b.d.hashes.insert(binary.BigEndian.Uint64(key.hash[:]), key)
	b.d.ids.insert(b.d.idTag(key.ID), key)
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
