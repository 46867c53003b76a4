// Package statetest is the conformance suite of what functions keep: every
// cache and every storage answers it alike. Production code does not import it.
package statetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/state"
)

// Keeping is a cache as the service has it.
type Keeping interface {
	state.Cache
	state.Keeper
}

// Clock is the time that a suite lives in.
type Clock interface {
	Now() time.Time
	// Pass lets time pass.
	Pass(t *testing.T, d time.Duration)
}

// Steps is a clock that only goes when it is told to.
type Steps struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

// NewSteps makes a clock that stands at a time with microseconds.
func NewSteps() *Steps { return &Steps{now: time.Date(2026, 3, 29, 2, 30, 0, 123456000, time.UTC)} }

// Now implements Clock.
func (s *Steps) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Pass implements Clock.
func (s *Steps) Pass(_ *testing.T, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// Wall is the clock of those whose ends others watch over.
type Wall struct{}

// Now implements Clock.
func (Wall) Now() time.Time { return time.Now() }

// Pass implements Clock.
func (Wall) Pass(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// Func is what answers one function's calls.
type Func = func(ctx context.Context, op string, fields [][]byte) ([][]byte, error)

// step is one call of a vector, as a function would make it.
type step struct {
	After float64           `json:"after"` // seconds that pass before
	Do    string            `json:"do"`
	Args  []json.RawMessage `json:"args"`
	Want  json.RawMessage   `json:"want"`
	Error string            `json:"error"`
}

type vector struct {
	Name  string `json:"name"`
	Steps []step `json:"steps"`
}

// testdata reads a file that the runtime's tests read too.
func testdata(t *testing.T, file string) []byte {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	data, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func vectors(t *testing.T, file string) (out []vector) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(testdata(t, file)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, v)
	}
	if len(out) < 10 {
		t.Fatalf("%s has %d vectors", file, len(out))
	}
	return out
}

// Cache runs the suite on a cache, which is empty but for other functions.
func Cache(t *testing.T, cache Keeping, clock Clock) {
	s := state.New(state.Options{Cache: cache, CacheEntries: 20_000, CacheBytes: 64 << 20, Now: clock.Now})
	for _, v := range vectors(t, "cache.jsonl") {
		t.Run(v.Name, func(t *testing.T) {
			if _, wall := clock.(Wall); wall {
				t.Parallel()
			}
			call := s.For("fn-" + v.Name)
			for i, st := range v.Steps {
				if st.After > 0 {
					clock.Pass(t, time.Duration(st.After*float64(time.Second)))
				}
				got, err := cacheStep(t.Context(), call, st)
				check(t, fmt.Sprintf("step %d, %s", i+1, st.Do), st, got, err)
			}
		})
	}
	for name, test := range map[string]func(*testing.T, Keeping, Clock){
		"functions are apart":          cacheTenants,
		"more keys than a page":        cachePages,
		"large values in one batch":    cacheBatch,
		"values are whole":             cacheWhole,
		"increments at once":           cacheIncrements,
		"it fills":                     cacheFull,
		"it is cleared and pruned":     cacheCleared,
		"replacing needs no more room": cacheReplaced,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, cache, clock)
		})
	}
}

