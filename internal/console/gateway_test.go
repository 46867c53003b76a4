package console_test

import (
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
)

const shop = `export const auth = ['refund', 'partner'];
export function refund() { return 'r' }
export function partner() { return 'p' }
export function status() { return 's' }`

// hostile is a name that would be markup, and text that turns, if a page let it.
const hostile = `<script>alert(1)</script>"'&` + "\u202e" + `<img src=x onerror=alert(2)>`

// gatewaySite has a function, a policy and keys, one of a hostile name.
func gatewaySite(t *testing.T) (s *site, keys map[string]string) {
	t.Helper()
	s = newSite(t)
	s.deploy("shop", shop)
	s.apply("version: 1\ngroups:\n  partner: { rate: 5/m }\nfunctions:\n  shop:\n    handlers:\n      partner: { group: partner }\n")
	keys = map[string]string{}
	for name, in := range map[string]api.CreateKeyRequest{
		"all":     {DisplayName: `all <b>"keys"</b>`, RatePerSecond: 7, Quota: &api.Quota{Limit: 1234, Per: "month"}},
		"partner": {DisplayName: "partner", Groups: []string{"partner"}},
	} {
		made, err := s.api.CreateKey(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = made.AccessKey.AccessKeyID
	}
	return s, keys
}

func (s *site) apply(document string) {
	s.Helper()
	if _, err := s.api.ApplyPolicy(s.Context(), api.ApplyPolicyRequest{Document: document}, false); err != nil {
		s.Fatal(err)
	}
}

// From the last of several pages there is no way on, and one to the first.
func TestRoutes_Paged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var source strings.Builder
	for i := range 110 {
		fmt.Fprintf(&source, "export function h%03d() { return 1 }\n", i)
	}
	s.deploy("many", source.String())
	s.want(s.get("gateway"), 200, "h000", "<strong>111 routes</strong>", `href="?page=50">Next page`)
	p := s.get("gateway?page=100&q=")
	s.want(p, 200, "h105", "First page", "<strong>111 routes</strong>")
	s.no(p, "h000", "Next page")
	s.want(s.get("gateway?page=500"), 200, "There are no more routes", "To the first page")
	s.want(s.get("gateway?page=50&q=h1"), 200, "<strong>10 routes</strong>", `of 111`, "There are no more routes")
}

// What is live is the part of a list that somebody is at, and stays that.
func TestLists_StayWhereTheyAre(t *testing.T) {
	t.Parallel()
	s, _ := gatewaySite(t)
	for _, path := range []string{"functions?q=s&page=a", "keys?q=a&state=live", "service-plans?new=x", "subprojects?said=x", "gateway?page=1&only=key", "gateway/matrix?routes=1&key=a", "gateway/limits?said=x", "gateway/refusals?page=evt_1&q=a"} {
		own := "/console/p/" + s.project + "/" + path
		if p := s.get(path); p.status != 200 || !strings.Contains(html.UnescapeString(p.body), `hx-get="`+own+`" hx-select="#list"`) {
			t.Errorf("%s: %d\n%s", path, p.status, p.text())
		}
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.want(s.get("gateway"), 200, "No routes yet", "No policy is in force")
	s.want(s.get("gateway/groups"), 200, "No groups yet")
	s.want(s.get("gateway/matrix"), 200, "No route asks for a key")
	s.want(s.get("gateway/limits"), 200, "No route has a rate", "has a limit of its own")
	s.want(s.get("gateway/explain"), 200, "One that is not made")
	s, _ = gatewaySite(t)
	p := s.get("gateway")
	s.want(p, 200, "Policy 1 is in force", "<strong>4 routes</strong>", "1 open to everyone", `<span class="tag good">open</span>`, "/refund", "auth export", "5/m", "policy, line 7")
	s.want(s.get("gateway?only=public"), 200, "<strong>2 routes</strong>", "/health", "/status")
	s.want(s.get("gateway?q=REFUND"), 200, "<strong>1 route</strong>")
	s.want(s.get("gateway?q="+url.QueryEscape(hostile)), 200, "No route is like that", "&lt;script&gt;")
	for _, wrong := range []string{"page=-1", "page=x", "only=nosuch", "q=" + strings.Repeat("a", 101)} {
		s.no(s.get("gateway?"+wrong), "4 routes", "No route is like that")
	}
	s.want(s.get("gateway/groups"), 200, "<h2>partner</h2>", "<h2>shop</h2>", "5/m", "1 key for this group", "2 keys open")
}

func TestMatrix(t *testing.T) {
	s, keys := gatewaySite(t)
	p := s.get("gateway/matrix")
	s.want(p, 200, `all &lt;b&gt;&#34;keys&#34;&lt;/b&gt;`, "the key is for the groups [partner]; the route is in shop", "the key is for other groups", "2 of 2", "1 of 2", `<a href="explain?key=`+keys["partner"])
	s.no(p, "/status", "<b>")
	s.want(s.get("gateway/matrix?all=1"), 200, "/status", "open to everyone")
	s.want(s.get("gateway/matrix?q=partner"), 200, "1 route.")
	s.want(s.get("gateway/matrix?q=nothing"), 200, "No route is like that")
	s.want(s.get("gateway/matrix?from=nowhere"), 422, "from is no address", "write it like 192.0.2.7", `value="nowhere"`)
	s.want(s.get("gateway/matrix?keys=none"), 422, "pageToken")
}

func TestExplain(t *testing.T) {
	s, keys := gatewaySite(t)
	ask := func(pairs ...string) page {
		q := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		return s.get("gateway/explain?" + q.Encode())
	}
	s.want(ask("url", "/fn/shop/refund", "key", keys["all"]), 200, `<span class="tag good">allowed</span>`, "3 authenticate", "not tried")
	s.want(ask("url", "/fn/shop/refund", "key", "partner"), 200, "refused", "403", "not_allowed", keys["partner"], "not reached")
	s.want(ask("url", "/fn/shop/refund"), 200, "refused", "401", "unauthenticated")
	s.want(ask("url", "/fn/shop/refund", "key", "no such key"), 422, "Explain a request", `value="no such key"`)
	s.want(ask("url", "ftp://x"), 422, "the URL must be absolute", `value="ftp://x"`)
	s.want(ask("url", "/fn/shop/refund", "from", "moon"), 422, "from is no address", "write it like")
	s.want(ask("request", "req_none"), 404, "nothing is known of a request", `value="req_none"`)
	secret := accesskey.NewSecret().Reveal()
	typed := s.post("gateway/explain", url.Values{"url": {"/fn/shop/refund"}, "key": {secret}})
	s.want(typed, 422, "Explain a request")
	s.no(typed, secret)
	s.want(s.post("gateway/explain", url.Values{"url": {"/fn/shop/refund"}, "key": {"partner"}}), 200, "refused", "403")
	if p := s.post("gateway/explain", url.Values{"csrf": {"no"}, "url": {"/fn/shop/refund"}}); p.status != 403 {
		t.Errorf("without the form's token: %d", p.status)
	}
	if p := ask("request", hostile); p.status != 422 || strings.Contains(p.body, "<script>alert") {
		t.Errorf("a hostile ID: %d", p.status)
	}
}

func TestLimits(t *testing.T) {
	s, _ := gatewaySite(t)
	s.want(s.get("gateway/limits"), 200, "<code>5/m</code>", "group:partner", "5 of 5 left", "7/s", "1,234 a month", "<strong>1,234</strong> left")
	s.want(s.get("gateway/limits?keys=none"), 400, "pageToken")
}
