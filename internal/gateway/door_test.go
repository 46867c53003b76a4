package gateway_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
)

// fitted is a world whose function has one route at each path, with its rule.
func fitted(t testing.TB, guard platform.Guard, rules map[string]platform.Rule) *world {
	t.Helper()
	w := newWorld(t)
	fit(w, "dep_1", guard, rules)
	return w
}

// fit deploys routes with rules.
func fit(w *world, deployment string, guard platform.Guard, rules map[string]platform.Rule) {
	d := w.src.active[fnID]
	d.ID, d.Handlers = deployment, nil
	h := platform.Handler{Name: "all", Guard: guard}
	for pattern, r := range rules {
		h.Routes = append(h.Routes, platform.Route{Pattern: pattern, Guard: guard, Rule: r})
	}
	d.Handlers = []platform.Handler{h}
	w.src.change(platform.ChangeFunction, fnID, func() { w.src.active[fnID] = d })
}

// from is a request from an address.
func (w *world) from(address, path string, header http.Header) (*http.Response, httpx.Problem) {
	r := httptest.NewRequest("GET", "http://127.0.0.1/fn/orders"+path, nil)
	r.RequestURI, r.RemoteAddr = "/fn/orders"+path, address
	if header != nil {
		r.Header = header
	}
	return w.send(r)
}

func rate(requests int, per time.Duration, by platform.LimitBy) platform.RateLimit {
	return platform.RateLimit{Requests: requests, Per: per, By: by}
}

func limited(ls ...platform.RateLimit) platform.Rule { return platform.Rule{Limits: ls} }

// A right credential that is shown in a way which the route does not take is
// refused in the same words as a wrong one, and no handler runs.
func TestDoor_Credentials(t *testing.T) {
	t.Parallel()
	rules := map[string]platform.Rule{"/any": {}}
	for _, way := range []string{"basic", "apikey", "bearer", "dpop", "serviceplan"} {
		rules["/"+way] = platform.Rule{Methods: []string{way}}
	}
	rules["/two"] = platform.Rule{Methods: []string{"basic", "apikey"}}
	w := fitted(t, platform.GuardKey, rules)
	id, secret := w.key(nil)
	_, other := w.key(nil)
	wrong := accesskey.NewSecret().Reveal()
	w.load(t)
	jwt := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://users"}`)) + ".x"
	shown := map[string]struct {
		header http.Header
		way    string
		right  bool
	}{
		"basic":               {http.Header{"Authorization": {basic(id, secret)}}, "basic", true},
		"basic, wrong":        {http.Header{"Authorization": {basic(id, wrong)}}, "basic", false},
		"basic, malformed":    {http.Header{"Authorization": {"bAsIc !!"}}, "basic", false},
		"api key":             {http.Header{"X-Api-Key": {secret}}, "apikey", true},
		"api key, wrong":      {http.Header{"X-Api-Key": {wrong}}, "apikey", false},
		"both":                {http.Header{"Authorization": {basic(id, secret)}, "X-Api-Key": {secret}}, "basic", true},
		"bearer":              {http.Header{"Authorization": {"Bearer " + jwt}}, "bearer", false},
		"bearer of a secret":  {http.Header{"Authorization": {"Bearer " + secret}}, "bearer", false},
		"dpop":                {http.Header{"Authorization": {"DPoP " + jwt}, "Dpop": {"x"}}, "dpop", false},
		"an unknown scheme":   {http.Header{"Authorization": {"Digest x"}}, "", false},
		"a cookie":            {http.Header{"Cookie": {"key=" + secret}}, "none", false},
		"none":                {nil, "none", false},
		"api key beside both": {http.Header{"Authorization": {basic(id, secret)}, "X-Api-Key": {other}}, "basic", false},
	}
	for name, c := range shown {
		for path, rule := range rules {
			takes := len(rule.Methods) == 0 || strings.Contains(" "+strings.Join(rule.Methods, " ")+" ", " "+c.way+" ")
			before := w.invoker.acquired.Load()
			res, p := w.do("GET", "/fn/orders"+path, c.header.Clone())
			ran := w.invoker.acquired.Load() - before
			switch {
			case c.right && takes:
				if ran != 1 {
					t.Errorf("%s at %s: %d %s", name, path, res.StatusCode, p.Code)
				}
				continue
			case ran != 0 || res.StatusCode != 401 && p.Code != "conflicting_credentials":
				t.Errorf("%s at %s: %d %s, %d ran", name, path, res.StatusCode, p.Code, ran)
			}
			if notTaken := !takes && c.way != "none" && c.way != ""; notTaken != (p.Code == "credential_not_taken") {
				t.Errorf("%s at %s: %s", name, path, p.Code)
			}
		}
	}
	for path, want := range map[string]string{
		"/any": `Basic realm="postern", charset="UTF-8", Bearer realm="postern"`, "/basic": `Basic realm="postern", charset="UTF-8"`, "/bearer": `Bearer realm="postern"`,
		"/dpop": `DPoP realm="postern"`, "/apikey": `ApiKey realm="postern", header="X-API-Key"`, "/two": `Basic realm="postern", charset="UTF-8", ApiKey realm="postern", header="X-API-Key"`, "/serviceplan": `Bearer realm="postern"`,
	} {
		if res, _ := w.do("GET", "/fn/orders"+path, nil); fmt.Sprint(res.Header["www-authenticate"]) != "["+want+"]" {
			t.Errorf("%s asks for %q, want %q", path, res.Header["www-authenticate"], want)
		}
	}
}

