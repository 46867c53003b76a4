package gateway_test

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// What is said of each key at each door is what a request gets there.
func TestReach_AgreesWithTheAnswer(t *testing.T) {
	t.Parallel()
	ten := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	w := fitted(t, platform.GuardKey, map[string]platform.Rule{
		"/plain": {}, "/partner": {Group: "partner"}, "/control": {Scopes: []platform.Scope{platform.ScopeControl}}, "/ten": {Addresses: ten},
		"/basic": {Methods: []string{"basic"}}, "/dpop": {Methods: []string{"dpop"}}, "/plan": {Methods: []string{"serviceplan"}}, "/xms/v1/{plan}/batches": {},
	})
	d := w.src.active[fnID]
	d.Handlers = append(d.Handlers, handlers...)
	w.src.active[fnID] = d
	type holder struct {
		id, secret string
		plan       bool
	}
	keys := map[string]holder{}
	for name, change := range map[string]func(*platform.AccessKey){
		"plain":        nil,
		"partner":      func(k *platform.AccessKey) { k.Groups = []string{"partner"} },
		"control":      func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeControl} },
		"both":         func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeControl, platform.ScopeInvoke} },
		"expired":      func(k *platform.AccessKey) { k.ExpiresAt = time.Now().Add(-time.Second) },
		"of another":   func(k *platform.AccessKey) { k.ProjectID = "prj_b" },
		"ten, inside":  func(k *platform.AccessKey) { k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")} },
		"test network": func(k *platform.AccessKey) { k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} },
		"plan":         func(k *platform.AccessKey) { k.ServicePlanID = "plan-1" },
	} {
		id, secret := w.key(change)
		keys[name] = holder{id, secret, name == "plan"}
	}
	w.load(t)
	doors := []audit.Door{{Of: slug}}
	paths := []string{"/health"}
	for _, p := range []string{"/plain", "/partner", "/control", "/ten", "/basic", "/xms/v1/{plan}/batches"} {
		doors, paths = append(doors, audit.Door{Of: slug, Handler: "all", Pattern: p}), append(paths, strings.Replace(p, "{plan}", "plan-1", 1))
	}
	for _, h := range []string{"status", "webhook", "ice", "odd"} {
		doors, paths = append(doors, audit.Door{Of: slug, Handler: h}), append(paths, "/xms/v1/plan-1/"+h)
	}
	for _, remote := range []string{"192.0.2.1:7", "10.1.2.3:7", "10.2.0.1:7"} {
		for name, c := range keys {
			k := w.src.keys[c.id]
			told := w.g.Reach(audit.Reaching{ProjectID: project, CallerID: project, Doors: doors, Keys: []platform.AccessKey{k}, Remote: remote})[0]
			for i, r := range told {
				header := http.Header{"Authorization": {basic(c.id, c.secret)}}
				if c.plan && strings.HasPrefix(paths[i], "/xms/v1/") {
					header = http.Header{"Authorization": {"Bearer " + c.secret}}
				}
				res, p := w.from(remote, paths[i], header)
				if opens := res.StatusCode == 200 || p.Code == "queue_full"; opens != r.Opens || r.Why == "" || r.Reason == audit.ReasonUnknown && name != "of another" {
					t.Errorf("%s at %s from %s: answered %d %s, told %+v", name, paths[i], remote, res.StatusCode, p.Code, r)
				}
			}
		}
	}
}

