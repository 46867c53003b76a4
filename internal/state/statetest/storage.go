package statetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/state"
)

// Blobs keeps bytes, as the service has it.
type Blobs interface {
	state.Blobs
	state.BlobKeeper
}

// Indexing is an index and what it knows of functions. *store.DB is one.
type Indexing interface {
	state.Index
	state.Registry
}

const part = 512 << 10

// depot is a service over one index and one keeper of blobs.
type depot struct {
	Blobs
	index Indexing
	clock *Steps
	*state.Service
}

func newDepot(index Indexing, blobs Blobs, change func(*state.Options)) *depot {
	d := &depot{Blobs: blobs, index: index, clock: &Steps{now: time.Now()}}
	o := state.Options{Cache: &state.Memory{}, CacheEntries: 100, CacheBytes: 1 << 20, Index: index, Blobs: blobs, Registry: index,
		ObjectBytes: 8 << 20, StorageObjects: 10_000, StorageBytes: 64 << 20, Now: d.clock.Now}
	if change != nil {
		change(&o)
	}
	d.Service = state.New(o)
	return d
}

// function is a new function's ID and its calls.
func (d *depot) function() (string, Func) {
	id := function.NewFunctionID(d.clock.Now())
	return id, d.For(id)
}

// names are the blobs of a function.
func (d *depot) names(t *testing.T, functionID string) (out []string) {
	t.Helper()
	err := d.Each(t.Context(), func(id, name string) error {
		if id == functionID {
			out = append(out, name)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return out
}

// write writes an object as the runtime does: in one call, or in parts.
func write(t *testing.T, call Func, key, data string) {
	t.Helper()
	if len(data) <= part {
		must(t, call, "storage.write", key, data)
		return
	}
	h := must(t, call, "storage.begin")[0]
	for p := range slices.Chunk([]byte(data), part) {
		must(t, call, "storage.append", h, string(p))
	}
	must(t, call, "storage.commit", h, key)
}

// read reads an object as the runtime does.
func read(ctx context.Context, call Func, key string) (string, error) {
	out, err := call(ctx, "storage.read", [][]byte{[]byte(key)})
	if err != nil {
		return "", err
	}
	var all bytes.Buffer
	all.Write(out[2])
	for fmt.Sprint(all.Len()) != string(out[0]) {
		next, err := call(ctx, "storage.next", out[1:2])
		if err != nil {
			return "", err
		}
		all.Write(next[0])
	}
	return all.String(), nil
}

func wantObject(t *testing.T, call Func, key, want string) {
	t.Helper()
	if got, err := read(t.Context(), call, key); err != nil || got != want {
		t.Errorf("%s: %d bytes %.40q, %v; want %d %.40q", key, len(got), got, err, len(want), want)
	}
}

// Storage runs the suite on what keeps bytes, each test on one that is empty.
func Storage(t *testing.T, open func(*testing.T) (Indexing, Blobs)) {
	for name, test := range map[string]func(*testing.T, *depot){
		"objects":                          storageObjects,
		"keys":                             storageKeys,
		"keys that are none":               storageKeysRefused,
		"lists":                            storageLists,
		"large objects":                    storageLarge,
		"parts that are wrong":             storageParts,
		"a worker that dies":               storageDies,
		"a handle that waits":              storageWaits,
		"functions are apart":              storageTenants,
		"readers see one version":          storageWhole,
		"what is removed while it is read": storageRemoved,
		"forgotten":                        storageForgotten,
		"swept":                            storageSwept,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			index, blobs := open(t)
			test(t, newDepot(index, blobs, nil))
		})
	}
	t.Run("it fills", func(t *testing.T) {
		t.Parallel()
		index, blobs := open(t)
		storageFull(t, index, blobs)
	})
}

func storageObjects(t *testing.T, d *depot) {
	id, call := d.function()
	refused(t, call, "not_found", "storage.read", "a")
	if got := must(t, call, "storage.exists", "a"); got[0] != "" {
		t.Error("what was never written is there")
	}
	if got := must(t, call, "storage.delete", "a"); got[0] != "" {
		t.Error("what was never written was deleted")
	}
	for _, data := range []string{"first", "", "\x00\xff binary", strings.Repeat("x", part)} {
		write(t, call, "a", data)
		wantObject(t, call, "a", data)
	}
	if got := d.names(t, id); len(got) != 1 {
		t.Errorf("one object has %d blobs", len(got))
	}
	if got := must(t, call, "storage.exists", "a"); got[0] != "1" {
		t.Error("what was written is not there")
	}
	if got := must(t, call, "storage.delete", "a"); got[0] != "1" {
		t.Error("it was not deleted")
	}
	refused(t, call, "not_found", "storage.read", "a")
	if got := d.names(t, id); len(got) != 0 {
		t.Errorf("after the delete there are %d blobs", len(got))
	}
}

// Keys are told apart whatever a file system makes of them, and one may be the
// beginning of another.
func storageKeys(t *testing.T, d *depot) {
	_, call := d.function()
	keys := storageKeyVectors(t).Good
	for i, k := range keys {
		write(t, call, k, fmt.Sprint(i))
	}
	for i, k := range keys {
		wantObject(t, call, k, fmt.Sprint(i))
	}
	slices.Sort(keys)
	if got := must(t, call, "storage.list", "", "")[1:]; !slices.Equal(got, keys) {
		t.Errorf("the list is %q", got)
	}
}

// storageKeyVectors are keys that the runtime has to tell apart too.
func storageKeyVectors(t *testing.T) (v struct{ Good, Bad []string }) {
	t.Helper()
	if err := json.Unmarshal(testdata(t, "storage_keys.json"), &v); err != nil || len(v.Good) < 20 || len(v.Bad) < 15 {
		t.Fatalf("%d good and %d bad keys, %v", len(v.Good), len(v.Bad), err)
	}
	return v
}

func storageKeysRefused(t *testing.T, d *depot) {
	id, call := d.function()
	for _, k := range append(storageKeyVectors(t).Bad, "\xff", "\xed\xa0\x80") {
		refused(t, call, "storage_key_invalid", "storage.write", k, "data")
		refused(t, call, "storage_key_invalid", "storage.read", k)
		refused(t, call, "storage_key_invalid", "storage.exists", k)
		refused(t, call, "storage_key_invalid", "storage.delete", k)
		h := must(t, call, "storage.begin")[0]
		must(t, call, "storage.append", h, "data")
		refused(t, call, "storage_key_invalid", "storage.commit", h, k)
	}
	refused(t, call, "storage_key_invalid", "storage.list", "\xff", "")
	if got := d.names(t, id); len(got) != 0 {
		t.Errorf("refused keys have left %q", got)
	}
}

func storageLists(t *testing.T, d *depot) {
	id, call := d.function()
	var want []string
	for i := range 1050 {
		want = append(want, fmt.Sprintf("logs/%05d", i))
		if _, err := d.index.PutObject(t.Context(), id, platform.StoredObject{Key: want[i], Blob: "b"}, 1<<20, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []string{"log", "logs", "logt", "m"} {
		write(t, call, k, "")
	}
	var got []string
	pages := 0
	for after, more := "", true; more && pages < 10; pages++ {
		out := must(t, call, "storage.list", "logs/", after)
		more, got = out[0] == "1", append(got, out[1:]...)
		after = got[len(got)-1]
	}
	if !slices.Equal(got, want) || pages != 2 {
		t.Errorf("%d keys in %d pages", len(got), pages)
	}
	for prefix, want := range map[string][]string{"logt": {"", "logt"}, "m": {"", "m"}, "x": {""}, "../": {""}, "log": nil} {
		if got := must(t, call, "storage.list", prefix, ""); want != nil && !slices.Equal(got, want) {
			t.Errorf("below %q there are %q", prefix, got)
		}
	}
}

func storageLarge(t *testing.T, d *depot) {
	id, call := d.function()
	large := strings.Repeat("0123456789abcdef", 3<<20/16) + "end"
	write(t, call, "large", large)
	wantObject(t, call, "large", large)
	write(t, call, "large", large+"!")
	wantObject(t, call, "large", large+"!")
	h := must(t, call, "storage.begin")[0]
	for range 8 << 20 / part {
		must(t, call, "storage.append", h, strings.Repeat("x", part))
	}
	refused(t, call, "storage_object_too_large", "storage.append", h, "x")
	refused(t, call, "storage_handle_gone", "storage.commit", h, "large")
	wantObject(t, call, "large", large+"!")
	if got := d.names(t, id); len(got) != 1 || d.InParts() != 0 {
		t.Errorf("there are %d blobs and %d handles", len(got), d.InParts())
	}
}

// Whatever a worker does with handles ends at most what it has begun itself.
func storageParts(t *testing.T, d *depot) {
	id, call := d.function()
	_, other := d.function()
	write(t, call, "large", strings.Repeat("x", 3*part))
	reads := must(t, call, "storage.read", "large")[1]
	writes := must(t, call, "storage.begin")[0]
	refused(t, other, "storage_handle_gone", "storage.next", reads)
	refused(t, other, "storage_handle_gone", "storage.append", writes, "theirs")
	refused(t, other, "storage_handle_gone", "storage.commit", writes, "theirs")
	must(t, other, "storage.abort", writes)
	for _, none := range []string{"", "x", writes + "x", strings.Repeat("x", 1<<16)} {
		refused(t, call, "storage_handle_gone", "storage.next", none)
		refused(t, call, "storage_handle_gone", "storage.append", none, "x")
	}
	must(t, call, "storage.append", writes, "ours")
	must(t, call, "storage.commit", writes, "k")
	wantObject(t, call, "k", "ours")
	refused(t, call, "storage_handle_gone", "storage.commit", writes, "again")
	must(t, call, "storage.next", reads)
	must(t, call, "storage.next", reads)
	refused(t, call, "storage_handle_gone", "storage.next", reads)
	reads = must(t, call, "storage.read", "large")[1]
	refused(t, call, "call_malformed", "storage.append", reads, "x")
	writes = must(t, call, "storage.begin")[0]
	refused(t, call, "call_malformed", "storage.next", writes)
	writes = must(t, call, "storage.begin")[0]
	must(t, call, "storage.abort", writes)
	must(t, call, "storage.abort", writes)
	for range 64 {
		must(t, call, "storage.begin")
	}
	refused(t, call, "storage_busy", "storage.begin")
	refused(t, call, "storage_busy", "storage.read", "large")
	must(t, call, "storage.read", "k")
	must(t, other, "storage.begin")
	if got := d.names(t, id); len(got) != 2 {
		t.Errorf("there are %d blobs", len(got))
	}
}

// What a worker was writing goes with it.
func storageDies(t *testing.T, d *depot) {
	id, call := d.function()
	write(t, call, "k", strings.Repeat("x", 2*part))
	ctx, die := context.WithCancel(t.Context())
	out, err := call(ctx, "storage.begin", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call(ctx, "storage.append", [][]byte{out[0], []byte("half")}); err != nil {
		t.Error(err)
	}
	if _, err := call(ctx, "storage.read", [][]byte{[]byte("k")}); err != nil || d.InParts() != 2 {
		t.Errorf("%d handles, %v", d.InParts(), err)
	}
	die()
	for until := time.Now().Add(10 * time.Second); d.InParts() > 0 && time.Now().Before(until); {
		<-time.After(time.Millisecond)
	}
	if d.InParts() != 0 {
		t.Error("a handle outlives its worker")
	}
	refused(t, call, "storage_handle_gone", "storage.commit", string(out[0]), "k")
	wantObject(t, call, "k", strings.Repeat("x", 2*part))
	if got := d.names(t, id); len(got) != 1 {
		t.Errorf("there are %d blobs", len(got))
	}
}

func storageWaits(t *testing.T, d *depot) {
	_, call := d.function()
	h := must(t, call, "storage.begin")[0]
	d.clock.Pass(t, time.Minute)
	d.Idle()
	must(t, call, "storage.append", h, "x")
	d.clock.Pass(t, time.Minute+time.Second)
	d.Idle()
	must(t, call, "storage.append", h, "x")
	d.clock.Pass(t, 2*time.Minute+time.Second)
	d.Idle()
	refused(t, call, "storage_handle_gone", "storage.append", h, "x")
}

func storageTenants(t *testing.T, d *depot) {
	_, a := d.function()
	_, b := d.function()
	write(t, a, "k", "of a")
	refused(t, b, "not_found", "storage.read", "k")
	if got := must(t, b, "storage.list", "", ""); len(got) != 1 {
		t.Errorf("another function lists %q", got)
	}
	must(t, b, "storage.delete", "k")
	write(t, b, "k", "of b")
	wantObject(t, a, "k", "of a")
	wantObject(t, b, "k", "of b")
	must(t, b, "storage.delete", "k")
	wantObject(t, a, "k", "of a")
}

// Of writers and readers at once every reader sees one whole version, and one
// that has read what it wrote sees nothing older.
func storageWhole(t *testing.T, d *depot) {
	id, call := d.function()
	content := func(i int) string { return strings.Repeat(string(rune('a'+i)), part+part/2+i) }
	write(t, call, "k", content(0))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 4 {
				write(t, call, "k", content(i))
				own := fmt.Sprint("own", i)
				write(t, call, own, content(i))
				wantObject(t, call, own, content(i))
			}
		})
		wg.Go(func() {
			for range 8 {
				got, err := read(t.Context(), call, "k")
				if err != nil || got != content(int(got[0]-'a')) {
					t.Errorf("read %d bytes of no version, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
	if got := d.names(t, id); len(got) != 5 || d.InParts() != 0 {
		t.Errorf("5 objects have %d blobs; %d handles", len(got), d.InParts())
	}
}

func storageRemoved(t *testing.T, d *depot) {
	_, call := d.function()
	old := strings.Repeat("old!", 3*part/4)
	for _, remove := range []func(){func() { must(t, call, "storage.delete", "k") }, func() { write(t, call, "k", "new") }} {
		write(t, call, "k", old)
		out := must(t, call, "storage.read", "k")
		remove()
		got := out[2]
		for len(got) < len(old) {
			next := must(t, call, "storage.next", out[1])
			if len(next) == 0 {
				return
			}
			got += next[0]
		}
		if got != old {
			t.Errorf("what was begun is not what is read to its end")
		}
	}
}

func storageFull(t *testing.T, index Indexing, blobs Blobs) {
	d := newDepot(index, blobs, func(o *state.Options) { o.StorageObjects, o.StorageBytes = 3, 1000 })
	id, call := d.function()
	_, other := d.function()
	write(t, call, "a", strings.Repeat("x", 900))
	refused(t, call, "storage_full", "storage.write", "b", strings.Repeat("x", 101))
	write(t, call, "b", strings.Repeat("x", 100))
	refused(t, call, "storage_full", "storage.write", "b", strings.Repeat("x", 101))
	wantObject(t, call, "b", strings.Repeat("x", 100))
	write(t, call, "c", "")
	refused(t, call, "storage_full", "storage.write", "d", "")
	write(t, other, "d", "theirs")
	write(t, call, "a", strings.Repeat("y", 900)) // replacing needs no more
	write(t, call, "a", "less")
	write(t, call, "b", strings.Repeat("x", 900))
	must(t, call, "storage.delete", "c")
	write(t, call, "d", "")
	if got := d.names(t, id); len(got) != 3 {
		t.Errorf("3 objects have %d blobs: what was refused is not removed", len(got))
	}
}

func storageForgotten(t *testing.T, d *depot) {
	id, call := d.function()
	write(t, call, "k", "x")
	must(t, call, "cache.set", "k", "1", "60000")
	if err := d.Forget(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := d.names(t, id); len(got) != 0 {
		t.Errorf("of a forgotten function there are %q", got)
	}
	refused(t, call, "function_not_found", "storage.write", "k", "x") // a worker that still runs
	refused(t, call, "function_not_found", "cache.set", "k", "1", "60000")
}

// A killed server leaves blobs to which nothing leads, and what functions had
// that are gone. Young ones may be somebody's who is about to record them.
func storageSwept(t *testing.T, d *depot) {
	id, call := d.function()
	write(t, call, "k", "kept")
	orphan := func() string {
		draft, err := d.Create(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(draft, "orphan")
		name := fmt.Sprintf("%012x-%s", d.clock.Now().UnixMilli(), strings.Repeat("q", 26))
		if err := draft.Commit(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		return name
	}
	orphan()
	if err := d.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := d.names(t, id); len(got) != 2 {
		t.Errorf("a young orphan was swept: %q", got)
	}
	// After some time it is nobody's; what keys lead to is, while there is the function.
	d.clock.Pass(t, 2*time.Hour)
	late := newDepot(living{d.index}, d.Blobs, nil)
	late.clock.Pass(t, 2*time.Hour)
	young := orphan()
	must(t, late.For(id), "cache.set", "k", "1", "60000")
	if err := late.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := d.names(t, id); len(got) != 2 || !slices.Contains(got, young) {
		t.Errorf("after sweeping an old orphan there are %q", got)
	}
	wantObject(t, call, "k", "kept")
	// This function was never recorded.
	late = newDepot(d.index, d.Blobs, nil)
	late.clock.Pass(t, 4*time.Hour)
	must(t, late.For(id), "cache.set", "k", "1", "60000")
	if err := late.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := d.names(t, id); len(got) != 0 {
		t.Errorf("of a function that is gone there are %q", got)
	}
	if _, err := d.index.Object(t.Context(), id, "k"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("the index has it: %v", err)
	}
	if got := must(t, late.For(id), "cache.has", "k"); got[0] != "" {
		t.Error("its cache has it")
	}
}

// living is an index to which every function is recorded.
type living struct{ Indexing }

func (living) FunctionExists(context.Context, string) (bool, error) { return true, nil }
func (living) SweepStorage(context.Context, string) error           { return nil }
