// Package redact takes the values of secrets out of text, in whatever form
// programs write them: as they are, in base64 (standard and URL alphabet, also
// within a longer text such as Basic credentials), URL-encoded, escaped as in
// JSON or by an inspector of values, and in hex.
//
// A [Set] knows some secrets and does not change; [Live] is the set of all that
// are in use now. Every occurrence becomes [redacted NAME], occurrences that
// overlap or touch become one, and all other text stays as it is, byte for byte.
// [Set.Writer] finds values that come in any number of writes, and never holds
// back the end of a line. What was transformed in another way (compressed,
// reversed, encoded twice, broken into lines by an encoder) is not found.
package redact

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// MinLength is how many bytes a value must have to be looked for: shorter ones
// are found in innocent text.
const MinLength = 8

// A Set finds the values of some secrets. It is safe for concurrent use; nil
// finds nothing.
type Set struct {
	// filter has a bit for the hash of each text of four bytes with which a form
	// can begin; heads has the forms by that text.
	filter []uint64
	shift  uint
	heads  map[uint32][]list
	// starts are the first one, two and three bytes of those texts.
	starts map[uint32]struct{}
	more   *Set // whose forms are this one's too; most often nil
}

// secret is a value and its name.
type secret struct{ name, value string }

// New makes the set of the named values. Spaces around a value do not count,
// and of a value of several lines each line that is long enough is found by
// itself.
func New(values map[string]string) *Set {
	var list []secret
	for name, value := range values {
		list = append(list, secret{name, value})
	}
	return newSet(list)
}

func newSet(secrets []secret) *Set {
	slices.SortFunc(secrets, compareSecrets) // of two names of a value the first is told, always
	s := &Set{heads: map[uint32][]list{}, starts: map[uint32]struct{}{}}
	for _, f := range forms(secrets) {
		for _, head := range f.heads() {
			s.add(head, f)
			for n := range uint32(3) {
				s.starts[start(head, n+1)] = struct{}{}
			}
		}
	}
	size := max(bits.Len(uint(len(s.heads)))+6, 10) // one bit in 64 is set, or fewer
	s.filter, s.shift = make([]uint64, 1<<(size-6)), uint(32-size)
	for head := range s.heads {
		h := s.hash(head)
		s.filter[h>>6] |= 1 << (h & 63)
	}
	return s
}

// add adds a form that can begin with a head. Forms come in their order.
func (s *Set) add(head uint32, f *form) {
	lists := s.heads[head]
	if n := len(lists); n > 0 && lists[n-1].kind == f.kind {
		lists[n-1].forms = append(lists[n-1].forms, f)
		return
	}
	s.heads[head] = append(lists, list{f.kind, []*form{f}})
}

// start is the key in starts of the first n bytes of a head.
func start(head, n uint32) uint32 { return n<<24 | head&(1<<(8*n)-1) }

// factor spreads heads over the filter (Knuth's multiplicative hashing).
const factor = 0x9e3779b1

func (s *Set) hash(head uint32) uint32 { return head * factor >> (s.shift & 31) }

// Empty reports whether there is nothing to find.
func (s *Set) Empty() bool { return s == nil || len(s.heads) == 0 && s.more.Empty() }

// Bytes returns text without the values: text itself where it has none.
func (s *Set) Bytes(text []byte) []byte { return s.all(text, whole) }

// Cut is [Set.Bytes] of a text whose end was cut off: what of a value may be left
// there is taken out too.
func (s *Set) Cut(text []byte) []byte { return s.all(text, cut) }

// String is [Set.Bytes] for strings.
func (s *Set) String(text string) string {
	if s.Empty() {
		return text
	}
	sc := scanner{set: s}
	if out, _, changed := sc.scan(nil, []byte(text), whole); changed {
		return string(out)
	}
	return text
}

func (s *Set) all(text []byte, e end) []byte {
	if s.Empty() {
		return text
	}
	sc := scanner{set: s}
	if out, _, changed := sc.scan(nil, text, e); changed {
		return out
	}
	return text
}

// end says what the end of a text means: how many bytes of the beginning of a
// form, cut off there, are taken for the value.
type end int

const (
	open  end = 0             // the text goes on
	cut   end = 4             // the text went on, and was cut off
	ended end = 16            // the text ended, perhaps in the middle of a write
	whole end = math.MaxInt32 // the text is complete
)

