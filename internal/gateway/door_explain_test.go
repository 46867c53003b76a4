package gateway_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/platform"
)

// An explanation says which value of a route decided, and what it asks.
func TestExplain_Doors(t *testing.T) {
	t.Parallel()
	w := fitted(t, platform.GuardKey, map[string]platform.Rule{
		"/ways":    {Methods: []string{"dpop", "bearer"}},
		"/inside":  {Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		"/limited": limited(rate(1, time.Hour, platform.LimitByKey), rate(100, time.Hour, platform.LimitByRoute)),
	})
	id, secret := w.key(nil)
	stop := audited(t, w)
	w.load(t)
	why := func(path, remote string, step int) string {
		t.Helper()
		k := w.src.keys[id]
		told, err := w.g.Explain(audit.Question{ProjectID: project, CallerID: project, URL: "/fn/orders" + path, Remote: remote, KeyID: id, Key: &k})
		if err != nil {
			t.Fatal(err)
		}
		return string(told.Steps[step-1].Verdict) + " " + told.Steps[step-1].Why
	}
	check := func(name, got string, want ...string) {
		t.Helper()
		for _, s := range want {
			if !strings.Contains(got, s) {
				t.Errorf("%s: %q does not say %q", name, got, s)
			}
		}
	}
	check("credentials", why("/ways", here, 3), "passed", "shown as dpop", "the route takes a credential that is shown as dpop, bearer")
	check("from elsewhere", why("/inside", here, 4), "refused", "not for callers from this address", "for callers from [10.0.0.0/8]")
	check("from inside", why("/inside", "10.1.1.1:1", 4), "passed", "for callers from [10.0.0.0/8]")
	for range 3 { // a question uses nothing up
		check("limits", why("/limited", here, 5), "passed", "the route has the rate 1/h by key; the route has the rate 100/h")
	}
	res, _ := w.from(here, "/limited", http.Header{"X-Api-Key": {secret}})
	told, ok := w.g.Explained(project, res.Header.Get("X-Request-Id"))
	if !ok {
		t.Fatal("nothing is known of the call")
	}
	check("a call that passed", told.Steps[4].Why, "least is left of that of the key")
	check("used up", why("/limited", here, 5), "refused", "the caller is over its rate on this route: 1/h by key")
	w.from(here, "/limited", http.Header{"X-Api-Key": {secret}})
	w.from(here, "/inside", http.Header{"X-Api-Key": {secret}})
	w.from(here, "/ways", http.Header{"X-Api-Key": {secret}})
	seen := map[string]string{}
	for _, e := range stop() {
		seen[e.Code] = e.Detail[audit.DetailStep] + " " + e.Detail[audit.DetailWhy]
	}
	check("audit of a rate", seen["rate_limited"], "5 the caller is over its rate on this route: 1/h by key")
	check("audit of an address", seen["address_not_allowed"], "4 ")
	check("audit of a way", seen["credential_not_taken"], "3 ")
}
