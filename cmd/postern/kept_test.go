package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
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
	keep := func(f function, of, do string, args ...any) kept { return keep(t, v.gateway, f.slug, f.id, f.secret, of, do, args...) }
	for _, f := range all {
		keep(f, "cache", "set", "k", f.slug)
		keep(f, "cache", "increment", "n")
	}
	for i, f := range all {
		if got := keep(f, "cache", "getMany", []string{"k", "n"}); fmt.Sprint(got.Done) != fmt.Sprintf("[%s 1]", f.slug) {
			t.Errorf("function %d has %+v", i, got)
		}
		keep(f, "cache", "delete", "k")
		keep(f, "cache", "delete", "n")
		for _, other := range all[i+1:] {
			if got := keep(other, "cache", "keys"); fmt.Sprint(got.Done) != "[k n]" {
				t.Errorf("after another function's deletes there are %+v", got)
			}
		}
	}
}
