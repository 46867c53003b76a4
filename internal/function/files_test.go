package function_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// withFiles is a manifest of files by their names.
func withFiles(source string, names ...string) function.Manifest {
	m := function.Manifest{Source: source}
	for _, n := range names {
		m.Files = append(m.Files, function.File{Name: n, File: platform.File{Size: int64(len(n)), Hash: n}})
	}
	return m
}

var exports = []platform.DeclaredHandler{{Name: "ice", Kind: platform.HandlerCallback}, {Name: "smsWebhook", Kind: platform.HandlerService}, {Name: "status"}}

// Which file, or which handler, a path finds.
func TestFiles_Match(t *testing.T) {
	t.Parallel()
	m := withFiles(function.SourcePostern, "public/index.html", "public/app.js", "public/docs/index.html", "public/docs/a b.txt", "public/status", "public/ice", "public/health",
		"public/deep/status", "public/shop/index.html", "public/shop/new", "public/webhook/sms", "public/.well-known/security.txt")
	for _, tc := range []struct {
		name, home, route, request, want string
	}{
		{"a file", "", "", "GET /app.js", "public/app.js"},
		{"its head", "", "", "HEAD /app.js", "public/app.js"},
		{"changing it", "", "", "POST /app.js", "405 GET, HEAD"},
		{"options", "", "", "OPTIONS /app.js", "405 GET, HEAD"},
		{"the index of the root", "", "", "GET /", "public/index.html"},
		{"the index by its name", "", "", "GET /index.html", "public/index.html"},
		{"the index of a directory", "", "", "GET /docs", "public/docs/index.html"},
		{"a file of a directory", "", "", "GET /docs/a b.txt", "public/docs/a b.txt"},
		{"a directory without an index", "", "", "GET /deep", ""},
		{"a dot at the start, where it may be", "", "", "GET /.well-known/security.txt", "public/.well-known/security.txt"},
		{"another case", "", "", "GET /APP.JS", ""},
		{"with its directory", "", "", "GET /public/app.js", ""},
		{"home goes before the index", "home", "", "GET /", "home"},
		{"and leaves it its name", "home", "", "GET /index.html", "public/index.html"},
		{"a handler goes before a file", "", "", "GET /status", "status"},
		{"below other segments too", "", "", "GET /deep/status", "status"},
		{"a service goes before a file", "", "", "GET /webhook/sms", "smsWebhook"},
		{"a callback goes before a file", "", "", "GET /ice", "ice"},
		{"health is health", "", "", "GET /health", "built in"},
		{"a route goes before a file", "", "GET /shop/{item}", "GET /shop/new", "status at GET /shop/{item}"},
		{"and is asked for its methods", "", "PUT /shop/{item}", "GET /shop/new", "405 PUT"},
		{"what no route knows", "", "GET /shop/{item}", "GET /app.js", "public/app.js"},
		{"a route that knows every path comes after files", "", "/{path...}", "GET /app.js", "public/app.js"},
		{"also after an index", "", "/{path...}", "GET /docs", "public/docs/index.html"},
		{"and the root's", "", "GET /{path...}", "GET /", "public/index.html"},
		{"for other methods it comes first", "", "/{path...}", "POST /app.js", "status at /{path...}"},
		{"and has the rest", "", "/{path...}", "GET /nowhere", "status at /{path...}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, d := m, platform.Declaration{Handlers: slices.Clone(exports)}
			if tc.home != "" {
				d.Handlers = append(d.Handlers, platform.DeclaredHandler{Name: tc.home, Kind: platform.HandlerRoot})
			}
			if tc.route != "" {
				m.Routes = []function.RouteSpec{{Path: tc.route, Handler: "status"}}
			}
			hs, _, err := function.Protect(m, d, true)
			if err != nil {
				t.Fatal(err)
			}
			method, path, _ := strings.Cut(tc.request, " ")
			found, ok := function.NewTable(hs).Match(method, path)
			got := ""
			switch {
			case ok && found.Handler == nil:
				got = "built in"
			case ok:
				got = strings.TrimSuffix(found.Handler.Name+" at "+found.Pattern, " at ")
			case found.Allow != "":
				got = "405 " + found.Allow
			}
			if got != tc.want {
				t.Errorf("%s found %q, want %q", tc.request, got, tc.want)
			}
		})
	}
}

