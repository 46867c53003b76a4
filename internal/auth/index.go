package auth

import "slices"

// index finds records by a tag of 64 bits: its first twelve name a leaf, the
// next 32 are in the leaf. A leaf is sorted and has no pointers in it, so that
// a million keys are a few thousand objects at which the garbage collector
// does not look. The zero value is empty.
//
// A leaf is never changed once a directory is in use: an edit copies it and
// the way to it, some kilobytes with a million keys.
type index [64]*[64][]uint64

// ref is where a record is: the number of a slab, and the place in it.
type ref uint32

// nowhere is no record.
const nowhere = ^ref(0)

// entry is what stands in a leaf for a record.
func entry(tag uint64, r ref) uint64 { return tag<<12&^(1<<32-1) | uint64(r) }

func (x *index) leaf(tag uint64) []uint64 {
	if middle := x[tag>>58]; middle != nil {
		return middle[tag>>52&63]
	}
	return nil
}

// seek is where an entry stands in a leaf, or would. Tags are hashes, spread
// evenly: the place is guessed, and is not far off.
func seek(leaf []uint64, e uint64) int {
	i := int((e >> 32) * uint64(len(leaf)) >> 32)
	for i > 0 && leaf[i-1] >= e {
		i--
	}
	for i < len(leaf) && leaf[i] < e {
		i++
	}
	return i
}

// tagged is the record at a place of a leaf, if it has the tag. All that have
// it follow on seek(leaf, entry(tag, 0)); one in 2⁴⁴ others does.
func tagged(leaf []uint64, i int, tag uint64) (ref, bool) {
	if i < len(leaf) && leaf[i]>>32 == tag<<12>>32 {
		return ref(leaf[i]), true
	}
	return nowhere, false
}

// has reports whether the tag leads to the record.
func (x *index) has(tag uint64, r ref) bool {
	leaf, e := x.leaf(tag), entry(tag, r)
	i := seek(leaf, e)
	return i < len(leaf) && leaf[i] == e
}

// middle returns the part of the table that a tag leads to; fresh makes it a
// copy, which may be changed.
func (x *index) middle(tag uint64, fresh bool) *[64][]uint64 {
	old := x[tag>>58]
	if old != nil && !fresh {
		return old
	}
	middle := new([64][]uint64)
	if old != nil {
		*middle = *old
	}
	x[tag>>58] = middle
	return middle
}

// swap puts one record in the place of another in a copy of what the tag leads
// to; either may be nowhere.
func (x *index) swap(tag uint64, from, to ref) {
	leaf := &x.middle(tag, true)[tag>>52&63]
	n := len(*leaf)
	if from == nowhere {
		n++
	}
	out := append(make([]uint64, 0, n), *leaf...)
	if from != nowhere {
		i := seek(out, entry(tag, from))
		out = slices.Delete(out, i, i+1)
	}
	if to != nowhere {
		out = insert(out, entry(tag, to))
	}
	*leaf = out
}

// add puts a record in without a copy: only while nobody else has the index.
func (x *index) add(tag uint64, r ref) {
	leaf := &x.middle(tag, false)[tag>>52&63]
	*leaf = insert(*leaf, entry(tag, r))
}

func insert(leaf []uint64, e uint64) []uint64 { return slices.Insert(leaf, seek(leaf, e), e) }

// clip gives back the room that leaves have to grow: only while nobody else has
// the index.
func (x *index) clip() {
	for _, middle := range x {
		if middle == nil {
			continue
		}
		for i, leaf := range middle {
			if cap(leaf) > len(leaf)+len(leaf)/16 {
				middle[i] = append(make([]uint64, 0, len(leaf)), leaf...)
			}
		}
	}
}
