package auth_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/platform"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func mint(change func(*platform.AccessKey)) (platform.AccessKey, string) {
	s := accesskey.NewSecret()
	k := platform.AccessKey{ID: accesskey.NewID(now), ProjectID: "prj_a", SecretHash: s.Hash(), Scopes: []platform.Scope{platform.ScopeInvoke}}
	if change != nil {
		change(&k)
	}
	return k, s.Reveal()
}

func basic(id, secret string) []string {
	return []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))}
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	k, secret := mint(nil)
	other, otherSecret := mint(nil)
	dead, deadSecret := mint(func(k *platform.AccessKey) { k.ExpiresAt = now })
	last, lastSecret := mint(func(k *platform.AccessKey) { k.ExpiresAt = now.Add(time.Microsecond) })
	gone, goneSecret := mint(nil)
	d := auth.NewDirectory().With(k).With(other).With(dead).With(last).With(gone).Without(gone.ID)
	encoded := basic(k.ID, secret)[0][6:]
	for name, tc := range map[string]struct {
		authorization, apiKey []string
		want                  string
		err                   error
	}{
		"none":                     {nil, nil, "", auth.ErrNone},
		"basic":                    {basic(k.ID, secret), nil, k.ID, nil},
		"api key":                  {nil, []string{secret}, k.ID, nil},
		"both agree":               {basic(k.ID, secret), []string{secret}, k.ID, nil},
		"both disagree":            {basic(k.ID, secret), []string{otherSecret}, "", auth.ErrConflicting},
		"good basic, bad key":      {basic(k.ID, secret), []string{"x"}, "", auth.ErrInvalid},
		"bad basic, good key":      {basic(k.ID, otherSecret), []string{secret}, "", auth.ErrInvalid},
		"scheme in capitals":       {[]string{"BASIC " + encoded}, nil, k.ID, nil},
		"many spaces":              {[]string{"Basic    " + encoded}, nil, k.ID, nil},
		"tab":                      {[]string{"Basic\t" + encoded}, nil, "", auth.ErrInvalid},
		"no space":                 {[]string{"Basic" + encoded}, nil, "", auth.ErrInvalid},
		"only the scheme":          {[]string{"Basic "}, nil, "", auth.ErrInvalid},
		"comma":                    {[]string{"Basic " + encoded + ", Basic " + encoded}, nil, "", auth.ErrInvalid},
		"bearer":                   {[]string{"Bearer " + secret}, nil, "", auth.ErrInvalid},
		"raw secret":               {[]string{secret}, nil, "", auth.ErrInvalid},
		"padding too much":         {[]string{"Basic " + encoded + "===="}, nil, "", auth.ErrInvalid},
		"cut off":                  {[]string{"Basic " + encoded[:len(encoded)-1]}, nil, "", auth.ErrInvalid},
		"newline for a character":  {[]string{"Basic " + encoded[:8] + "\n" + encoded[9:]}, nil, "", auth.ErrInvalid},
		"url alphabet":             {[]string{"Basic " + base64.URLEncoding.EncodeToString([]byte(k.ID+":"+secret[:20]+"\xff\xfe"+secret[22:]))}, nil, "", auth.ErrInvalid},
		"newline inside":           {[]string{"Basic " + encoded[:8] + "\n" + encoded[8:]}, nil, "", auth.ErrInvalid},
		"malleable tail":           {[]string{"Basic " + encoded[:len(encoded)-2] + "h="}, nil, "", auth.ErrInvalid},
		"other key's secret":       {basic(k.ID, otherSecret), nil, "", auth.ErrInvalid},
		"unknown key":              {basic(accesskey.NewID(now), accesskey.NewSecret().Reveal()), nil, "", auth.ErrInvalid},
		"known secret, unknown ID": {basic(accesskey.NewID(now), secret), nil, "", auth.ErrInvalid},
		"empty user":               {basic("", secret), nil, "", auth.ErrInvalid},
		"empty secret":             {basic(k.ID, ""), nil, "", auth.ErrInvalid},
		"colon in secret":          {basic(k.ID, ":"+secret[1:]), nil, "", auth.ErrInvalid},
		"not UTF-8":                {basic(k.ID, "\xff"+secret[1:]), nil, "", auth.ErrInvalid},
		"a megabyte":               {[]string{"Basic " + strings.Repeat("QUFB", 1<<18)}, nil, "", auth.ErrInvalid},
		"api key empty":            {nil, []string{""}, "", auth.ErrInvalid},
		"api key with ID":          {nil, []string{k.ID + ":" + secret}, "", auth.ErrInvalid},
		"api key in spaces":        {nil, []string{" " + secret}, "", auth.ErrInvalid},
		"api key is the hash":      {nil, []string{fmt.Sprintf("%x", k.SecretHash)}, "", auth.ErrInvalid},
		"expired at this instant":  {basic(dead.ID, deadSecret), nil, "", auth.ErrInvalid},
		"expires in a microsecond": {basic(last.ID, lastSecret), nil, last.ID, nil},
		"revoked":                  {basic(gone.ID, goneSecret), nil, "", auth.ErrInvalid},
		"revoked, by key":          {nil, []string{goneSecret}, "", auth.ErrInvalid},
	} {
		h := map[string][]string{}
		if tc.authorization != nil {
			h["Authorization"] = tc.authorization
		}
		if tc.apiKey != nil {
			h["X-Api-Key"] = tc.apiKey
		}
		p, err := auth.Authenticate(d, h, now)
		got := ""
		if p.Key != nil {
			got = p.Key.ID()
		}
		if got != tc.want || err != tc.err {
			if !errors.Is(err, tc.err) || got != tc.want {
				t.Errorf("%s: %q, %v; want %q, %v", name, got, err, tc.want, tc.err)
			}
		}
	}
	for _, h := range []map[string][]string{{"Authorization": {"a", "b"}}, {"X-Api-Key": {secret, secret}}} {
		if err := auth.CheckDuplicates(h); !errors.Is(err, auth.ErrDuplicate) {
			t.Errorf("%v: %v", h, err)
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*platform.AccessKey)
		need   auth.Need
		want   error
	}{
		"allowed":              {nil, auth.Need{ProjectID: "prj_a", Scope: platform.ScopeInvoke, RemoteAddr: "192.0.2.1:1"}, nil},
		"other project":        {nil, auth.Need{ProjectID: "prj_b", Scope: platform.ScopeInvoke, RemoteAddr: "192.0.2.1:1"}, auth.ErrProject},
		"no project":           {nil, auth.Need{ProjectID: "", Scope: platform.ScopeInvoke, RemoteAddr: "192.0.2.1:1"}, auth.ErrProject},
		"control with invoke":  {nil, auth.Need{ProjectID: "prj_a", Scope: platform.ScopeControl, RemoteAddr: "192.0.2.1:1"}, auth.ErrScope},
		"no scope asked":       {nil, auth.Need{ProjectID: "prj_a", Scope: "", RemoteAddr: "192.0.2.1:1"}, auth.ErrScope},
		"no scope had":         {func(k *platform.AccessKey) { k.Scopes = nil }, auth.Need{ProjectID: "prj_a", Scope: platform.ScopeInvoke, RemoteAddr: "192.0.2.1:1"}, auth.ErrScope},
		"invoke with control":  {func(k *platform.AccessKey) { k.Scopes = []platform.Scope{"control"} }, auth.Need{ProjectID: "prj_a", Scope: platform.ScopeInvoke, RemoteAddr: "192.0.2.1:1"}, auth.ErrScope},
		"unknown scope":        {func(k *platform.AccessKey) { k.Scopes = []platform.Scope{"INVOKE"} }, auth.Need{ProjectID: "prj_a", Scope: platform.ScopeInvoke, RemoteAddr: "192.0.2.1:1"}, auth.ErrScope},
		"address allowed":      {cidrs("10.0.0.0/8"), auth.Need{ProjectID: "prj_a", Scope: platform.ScopeInvoke, RemoteAddr: "10.1.2.3:80"}, nil},
		"address mapped":       {cidrs("10.0.0.0/8"), auth.Need{ProjectID: "prj_a", Scope: platform.ScopeInvoke, RemoteAddr: "[::ffff:10.1.2.3]:80"}, nil},
		"address zoned":        {cidrs("fe80::/10"), auth.Need{ProjectID: "prj_a", Scope: platform.ScopeInvoke, RemoteAddr: "[fe80::1%eth0]:80"}, nil},
		"address refused":      {cidrs("10.0.0.0/8"), auth.Need{ProjectID: "prj_a", Scope: platform.ScopeInvoke, RemoteAddr: "11.1.2.3:80"}, auth.ErrAddress},
		"address v6 refused":   {cidrs("10.0.0.0/8"), auth.Need{ProjectID: "prj_a", Scope: platform.ScopeInvoke, RemoteAddr: "[2001:db8::1]:80"}, auth.ErrAddress},
		"address of no form":   {cidrs("0.0.0.0/0", "::/0"), auth.Need{ProjectID: "prj_a", Scope: platform.ScopeInvoke, RemoteAddr: "@"}, auth.ErrAddress},
		"address without port": {cidrs("0.0.0.0/0"), auth.Need{ProjectID: "prj_a", Scope: platform.ScopeInvoke, RemoteAddr: "10.0.0.1"}, auth.ErrAddress},
	} {
		k, secret := mint(tc.change)
		p, err := auth.Authenticate(auth.NewDirectory().With(k), map[string][]string{"X-Api-Key": {secret}}, now)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := auth.Decide(p, tc.need); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if err := auth.Decide(auth.Principal{}, auth.Need{ProjectID: "prj_a", Scope: platform.ScopeInvoke, RemoteAddr: "192.0.2.1:1"}); !errors.Is(err, auth.ErrNone) {
		t.Errorf("nobody: %v", err)
	}
}

