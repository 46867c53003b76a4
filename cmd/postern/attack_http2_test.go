package main_test

import (
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// newSecureTarget is a target whose listeners speak TLS.
func newSecureTarget(t *testing.T) *target {
	t.Helper()
	g := newTarget(t)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	transport, err := certify(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	g.client = &http.Client{Transport: transport}
	g.start("--tls-cert", cert, "--tls-key", key)
	addr, ok := strings.CutPrefix(g.gateway, "https://")
	if !ok {
		t.Fatal("no TLS at", g.gateway)
	}
	g.addr = addr
	return g
}

// The same rules hold for the frames of HTTP/2, where path and authority are
// fields of their own.
func TestAttack_HTTP2(t *testing.T) {
	t.Parallel()
	g := newSecureTarget(t)
	secret := g.key["POSTERN_KEY_SECRET"]
	for name, c := range map[string]struct {
		method, path, host string
		header             http.Header
		status             []int
		runs               bool
	}{
		"no key":                   {"GET", "/fn/f/webhook", "", nil, refused, false},
		"by host, no key":          {"GET", "/webhook", "f.localhost", nil, refused, false},
		"dots":                     {"GET", "/fn/f/status/../webhook", "", nil, ambiguous, false},
		"dots to another function": {"GET", "/fn/x/../f/webhook", "", nil, ambiguous, false},
		"encoded slash":            {"GET", "/fn/f%2fwebhook", "", nil, ambiguous, false},
		"encoded slash, in front":  {"GET", "/fn%2ff/webhook", "", nil, ambiguous, false},
		"encoded letter":           {"GET", "/fn/f/%77ebhook", "", nil, refused, false},
		"double slash":             {"GET", "/fn//f//webhook", "", nil, refused, false},
		"backslash":                {"GET", "/fn/f/status\\..\\webhook", "", nil, ambiguous, false},
		"fragment":                 {"GET", "/fn/f/status#/../webhook", "", nil, ambiguous, false},
		"asterisk":                 {"OPTIONS", "*", "", nil, ambiguous, false},
		"TRACE":                    {"TRACE", "/fn/f/webhook", "", http.Header{"X-Api-Key": {secret}}, []int{405}, false},
		"lower-case method":        {"get", "/fn/f/webhook", "", http.Header{"X-Api-Key": {secret}}, []int{501}, false},
		"two keys":                 {"GET", "/fn/f/webhook", "", http.Header{"X-Api-Key": {secret, secret}}, ambiguous, false},
		"two Authorization":        {"GET", "/fn/f/webhook", "", http.Header{"Authorization": {g.basic, g.basic}}, ambiguous, false},
		"another authority":        {"GET", "/webhook", "g.localhost", http.Header{"X-Api-Key": {secret}}, nowhere, false},
		"forwarded host":           {"GET", "/webhook", "", http.Header{"X-Api-Key": {secret}, "X-Forwarded-Host": {"f.localhost"}}, nowhere, false},
		"callback with the key":    {"POST", "/fn/f/ice", "", http.Header{"X-Api-Key": {secret}}, refused, false},
		"with the key":             {"GET", "/fn/f/webhook", "", http.Header{"X-Api-Key": {secret}}, fine, true},
		"by host, with the key":    {"POST", "/webhook", "f.localhost", http.Header{"Authorization": {g.basic}}, fine, true},
	} {
		tried(t, name, c.method+c.path)
		before, _ := g.ran()
		base, err := url.Parse(g.gateway)
		if err != nil {
			t.Fatal(err)
		}
		// An opaque URL is sent as it is; a parsed one would be tidied.
		req := (&http.Request{Method: c.method, URL: &url.URL{Scheme: "https", Host: base.Host, Opaque: c.path}, Host: c.host, Header: c.header}).WithContext(t.Context())
		if req.Header == nil {
			req.Header = http.Header{}
		}
		res, err := g.client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		after, paths := g.ran()
		if res.ProtoMajor != 2 {
			t.Errorf("%s: answered with %s", name, res.Proto)
		}
		if !slices.Contains(c.status, res.StatusCode) {
			t.Errorf("%s: status %d, want %v", name, res.StatusCode, c.status)
		}
		if (after > before) != c.runs {
			t.Errorf("%s: a guarded handler ran %d times, for %v", name, after-before, paths[before:])
		}
	}
}
