package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/platform"
)

// keeperSource does with its context what the body says: the name of a member,
// what to do with it, and with what.
const keeperSource = `
const plain = (v: any): any => (v instanceof Uint8Array ? Buffer.from(v).toString('latin1') : typeof v?.[Symbol.iterator] === 'function' && typeof v !== 'string' ? Array.from(v) : v ?? null);
export const keep = async (c: any, r: any) => {
  try {
    const { of, do: member, args } = JSON.parse(Buffer.from(r.rawBody).toString());
    return { done: plain(await c[of][member](...args)) };
  } catch (e: any) {
    return { name: e.name, code: e.code, message: e.message };
  }
};
export const spin = async (c: any, r: any) => {
  const { of, do: member, args, n, at } = JSON.parse(Buffer.from(r.rawBody).toString());
  for (let i = 0; i < n; i += at) await Promise.all(Array.from({ length: at }, () => c[of][member](...args)));
  return 'done';
};
`

// kept is what came of one call of a keeper.
type kept struct {
	Done                any
	Name, Code, Message string
}

// keep makes a function do something with what it keeps.
func keep(t *testing.T, gateway, slug, id, secret, of, do string, args ...any) (out kept) {
	t.Helper()
	if args == nil {
		args = []any{}
	}
	body, err := json.Marshal(map[string]any{"of": of, "do": do, "args": args})
	if err != nil {
		t.Fatal(err)
	}
	status, text := call(t, http.DefaultClient, "POST", gateway+"/fn/"+slug+"/keep", id, secret, string(body))
	if err := json.Unmarshal([]byte(text), &out); err != nil || status != http.StatusOK {
		t.Fatalf("%s.%s%v: %d %s", of, do, args, status, text)
	}
	return out
}

func (s *site) keep(of, do string, args ...any) kept {
	s.Helper()
	return keep(s.T, s.gateway, "keeper", s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"], of, do, args...)
}

// What a function keeps in its cache is there for all of its workers, in the
// next version of it, after a restart, and after a crash; not when it is over,
// and not when the function is made anew.
func TestCache_Deployed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	manifest := `{"name": "keeper", "runtime": "node"}`
	s.deployed(manifest, keeperSource)
	if got := s.keep("cache", "set", "k", map[string]any{"n": 1}); got != (kept{}) {
		t.Fatalf("set: %+v", got)
	}
	s.keep("cache", "set", "short", 1, 0.05)
	there := func(when string) {
		t.Helper()
		if got := s.keep("cache", "get", "k"); fmt.Sprint(got.Done) != "map[n:1]" {
			t.Errorf("%s it is %+v", when, got)
		}
		if got := s.keep("cache", "keys", "*"); fmt.Sprint(got.Done) != "[k]" {
			t.Errorf("%s there are %+v", when, got)
		}
	}
	s.keep("cache", "extend", "short", 0.001)
	eventually(t, "what is short to be over", func() bool { return s.keep("cache", "has", "short").Done == false })
	there("at once")
	s.deployed(manifest, keeperSource+"// another version\n")
	there("after a deploy")
	s.stop()
	s.start("--workers", "2")
	there("after a restart")
	s.kill()
	s.start()
	there("after a crash")
	if got := s.keep("cache", "set", "k", 1, 0); got.Code != "cache_ttl_invalid" || got.Name != "RangeError" {
		t.Errorf("a time to live of nothing: %+v", got)
	}
	s.must("functions", "delete", "keeper", "--yes")
	s.deployed(manifest, keeperSource)
	if got := s.keep("cache", "keys"); fmt.Sprint(got.Done) != "[]" {
		t.Errorf("a function made anew has %+v", got)
	}
}