// The caller's address decides, whatever the caller says of it, and whether the
// route is open or not.
func TestDoor_Addresses(t *testing.T) {
	t.Parallel()
	nets := platform.Rule{Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}}
	for _, guard := range []platform.Guard{platform.GuardOpen, platform.GuardKey} {
		w := fitted(t, guard, map[string]platform.Rule{"/in": nets, "/any": {}})
		_, secret := w.key(nil)
		w.load(t)
		spoofed := http.Header{"X-Api-Key": {secret}, "X-Forwarded-For": {"10.1.2.3"}, "Forwarded": {"for=10.1.2.3"}, "X-Real-Ip": {"10.1.2.3"}, "X-Client-Ip": {"10.1.2.3"}, "True-Client-Ip": {"10.1.2.3"}, "Cf-Connecting-Ip": {"10.1.2.3"}, "X-Forwarded-Host": {"10.1.2.3"}}
		for address, inside := range map[string]bool{
			"10.1.2.3:99": true, "[::ffff:10.1.2.3]:99": true, "[2001:db8:1::5]:1": true, "[2001:db8::1%eth0]:1": true, "10.2.2.3:99": false, "192.0.2.1:1": false, "[2001:db9::1]:1": false, "[::1]:1": false,
			"": false, "10.1.2.3": false, "@": false, "localhost:80": false, "[::10.1.2.3]:1": false,
		} {
			for path, want := range map[string]bool{"/in": inside, "/any": true} {
				before := w.invoker.acquired.Load()
				res, p := w.from(address, path, spoofed.Clone())
				if ran := w.invoker.acquired.Load() - before; ran != map[bool]int64{true: 1}[want] || !want && (res.StatusCode != 403 || p.Code != "address_not_allowed") {
					t.Errorf("guard %d, %s from %q: %d %s, %d ran", guard, path, address, res.StatusCode, p.Code, ran)
				}
			}
		}
		if res, p := w.from("192.0.2.1:1", "/in", http.Header{"X-Api-Key": {accesskey.NewSecret().Reveal()}}); guard == platform.GuardKey && res.StatusCode != 401 {
			t.Errorf("nobody from a forbidden address: %d %s", res.StatusCode, p.Code)
		}
	}
}

// answers makes calls until the bubble's clock moves, and counts what came.
type call struct {
	address, path, secret string
}

func (w *world) codes(cs ...call) (out []string) {
	for _, c := range cs {
		header := http.Header{"X-Forwarded-For": {fmt.Sprint("10.9.9.", len(out))}} // moves nothing
		if c.secret != "" {
			header.Set("X-Api-Key", c.secret)
		}
		res, p := w.from(c.address, c.path, header)
		code := p.Code
		if code == "queue_full" {
			code = "ran"
		}
		out = append(out, strings.TrimSuffix(code+" "+res.Header.Get("Ratelimit"), " "))
	}
	return out
}