// A file is guarded as a handler of its name is.
func TestFiles_Guards(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, source string
		auth         platform.AuthDeclaration
		open         []string
	}{
		{"nothing said: closed", function.SourcePostern, platform.AuthDeclaration{}, nil},
		{"a list opens what it does not name", function.SourcePostern, platform.AuthDeclaration{Present: true, Names: []string{"public/admin.html"}}, []string{"public/logo.png"}},
		{"an empty list opens all", function.SourcePostern, platform.AuthDeclaration{Present: true}, []string{"public/admin.html", "public/logo.png"}},
		{"a star closes all", function.SourcePostern, platform.AuthDeclaration{Present: true, All: true}, nil},
		{"sinch.json: nothing said opens all", function.SourceSinch, platform.AuthDeclaration{}, []string{"public/admin.html", "public/logo.png"}},
		{"sinch.json: a list", function.SourceSinch, platform.AuthDeclaration{Present: true, Names: []string{"public/admin.html"}}, []string{"public/logo.png"}},
		{"sinch.json: a star closes all", function.SourceSinch, platform.AuthDeclaration{Present: true, All: true}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			hs, warnings, err := function.Protect(withFiles(tc.source, "public/admin.html", "public/logo.png"), platform.Declaration{Handlers: exports, Auth: tc.auth}, true)
			if err != nil {
				t.Fatal(err)
			}
			var open []string
			for _, h := range hs {
				if h.Kind != platform.HandlerFile {
					continue
				}
				if h.Guard == platform.GuardOpen {
					open = append(open, h.Name)
				}
				if h.File == nil || h.File.Hash != h.Name {
					t.Errorf("%s has the file %+v", h.Name, h.File)
				}
			}
			if !slices.Equal(open, tc.open) {
				t.Errorf("open: %v, want %v", open, tc.open)
			}
			if strings.Contains(strings.Join(warnings, ""), "public/") {
				t.Errorf("warnings: %q", warnings)
			}
		})
	}
}

// What names a file that is not there, or takes one for a handler, is no deploy.
func TestFiles_Refuses(t *testing.T) {
	t.Parallel()
	files := []string{"public/admin.html", "public/logo.png"}
	for _, tc := range []struct {
		name       string
		auth       []string
		routes     []function.RouteSpec
		options    map[string]function.HandlerOptions
		code, hint string
	}{
		{"auth names a file that is not there", []string{"public/admn.html"}, nil, nil, "auth_unknown_handler", `did you mean "public/admin.html"?`},
		{"auth names a directory", []string{"public/"}, nil, nil, "auth_unknown_handler", ""},
		{"auth names its path", []string{"/admin.html"}, nil, nil, "auth_unknown_handler", `did you mean "public/admin.html"?`},
		{"auth names what is in assets", []string{"assets/admin.html"}, nil, nil, "auth_unknown_handler", `did you mean "public/admin.html"?`},
		{"a route leads to a file", nil, []function.RouteSpec{{Path: "/x", Handler: "public/logo.png"}}, nil, "manifest_invalid", ""},
		{"options of a file", nil, nil, map[string]function.HandlerOptions{"public/logo.png": {}}, "manifest_invalid", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := withFiles(function.SourcePostern, files...)
			m.Routes, m.Handlers = tc.routes, tc.options
			_, _, err := function.Protect(m, platform.Declaration{Handlers: exports, Auth: platform.AuthDeclaration{Present: tc.auth != nil, Names: tc.auth}}, true)
			e, ok := errors.AsType[*fault.Error](err)
			if !ok || e.Code != tc.code || !strings.Contains(e.Hint, tc.hint) {
				t.Errorf("%v, hint %q", err, hintOf(e))
			}
		})
	}
}

// A file to which nothing leads is told of.
func TestFiles_WarnsOfThoseBehindHandlers(t *testing.T) {
	t.Parallel()
	_, warnings, err := function.Protect(withFiles(function.SourcePostern, "public/status", "public/app.js", "public/index.html"),
		platform.Declaration{Handlers: append(slices.Clone(exports), platform.DeclaredHandler{Name: "home", Kind: platform.HandlerRoot})}, true)
	if err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(warnings, "\n"); !strings.Contains(all, "/status (public/status)") || !strings.Contains(all, "/ (public/index.html)") || strings.Contains(all, "app.js") {
		t.Errorf("warnings: %q", all)
	}
}

// Policy names files as it names handlers: a file can be opened, shut, and kept
// to addresses.
func TestFiles_Govern(t *testing.T) {
	t.Parallel()
	hs, _, err := function.Protect(withFiles(function.SourcePostern, "public/a.txt", "public/b.txt"), platform.Declaration{Handlers: exports}, true)
	if err != nil {
		t.Fatal(err)
	}
	open := platform.GuardOpen
	hs, err = function.Govern(hs, &platform.FunctionPolicy{Name: "f", Handlers: []platform.Governed{{Name: "public/a.txt", Guard: &open}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	table := function.NewTable(hs)
	if m, _ := table.Match(http.MethodGet, "/a.txt"); m.Guard != platform.GuardOpen {
		t.Error("a.txt was not opened")
	}
	if m, _ := table.Match(http.MethodGet, "/b.txt"); m.Guard != platform.GuardKey {
		t.Error("b.txt was")
	}
	if _, err := function.Govern(hs, &platform.FunctionPolicy{Name: "f", Handlers: []platform.Governed{{Name: "public/c.txt", Guard: &open}}}, nil); err == nil {
		t.Error("a policy names a file that is not there")
	}
}
