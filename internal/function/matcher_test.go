package function_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// tableOf makes a table in which each pattern has a handler of its own.
func tableOf(patterns ...string) *function.Table {
	var hs []platform.Handler
	for i, p := range patterns {
		hs = append(hs, platform.Handler{Name: fmt.Sprint("h", i), Routes: []platform.Route{{Pattern: p}}})
	}
	return function.NewTable(hs)
}

// said is what a match found, with its parameters.
func said(m function.Match, ok bool) string {
	if !ok {
		if m.Allow != "" {
			return "allow " + m.Allow
		}
		return ""
	}
	out := m.Pattern
	if m.Pattern == "" && m.Handler != nil {
		out = "by name " + m.Handler.Name
	}
	for i, n := range m.Names {
		out += " " + n + "=" + m.Values[i]
	}
	return out
}

func TestMatch_Routes(t *testing.T) {
	t.Parallel()
	table := tableOf("GET /customers/{customerId}", "POST /customers", "GET /customers/new", "/customers/{id}/orders/{order}", "DELETE /customers/{customerId}",
		"/files/{path...}", "GET /files/index", "/{$}", "PUT /a/{x}/c", "/a/b/{y}/d", "/müller/{n}")
	for _, tc := range []struct{ method, path, want string }{
		{"GET", "/customers/7", "GET /customers/{customerId} customerId=7"}, {"HEAD", "/customers/7", "GET /customers/{customerId} customerId=7"},
		{"DELETE", "/customers/7", "DELETE /customers/{customerId} customerId=7"}, {"GET", "/customers/new", "GET /customers/new"},
		{"DELETE", "/customers/new", "DELETE /customers/{customerId} customerId=new"}, // the more specific one has not the method
		{"PUT", "/customers/new", "allow GET, HEAD, DELETE"}, {"POST", "/customers/7", "allow GET, HEAD, DELETE"}, {"GET", "/customers", "allow POST"},
		{"POST", "/customers", "POST /customers"}, {"PATCH", "/customers/7/orders/x y", "/customers/{id}/orders/{order} id=7 order=x y"},
		{"GET", "/customers/7/orders", ""}, {"GET", "/customers/7/orders/1/2", ""}, {"GET", "/Customers/7", ""}, {"GET", "/x/customers/7", ""},
		{"GET", "/files", "/files/{path...} path="}, {"GET", "/files/a/b", "/files/{path...} path=a/b"}, {"GET", "/files/index", "GET /files/index"},
		{"PUT", "/files/index", "/files/{path...} path=index"}, {"GET", "/filesx", ""},
		{"GET", "/", "/{$}"}, {"OPTIONS", "/", "/{$}"}, {"PUT", "/a/b/c", "PUT /a/{x}/c x=b"}, {"GET", "/a/b/c/d", "/a/b/{y}/d y=c"}, {"GET", "/a/b/c", "allow PUT"},
		{"GET", "/müller/é", "/müller/{n} n=é"}, {"GET", "/health", ""}, {"GET", "/customers/{customerId}", "GET /customers/{customerId} customerId={customerId}"},
		{"get", "/customers/7", "allow GET, HEAD, DELETE"}, {"GET", "/customers/7;v=1", "GET /customers/{customerId} customerId=7;v=1"},
		{"GET", "/h0", ""}, {"GET", "/x/h1", ""}, // a handler with routes answers there alone
	} {
		if got := said(table.Match(tc.method, tc.path)); got != tc.want {
			t.Errorf("%s %s: %q, want %q", tc.method, tc.path, got, tc.want)
		}
	}
}