// scanner is a way through a text that may come in parts. Positions are those of
// the part at hand.
type scanner struct {
	set  *Set
	at   int    // no form that begins before it is open
	from int    // what is before it was written, or left out
	name string // of the last value found, which reached to
	till int    // here
}

// scan goes through the text as far as that is decided, which is done: what was
// before it is appended to out where it changed, and is that part of text as it
// is where it did not. The next part must begin with what is behind done.
func (sc *scanner) scan(out, text []byte, e end) (_ []byte, done int, changed bool) {
	changed = sc.from > 0
	for {
		sc.at = sc.set.candidate(text, sc.at)
		if sc.at+headSize > len(text) {
			break
		}
		head := binary.LittleEndian.Uint32(text[sc.at:])
		var hit match
		for set := sc.set; set != nil; set = set.more {
			for _, l := range set.heads[head] {
				hit.add(l.match(text, sc.at))
			}
		}
		if hit.more {
			if e == open {
				break
			}
			hit.cutOff(sc.at, len(text), e)
		}
		if hit.end > 0 {
			out = sc.found(out, text, hit)
			changed = true
		}
		sc.at++
	}
	done = len(text)
	if e == open {
		done = sc.undecided(text)
	}
	if changed && done > sc.from {
		out = append(out, text[sc.from:done]...)
	}
	sc.from = max(sc.from, done)
	sc.at, sc.from, sc.till = sc.at-done, sc.from-done, sc.till-done
	return out, done, changed
}

// found writes what was before a value, and its name. What overlaps or touches
// the value before is only left out.
func (sc *scanner) found(out, text []byte, hit match) []byte {
	switch {
	case hit.begin < sc.from:
	case hit.begin == sc.till && hit.name == sc.name:
	default:
		out = append(out, text[sc.from:hit.begin]...)
		out = append(append(append(out, "[redacted "...), hit.name...), ']')
		sc.name = hit.name
	}
	sc.from = max(sc.from, hit.end)
	sc.till = sc.from
	return out
}

// undecided is from where on a text that goes on has to be kept. A form may take
// in the character before it.
func (sc *scanner) undecided(text []byte) int {
	for ; sc.at < len(text); sc.at++ {
		rest := text[sc.at:]
		if len(rest) >= headSize {
			break // an open form
		}
		var key uint32
		for i, c := range rest {
			key |= uint32(c) << (8 * i)
		}
		if sc.set.begins(start(key, uint32(len(rest)))) {
			break
		}
	}
	if sc.at > 0 && sixBits[text[sc.at-1]] >= 0 {
		return sc.at - 1
	}
	return sc.at
}

// begins reports whether a text of four bytes with this beginning is a head.
func (s *Set) begins(key uint32) bool {
	for ; s != nil; s = s.more {
		if _, ok := s.starts[key]; ok {
			return true
		}
	}
	return false
}

// candidate is the first position from i on at which a form may begin; one
// behind which there is no room for a head where there is none.
func (s *Set) candidate(text []byte, i int) int {
	if s.more != nil {
		at := s.more.candidate(text, i)
		text = text[:min(at+headSize-1, len(text))] // what is behind it is not looked at yet
	}
	return s.filtered(text, i)
}

// filtered is candidate for the set's own heads. All of a text goes through here:
// five positions are looked at with one load and one branch.
func (s *Set) filtered(text []byte, i int) int {
	filter, shift := s.filter, s.shift&31
	for ; i+8 <= len(text); i += 5 {
		x := binary.LittleEndian.Uint64(text[i:])
		h0, h1, h2, h3, h4 := uint32(x)*factor>>shift, uint32(x>>8)*factor>>shift, uint32(x>>16)*factor>>shift, uint32(x>>24)*factor>>shift, uint32(x>>32)*factor>>shift
		hits := filter[h0>>6]>>(h0&63)&1 | filter[h1>>6]>>(h1&63)&1<<1 | filter[h2>>6]>>(h2&63)&1<<2 | filter[h3>>6]>>(h3&63)&1<<3 | filter[h4>>6]>>(h4&63)&1<<4
		if hits != 0 {
			return i + bits.TrailingZeros64(hits)
		}
	}
	for ; i+headSize <= len(text); i++ {
		h := s.hash(binary.LittleEndian.Uint32(text[i:]))
		if filter[h>>6]&(1<<(h&63)) != 0 {
			return i
		}
	}
	return i
}
