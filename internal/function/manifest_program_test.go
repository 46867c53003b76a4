package function_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

func TestParseManifest_Program(t *testing.T) {
	t.Parallel()
	got, warnings, err := function.ParseManifest(function.SourcePostern, []byte(`{"routes": [{"path": "GET /a", "auth": "none"}, {"path": "/b/{id}", "handler": "http", "group": "partners"}],
  "name": "p", "runtime": "http", "command": ["./bin/server", "--verbose", ""], "build": "go build -o bin/server .", "include": ["bin/*", "templates/"], "port": "socket", "ready": "/ready?deep=1", "variables": {"LEVEL": "debug"}}`))
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	want := function.Manifest{Name: "p", Runtime: "http", Source: function.SourcePostern, Variables: map[string]string{"LEVEL": "debug"},
		Routes: []function.RouteSpec{{Path: "GET /a", Handler: "http", Auth: "none"}, {Path: "/b/{id}", Handler: "http", Group: "partners"}},
		Program: &function.Program{Command: []string{"./bin/server", "--verbose", ""}, Build: []string{"go", "build", "-o", "bin/server", "."}, Include: []string{"bin/*", "templates/"},
			Port: "socket", Ready: "/ready?deep=1"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	again, err := function.DecodeManifest(got.Encode())
	want.Program.Build, want.Program.Include = nil, nil // of the machine where it was made
	if d := cmp.Diff(want, again); d != "" || err != nil {
		t.Error("decode of encode differs: ", d, err)
	}
	plain, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name": "p", "runtime": "http", "command": "python3 app.py"}`))
	if err != nil || plain.Program.Port != function.PortTCP || plain.Program.File() != "" || got.Program.File() != "bin/server" {
		t.Errorf("%+v %v", plain.Program, err)
	}
}

func TestParseManifest_RefusesPrograms(t *testing.T) {
	t.Parallel()
	const program, module = `{"name":"p","runtime":"http",` + "\n", `{"name":"p","runtime":"node",` + "\n"
	for in, want := range map[string]string{
		`{"name":"p","runtime":"http"}`:                                                   "the field command is missing",
		program + `"command":[]}`:                                                         "2:11: command of the manifest must be a list of 1 to 64 texts",
		program + `"command":""}`:                                                         "2:11: command has no words",
		program + `"command":[""]}`:                                                       "has no words, an empty one",
		program + `"command":["a",1]}`:                                                    "2:16: command of the manifest must be a list of texts",
		program + `"command":{"a":"b"}}`:                                                  "must be a list",
		program + `"command":["a\u0000"]}`:                                                "NUL",
		program + `"command":"PORT=$PORT ./server"}`:                                      `command has "$", and no shell reads it`,
		program + `"command":"./a && ./b"}`:                                               `command has "&"`,
		program + `"command":"sh -c 'x'"}`:                                                `command has "'"`,
		program + `"command":"./a\n./b"}`:                                                 "no shell reads it",
		program + `"command":["../server"]}`:                                              "2:11: the command \"../server\" leads out of the project",
		program + `"command":["./a/../../b"]}`:                                            "leads out of the project",
		program + `"command":["bin/"]}`:                                                   "is no file",
		program + `"command":["a"],"port":"udp"}`:                                         `2:24: port cannot be "udp"`,
		program + `"command":["a"],"port":8080}`:                                          "port must be a string",
		program + `"command":["a"],"ready":"ready"}`:                                      "ready is no path",
		program + `"command":["a"],"ready":"/a b"}`:                                       "ready is no path",
		program + `"command":["a"],"ready":"/a\r\nX: y"}`:                                 "ready is no path",
		program + `"command":["a"],"build":"make | tee x"}`:                               `build has "|"`,
		program + `"command":["a"],"include":["../x"]}`:                                   "2:28: include of the manifest: \"../x\" is no path below",
		program + `"command":["a"],"include":["/etc/passwd"]}`:                            "is no path below",
		program + `"command":["a"],"include":[".env"]}`:                                   "is never deployed",
		program + `"command":["a"],"include":["config/.git"]}`:                            "is never deployed",
		program + `"command":["a"],"include":["[a"]}`:                                     "is no path below",
		program + `"command":["a"],"exports":["x"]}`:                                      `unknown field "exports"`,
		program + `"command":["a"],"handlers":{}}`:                                        "2:17: handlers is of a module's exports",
		program + `"command":["a"],"style":"event"}`:                                      "style is of a module's exports",
		program + `"command":["a"],"webhookProtection":"never"}`:                          "webhookProtection is of a module's exports",
		program + `"command":["a"],"variables":{"PORT":"1"}}`:                             "2:30: the variable PORT belongs to the platform",
		program + `"command":["a"],"variables":{"HOST":"::"}}`:                            "the variable HOST belongs to the platform",
		program + `"command":["a"],"routes":[{"path":"/a","handler":"x"}]}`:               `2:27: route 1 names the handler "x"`,
		program + `"command":["a"],"routes":[{"auth":"key"}]}`:                            "must have a path",
		program + `"command":["a"],"routes":[{"path":"/health"}]}`:                        `has to be for GET and say "auth": "none"`,
		program + `"command":["a"],"routes":[{"path":"GET /health","auth":"key"}]}`:       `has to be for GET`,
		program + `"command":["a"],"routes":[{"path":"POST /health","auth":"none"}]}`:     `has to be for GET`,
		program + `"command":["a"],"routes":[{"path":"POST /in","auth":"signature"}]}`:    "", // refused when it is decided who is let in
		program + `"command":["a"],"routes":[{"path":"/a"},{"path":"/a","auth":"none"}]}`: "answer the same",
		module + `"command":["a"]}`:                                                       "2:1: command is of a program",
		module + `"build":["a"]}`:                                                         "build is of a program",
		module + `"include":["a"]}`:                                                       "include is of a program",
		module + `"ready":"/a"}`:                                                          "ready is of a program",
		module + `"port":"tcp"}`:                                                          "port is of a program",
		`{"name":"p","runtime":"HTTP","command":["a"]}`:                                   `the runtime "HTTP" is not one`,
		`{"name":"p","runtime":["http"]}`:                                                 "runtime must be a string",
	} {
		m, _, err := function.ParseManifest(function.SourcePostern, []byte(in))
		if want == "" {
			if _, _, err = function.Protect(m, function.ProgramDeclaration(), true); err == nil {
				t.Errorf("%s: goes through", in)
			}
			continue
		}
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != "manifest_invalid" || !strings.Contains(f.Text, want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
	if _, _, err := function.ParseManifest(function.SourceSinch, []byte(`{"name":"p","runtime":"http","command":["a"]}`)); fault.KindOf(err) != fault.Invalid {
		t.Errorf("in sinch.json: %v", err)
	}
}

// What a developer's tools would not have written is not taken from an artefact either.
func TestDecodeManifest_RefusesPrograms(t *testing.T) {
	t.Parallel()
	const head = `{"name":"p","source":"postern.json",`
	for name, in := range map[string]string{
		"no program":           head + `"runtime":"http"}`,
		"a program of Node":    head + `"runtime":"node","program":{"command":["a"],"port":"tcp"}}`,
		"of the other source":  `{"name":"p","source":"sinch.json","runtime":"http","program":{"command":["a"],"port":"tcp"}}`,
		"no command":           head + `"runtime":"http","program":{"command":[],"port":"tcp"}}`,
		"a command outside":    head + `"runtime":"http","program":{"command":["../a"],"port":"tcp"}}`,
		"no port":              head + `"runtime":"http","program":{"command":["a"],"port":""}}`,
		"a build":              head + `"runtime":"http","program":{"command":["a"],"port":"tcp","build":["x"]}}`,
		"handlers":             head + `"runtime":"http","program":{"command":["a"],"port":"tcp"},"handlers":{"http":{}}}`,
		"a route of a handler": head + `"runtime":"http","program":{"command":["a"],"port":"tcp"},"routes":[{"path":"/a","handler":"b"}]}`,
		"a guarded /health":    head + `"runtime":"http","program":{"command":["a"],"port":"tcp"},"routes":[{"path":"/health","handler":"http"}]}`,
		"a variable of ours":   head + `"runtime":"http","program":{"command":["a"],"port":"tcp"},"variables":{"PORT":"1"}}`,
		"a strange ready":      head + `"runtime":"http","program":{"command":["a"],"port":"tcp","ready":"//x y"}}`,
	} {
		if m, err := function.DecodeManifest([]byte(in)); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// A program is behind a key wherever its manifest does not say otherwise.
func TestProtect_Program(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fields string
		paths  map[string]string // method and path: the guard; empty: nothing there; "built in"
	}{
		"no routes": {``, map[string]string{"GET /": "access key", "POST /a/b/c": "access key", "GET /health": "built in", "GET /a/health": "access key", "POST /ice": "access key", "GET /constructor": "access key"}},
		"routes": {`,"routes":[{"path":"GET /a","auth":"none"},{"path":"/a/{b}"},{"path":"POST /in/ice","auth":"signature","signature":{"scheme":"github","secrets":["S"]}}],"variables":{"S":"x"}`,
			map[string]string{"GET /a": "open", "HEAD /a": "open", "POST /a": "", "GET /a/b": "access key", "POST /in/ice": "signature", "GET /": "", "GET /b": "", "GET /http": "", "GET /health": "built in"}},
		"its own /health": {`,"routes":[{"path":"GET /health","auth":"none"},{"path":"/{path...}"}]`, map[string]string{"GET /health": "open", "POST /health": "access key", "GET /x": "access key"}},
	} {
		m, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name":"p","runtime":"http","command":["a"],"port":"socket"`+tc.fields+`}`))
		if err != nil {
			t.Fatal(err)
		}
		handlers, warnings, err := function.Protect(m, function.ProgramDeclaration(), true)
		if err != nil {
			t.Fatal(err)
		}
		if opened := strings.Contains(strings.Join(warnings, "\n"), "open to everyone by auth none"); opened != strings.Contains(tc.fields, "none") {
			t.Errorf("%s: warnings %q", name, warnings)
		}
		table := function.NewTable(handlers)
		for at, want := range tc.paths {
			method, path, _ := strings.Cut(at, " ")
			got := ""
			if match, ok := table.Match(method, path); ok && match.Handler == nil && match.Guard == platform.GuardOpen {
				got = "built in"
			} else if ok {
				got = function.GuardWord(match.Guard)
			}
			if got != want {
				t.Errorf("%s: %s is %q, want %q", name, at, got, want)
			}
		}
		if rows := function.Describe(handlers); (rows[0].Handler == "built in") == (name == "its own /health") || rows[0].Path != "/health" {
			t.Errorf("%s: %+v", name, rows)
		}
	}
	m := function.Manifest{Name: "p", Runtime: function.RuntimeHTTP, Source: function.SourcePostern, Program: &function.Program{Command: []string{"a"}, Port: function.PortTCP}}
	if _, warnings, err := function.Protect(m, function.ProgramDeclaration(), true); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "past the gateway") {
		t.Error(warnings, err)
	}
}
