package upstream_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/upstream"
)

// What is sent, to the byte.
func TestDo_OnTheWire(t *testing.T) {
	t.Parallel()
	const common = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: door.example\r\nX-Forwarded-Proto: https\r\nX-Postern-Auth-Method: none\r\nX-Postern-Hops: 1\r\nX-Request-Id: req_1\r\n\r\n"
	type change = func(*upstream.Request)
	with := func(h http.Header) change { return func(r *upstream.Request) { r.Header = h } }
	body := func(text string, n int64) change {
		return func(r *upstream.Request) { r.Body, r.Length = strings.NewReader(text), n }
	}
	for name, tc := range map[string]struct {
		method, path string
		change       change
		line, middle string // before and after Host; common follows
		after        string
		base         string
		preserve     bool
	}{
		"plain":                           {method: "GET", path: "/a/b", line: "GET /a/b"},
		"the root":                        {method: "GET", path: "/", line: "GET /"},
		"below a base":                    {method: "GET", path: "/a", base: "/v1/", line: "GET /v1/a"},
		"a query as it came":              {method: "GET", path: "/a", change: func(r *upstream.Request) { r.Query = "a=1;b=%zz&c" }, line: "GET /a?a=1;b=%zz&c"},
		"an escaped path":                 {method: "GET", path: "/a b/%2e/;x=1/é/@:+,", line: "GET /a%20b/%252e/%3Bx=1/%C3%A9/@:+,"},
		"the caller's host":               {method: "GET", path: "/", preserve: true, line: "GET /"},
		"a body":                          {method: "POST", path: "/", change: body("hello", 5), line: "POST /", middle: "Content-Length: 5\r\n", after: "hello"},
		"a body of unknown length":        {method: "POST", path: "/", change: body("hello", -1), line: "POST /", middle: "Transfer-Encoding: chunked\r\n", after: "5\r\nhello\r\n0\r\n\r\n"},
		"no body where one is usual":      {method: "POST", path: "/", line: "POST /", middle: "Content-Length: 0\r\n"},
		"a body where none means a thing": {method: "GET", path: "/", change: body("hello", 5), line: "GET /", middle: "Connection: close\r\nContent-Length: 5\r\n", after: "hello"},
		"credentials": {method: "GET", path: "/", change: with(http.Header{"Authorization": {"Basic x"}, "X-Api-Key": {"psk_x"}, "X_api_key": {"psk_x"}, "X.api.key": {"psk_x"}, "Dpop": {"x"}, "Proxy-Authorization": {"x"},
			"Proxy_authorization": {"x"}}), line: "GET /"},
		"identity from outside": {method: "GET", path: "/", change: with(http.Header{"X-Postern-Key-Id": {"pak_x"}, "X_postern_key_id": {"pak_x"}, "X.postern.scopes": {"control"}, "X-Postern-Anything": {"x"}, "X-Request-Id": {"mine"},
			"X_request.id": {"mine"}}), line: "GET /"},
		"forwarded from outside": {method: "GET", path: "/", change: with(http.Header{"Forwarded": {"for=10.0.0.1"}, "X-Forwarded-For": {"10.0.0.1"}, "X_forwarded_for": {"10.0.0.1"}, "X-Forwarded.proto": {"http"}, "X-Forwarded-User": {"root"},
			"X-Forwarded-Prefix": {"/x"}, "X-Real-Ip": {"10.0.0.1"}, "X_real_ip": {"10.0.0.1"}, "X-Original-Url": {"/admin"}, "X-Rewrite-Url": {"/admin"}}), line: "GET /"},
		"hop-by-hop": {method: "GET", path: "/", change: with(http.Header{"Connection": {"close, X-Postern-Key-Id, x-custom", "x-request-id, content-length, host"}, "Keep-Alive": {"1"}, "Te": {"trailers"}, "Trailer": {"x"}, "Transfer-Encoding": {"gzip"},
			"Upgrade": {"h2c"}, "Http2-Settings": {"x"}, "X-Custom": {"1"}, "Proxy-Connection": {"x"}, "Expect": {"100-continue"}}), line: "GET /"},
		"a length from outside": {method: "POST", path: "/", change: func(r *upstream.Request) {
			r.Header = http.Header{"Content-Length": {"500"}, "Connection": {"Content-Length"}, "Content_length": {"9"}}
			r.Body, r.Length = strings.NewReader("hello"), 5
		}, line: "POST /", middle: "Content-Length: 5\r\n", after: "hello"},
		"the rest": {method: "GET", path: "/", change: with(http.Header{"Accept": {"a", "b"}, "Cookie": {"a=b"}, "Traceparent": {"00-x"}, "User-Agent": {"curl"}}), line: "GET /",
			middle: "User-Agent: curl\r\nAccept: a\r\nAccept: b\r\nCookie: a=b\r\nTraceparent: 00-x\r\n"},
		"foreign authorization": {method: "GET", path: "/", change: func(r *upstream.Request) {
			r.Header, r.ForeignAuthorization = http.Header{"Authorization": {"Bearer user"}}, true
		}, line: "GET /", middle: "Authorization: Bearer user\r\n"},
		"foreign authorization, hop-by-hop": {method: "GET", path: "/", change: func(r *upstream.Request) {
			r.Header, r.ForeignAuthorization = http.Header{"Authorization": {"Bearer user"}, "Connection": {"authorization"}}, true
		}, line: "GET /"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveRaw(t, "HTTP/1.1 204 No Content\r\n\r\n")
			p := proxyTo(t, s.addr, func(u *platform.Upstream) { u.URL += tc.base; u.PreserveHost = tc.preserve })
			r := request(tc.method, tc.path)
			if tc.change != nil {
				tc.change(r)
			}
			if status, _, code := answer(t.Context(), p, r); status != 204 {
				t.Fatalf("%d %s", status, code)
			}
			host := s.addr
			if tc.preserve {
				host = "door.example"
			}
			want := tc.line + " HTTP/1.1\r\nHost: " + host + "\r\n" + tc.middle + common + tc.after
			if diff := cmp.Diff(want, s.seen()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDo_Identity(t *testing.T) {
	t.Parallel()
	s := serveRaw(t, fine)
	r := request("GET", "/")
	r.KeyID, r.ProjectID, r.Scopes, r.AuthMethod, r.Prefix = "pak_1", "prj_1", "invoke", "basic", "/fn/api"
	// A client that names them as hop-by-hop takes none of them away.
	r.Header = http.Header{"Connection": {"X-Postern-Key-Id, X-Postern-Project-Id, X-Postern-Scopes, X-Postern-Auth-Method, X-Forwarded-For, X-Request-Id"}}
	if status, body, code := answer(t.Context(), proxyTo(t, s.addr, nil), r); status != 200 || body != "ok" {
		t.Fatal(status, body, code)
	}
	for _, line := range []string{"X-Postern-Key-Id: pak_1", "X-Postern-Project-Id: prj_1", "X-Postern-Scopes: invoke", "X-Postern-Auth-Method: basic", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Prefix: /fn/api", "X-Request-Id: req_1"} {
		if strings.Count(s.seen(), "\r\n"+line+"\r\n") != 1 {
			t.Errorf("%q is not sent once:\n%s", line, s.seen())
		}
	}
}

func TestDo_Hops(t *testing.T) {
	t.Parallel()
	s := serveRaw(t, fine)
	p := proxyTo(t, s.addr, nil)
	for _, v := range [][]string{{"10"}, {"1000"}, {"-1"}, {"x"}, {""}, {"1", "1"}} {
		r := request("GET", "/")
		r.Header = http.Header{"X-Postern-Hops": v}
		if _, _, code := answer(t.Context(), p, r); code != "loop_detected" {
			t.Errorf("%q: %q", v, code)
		}
	}
	if s.conns.Load() != 0 {
		t.Error("the upstream was asked")
	}
	r := request("GET", "/")
	r.Header = http.Header{"X-Postern-Hops": {"9"}}
	if status, _, code := answer(t.Context(), p, r); status != 200 || !strings.Contains(s.seen(), "X-Postern-Hops: 10\r\n") {
		t.Error(status, code)
	}
}

// The path that policy looked at comes back whole from what is sent, and nothing
// in it has a meaning of its own.
func TestEscape(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		path := "/" + rapid.String().Draw(t, "path")
		sent := upstream.Escape(path)
		back, err := url.PathUnescape(sent)
		if err != nil || back != path || strings.ContainsAny(sent, " ;?#\\\"<>^`{|}[]") {
			t.Fatalf("%q is sent as %q, which is %q: %v", path, sent, back, err)
		}
		if u := (&url.URL{Path: path, RawPath: sent}); u.EscapedPath() != sent {
			t.Fatalf("%q is sent as %q", sent, u.EscapedPath())
		}
	})
}