func cidrs(list ...string) func(*platform.AccessKey) {
	return func(k *platform.AccessKey) {
		for _, c := range list {
			k.AllowedCIDRs = append(k.AllowedCIDRs, netip.MustParsePrefix(c))
		}
	}
}

// A directory is a map that can be changed without being changed.
func TestDirectory_IsAMap(t *testing.T) {
	t.Parallel()
	type kept struct{ secret string }
	rapid.Check(t, func(t *rapid.T) {
		d := auth.NewDirectory()
		model := map[string]kept{}
		var ids []string
		var old *auth.Directory
		var oldModel map[string]kept
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(ids) > 0 && rapid.Bool().Draw(t, "again") {
				id := rapid.SampledFrom(ids).Draw(t, "id")
				if rapid.Bool().Draw(t, "remove") {
					d = d.Without(id)
					delete(model, id)
				} else {
					k, secret := mint(func(k *platform.AccessKey) { k.ID = id })
					d = d.With(k)
					model[id] = kept{secret}
				}
			} else {
				k, secret := mint(nil)
				d = d.With(k)
				model[k.ID] = kept{secret}
				ids = append(ids, k.ID)
			}
			if i == 20 {
				old, oldModel = d, map[string]kept{}
				for k, v := range model {
					oldModel[k] = v
				}
			}
		}
		check := func(d *auth.Directory, model map[string]kept) {
			if d.Len() != len(model) {
				t.Fatalf("%d keys, want %d", d.Len(), len(model))
			}
			for _, id := range ids {
				want, ok := model[id]
				if (d.ByID(id) != nil) != ok {
					t.Fatalf("key %s: there %v, want %v", id, !ok, ok)
				}
				if !ok {
					continue
				}
				p, err := auth.Authenticate(d, map[string][]string{"Authorization": basic(id, want.secret)}, now)
				if err != nil || p.Key.ID() != id {
					t.Fatalf("key %s with its secret: %v", id, err)
				}
			}
		}
		check(d, model)
		if old != nil {
			check(old, oldModel)
		}
	})
}