// Routes beside handlers that are found by name.
func TestMatch_RoutesAndNames(t *testing.T) {
	t.Parallel()
	table := function.NewTable([]platform.Handler{
		{Name: "customer", Rule: platform.Rule{BodyLimit: 5}, Routes: []platform.Route{{Pattern: "GET /customers/{id}", Rule: platform.Rule{Group: "public"}}, {Pattern: "POST /admin/{path...}", Guard: open, Rule: platform.Rule{Group: "admin", BodyLimit: 9}}}},
		{Name: "health", Routes: []platform.Route{{Pattern: "/admin/health"}}}, {Name: "home", Kind: root}, {Name: "ice", Kind: callback, Guard: sig},
		{Name: "smsWebhook", Kind: service, Routes: []platform.Route{{Pattern: "POST /sms"}}}, {Name: "status", Guard: open}})
	for _, tc := range []struct{ method, path, want string }{
		{"GET", "/customers/status", "GET /customers/{id} id=status"}, {"POST", "/customers/status", "allow GET, HEAD"}, {"GET", "/x/status", "by name status"},
		{"GET", "/customer", ""}, {"GET", "/customers/ice", "by name ice"}, {"POST", "/admin/ice", "by name ice"}, {"POST", "/admin/ace", "POST /admin/{path...} path=ace"},
		{"GET", "/ace", ""}, {"GET", "/", "by name home"}, {"GET", "/webhook/sms", ""}, {"POST", "/sms", "POST /sms"}, {"GET", "/a/health", ""}, {"GET", "/health", ""},
	} {
		if got := said(table.Match(tc.method, tc.path)); got != tc.want {
			t.Errorf("%s %s: %q, want %q", tc.method, tc.path, got, tc.want)
		}
	}
	m, _ := table.Match("POST", "/admin/x")
	n, _ := table.Match("GET", "/customers/1")
	if m.Guard != open || m.Handler.Group != "admin" || m.Handler.BodyLimit != 9 || m.Handler.Guard != open || n.Guard != key || n.Handler.Group != "public" || n.Handler.BodyLimit != 5 {
		t.Errorf("%+v, %+v", m, n)
	}
	if h, ok := table.Match("GET", "/health"); !ok || h.Handler != nil || h.Guard != open {
		t.Errorf("/health: %+v", h)
	}
}

// reference is a reader of patterns that knows no tree and no order.
type reference struct {
	text, method string
	parts        []string
}

func referenceOf(text string) reference {
	method, path, ok := strings.Cut(text, " ")
	if !ok {
		method, path = "", text
	}
	return reference{text, method, strings.Split(strings.Trim(strings.TrimSuffix(path, "{$}"), "/"), "/")}
}

// segmentsOf is a path in pieces; the root has none.
func segmentsOf(path string) []string {
	if path == "/" {
		return nil
	}
	return strings.Split(path[1:], "/")
}

func (r reference) matches(method, path string) bool {
	have := segmentsOf(path)
	if r.method != "" && r.method != method {
		return false
	}
	for i, part := range r.parts {
		switch {
		case strings.HasSuffix(part, "...}"):
			return true
		case part == "" && len(r.parts) == 1:
			return len(have) == 0
		case i >= len(have), part[0] != '{' && part != have[i]:
			return false
		}
	}
	return len(have) == len(r.parts)
}

// within reports whether all that r answers q answers too, by trying.
func (r reference) within(q reference) bool {
	method := r.method
	if method == "" {
		method = "ANY"
	}
	path := ""
	for _, part := range r.parts {
		switch {
		case strings.HasSuffix(part, "...}"):
			for _, below := range []string{"", "/~", "/~/~", "/~/~/~/~/~/~"} {
				if p := path + below; !q.matches(method, "/"+strings.TrimPrefix(p, "/")) {
					return false
				}
			}
			return true
		case strings.HasPrefix(part, "{"):
			path += "/~"
		default:
			path += "/" + part
		}
	}
	return q.matches(method, "/"+strings.TrimPrefix(path, "/"))
}

// somePattern draws a pattern of few words, so that two often meet.
func somePattern(t *rapid.T) string {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "{}"}), 0, 4).Draw(t, "parts")
	for i, p := range parts {
		if p == "{}" {
			parts[i] = fmt.Sprintf("{p%d}", i)
		}
	}
	if end := rapid.SampledFrom([]string{"", "", "{$}", "{all...}"}).Draw(t, "end"); end != "" || len(parts) == 0 {
		if end == "" {
			end = "{$}"
		}
		parts = append(parts, end)
	}
	return rapid.SampledFrom([]string{"", "", "GET ", "POST ", "DELETE "}).Draw(t, "method") + "/" + strings.Join(parts, "/")
}