func times(n int, c call) (out []call) {
	for range n {
		out = append(out, c)
	}
	return out
}

const (
	here  = "192.0.2.1:1000"
	there = "198.51.100.7:1000"
)

// Each kind of limit, exactly, with what its callers are told.
func TestDoor_Limits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fitted(t, platform.GuardKey, map[string]platform.Rule{
			"/route": limited(rate(2, time.Hour, platform.LimitByRoute)), "/key": limited(rate(2, time.Hour, platform.LimitByKey)), "/address": limited(rate(2, time.Hour, platform.LimitByAddress)),
			"/method": limited(rate(2, time.Hour, platform.LimitByMethod)), "/burst": limited(platform.RateLimit{Requests: 100, Per: time.Second, Burst: 2, By: platform.LimitByRoute}),
			"/both": limited(rate(3, time.Minute, platform.LimitByRoute), rate(2, time.Hour, platform.LimitByKey)), "/none": {},
		})
		_, a := w.key(nil)
		_, b := w.key(nil)
		w.load(t)
		expect := func(name string, got []string, want ...string) {
			t.Helper()
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
				t.Errorf("%s:\n got %q\nwant %q", name, got, want)
			}
		}
		expect("of the route", w.codes(call{here, "/route", a}, call{there, "/route", b}, call{here, "/route", b}, call{there, "/route", a}),
			`ran "route";r=1;t=1800`, `ran "route";r=0;t=1800`, `rate_limited "route";r=0;t=1800`, `rate_limited "route";r=0;t=1800`)
		expect("of each key", w.codes(call{here, "/key", a}, call{there, "/key", a}, call{here, "/key", a}, call{here, "/key", b}),
			`ran "key";r=1;t=1800`, `ran "key";r=0;t=1800`, `rate_limited "key";r=0;t=1800`, `ran "key";r=1;t=1800`)
		expect("of each address", w.codes(call{here, "/address", a}, call{"192.0.2.1:2", "/address", b}, call{here, "/address", a}, call{there, "/address", a}),
			`ran "address";r=1;t=1800`, `ran "address";r=0;t=1800`, `rate_limited "address";r=0;t=1800`, `ran "address";r=1;t=1800`)
		expect("of a /64", w.codes(call{"[2001:db8::1]:1", "/address", a}, call{"[2001:db8::ffff:1]:1", "/address", a}, call{"[2001:db8::2]:1", "/address", a}, call{"[2001:db8:0:1::1]:1", "/address", a}, call{"[::ffff:192.0.2.1]:1", "/address", a}),
			`ran "address";r=1;t=1800`, `ran "address";r=0;t=1800`, `rate_limited "address";r=0;t=1800`, `ran "address";r=1;t=1800`, `rate_limited "address";r=0;t=1800`)
		expect("of a way", w.codes(times(3, call{here, "/method", a})...), `ran "method";r=1;t=1800`, `ran "method";r=0;t=1800`, `rate_limited "method";r=0;t=1800`)
		expect("a burst", w.codes(times(3, call{here, "/burst", a})...), `ran "route";r=1;t=1`, `ran "route";r=0;t=1`, `rate_limited "route";r=0;t=1`)
		expect("none", w.codes(times(3, call{here, "/none", a})...), "ran", "ran", "ran")
		// The key's two an hour are gone; the route has one left, for others.
		expect("the tightest", w.codes(call{here, "/both", a}, call{here, "/both", a}, call{here, "/both", a}, call{here, "/both", a}, call{here, "/both", b}, call{here, "/both", b}),
			`ran "key";r=1;t=1800`, `ran "key";r=0;t=1800`, `rate_limited "key";r=0;t=1800`, `rate_limited "key";r=0;t=1800`, `ran "route";r=0;t=20`, `rate_limited "route";r=0;t=20`)
		res, p := w.from(here, "/route", http.Header{"X-Api-Key": {a}})
		if res.Header.Get("Retry-After") != "1800" || res.Header.Get("Ratelimit-Policy") != `"route";q=2;w=3600` || p.Detail != "this route is over its rate: 2/h" || res.StatusCode != 429 {
			t.Errorf("%d, Retry-After %q, policy %q, detail %q", res.StatusCode, res.Header.Get("Retry-After"), res.Header.Get("Ratelimit-Policy"), p.Detail)
		}
		time.Sleep(30*time.Minute - time.Nanosecond)
		expect("a moment early", w.codes(call{here, "/route", a}), `rate_limited "route";r=0;t=1`)
		time.Sleep(time.Nanosecond)
		expect("in time", w.codes(times(2, call{here, "/route", a})...), `ran "route";r=0;t=1800`, `rate_limited "route";r=0;t=1800`)
		if res, _ := w.from(here, "/none", nil); res.Header.Get("Ratelimit") != "" || res.Header.Get("Ratelimit-Policy") != "" {
			t.Error("a route without limits tells of some")
		}
	})
}

