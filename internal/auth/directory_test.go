package auth

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/limit"
	"postern.dev/postern/internal/platform"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// model is a directory as a map.
type model map[string]known

type known struct {
	key  platform.AccessKey
	rate *limit.Rate
	is   identity
}

// stand is a directory, what should be in it, and what should not be any more.
type stand struct {
	d        *Directory
	model    model
	ids      []string // of the model
	gone     [][sha256.Size]byte
	was      []identity
	sequence uint64
}

func newHash(n uint64) [sha256.Size]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, n))
}

// change makes one change at random: a new key, one that goes, or another form
// of one that is there.
func (s *stand) change(r *rand.Rand, most int) {
	s.sequence++
	id, n := "", r.IntN(most)
	if n < len(s.ids) {
		id = s.ids[n]
	}
	k := s.model[id].key
	if id != "" {
		s.was = append(s.was, s.model[id].is)
	}
	switch kind := r.IntN(10); {
	case id == "":
		id = accesskey.NewID(noon)
		if kind == 0 {
			id = fmt.Sprint("odd ", s.sequence)
		}
		k = platform.AccessKey{ID: id, ProjectID: fmt.Sprint("prj_", r.IntN(1+most/20)), Generation: 1, SecretHash: newHash(s.sequence), Scopes: []platform.Scope{platform.ScopeInvoke}}
		s.ids = append(s.ids, id)
	case kind < 2:
		s.d = s.d.Without(id)
		s.gone = append(s.gone, k.SecretHash, k.PreviousHash)
		delete(s.model, id)
		s.ids = slices.Delete(s.ids, n, n+1)
		return
	case kind < 4:
		s.gone = append(s.gone, k.PreviousHash)
		k.PreviousHash, k.SecretHash, k.PreviousUntil, k.Generation = k.SecretHash, newHash(s.sequence), noon.Add(time.Minute), k.Generation+1
	case kind < 5:
		s.gone = append(s.gone, k.PreviousHash)
		k.PreviousHash, k.PreviousUntil = [sha256.Size]byte{}, time.Time{}
	case kind < 7:
		k.RatePerSecond = r.IntN(3)
	case kind < 8:
		k.ExpiresAt = noon.Add(time.Duration(r.IntN(3)-1) * time.Second)
	default:
		k.ProjectID = fmt.Sprint("prj_", r.IntN(1+most/20))
	}
	s.d = s.d.With(k)
	now := s.d.ByID(id)
	s.model[id] = known{k, now.Rate(), now.identity()}
}

// check compares all that can be seen of the directory with the model.
func (s *stand) check(t *testing.T) {
	t.Helper()
	if s.d.Len() != len(s.model) {
		t.Fatalf("%d keys, want %d", s.d.Len(), len(s.model))
	}
	secrets := 0
	for id, want := range s.model {
		k := s.d.ByID(id)
		if k == nil || k.ID() != id || !k.named([]byte(id)) || k.ProjectID() != want.key.ProjectID || k.Rate() != want.rate || !k.ExpiresAt().Equal(want.key.ExpiresAt) ||
			k.Has(platform.ScopeControl) || !k.Has(platform.ScopeInvoke) || k.identity() != want.is || s.d.same(want.is) != k {
			t.Fatalf("key %s is %+v, want %+v", id, k, want)
		}
		if got, generation := s.d.byHash(want.key.SecretHash, noon); got != k || generation != want.key.Generation {
			t.Fatalf("key %s by its secret: %v, generation %d", id, got, generation)
		}
		secrets++
		if want.key.PreviousUntil.IsZero() {
			continue
		}
		secrets++
		if got, generation := s.d.byHash(want.key.PreviousHash, noon); got != k || generation != want.key.Generation-1 {
			t.Fatalf("key %s by its secret before: %v, generation %d", id, got, generation)
		}
		if got, _ := s.d.byHash(want.key.PreviousHash, noon.Add(time.Hour)); got != nil {
			t.Fatalf("key %s by its secret before, when that is over", id)
		}
	}
	for _, hash := range s.gone {
		if k, _ := s.d.byHash(hash, noon); k != nil {
			t.Fatalf("a secret that is gone still finds %s", k.ID())
		}
	}
	for _, is := range s.was {
		if k := s.d.same(is); k != nil && s.model[k.ID()].is != is {
			t.Fatalf("key %s is taken for what it was", k.ID())
		}
	}
	if n := s.d.ids.entries(); n != len(s.model) {
		t.Fatalf("%d entries by ID for %d keys", n, len(s.model))
	}
	if n := s.d.hashes.entries(); n != secrets {
		t.Fatalf("%d entries by hash for %d secrets", n, secrets)
	}
	if n := len(s.d.slabs) * slabSize; n > 2*len(s.model)+4*slabSize {
		t.Fatalf("room for %d keys, and there are %d", n, len(s.model))
	}
}

func (x *index) entries() (n int) {
	for _, middle := range x {
		if middle != nil {
			for _, leaf := range middle {
				n += len(leaf)
			}
		}
	}
	return n
}