// Whatever can stand side by side in a manifest is matched as a naive reader
// of the patterns would, and what cannot is what that reader finds ambiguous.
func TestMatch_AgreesWithANaiveReader(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var patterns []string
		for _, p := range rapid.SliceOfN(rapid.Custom(somePattern), 1, 12).Draw(t, "patterns") {
			if accepted(append(slices.Clone(patterns), p)) {
				patterns = append(patterns, p)
			}
		}
		table := tableOf(patterns...)
		for range 20 {
			method := rapid.SampledFrom([]string{"GET", "POST", "DELETE", "PUT"}).Draw(t, "method")
			path := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 6).Draw(t, "path"), "/")
			var best []reference
			known := false
			for _, p := range patterns {
				r := referenceOf(p)
				known = known || r.matches(method, path) || r.matches(r.method, path)
				if r.matches(method, path) {
					best = append(best, r)
				}
			}
			want := ""
			for _, r := range best {
				if !slices.ContainsFunc(best, func(q reference) bool { return !r.within(q) }) {
					want = r.text
				}
			}
			m, ok := table.Match(method, path)
			if ok != (want != "") || m.Pattern != want || !ok && known != (m.Allow != "") {
				t.Fatalf("%s %s of %q: %q (%v, allow %q), want %q of %v", method, path, patterns, m.Pattern, ok, m.Allow, want, best)
			}
			if ok {
				checkValues(t, m, path)
			}
		}
	})
}

// checkValues puts the parameters back into the pattern: the path comes out.
func checkValues(t *rapid.T, m function.Match, path string) {
	text := m.Pattern[strings.IndexByte(m.Pattern, '/'):]
	text = strings.TrimSuffix(text, "{$}")
	for i, n := range m.Names {
		text = strings.NewReplacer("{"+n+"}", m.Values[i], "{"+n+"...}", m.Values[i]).Replace(text)
	}
	if got := "/" + strings.Trim(text, "/"); got != path {
		t.Fatalf("%s: the parameters %q of %q say %q", path, m.Values, m.Pattern, got)
	}
}

func accepted(patterns []string) bool {
	_, _, err := function.ParseManifest(function.SourcePostern, manifestWith(patterns...))
	return err == nil
}

func manifestWith(patterns ...string) []byte {
	type route struct {
		Path    string `json:"path"`
		Handler string `json:"handler"`
	}
	var routes []route
	for _, p := range patterns {
		routes = append(routes, route{p, "h"})
	}
	list, _ := json.Marshal(routes)
	return fmt.Appendf(nil, `{"name":"a","runtime":"node","routes":%s}`, list)
}

// Two patterns stand side by side exactly when one lies within the other, or
// no request is of both.
func TestClash_AgreesWithANaiveReader(t *testing.T) {
	t.Parallel()
	var paths []string
	for n := range 5 {
		paths = append(paths, pathsOf(n)...)
	}
	rapid.Check(t, func(t *rapid.T) {
		p, q := rapid.Custom(somePattern).Draw(t, "p"), rapid.Custom(somePattern).Draw(t, "q")
		a, b := referenceOf(p), referenceOf(q)
		both := false
		for _, path := range paths {
			for _, method := range []string{"GET", "POST", "DELETE", "PUT"} {
				both = both || a.matches(method, path) && b.matches(method, path)
			}
		}
		want := !both || a.within(b) != b.within(a)
		if got := accepted([]string{p, q}); got != want {
			t.Fatalf("%q and %q: accepted %v, want %v", p, q, got, want)
		}
	})
}

// pathsOf are all paths of n segments.
func pathsOf(n int) []string {
	if n == 0 {
		return []string{"/"}
	}
	var out []string
	for _, before := range pathsOf(n - 1) {
		for _, s := range []string{"a", "b", "c", "d"} {
			out = append(out, strings.TrimSuffix(before, "/")+"/"+s)
		}
	}
	return out
}

func TestMatch_RoutesDoNotAllocate(t *testing.T) {
	table := tableOf("GET /customers/{customerId}", "/{a}/{b}/{c}/d", "/{x}/y/{z...}", "POST /customers/new")
	for _, path := range []string{"/customers/7", "/a/b/c/d", "/a/y/c/e/" + strings.Repeat("x", 100), "/customers/new", "/a/b/c", "/" + strings.Repeat("a/", 1000) + "b"} {
		if n := testing.AllocsPerRun(100, func() { table.Match("GET", path) }); n != 0 {
			t.Errorf("Match(%q) allocates %v times", path, n)
		}
	}
}