// On an open route nobody has a key: there a limit by key is by address.
func TestDoor_LimitOfAnonymous(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fitted(t, platform.GuardOpen, map[string]platform.Rule{"/open": limited(rate(1, time.Hour, platform.LimitByKey))})
		_, a := w.key(nil)
		w.load(t)
		got := w.codes(call{here, "/open", ""}, call{here, "/open", ""}, call{here, "/open", a}, call{there, "/open", ""}, call{"", "/open", ""}, call{"nowhere", "/open", ""})
		if fmt.Sprint(got) != `[ran "key";r=0;t=3600 rate_limited "key";r=0;t=3600 rate_limited "key";r=0;t=3600 ran "key";r=0;t=3600 ran "key";r=0;t=3600 rate_limited "key";r=0;t=3600]` {
			t.Errorf("%q", got)
		}
	})
}

// A call that is refused takes nothing from any limit, the key's rate and quota
// included; nor does one that asks for nothing that it may have.
func TestDoor_RefusedTakesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fitted(t, platform.GuardKey, map[string]platform.Rule{
			"/narrow": limited(rate(1, time.Hour, platform.LimitByRoute), rate(50, time.Hour, platform.LimitByKey)), "/wide": limited(rate(10, time.Hour, platform.LimitByRoute)),
			"/small": {BodyLimit: 3, Limits: []platform.RateLimit{rate(10, time.Hour, platform.LimitByRoute)}},
		})
		quota, secret := w.key(func(k *platform.AccessKey) { k.Quota = platform.Quota{Limit: 4, Per: platform.PerDay} })
		_, slow := w.key(func(k *platform.AccessKey) { k.RatePerSecond = 1 })
		_, other := w.key(nil)
		_, theirs := w.key(func(k *platform.AccessKey) { k.ProjectID = "prj_b" })
		w.load(t)
		used := func() int64 { return w.g.Keys().ByID(quota).Quota().Used().Count }
		w.codes(call{here, "/narrow", secret})
		w.codes(times(20, call{here, "/narrow", secret})...)
		if used() != 1 {
			t.Errorf("%d of the quota used by one call and twenty refusals", used())
		}
		// Neither the right to call nor the size is paid for out of the route's limit.
		w.codes(times(20, call{here, "/wide", ""})...)
		w.codes(times(20, call{here, "/wide", theirs})...)
		w.codes(times(20, call{here, "/wide", accesskey.NewSecret().Reveal()})...)
		w.codes(call{here, "/wide", slow})
		w.codes(times(20, call{here, "/wide", slow})...)
		if got := w.codes(call{here, "/wide", other}); got[0] != `ran "route";r=8;t=720` {
			t.Errorf("after two calls and eighty refusals: %q", got)
		}
		for range 20 {
			r := httptest.NewRequest("POST", "http://127.0.0.1/fn/orders/small", strings.NewReader("four"))
			r.RequestURI = "/fn/orders/small"
			r.Header.Set("X-Api-Key", secret)
			if res, _ := w.send(r); res.StatusCode != 413 {
				t.Fatal(res.Status)
			}
		}
		// The quota's last ones, and then it is the quota that refuses.
		got := w.codes(times(5, call{here, "/small", secret})...)
		if fmt.Sprintf("%q", got[:3]) != `["ran \"quota\";r=2;t=86400" "ran \"quota\";r=1;t=86400" "ran \"quota\";r=0;t=86400"]` || got[3] != `quota_exceeded "quota";r=0;t=86400` {
			t.Errorf("%q", got)
		}
		if got := w.codes(call{here, "/small", other}); got[0] != `ran "route";r=6;t=1440` {
			t.Errorf("what the quota refused was taken from the route: %q", got)
		}
	})
}