// The ID of the function is in no call: functions of the same name in two
// projects, and two of one project, never meet.
func TestKept_Tenants(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	project := "prj_" + strings.TrimPrefix(accesskey.NewID(time.Now()), "pak_")
	if err := v.db.CreateProject(t.Context(), platform.Project{ID: project, Name: "theirs", CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	theirs, secret := v.mint(func(k *platform.AccessKey) { k.ProjectID = project })
	v.settle()
	type function struct{ slug, id, secret string }
	var all []function
	for _, who := range [][]string{{v.key["POSTERN_PROJECT_ID"], v.key["POSTERN_KEY_ID"], v.key["POSTERN_KEY_SECRET"]}, {project, theirs.ID, secret}} {
		v.env = append(slices.Clone(v.env), "POSTERN_PROJECT_ID="+who[0], "POSTERN_KEY_ID="+who[1], "POSTERN_KEY_SECRET="+who[2])
		for _, name := range []string{"same", "other"} {
			v.deployed(`{"name": "`+name+`", "runtime": "node"}`, keeperSource)
			f, _ := deployed(v, who[0], name)
			all = append(all, function{f.Slug, who[1], who[2]})
		}
	}
	keep := func(f function, of, do string, args ...any) kept {
		return keep(t, v.gateway, f.slug, f.id, f.secret, of, do, args...)
	}
	for _, f := range all {
		keep(f, "storage", "write", "dir/k", f.slug)
		keep(f, "cache", "set", "k", f.slug)
		keep(f, "cache", "increment", "n")
	}
	for i, f := range all {
		if got := keep(f, "cache", "getMany", []string{"k", "n"}); fmt.Sprint(got.Done) != fmt.Sprintf("[%s 1]", f.slug) {
			t.Errorf("function %d has %+v", i, got)
		}
		if got := keep(f, "storage", "read", "dir/k"); got.Done != f.slug {
			t.Errorf("function %d has stored %+v", i, got)
		}
		keep(f, "storage", "delete", "dir/k")
		keep(f, "cache", "delete", "k")
		keep(f, "cache", "delete", "n")
		for _, other := range all[i+1:] {
			if got := keep(other, "cache", "keys"); fmt.Sprint(got.Done) != "[k n]" {
				t.Errorf("after another function's deletes there are %+v", got)
			}
			if got := keep(other, "storage", "list"); fmt.Sprint(got.Done) != "[dir/k]" {
				t.Errorf("after another function's deletes there are stored %+v", got)
			}
		}
	}
}

// What a function stores is there in its next version and after a restart, with
// large objects moved in parts, and goes with the function.
func TestStorage_Deployed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	manifest := `{"name": "keeper", "runtime": "node"}`
	s.deployed(manifest, keeperSource)
	large := strings.Repeat("0123456789", 150_000)
	s.keep("storage", "write", "large", large)
	s.keep("storage", "write", "a/é", "small")
	there := func(when string) {
		t.Helper()
		if got := s.keep("storage", "read", "large"); got.Done != large {
			t.Errorf("%s the large one is %.80v", when, got)
		}
		if got := s.keep("storage", "list"); fmt.Sprint(got.Done) != "[a/é large]" {
			t.Errorf("%s there are %+v", when, got)
		}
	}
	there("at once")
	s.deployed(manifest, keeperSource+"// another version\n")
	there("after a deploy")
	s.stop()
	s.start("--storage-objects", "2", "--storage-object-size", "2")
	there("after a restart")
	for want, args := range map[string][]any{
		"HostError not_found":                {"read", "none"},
		"HostError storage_full":             {"write", "third", "x"},
		"HostError storage_object_too_large": {"write", "large", large + large},
		"RangeError storage_key_invalid":     {"write", "../x", "x"},
		"TypeError storage_data_invalid":     {"write", "x", 7},
	} {
		if got := s.keep("storage", args[0].(string), args[1:]...); got.Name+" "+got.Code != want {
			t.Errorf("%v: %.200v; want %s", args[0], got, want)
		}
	}
	there("after refusals")
	blobs := func() int { return len(glob(t, s.data, "storage/*/fn-*/*")) }
	if n := blobs(); n != 2 {
		t.Errorf("2 objects have %d files", n)
	}
	s.must("functions", "delete", "keeper", "--yes")
	if n := blobs() + len(glob(t, s.data, "storage/*/unfinished/*")); n != 0 {
		t.Errorf("the deleted function has left %d files", n)
	}
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// The server is killed while functions write, again and again. What a function
// was told that it had written is there, and of no write is there a half.
func TestKept_KilledServer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deployed(`{"name": "keeper", "runtime": "node"}`, keeperSource+`
export const version = async (c: any, r: any) => {
  const n = Number(r.query.n);
  await Promise.all([c.storage.write('k', String(n % 10).repeat(600_000 + n)), c.cache.set('k', { n, text: String(n % 10).repeat(10_000 + n) })]);
  return n;
};
export const look = async (c: any) => {
  const text = String(await c.storage.read('k'));
  const cached = await c.cache.get('k');
  const whole = (t: string, least: number) => t === String((t.length - least) % 10).repeat(t.length);
  return { stored: text.length - 600_000, cached: cached.n, whole: whole(text, 600_000) && whole(cached.text, 10_000) && cached.text.length === 10_000 + cached.n };
};
`)
	last := 0
	for round := range 3 {
		killed := time.AfterFunc(time.Duration(300+150*round)*time.Millisecond, s.kill)
		for n := last + 1; ; n++ {
			req, _ := http.NewRequest("POST", fmt.Sprintf("%s/fn/keeper/version?n=%d", s.gateway, n), nil)
			req.SetBasicAuth(s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"])
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				break
			}
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				break
			}
			last = n
		}
		killed.Stop()
		s.kill()
		s.start()
		if last == 0 {
			continue // it was killed before the first was written
		}
		var got struct {
			Stored, Cached int
			Whole          bool
		}
		status, text := call(t, http.DefaultClient, "GET", s.gateway+"/fn/keeper/look", s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"], "")
		json.Unmarshal([]byte(text), &got)
		if status != http.StatusOK || !got.Whole || got.Stored < last || got.Stored > last+1 || got.Cached < last || got.Cached > last+1 {
			t.Errorf("after version %d and a crash there is %d %s", last, status, text)
		}
	}
	if last == 0 {
		t.Error("no version was ever written")
	}
}