func BenchmarkMatch_Routes(b *testing.B) {
	var patterns []string
	for i := range 200 {
		patterns = append(patterns, fmt.Sprintf("GET /v%d/customers/{id}/orders/{order}", i))
	}
	table := tableOf(patterns...)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := table.Match("GET", "/v100/customers/42/orders/7"); !ok {
			b.Fatal("no match")
		}
	}
}

func TestProtect_Routes(t *testing.T) {
	t.Parallel()
	m := function.Manifest{Source: function.SourcePostern, Routes: []function.RouteSpec{
		{Path: "GET /customers/{id}", Handler: "customer", Group: "public"}, {Path: "POST /customers", Handler: "customer", Auth: "key", Group: "admin", Scopes: []string{"control"}, BodyLimit: 7},
		{Path: "GET /prices", Handler: "prices", Auth: "none"}, {Path: "GET /news", Handler: "news"}, {Path: "POST /news", Handler: "news", Auth: "key"}}}
	d := platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "customer"}, {Name: "news"}, {Name: "prices"}, {Name: "rest"}},
		Auth: platform.AuthDeclaration{Present: true, Names: []string{"customer", "prices", "rest"}}}
	hs, warnings, err := function.Protect(m, d, true)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "GET /prices") || strings.Contains(warnings[0], "news") {
		t.Errorf("warnings %q, %v", warnings, err)
	}
	want := []platform.Handler{
		{Name: "customer", Routes: []platform.Route{{Pattern: "GET /customers/{id}", Rule: platform.Rule{Group: "public"}}, {Pattern: "POST /customers", Rule: platform.Rule{Group: "admin", Scopes: []platform.Scope{platform.ScopeControl}, BodyLimit: 7}}}},
		{Name: "news", Guard: open, Routes: []platform.Route{{Pattern: "GET /news", Guard: open}, {Pattern: "POST /news"}}},
		{Name: "prices", Routes: []platform.Route{{Pattern: "GET /prices", Guard: open, Loosened: true}}}, {Name: "rest"}}
	if d := cmp.Diff(want, hs); d != "" {
		t.Error(d)
	}
	rows := function.Describe(hs)
	if d := cmp.Diff(function.RouteRow{Path: "/customers/{id}", Handler: "customer", Guard: "access key", Method: "GET", Group: "public"}, rows[2]); d != "" || len(rows) != 7 {
		t.Error(d, rows)
	}
}

// The one handler of a module of events answers everything, and is guarded everywhere.
func TestProtect_TheEventHandlerAnswersEveryPath(t *testing.T) {
	t.Parallel()
	one := []platform.DeclaredHandler{{Name: "handler"}}
	match := func(m function.Manifest, d platform.Declaration, path string) string {
		t.Helper()
		hs, _, err := function.Protect(m, d, true)
		if err != nil {
			t.Fatal(err)
		}
		found, ok := function.NewTable(hs).Match("GET", path)
		if ok && found.Handler != nil && found.Guard != key {
			t.Errorf("%s is open", path)
		}
		return said(found, ok)
	}
	events := platform.Declaration{Handlers: one, Style: platform.StyleEvent}
	routed := function.Manifest{Routes: []function.RouteSpec{{Path: "GET /customers/{id}", Handler: "handler"}}}
	for _, tc := range []struct {
		m          function.Manifest
		d          platform.Declaration
		path, want string
	}{
		{function.Manifest{}, events, "/", "/{path...} path="}, {function.Manifest{}, events, "/a/b", "/{path...} path=a/b"}, {function.Manifest{}, events, "/health", ""},
		{function.Manifest{}, platform.Declaration{Handlers: one}, "/a/b", ""}, {function.Manifest{}, platform.Declaration{Handlers: one}, "/handler", "by name handler"},
		{function.Manifest{}, platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "handler"}, {Name: "other"}}, Style: platform.StyleEvent}, "/a/b", ""},
		{routed, events, "/customers/7", "GET /customers/{id} id=7"}, {routed, events, "/a/b", ""}, {routed, events, "/handler", ""},
	} {
		if got := match(tc.m, tc.d, tc.path); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.path, got, tc.want)
		}
	}
}