func TestDirectory_RateSurvivesAChange(t *testing.T) {
	t.Parallel()
	k, _ := mint(func(k *platform.AccessKey) { k.RatePerSecond = 1 })
	d := auth.NewDirectory().With(k)
	if _, ok := d.ByID(k.ID).Rate().Allow(now); !ok {
		t.Fatal("the first is refused")
	}
	k.DisplayName = "renamed"
	if _, ok := d.With(k).ByID(k.ID).Rate().Allow(now); ok {
		t.Error("a change of the key gave it a fresh rate")
	}
	b := auth.Rebuild(d)
	b.Add(k)
	if _, ok := b.Directory().ByID(k.ID).Rate().Allow(now); ok {
		t.Error("reading all keys again gave it a fresh rate")
	}
	k.RatePerSecond = 2
	if _, ok := d.With(k).ByID(k.ID).Rate().Allow(now); !ok {
		t.Error("another rate has the old state")
	}
}

func build(n int) (*auth.Directory, platform.AccessKey, string) {
	b := auth.NewBuilder()
	var k platform.AccessKey
	var secret string
	for i := range n {
		k, secret = mint(func(k *platform.AccessKey) { k.ProjectID = fmt.Sprintf("prj_%d", i%100) })
		b.Add(k)
	}
	return b.Directory(), k, secret
}

// Nothing else of this package's tests may run meanwhile: what is measured is
// the whole heap.
func TestDirectory_MemoryPerKey(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const n = 100_000
	d, _, _ := build(n)
	runtime.GC()
	runtime.ReadMemStats(&after)
	perKey := float64(after.HeapAlloc-before.HeapAlloc) / n
	objects := int64(after.HeapObjects) - int64(before.HeapObjects)
	t.Logf("%.0f bytes a key, %d objects", perKey, objects)
	if perKey > 130 {
		t.Errorf("%.0f bytes a key at %d keys, want at most 130", perKey, n)
	}
	// The two indices are 8,192 leaves whatever the number of keys.
	if objects > 12_000 {
		t.Errorf("%d objects for %d keys, want at most 12,000", objects, n)
	}
	runtime.KeepAlive(d)
}

func TestAuthenticate_DoesNotAllocate(t *testing.T) {
	d, k, secret := build(1000)
	for name, h := range map[string]map[string][]string{
		"basic": {"Authorization": basic(k.ID, secret)}, "api key": {"X-Api-Key": {secret}}, "wrong": {"Authorization": basic(k.ID, accesskey.NewSecret().Reveal())},
	} {
		if n := testing.AllocsPerRun(100, func() { auth.Authenticate(d, h, now) }); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkAuthenticate_100kKeys(b *testing.B) {
	d, k, secret := build(100_000)
	h := map[string][]string{"Authorization": basic(k.ID, secret)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := auth.Authenticate(d, h, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWith_1kKeys(b *testing.B)   { benchmarkWith(b, 1000) }
func BenchmarkWith_100kKeys(b *testing.B) { benchmarkWith(b, 100_000) }
func BenchmarkWith_1MKeys(b *testing.B)   { benchmarkWith(b, 1_000_000) }

func benchmarkWith(b *testing.B, keys int) {
	d, k, _ := build(keys)
	b.ReportAllocs()
	for b.Loop() {
		d = d.With(k)
	}
}