// Neither a deploy nor a reload gives anybody another burst; a limit that is
// changed begins anew, and one that was away and comes back does too.
func TestDoor_LimitsSurvive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hour := func(n int) map[string]platform.Rule {
			return map[string]platform.Rule{"/key": limited(rate(n, time.Hour, platform.LimitByKey)), "/route": limited(rate(n, time.Hour, platform.LimitByRoute))}
		}
		w := fitted(t, platform.GuardKey, hour(1))
		_, a := w.key(nil)
		w.load(t)
		both := func() string { return fmt.Sprint(w.codes(call{here, "/key", a}, call{here, "/route", a})) }
		const ran, over = `[ran "key";r=0;t=3600 ran "route";r=0;t=3600]`, `[rate_limited "key";r=0;t=3600 rate_limited "route";r=0;t=3600]`
		for i, step := range []struct {
			name string
			do   func()
			want string
		}{
			{"at first", func() {}, ran}, {"again", func() {}, over}, {"deployed", func() { fit(w, "dep_2", platform.GuardKey, hour(1)) }, over},
			{"said in other words", func() {
				rules := hour(1)
				for path, r := range rules {
					r.Limits[0].Burst = 1
					rules[path] = r
				}
				fit(w, "dep_3", platform.GuardKey, rules)
			}, over},
			{"changed", func() { fit(w, "dep_4", platform.GuardKey, hour(2)) }, `[ran "key";r=1;t=1800 ran "route";r=1;t=1800]`},
			{"changed back", func() { fit(w, "dep_5", platform.GuardKey, hour(1)) }, ran},
			{"gone", func() { delete(w.src.functions, fnID); w.src.change(platform.ChangeFunction, fnID, func() {}) }, "[function_not_found function_not_found]"},
		} {
			step.do()
			w.load(t)
			if got := both(); got != step.want {
				t.Errorf("%d, %s: %s, want %s", i, step.name, got, step.want)
			}
		}
	})
}

// Addresses of one pool share what they may, functions included.
func TestDoor_Pool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pooled := rate(2, time.Hour, platform.LimitByRoute)
		pooled.Pool = "partners"
		w := fitted(t, platform.GuardKey, map[string]platform.Rule{"/a": limited(pooled), "/b": limited(pooled, pooled), "/c": limited(rate(2, time.Hour, platform.LimitByRoute))})
		for i, project := range []string{project, "prj_b"} {
			id, slug := fmt.Sprintf("fn-01jd000000000000000000000%d", i+1), fmt.Sprint("other", i)
			w.src.functions[id] = platform.Function{ID: id, ProjectID: project, Name: slug, Slug: slug, ActiveDeploymentID: "dep_" + slug}
			w.src.active[id] = platform.Deployment{ID: "dep_" + slug, FunctionID: id, ProjectID: project, Number: 1, Handlers: []platform.Handler{{Name: "x", Guard: platform.GuardOpen, Rule: limited(pooled)}}}
		}
		_, a := w.key(nil)
		w.load(t)
		if got := fmt.Sprint(w.codes(call{here, "/a", a}, call{here, "/b", a}, call{here, "/a", a}, call{here, "/b", a}, call{here, "/c", a})); got != `[ran "route";r=1;t=1800 ran "route";r=0;t=1800 rate_limited "route";r=0;t=1800 rate_limited "route";r=0;t=1800 ran "route";r=1;t=1800]` {
			t.Error(got)
		}
		_, own := w.do("GET", "/fn/other0/x", nil)
		_, theirs := w.do("GET", "/fn/other1/x", nil)
		if own.Code != "rate_limited" || own.Detail != "this group of routes is over its rate: 2/h" || theirs.Code != "queue_full" {
			t.Errorf("another function of the project: %s %q; of another: %s", own.Code, own.Detail, theirs.Code)
		}
	})
}

