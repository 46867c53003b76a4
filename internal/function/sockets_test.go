package function_test

import (
	"strings"
	"testing"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

func socketed(auth platform.AuthDeclaration, paths ...string) platform.Declaration {
	return platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "status"}}, Auth: auth, Sockets: paths}
}

// A WebSocket is guarded as a handler is: what nobody decided is closed.
func TestProtect_Sockets(t *testing.T) {
	t.Parallel()
	named := platform.AuthDeclaration{Present: true, Names: []string{"/a"}}
	for name, tc := range map[string]struct {
		source string
		auth   platform.AuthDeclaration
		want   platform.Guard
	}{
		"no auth":            {function.SourcePostern, platform.AuthDeclaration{}, platform.GuardKey},
		"named":              {function.SourcePostern, named, platform.GuardKey},
		"not named":          {function.SourcePostern, platform.AuthDeclaration{Present: true}, platform.GuardOpen},
		"all":                {function.SourcePostern, platform.AuthDeclaration{Present: true, All: true}, platform.GuardKey},
		"sinch.json":         {function.SourceSinch, platform.AuthDeclaration{}, platform.GuardOpen},
		"sinch.json, named":  {function.SourceSinch, named, platform.GuardKey},
		"sinch.json for all": {function.SourceSinch, platform.AuthDeclaration{Present: true, All: true}, platform.GuardKey},
	} {
		hs, _, err := function.Protect(function.Manifest{Source: tc.source}, socketed(tc.auth, "/a"), true)
		if err != nil || len(hs) != 2 || hs[1].Name != "/a" || hs[1].Kind != platform.HandlerSocket || hs[1].Guard != tc.want {
			t.Errorf("%s: %+v, %v", name, hs, err)
		}
	}
}

func TestProtect_SocketsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		manifest string
		paths    []string
		auth     []string
		says     string
	}{
		"no slash":              {`{}`, []string{"a"}, nil, "no path"},
		"a slash at the end":    {`{}`, []string{"/a/"}, nil, "no path"},
		"dots":                  {`{}`, []string{"/a/.."}, nil, "no path"},
		"an escape":             {`{}`, []string{"/%61"}, nil, "no path"},
		"a NUL":                 {`{}`, []string{"/a\x00"}, nil, "no path"},
		"a parameter":           {`{}`, []string{"/{a}"}, nil, "no path"},
		"twice":                 {`{}`, []string{"/a", "/a"}, nil, "no path"},
		"out of order":          {`{}`, []string{"/b", "/a"}, nil, "no path"},
		"too long":              {`{}`, []string{"/" + strings.Repeat("a", 256)}, nil, "no path"},
		"the handler's address": {`{}`, []string{"/status"}, nil, "the handler status"},
		"below it":              {`{}`, []string{"/x/status"}, nil, "the handler status"},
		"health":                {`{}`, []string{"/health"}, nil, "health answer"},
		"a callback":            {`{}`, []string{"/a/ice"}, nil, "voice callback"},
		"a route":               {`{"routes":[{"path":"/a","handler":"status"}]}`, []string{"/a"}, nil, "the handler status"},
		"a route of a method":   {`{"routes":[{"path":"POST /a","handler":"status"}]}`, []string{"/a"}, nil, "a route of the manifest"},
		"a route to it":         {`{"routes":[{"path":"/b","handler":"/a"}]}`, []string{"/a"}, nil, ""},
		"a body":                {`{"handlers":{"/a":{"body":"stream"}}}`, []string{"/a"}, nil, "has no body"},
		"another in auth":       {`{}`, []string{"/a"}, []string{"/b"}, "/b"},
		"another in handlers":   {`{"handlers":{"/b":{}}}`, []string{"/a"}, nil, "/b"},
	} {
		m, _, err := function.ParseManifest("postern.json", []byte(`{"name":"f","runtime":"node",`+strings.TrimPrefix(strings.Replace(tc.manifest, "{}", `{"variables":{}}`, 1), "{")))
		if err == nil {
			d := socketed(platform.AuthDeclaration{Present: tc.auth != nil, Names: tc.auth}, tc.paths...)
			_, _, err = function.Protect(m, d, true)
		}
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The path of a WebSocket is found exactly, before all others, and by GET alone.
func TestTable_Sockets(t *testing.T) {
	t.Parallel()
	table := function.NewTable([]platform.Handler{{Name: "/a/b", Kind: platform.HandlerSocket, Guard: platform.GuardKey}, {Name: "status", Guard: platform.GuardOpen},
		{Name: "rest", Routes: []platform.Route{{Pattern: "/a/{x}", Guard: platform.GuardOpen}}}})
	for path, want := range map[string]string{"/a/b": "/a/b", "/a/c": "rest", "/a/B": "rest", "/b": "", "/a": "", "/x/a/b": "", "/status": "status"} {
		m, ok := table.Match("GET", path)
		if ok != (want != "") || ok && m.Handler.Name != want {
			t.Errorf("%s: %+v, want %q", path, m.Handler, want)
		}
	}
	if m, ok := table.Match("POST", "/a/b"); ok || m.Allow != "GET" {
		t.Errorf("POST: %+v", m)
	}
	if rows := function.Describe([]platform.Handler{{Name: "/a", Kind: platform.HandlerSocket}}); len(rows) != 2 || rows[1].Path != "/a" || rows[1].Handler != "WebSocket" || rows[1].Guard != "access key" {
		t.Errorf("%+v", rows)
	}
}