// What a key is told does not depend on where it comes from, where nobody said.
func TestReach_Reasons(t *testing.T) {
	t.Parallel()
	ten := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	w := fitted(t, platform.GuardKey, map[string]platform.Rule{"/ten": {Addresses: ten}, "/dpop": {Methods: []string{"dpop"}}, "/basic": {Methods: []string{"basic"}}, "/plan": {Methods: []string{"serviceplan"}}})
	w.other("fn-01jd0000000000000000000002", "hidden")
	h := w.src.active["fn-01jd0000000000000000000002"]
	h.Visibility = platform.Private
	w.src.active[h.FunctionID] = h
	free, _ := w.key(nil)
	inside, _ := w.key(func(k *platform.AccessKey) { k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")} })
	outside, _ := w.key(func(k *platform.AccessKey) { k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	bound, _ := w.key(func(k *platform.AccessKey) { k.Binding = platform.BindingDPoP })
	cert, _ := w.key(func(k *platform.AccessKey) { k.Binding = platform.BindingMTLS })
	gone, _ := w.key(func(k *platform.AccessKey) { k.ExpiresAt = time.Now().Add(-time.Minute) })
	w.load(t)
	var keys []platform.AccessKey
	for _, id := range []string{free, inside, outside, bound, cert, gone} {
		keys = append(keys, w.src.keys[id])
	}
	doors := []audit.Door{{Of: slug, Handler: "all", Pattern: "/ten"}, {Of: slug, Handler: "all", Pattern: "/dpop"}, {Of: slug, Handler: "all", Pattern: "/basic"}, {Of: slug, Handler: "all", Pattern: "/plan"},
		{Of: "hidden", Handler: "webhook"}, {Of: "nobody", Handler: "webhook"}, {Of: slug, Handler: "gone"}, {Of: slug, Handler: "all", Pattern: "/gone"}}
	told := w.g.Reach(audit.Reaching{ProjectID: project, CallerID: project, Doors: doors, Keys: keys})
	for i, want := range []string{
		"+key@10.0.0.0/8 +key +key -credential -private -unknown -unknown -unknown",
		"+key@10.1.0.0/16 +key@10.1.0.0/16 +key@10.1.0.0/16 -credential -private -unknown -unknown -unknown",
		"-address +key@192.0.2.0/24 +key@192.0.2.0/24 -credential -private -unknown -unknown -unknown",
		"+key@10.0.0.0/8 +key -credential -credential -private -unknown -unknown -unknown",
		"+key@10.0.0.0/8 -credential -credential -credential -private -unknown -unknown -unknown",
		"-ended -ended -ended -ended -private -unknown -unknown -unknown",
	} {
		var got []string
		for _, r := range told[i] {
			word := "-" + string(r.Reason)
			if r.Opens {
				word = "+" + string(r.Reason)
			}
			if len(r.From) > 0 {
				word += "@" + r.From[0].String()
			}
			got = append(got, word)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("key %d: %s, want %s", i, text, want)
		}
	}
	if why := told[0][3].Why; !strings.Contains(why, "serviceplan") || !strings.Contains(why, "basic") {
		t.Errorf("why: %q", why)
	}
}

// Of the networks of a key and of a door all are told that both have: one that is
// wider than several of the other's is each of them.
func TestReach_AllNetworks(t *testing.T) {
	t.Parallel()
	nets := func(texts ...string) (out []netip.Prefix) {
		for _, text := range texts {
			out = append(out, netip.MustParsePrefix(text))
		}
		return out
	}
	w := fitted(t, platform.GuardKey, map[string]platform.Rule{"/ten": {Addresses: nets("10.0.0.0/8", "192.0.2.0/25")}})
	id, _ := w.key(func(k *platform.AccessKey) {
		k.AllowedCIDRs = nets("10.1.0.0/16", "10.2.0.0/16", "192.0.2.0/24", "10.0.0.0/7")
	})
	w.load(t)
	told := w.g.Reach(audit.Reaching{ProjectID: project, CallerID: project, Doors: []audit.Door{{Of: slug, Handler: "all", Pattern: "/ten"}}, Keys: []platform.AccessKey{w.src.keys[id]}})[0][0]
	if want := nets("10.0.0.0/8", "192.0.2.0/25", "10.1.0.0/16", "10.2.0.0/16"); !told.Opens || !slices.Equal(told.From, want) {
		t.Errorf("from %v, want %v", told.From, want)
	}
}

// Whoever gives their keys and routes as many networks and groups as they may have
// does not make what is told of them longer than it can be held.
func TestReach_IsShort(t *testing.T) {
	t.Parallel()
	var of, by, elsewhere []netip.Prefix
	for i := range function.MaxAddresses {
		of = append(of, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24))
	}
	for i := range 64 {
		by, elsewhere = append(by, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 1}), 32)), append(elsewhere, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32))
	}
	w := fitted(t, platform.GuardKey, map[string]platform.Rule{"/ten": {Addresses: of}})
	var keys []platform.AccessKey
	for _, change := range []func(*platform.AccessKey){nil, func(k *platform.AccessKey) { k.AllowedCIDRs = by }, func(k *platform.AccessKey) { k.AllowedCIDRs = elsewhere },
		func(k *platform.AccessKey) { k.Groups = strings.Fields(strings.Repeat("partner-of-somebody ", 64)) }} {
		id, _ := w.key(change)
		keys = append(keys, platform.AccessKey{ID: id})
	}
	w.load(t)
	for i := range keys {
		keys[i] = w.src.keys[keys[i].ID]
	}
	told := w.g.Reach(audit.Reaching{ProjectID: project, CallerID: project, Doors: []audit.Door{{Of: slug, Handler: "all", Pattern: "/ten"}}, Keys: keys})
	for i, more := range []int{240, 48, 0, 0} {
		if r := told[i][0]; len(r.From) > 16 || r.More != more || len(r.Why) > 800 || r.Opens != (i < 2) {
			t.Errorf("key %d: %+v", i, r)
		}
	}
}

// Rates are told with what is used of them; one that doors share is told once.
func TestRates(t *testing.T) {
	t.Parallel()
	shared := rate(5, time.Hour, platform.LimitByRoute)
	shared.Pool = "group:partner"
	w := fitted(t, platform.GuardKey, map[string]platform.Rule{"/a": limited(shared, rate(1, time.Hour, platform.LimitByKey)), "/b": limited(shared)})
	id, secret := w.key(func(k *platform.AccessKey) { k.Quota = platform.Quota{Limit: 10, Per: platform.PerMonth} })
	w.load(t)
	w.from(here, "/a", http.Header{"Authorization": {basic(id, secret)}})
	for _, r := range w.g.Rates(project) {
		switch {
		case r.Limit.Pool != "" && (r.Left != 4 || len(r.Doors) != 2), r.Limit.Pool == "" && (r.Callers != 1 || r.Spent != 1 || len(r.Doors) != 1):
			t.Errorf("%+v", r)
		}
	}
	if n, none := len(w.g.Rates(project)), len(w.g.Rates("prj_b")); n != 2 || none != 0 {
		t.Errorf("%d rates, %d of another project", n, none)
	}
	if u := w.g.Used(w.src.keys[id]); u.RateLeft != nil || u.QuotaLeft == nil || *u.QuotaLeft != 9 {
		t.Errorf("of the key: %+v", u)
	}
}