func check(t *testing.T, where string, st step, got any, err error) {
	t.Helper()
	if st.Error != "" {
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != st.Error {
			t.Errorf("%s: %v, %v; want %s", where, got, err, st.Error)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	var want any
	if len(st.Want) > 0 {
		json.Unmarshal(st.Want, &want)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: %s", where, d)
	}
}

// cacheStep makes the call that the runtime makes of a step.
func cacheStep(ctx context.Context, call Func, st step) (any, error) {
	text := func(i int, otherwise string) []byte {
		if i >= len(st.Args) {
			return []byte(otherwise)
		}
		var s string
		if json.Unmarshal(st.Args[i], &s) != nil {
			return st.Args[i]
		}
		return []byte(s)
	}
	ms := func(i int) []byte {
		seconds, err := strconv.ParseFloat(string(text(i, "3600")), 64)
		if err != nil {
			panic(err)
		}
		return strconv.AppendInt(nil, int64(seconds*1000), 10)
	}
	value := func(b []byte) (v any) {
		if len(b) > 0 {
			if err := json.Unmarshal(b, &v); err != nil {
				panic(err)
			}
		}
		return v
	}
	var fields [][]byte
	switch st.Do {
	case "set":
		fields = [][]byte{text(0, ""), st.Args[1], ms(2)}
	case "extend":
		fields = [][]byte{text(0, ""), ms(1)}
	case "increment":
		fields = [][]byte{text(0, ""), text(1, "1"), ms(2)}
	case "keys":
		fields = [][]byte{[]byte(strings.TrimSuffix(string(text(0, "")), "*")), nil}
	case "getMany":
		var keys []string
		json.Unmarshal(st.Args[0], &keys)
		if len(keys) == 0 {
			return []any{}, nil
		}
		for _, k := range keys {
			fields = append(fields, []byte(k))
		}
		st.Do = "get"
		out, err := call(ctx, "cache.get", fields)
		all := []any{}
		for _, b := range out {
			all = append(all, value(b))
		}
		return all, err
	default:
		fields = [][]byte{text(0, "")}
	}
	out, err := call(ctx, "cache."+st.Do, fields)
	if err != nil {
		return nil, err
	}
	switch st.Do {
	case "get", "increment":
		return value(out[0]), nil
	case "has", "delete", "extend":
		return string(out[0]) == "1", nil
	case "keys":
		all := []any{}
		for _, b := range out[1:] {
			all = append(all, string(b))
		}
		return all, nil
	}
	return nil, nil
}

// must makes a call that is not refused.
func must(t *testing.T, call Func, op string, fields ...string) []string {
	t.Helper()
	var in [][]byte
	for _, f := range fields {
		in = append(in, []byte(f))
	}
	out, err := call(t.Context(), op, in)
	if err != nil {
		t.Errorf("%s %.80q: %v", op, fields, err)
	}
	var texts []string
	for _, b := range out {
		texts = append(texts, string(b))
	}
	return texts
}

// refused makes a call that is refused with a code.
func refused(t *testing.T, call Func, code, op string, fields ...string) {
	t.Helper()
	var in [][]byte
	for _, f := range fields {
		in = append(in, []byte(f))
	}
	out, err := call(t.Context(), op, in)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != code || out != nil {
		t.Errorf("%s %.80q: %q, %v; want %s", op, fields, out, err, code)
	}
}

func cacheTenants(t *testing.T, cache Keeping, clock Clock) {
	s := state.New(state.Options{Cache: cache, CacheEntries: 100, CacheBytes: 1 << 20, Now: clock.Now})
	a, b := s.For("fn-tenant-a"), s.For("fn-tenant-b")
	must(t, a, "cache.set", "k", `"of a"`, "60000")
	must(t, a, "cache.increment", "n", "5", "60000")
	if got := must(t, b, "cache.get", "k", "n"); !slices.Equal(got, []string{"", ""}) {
		t.Errorf("another function reads %q", got)
	}
	if got := must(t, b, "cache.keys", "", ""); !slices.Equal(got, []string{""}) {
		t.Errorf("another function lists %q", got)
	}
	must(t, b, "cache.delete", "k")
	must(t, b, "cache.extend", "k", "1")
	must(t, b, "cache.increment", "n", "1", "60000")
	must(t, b, "cache.set", "k", `"of b"`, "60000")
	if got := must(t, a, "cache.get", "k", "n"); !slices.Equal(got, []string{`"of a"`, "5"}) {
		t.Errorf("after another function's doings it is %q", got)
	}
}

func cachePages(t *testing.T, cache Keeping, clock Clock) {
	call := state.New(state.Options{Cache: cache, CacheEntries: 10_000, CacheBytes: 1 << 30, Now: clock.Now}).For("fn-pages")
	var want []string
	long := strings.Repeat("x", 300)
	var wg sync.WaitGroup
	for i := range 4300 {
		want = append(want, fmt.Sprintf("k%05d%s", i, long))
	}
	for part := range slices.Chunk(want, 500) {
		wg.Go(func() {
			for _, k := range part {
				must(t, call, "cache.set", k, "1", "60000")
			}
		})
	}
	wg.Wait()
	var got []string
	pages := 0
	for after, more := "", true; more; pages++ {
		out := must(t, call, "cache.keys", "k", after)
		more, got = out[0] == "1", append(got, out[1:]...)
		after = got[len(got)-1]
	}
	if !slices.Equal(got, want) || pages < 2 {
		t.Errorf("%d keys in %d pages; want %d", len(got), pages, len(want))
	}
}

func cacheBatch(t *testing.T, cache Keeping, clock Clock) {
	call := state.New(state.Options{Cache: cache, CacheEntries: 100, CacheBytes: 16 << 20, Now: clock.Now}).For("fn-batch")
	largest := `"` + strings.Repeat("v", 512<<10-2) + `"`
	keys := []string{"none"}
	for i := range 5 {
		keys = append(keys, fmt.Sprint("k", i))
		must(t, call, "cache.set", keys[i+1], largest, "60000")
	}
	refused(t, call, "cache_value_too_large", "cache.set", "larger", largest+" ", "60000")
	asked := 0
	for rest := keys; len(rest) > 0; asked++ {
		got := must(t, call, "cache.get", rest...)
		size := 0
		for i, v := range got {
			if size += len(v); (v == largest) == (rest[i] == "none") {
				t.Errorf("%s has %d bytes", rest[i], len(v))
			}
		}
		if len(got) == 0 || size > 1<<20-1<<10 {
			t.Fatalf("an answer of %d values and %d bytes", len(got), size)
		}
		rest = rest[len(got):]
	}
	if asked < 4 {
		t.Errorf("%d answers held everything", asked)
	}
}

// Of writers and readers at once every reader sees one whole value.
func cacheWhole(t *testing.T, cache Keeping, clock Clock) {
	call := state.New(state.Options{Cache: cache, CacheEntries: 100, CacheBytes: 16 << 20, Now: clock.Now}).For("fn-whole")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10 {
				must(t, call, "cache.set", "k", `"`+strings.Repeat(string(rune('a'+i)), 20_000+i)+`"`, "60000")
			}
		})
		wg.Go(func() {
			for range 20 {
				if v := must(t, call, "cache.get", "k")[0]; v != "" && (strings.Count(v, v[1:2]) != len(v)-2 || len(v) != 20_002+int(v[1]-'a')) {
					t.Errorf("a value of %d bytes that nobody set", len(v))
				}
			}
		})
	}
	wg.Wait()
}