// However many come at once, no more than the burst get through.
func TestDoor_LimitsConcurrent(t *testing.T) {
	t.Parallel()
	rules := map[string]platform.Rule{"/x": limited(rate(40, time.Hour, platform.LimitByRoute), rate(25, time.Hour, platform.LimitByKey), rate(1000, time.Hour, platform.LimitByAddress))}
	w := fitted(t, platform.GuardKey, rules)
	var secrets []string
	for range 4 {
		_, s := w.key(nil)
		secrets = append(secrets, s)
	}
	w.load(t)
	var ran [4]atomic.Int64
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			if _, p := w.from(here, "/x", http.Header{"X-Api-Key": {secrets[i%4]}}); p.Code == "queue_full" {
				ran[i%4].Add(1)
			}
		})
	}
	for i := range 10 { // deploys meanwhile
		fit(w, fmt.Sprint("dep_", i), platform.GuardKey, rules)
		w.load(t)
	}
	wg.Wait()
	sum := int64(0)
	for i := range ran {
		if n := ran[i].Load(); n > 25 {
			t.Errorf("%d calls of one key", n)
		}
		sum += ran[i].Load()
	}
	if sum > 40 || sum < 25 || w.invoker.acquired.Load() != sum {
		t.Errorf("%d calls, %d reached a worker", sum, w.invoker.acquired.Load())
	}
}

// A route with three limits costs no allocation more than one without any, once
// its callers are known; and what it tells them hardly any.
func TestDoor_AdmitDoesNotAllocate(t *testing.T) {
	many := rate(1_000_000, time.Second, platform.LimitByRoute)
	byKey, byAddress := many, many
	byKey.By, byAddress.By = platform.LimitByKey, platform.LimitByAddress
	w := fitted(t, platform.GuardKey, map[string]platform.Rule{"/none": {}, "/three": {Limits: []platform.RateLimit{many, byKey, byAddress}, Methods: []string{"apikey"}, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}})
	_, secret := w.key(nil)
	w.load(t)
	admit := func(path string) float64 {
		r := httptest.NewRequest("GET", "/fn/orders"+path, nil)
		r.Header.Set("X-Api-Key", secret)
		if err := w.g.Admit(r); err != nil {
			t.Fatal(err)
		}
		return testing.AllocsPerRun(200, func() { w.g.Admit(r) })
	}
	none := admit("/none")
	if three := admit("/three"); three > none {
		t.Errorf("%v allocations with three limits, %v without", three, none)
	}
	_, secret = w.key(func(k *platform.AccessKey) {
		k.RatePerSecond, k.Quota = 1_000_000, platform.Quota{Limit: 1 << 40, Per: platform.PerMonth}
	})
	w.load(t)
	if both := admit("/three"); both > none {
		t.Errorf("%v allocations with a rate and a quota of the key too, %v without", both, none)
	}
}

func BenchmarkAdmit_Limits(b *testing.B) {
	many := rate(1_000_000_000, time.Second, platform.LimitByRoute)
	byKey, byAddress := many, many
	byKey.By, byAddress.By = platform.LimitByKey, platform.LimitByAddress
	w := fitted(b, platform.GuardKey, map[string]platform.Rule{"/none": {}, "/one": limited(many), "/three": limited(many, byKey, byAddress)})
	_, secret := w.key(nil)
	w.load(b)
	for _, path := range []string{"/none", "/one", "/three"} {
		b.Run(path[1:], func(b *testing.B) {
			r := httptest.NewRequest("GET", "/fn/orders"+path, nil)
			r.Header.Set("X-Api-Key", secret)
			b.ReportAllocs()
			for b.Loop() {
				if err := w.g.Admit(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a manifest and a policy may name as a way is what callers are recognised by.
func TestDoor_WaysAreMethods(t *testing.T) {
	t.Parallel()
	for m, named := range map[auth.Method]bool{auth.MethodBasic: true, auth.MethodAPIKey: true, auth.MethodBearer: true, auth.MethodDPoP: true, auth.MethodPlan: true, auth.MethodAdmin: true,
		auth.MethodNone: false, auth.MethodSignature: false, auth.MethodFunction: false, auth.MethodSession: false} {
		if err := function.CheckCredential(string(m)); (err == nil) != named {
			t.Errorf("%s: %v", m, err)
		}
		if strings.Contains(function.CredentialsHint, string(m)) != named {
			t.Errorf("%s and the hint %q", m, function.CredentialsHint)
		}
	}
}
