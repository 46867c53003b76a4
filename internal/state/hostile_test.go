package state_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/internal/blob"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/state"
	"postern.dev/postern/internal/state/statetest"
	"postern.dev/postern/internal/store"
)

// newService is a service on a real store and directory.
func newService(t testing.TB) *state.Service {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	cache, err := db.OpenCache(t.Context(), filepath.Join(t.TempDir(), "cache.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Close() })
	blobs, err := blob.OpenDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	return state.New(state.Options{Cache: cache, CacheEntries: 1000, CacheBytes: 1 << 20, Index: db, Blobs: blobs, Registry: db,
		ObjectBytes: 1 << 20, StorageObjects: 1000, StorageBytes: 1 << 24, Now: statetest.NewSteps().Now})
}

// A worker that is not ours may send anything. What does not fit is told so, and
// what was kept by others is as it was.
func TestService_HostileWorker(t *testing.T) {
	t.Parallel()
	s := newService(t)
	victim, hostile := s.For(function.NewFunctionID(statetest.NewSteps().Now())), s.For(function.NewFunctionID(statetest.NewSteps().Now()))
	for _, op := range []string{"cache.set", "storage.write"} {
		if _, err := victim(t.Context(), op, map[string][][]byte{"cache.set": {[]byte("k"), []byte(`"kept"`), []byte("60000")}, "storage.write": {[]byte("k"), []byte("kept")}}[op]); err != nil {
			t.Fatal(err)
		}
	}
	long := []byte(strings.Repeat("x", 1<<20))
	for _, c := range []struct {
		name, op, code string
		fields         [][]byte
	}{
		{"an unknown call", "cache.flush", "call_unknown", nil},
		{"a call of no name", "", "call_unknown", nil},
		{"a long name", strings.Repeat("c", 255), "call_unknown", nil},
		{"no fields", "cache.get", "call_malformed", nil},
		{"too few fields", "cache.set", "call_malformed", [][]byte{[]byte("k")}},
		{"too many fields", "cache.set", "call_malformed", make([][]byte, 4)},
		{"very many fields", "cache.get", "call_malformed", make([][]byte, 1025)},
		{"an empty key", "cache.get", "cache_key_invalid", [][]byte{nil}},
		{"a key of a mebibyte", "cache.get", "cache_key_invalid", [][]byte{long}},
		{"a key that is no text", "cache.has", "cache_key_invalid", [][]byte{{0xff}}},
		{"an empty value", "cache.set", "call_malformed", [][]byte{[]byte("k"), nil, []byte("1")}},
		{"a value of a mebibyte", "cache.set", "cache_value_too_large", [][]byte{[]byte("k"), long, []byte("1")}},
		{"a time that is none", "cache.set", "cache_ttl_invalid", [][]byte{[]byte("k"), []byte("1"), []byte("soon")}},
		{"a time that overflows", "cache.extend", "cache_ttl_invalid", [][]byte{[]byte("k"), []byte("99999999999999999999")}},
		{"an increment that is none", "cache.increment", "call_malformed", [][]byte{[]byte("k"), []byte("0x10"), []byte("1")}},
		{"an increment that overflows", "cache.increment", "call_malformed", [][]byte{[]byte("k"), []byte("9223372036854775807"), []byte("1")}},
		{"a list from nowhere", "cache.keys", "call_malformed", [][]byte{{0xff}, nil}},
		{"a path out", "storage.read", "storage_key_invalid", [][]byte{[]byte("../../k")}},
		{"an absolute path", "storage.write", "storage_key_invalid", [][]byte{[]byte("/etc/passwd"), nil}},
		{"a handle of nobody", "storage.append", "storage_handle_gone", [][]byte{long, long}},
		{"an object that is too large", "storage.write", "storage_object_too_large", [][]byte{[]byte("k"), append(long, 'x')}},
		{"a begin with fields", "storage.begin", "call_malformed", [][]byte{nil}},
	} {
		out, err := hostile(t.Context(), c.op, c.fields)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != c.code || out != nil || len(f.Text) > 400 {
			t.Errorf("%s: %q, %.200v; want %s", c.name, out, err, c.code)
		}
	}
	if out, err := hostile(t.Context(), "storage.list", [][]byte{nil, nil}); err != nil || len(out) != 1 {
		t.Errorf("refusals have left %q, %v", out, err)
	}
	if out, err := victim(t.Context(), "cache.get", [][]byte{[]byte("k")}); err != nil || string(out[0]) != `"kept"` {
		t.Errorf("another function has %q, %v", out, err)
	}
}

// Whatever a worker asks for: no panic, no error of our own, and an answer that
// one frame takes.
func FuzzService(f *testing.F) {
	seeds := []struct{ op, fields string }{
		{"cache.get", "k"}, {"cache.get", "k\xfeother\xfe"}, {"cache.set", "k\xfe1\xfe60000"}, {"cache.set", "n\xfe\"x\"\xfe1"}, {"cache.increment", "k\xfe-5\xfe1000"}, {"cache.increment", "n\xfe9007199254740991\xfe1000"},
		{"cache.extend", "k\xfe0"}, {"cache.delete", "k"}, {"cache.has", "\x00"}, {"cache.keys", "\xfe"}, {"cache.keys", "\xf4\x8f\xbf\xbf\xfe"}, {"storage.write", "a/b\xfedata"}, {"storage.read", "a/b"}, {"storage.read", "../b"},
		{"storage.list", "a/\xfe"}, {"storage.next", "x"}, {"storage.append", "x\xfey"}, {"storage.commit", "x\xfek"}, {"storage.abort", ""}, {"storage.exists", "a//b"}, {"storage.delete", "a/b"}, {"storage.begin", ""}, {"other", ""},
	}
	for _, s := range seeds {
		f.Add(s.op, s.fields)
	}
	call := newService(f).For(function.NewFunctionID(statetest.NewSteps().Now()))
	f.Fuzz(func(t *testing.T, op, fields string) {
		var in [][]byte
		if fields != "" {
			for part := range strings.SplitSeq(fields, "\xfe") {
				in = append(in, []byte(part))
			}
		}
		ctx, cancel := context.WithCancel(t.Context()) // what it begins ends with it
		defer cancel()
		out, err := call(ctx, op, in)
		if _, ours := errors.AsType[*fault.Error](err); err != nil && (!ours || fault.KindOf(err) == fault.Internal) {
			t.Fatalf("%q %q: %v", op, fields, err)
		}
		size := 1
		for _, b := range out {
			size += 4 + len(b)
		}
		if size > 1<<20 {
			t.Fatalf("%q %q: an answer of %d bytes", op, fields, size)
		}
	})
}