// Whatever changes, a directory is the map that it should be, and so are those
// that it came from: also when keys were moved and the slabs' numbers begin again.
func TestDirectory_Changes(t *testing.T) {
	t.Parallel()
	for _, most := range []int{2, 30, 300, 3000} {
		for range 3 {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("%d keys, seed %d", most, seed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 0))
				s := &stand{d: NewDirectory(), model: model{}}
				s.d.first = slabNumbers - 1 - uint32(r.IntN(9)) // the numbers soon begin again
				var before []stand
				for i := range 7000 {
					s.change(r, most)
					if i%1500 == 1000 {
						before = append(before, stand{d: s.d, model: maps.Clone(s.model)})
						s.check(t)
					}
				}
				s.check(t)
				for _, b := range before {
					b.check(t)
				}
			})
		}
	}
}

// A day of changes takes no more memory than an hour, whichever keys they are of.
func TestDirectory_BoundedByItsKeys(t *testing.T) {
	t.Parallel()
	const keys = 10_000
	b := NewBuilder()
	list := make([]platform.AccessKey, keys)
	for i := range list {
		list[i] = platform.AccessKey{ID: accesskey.NewID(noon), ProjectID: "prj_a", SecretHash: newHash(uint64(i))}
		b.Add(list[i])
	}
	built := b.Directory()
	for name, next := range map[string]func(i int) int{
		"one key": func(int) int { return 7 }, "each in turn": func(i int) int { return i % keys }, "the last first": func(i int) int { return keys - 1 - i%keys }, "any": func(int) int { return rand.IntN(keys) },
	} {
		d, most := built, 0
		for i := range 4 * keys {
			d = d.With(list[next(i)])
			most = max(most, len(d.slabs)*slabSize)
		}
		if t.Logf("%s: room for %d", name, most); most > keys*3/2+4*slabSize {
			t.Errorf("%s: room for %d keys, and there are %d", name, most, keys)
		}
		for i := range list {
			if d.ByID(list[i].ID) == nil {
				t.Fatalf("%s: key %d was lost", name, i)
			}
		}
	}
	d := built
	for i := range list {
		if d = d.Without(list[i].ID); len(d.slabs)*slabSize > 2*d.Len()+3*slabSize {
			t.Fatalf("room for %d keys, and there are %d", len(d.slabs)*slabSize, d.Len())
		}
	}
}

// Readers take no lock, and nothing is written that they may read: also when
// two write from the same directory.
func TestDirectory_ReadersBesideWriters(t *testing.T) {
	t.Parallel()
	const keys = 200
	b := NewBuilder()
	list := make([]platform.AccessKey, keys)
	for i := range list {
		list[i] = platform.AccessKey{ID: accesskey.NewID(noon), ProjectID: "prj_0", SecretHash: newHash(uint64(i))}
		b.Add(list[i])
	}
	var published [2]atomic.Pointer[Directory]
	start := b.Directory()
	published[0].Store(start)
	published[1].Store(start)
	var writers, readers sync.WaitGroup
	for w := range published {
		writers.Go(func() {
			for i := range 8 * slabSize {
				k := list[i%keys]
				k.RatePerSecond, k.ProjectID = i%3, fmt.Sprint("prj_", i%50)
				published[w].Store(published[w].Load().With(k))
			}
		})
	}
	var stop atomic.Bool
	var uses Uses
	for range 3 {
		readers.Go(func() {
			for i := 0; !stop.Load(); i++ {
				d, want := published[i%2].Load(), list[i/2%keys]
				k, _ := d.byHash(want.SecretHash, noon)
				if k == nil || k.ID() != want.ID || k.ProjectID() == "" || d.same(k.identity()) != k {
					t.Errorf("key %s is not there, or another", want.ID)
					return
				}
				if rate := k.Rate(); rate != nil {
					rate.Allow(noon)
				}
				uses.Mark(k, noon.Add(time.Duration(i)*time.Second))
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()
	uses.Take()
}

// The collector looks at what stands before the last pointer of a thing, and
// that must not be among the keys.
func TestSlab_KeysHaveNoPointers(t *testing.T) {
	t.Parallel()
	var pointers func(t reflect.Type) bool
	pointers = func(t reflect.Type) bool {
		switch t.Kind() {
		case reflect.Struct:
			for i := range t.NumField() {
				if pointers(t.Field(i).Type) {
					return true
				}
			}
			return false
		case reflect.Array:
			return pointers(t.Elem())
		}
		return t.Kind() < reflect.Bool || t.Kind() > reflect.Float64 || t.Kind() == reflect.Uintptr
	}
	s := reflect.TypeFor[slab]()
	for i := range s.NumField() {
		if f := s.Field(i); f.Name == "keys" && (pointers(f.Type) || i != s.NumField()-1) {
			t.Error("there are pointers in or behind the keys of a slab")
		}
	}
	if size := reflect.TypeFor[Key]().Size(); size > 80 {
		t.Errorf("a key takes %d bytes", size)
	}
}