// 64 at once, of which none loses the other's.
func cacheIncrements(t *testing.T, cache Keeping, clock Clock) {
	call := state.New(state.Options{Cache: cache, CacheEntries: 100, CacheBytes: 16 << 20, Now: clock.Now}).For("fn-increments")
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{}
	for range 64 {
		wg.Go(func() {
			for range 10 {
				got := must(t, call, "cache.increment", "n", "1", "60000")
				mu.Lock()
				if seen[got[0]] {
					t.Errorf("two were told %s", got[0])
				}
				seen[got[0]] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if got := must(t, call, "cache.get", "n"); got[0] != "640" {
		t.Errorf("the sum is %s", got[0])
	}
}

func cacheFull(t *testing.T, cache Keeping, clock Clock) {
	s := state.New(state.Options{Cache: cache, CacheEntries: 3, CacheBytes: 1000, Now: clock.Now})
	call, other := s.For("fn-full"), s.For("fn-not-full")
	large := `"` + strings.Repeat("x", 800) + `"`
	must(t, call, "cache.set", "a", "1", "60000")
	must(t, call, "cache.set", "b", large, "60000")
	refused(t, call, "cache_full", "cache.set", "c", large, "60000")
	must(t, call, "cache.set", "c", "3", "300")
	refused(t, call, "cache_full", "cache.set", "d", "4", "60000")
	refused(t, call, "cache_full", "cache.increment", "d", "1", "60000")
	must(t, other, "cache.set", "d", "4", "60000")
	if got := must(t, call, "cache.get", "a", "b", "c", "d"); !slices.Equal(got, []string{"1", large, "3", ""}) {
		t.Errorf("a full cache holds %.40q", got)
	}
	clock.Pass(t, 400*time.Millisecond) // what is over makes room
	must(t, call, "cache.set", "d", "4", "60000")
	refused(t, call, "cache_full", "cache.set", "e", "5", "60000")
	must(t, call, "cache.delete", "a") // and what is deleted, at once
	must(t, call, "cache.set", "e", "5", "60000")
}

func cacheReplaced(t *testing.T, cache Keeping, clock Clock) {
	call := state.New(state.Options{Cache: cache, CacheEntries: 2, CacheBytes: 1000, Now: clock.Now}).For("fn-replaced")
	large := `"` + strings.Repeat("x", 800) + `"`
	must(t, call, "cache.set", "a", large, "60000")
	must(t, call, "cache.set", "b", "0", "60000")
	for range 20 {
		must(t, call, "cache.set", "a", large, "60000")
		must(t, call, "cache.increment", "b", "1", "60000")
	}
	refused(t, call, "cache_full", "cache.set", "b", large, "60000")
	if got := must(t, call, "cache.get", "b"); got[0] != "20" {
		t.Errorf("after a refusal it is %s", got[0])
	}
}

func cacheCleared(t *testing.T, cache Keeping, clock Clock) {
	call := state.New(state.Options{Cache: cache, CacheEntries: 100, CacheBytes: 1 << 20, Now: clock.Now}).For("fn-cleared")
	must(t, call, "cache.set", "long", "1", "60000")
	must(t, call, "cache.set", "short", "1", "100")
	clock.Pass(t, 200*time.Millisecond)
	if err := cache.Prune(t.Context(), clock.Now()); err != nil {
		t.Error(err)
	}
	if got := must(t, call, "cache.get", "long", "short"); !slices.Equal(got, []string{"1", ""}) {
		t.Errorf("after pruning: %q", got)
	}
	owners, err := cache.Owners(t.Context())
	if err != nil || !slices.Contains(owners, "fn-cleared") {
		t.Errorf("of %d functions there is something, and not of this one (%v)", len(owners), err)
	}
	for range 2 {
		if err := cache.Clear(t.Context(), "fn-cleared"); err != nil {
			t.Error(err)
		}
	}
	if got := must(t, call, "cache.keys", "", ""); len(got) != 1 {
		t.Errorf("after clearing: %q", got)
	}
	if owners, err = cache.Owners(t.Context()); err != nil || slices.Contains(owners, "fn-cleared") {
		t.Errorf("after clearing there is something (%v)", err)
	}
}
