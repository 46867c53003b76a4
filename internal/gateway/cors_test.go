package gateway_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/platform"
)

const (
	shop = "https://shop.example"
	evil = "https://evil.example"
)

// corsWorld has routes of each kind behind a key.
func corsWorld(t *testing.T) *world {
	t.Helper()
	return fitted(t, platform.GuardKey, map[string]platform.Rule{
		"GET /exact":  {CORS: &platform.CORS{Origins: []string{shop, "http://localhost:5173"}, Headers: []string{"X-Api-Key", "Content-Type"}, Expose: []string{"X-Total"}, MaxAge: 10 * time.Minute}},
		"POST /exact": {CORS: &platform.CORS{Origins: []string{shop}, Credentials: true}},
		"PUT /exact":  {},
		"/any":        {CORS: &platform.CORS{Origins: []string{"*"}, Methods: []string{"GET", "POST"}}},
		"/wild":       {CORS: &platform.CORS{Origins: []string{"*"}, Credentials: true}},
		"/none":       {},
		"/inside":     {CORS: &platform.CORS{Origins: []string{shop}}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		"/slow":       {CORS: &platform.CORS{Origins: []string{shop}}, Limits: []platform.RateLimit{rate(1, time.Hour, platform.LimitByRoute)}},
	})
}

// said is all that an answer says to a browser.
func said(h http.Header) string {
	var out []string
	for name, v := range h {
		if short, ok := strings.CutPrefix(name, "Access-Control-"); ok {
			out = append(out, short+": "+strings.Join(v, "|"))
		}
	}
	slices.Sort(out)
	if v := h["Vary"]; len(v) > 0 {
		out = append(out, "Vary: "+strings.Join(v, "|"))
	}
	return strings.Join(out, "; ")
}

// A preflight is answered by the gateway for a route that is there and has
// CORS, without credentials and without a handler; every other OPTIONS is a
// request like any other.
func TestCORS_Preflight(t *testing.T) {
	t.Parallel()
	w := corsWorld(t)
	_, secret := w.key(nil)
	w.load(t)
	const ran = "queue_full"
	for _, tc := range []struct {
		path, origin, asked string
		status              int
		code, said          string
	}{
		{"/exact", shop, "GET", 204, "", "Allow-Headers: X-Api-Key, Content-Type; Allow-Methods: GET, HEAD; Allow-Origin: https://shop.example; Max-Age: 600; Vary: Origin"},
		{"/exact", "http://localhost:5173", "HEAD", 204, "", "Allow-Headers: X-Api-Key, Content-Type; Allow-Methods: GET, HEAD; Allow-Origin: http://localhost:5173; Max-Age: 600; Vary: Origin"},
		{"/exact", shop, "POST", 204, "", "Allow-Credentials: true; Allow-Headers: Authorization, Content-Type, DPoP, X-API-Key; Allow-Methods: POST; Allow-Origin: https://shop.example; Max-Age: 5; Vary: Origin"},
		{"/any", evil, "DELETE", 204, "", "Allow-Headers: Authorization, Content-Type, DPoP, X-API-Key; Allow-Methods: GET, POST; Allow-Origin: *; Max-Age: 5"},
		{"/any", "null", "POST", 204, "", "Allow-Headers: Authorization, Content-Type, DPoP, X-API-Key; Allow-Methods: GET, POST; Allow-Origin: *; Max-Age: 5"},
		{"/exact", evil, "GET", 403, "origin_not_allowed", "Vary: Origin"},
		{"/exact", "http://localhost:5173", "POST", 403, "origin_not_allowed", "Vary: Origin"},
		{"/exact", "HTTPS://shop.example", "GET", 403, "origin_not_allowed", "Vary: Origin"},
		{"/exact", "https://shop.example:443", "GET", 403, "origin_not_allowed", "Vary: Origin"},
		{"/exact", "https://shop.example.evil.example", "GET", 403, "origin_not_allowed", "Vary: Origin"},
		{"/exact", "https://evil.example/https://shop.example", "GET", 403, "origin_not_allowed", "Vary: Origin"},
		{"/exact", "http://shop.example", "GET", 403, "origin_not_allowed", "Vary: Origin"},
		{"/exact", "https://shop.example ", "GET", 403, "origin_not_allowed", "Vary: Origin"},
		{"/exact", "null", "GET", 403, "origin_not_allowed", "Vary: Origin"},
		{"/exact", "*", "GET", 403, "origin_not_allowed", "Vary: Origin"},
		{"/exact", "", "GET", 405, "method_not_allowed", ""}, // no Origin: it is no browser's
		{"/exact", shop, "", 405, "method_not_allowed", ""},
		{"/exact", shop, "PUT", 405, "method_not_allowed", ""}, // that route has no CORS
		{"/exact", shop, "DELETE", 405, "method_not_allowed", ""},
		{"/exact", shop, "get", 405, "method_not_allowed", ""},
		{"/nope", shop, "GET", 404, "handler_not_found", ""},
		{"/wild", shop, "GET", 403, "origin_not_allowed", "Vary: Origin"}, // never all with credentials
		{"/none", shop, "GET", 401, "unauthenticated", ""},
		{"/health", shop, "GET", 200, "", ""},
		{"/inside", shop, "GET", 403, "address_not_allowed", "Allow-Origin: https://shop.example; Expose-Headers: Retry-After, RateLimit, RateLimit-Policy, X-Request-Id; Vary: Origin"},
	} {
		header := http.Header{}
		if tc.origin != "" {
			header.Set("Origin", tc.origin)
		}
		if tc.asked != "" {
			header.Set("Access-Control-Request-Method", tc.asked)
		}
		header.Set("Access-Control-Request-Headers", "x-api-key")
		before := w.invoker.acquired.Load()
		res, p := w.do("OPTIONS", "/fn/orders"+tc.path, header)
		if res.StatusCode != tc.status || p.Code != tc.code || said(res.Header) != tc.said || w.invoker.acquired.Load() != before {
			t.Errorf("%s of %q for %q: %d %s, %q", tc.path, tc.origin, tc.asked, res.StatusCode, p.Code, said(res.Header))
		}
	}
	// Without CORS a handler gets its OPTIONS.
	if _, p := w.do("OPTIONS", "/fn/orders/none", http.Header{"Origin": {shop}, "Access-Control-Request-Method": {"GET"}, "X-Api-Key": {secret}}); p.Code != ran {
		t.Errorf("an OPTIONS of a route without CORS: %s", p.Code)
	}
	for name, h := range map[string]http.Header{"two origins": {"Origin": {shop, evil}, "Access-Control-Request-Method": {"GET"}}, "two methods": {"Origin": {shop}, "Access-Control-Request-Method": {"GET", "PUT"}}} {
		if res, p := w.do("OPTIONS", "/fn/orders/exact", h); res.StatusCode < 400 || strings.Contains(said(res.Header), "Allow") {
			t.Errorf("%s: %d %s %q", name, res.StatusCode, p.Code, said(res.Header))
		}
	}
	// A preflight takes nothing from the route's limit.
	for range 5 {
		w.do("OPTIONS", "/fn/orders/slow", http.Header{"Origin": {shop}, "Access-Control-Request-Method": {"GET"}})
	}
	if _, p := w.do("GET", "/fn/orders/slow", http.Header{"Origin": {shop}, "X-Api-Key": {secret}}); p.Code != ran {
		t.Errorf("after preflights: %s", p.Code)
	}
}

// What a page may read of an answer, refusals included, is decided by the
// origin alone; that a caller has another, or none, keeps it from nothing else.
func TestCORS_Answers(t *testing.T) {
	t.Parallel()
	w := corsWorld(t)
	_, secret := w.key(nil)
	w.load(t)
	const own = "Retry-After, RateLimit, RateLimit-Policy, X-Request-Id"
	const exact = "Allow-Origin: https://shop.example; Expose-Headers: " + own + "; Vary: Origin"
	w.do("GET", "/fn/orders/slow", http.Header{"X-Api-Key": {secret}})
	for _, tc := range []struct {
		path, origin, secret, code, said string
	}{
		{"/exact", shop, secret, "queue_full", "Allow-Origin: https://shop.example; Expose-Headers: " + own + ", X-Total; Vary: Origin"},
		{"/exact", shop, "", "unauthenticated", "Allow-Origin: https://shop.example; Expose-Headers: " + own + ", X-Total; Vary: Origin"},
		{"/exact", evil, secret, "queue_full", "Vary: Origin"}, {"/exact", evil, "", "unauthenticated", "Vary: Origin"}, {"/exact", "", secret, "queue_full", "Vary: Origin"},
		{"/any", evil, secret, "queue_full", "Allow-Origin: *; Expose-Headers: " + own}, {"/any", evil, "psk_x", "unauthenticated", "Allow-Origin: *; Expose-Headers: " + own},
		{"/wild", evil, secret, "queue_full", "Vary: Origin"}, {"/none", shop, secret, "queue_full", ""}, {"/none", shop, "", "unauthenticated", ""},
		{"/inside", shop, secret, "address_not_allowed", exact}, {"/slow", shop, secret, "rate_limited", exact}, {"/slow", evil, secret, "rate_limited", "Vary: Origin"},
		{"/nope", shop, secret, "handler_not_found", ""},
	} {
		header := http.Header{}
		if tc.origin != "" {
			header.Set("Origin", tc.origin)
		}
		if tc.secret != "" {
			header.Set("X-Api-Key", tc.secret)
		}
		res, p := w.do("GET", "/fn/orders"+tc.path, header)
		if p.Code != tc.code || said(res.Header) != tc.said {
			t.Errorf("%s from %q: %d %s, %q, want %s, %q", tc.path, tc.origin, res.StatusCode, p.Code, said(res.Header), tc.code, tc.said)
		}
	}
	header := http.Header{"Origin": {shop}, "X-Api-Key": {secret}}
	if res, _ := w.do("POST", "/fn/orders/exact", header); said(res.Header) != "Allow-Credentials: true; "+exact {
		t.Errorf("with credentials: %q", fmt.Sprint(res.Header))
	}
}
