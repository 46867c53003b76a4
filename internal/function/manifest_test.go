package function_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
)

func TestParseManifest_Accepts(t *testing.T) {
	t.Parallel()
	got, warnings, err := function.ParseManifest(function.SourcePostern, []byte(`{
  "$schema": "https://example.org/s.json", "name": "orders", "runtime": "node", "description": "d",
  "variables": {"GREETING": "hi", "_X1": ""}, "webhookProtection": "deploy",
  "handlers": {"upload": {"body": "stream", "bodyLimit": "100MiB", "timeout": "5m"}, "small": {"bodyLimit": 10}}
}`))
	if err != nil || len(warnings) != 0 {
		t.Fatal(err, warnings)
	}
	want := function.Manifest{Name: "orders", Runtime: "node", Description: "d", Source: function.SourcePostern,
		Variables: map[string]string{"GREETING": "hi", "_X1": ""}, WebhookProtection: signature.ProtectDeploy,
		Handlers: map[string]function.HandlerOptions{
			"upload": {Body: platform.BodyStream, BodyLimit: 100 << 20, Timeout: 5 * time.Minute}, "small": {BodyLimit: 10}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	again, err := function.DecodeManifest(got.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(got, again); d != "" {
		t.Error("decode of encode differs: ", d)
	}
}

func TestParseManifest_Routes(t *testing.T) {
	t.Parallel()
	got, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name": "a", "runtime": "node", "style": "event", "eventFormat": "v2", "routes": [
  {"path": "GET /customers/{customerId}", "handler": "customer", "group": "public", "scopes": ["control"]},
  {"path": "/files/{path...}", "handler": "files", "auth": "none", "bodyLimit": "1KiB", "timeout": "2s"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := function.Manifest{Name: "a", Runtime: "node", Source: function.SourcePostern, Style: "event", EventFormat: "v2", Routes: []function.RouteSpec{
		{Path: "GET /customers/{customerId}", Handler: "customer", Group: "public", Scopes: []string{"control"}}, {Path: "/files/{path...}", Handler: "files", Auth: "none", BodyLimit: 1024, Timeout: 2 * time.Second}}}
	again, err := function.DecodeManifest(got.Encode())
	if d := cmp.Diff(want, got) + cmp.Diff(want, again); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestParseManifest_RefusesRoutes(t *testing.T) {
	t.Parallel()
	patterns := map[string]string{
		"customers": "must begin with a slash", "": "must have a path", "/": "/{path...}", "/a/": "no slash at its end", "//a": "no empty segments", "/a/../b": "dot segments", "/a/..;x": "dot segments",
		"GET  /a": "must begin with a slash", "get /a": "no method", "HEAD /a": "write GET", "CONNECT /a": "no method", "FOO /a": "no method", "GET example.com/a": "must begin with a slash",
		"/a/{b}c": "no parameter", "/a/x{b}": "write it decoded", "/{b": "no parameter", "/{}": "no parameter", "/{...}": "no parameter", "/{b...}/c": "must be the last", "/{$}/a": "must be the last", "/{$...}": "must be the last",
		"/{a}/{a}": "stands twice", "/a%2fb": "write it decoded", "/a?b=1": "write it decoded", "/a#b": "write it decoded", "/a\\\\b": "write it decoded", "/a b": "no method",
		"/" + strings.Repeat("x", 600): "512 bytes", "/" + strings.Repeat("{a}/", 40): "32 segments", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}": "8 parameters",
		"/health": "is kept", "GET /health": "is kept", "POST /a/ice": "is kept", "/notify": "is kept",
	}
	for pattern, want := range patterns {
		in := "{\"name\":\"a\",\"runtime\":\"node\",\"routes\":[\n {\"path\":\"" + pattern + "\",\"handler\":\"x\"}]}"
		_, _, err := function.ParseManifest(function.SourcePostern, []byte(in))
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != "manifest_invalid" || !strings.Contains(f.Text+f.Hint, want) || !strings.HasPrefix(f.Text, "postern.json:2:2: ") {
			t.Errorf("%q: %v, want %q", pattern, err, want)
		}
	}
	for in, want := range map[string]string{
		`{}`: "1:39: routes must be a list", `[1]`: "1:40: route 1 must be an object", `[{"path":"/a"}]`: "must have a path and a handler", `[{"handler":"a"}]`: "must have a path and a handler",
		`[{"path":"/a","handler":"x","corss":true}]`: `unknown option "corss" of route 1`, `[{"path":"/a","handler":"x","methods":["basic"]}]`: `unknown option "methods"`,
		`[{"path":"/a","handler":"x","ratePerSecond":1}]`: `unknown option "ratePerSecond"`, `[{"path":"/a","handler":"x","scopes":["orders"]}]`: "no scope", `[{"path":"/a","handler":"x","scopes":["control","control"]}]`: "stands twice", `[{"path":"/a","handler":"x","scopes":"control"}]`: "must be a list", `[{"path":"/a","handler":"x","scopes":[]}]`: "must be a list",
		`[{"path":"/a","handler":"x","auth":"none","scopes":["control"]}]`: "is open to everyone", `[{"path":"/a","handler":"x","auth":"none","group":"admin"}]`: "is open to everyone",
		`[{"path":"/a","handler":"x","auth":"open"}]`: `auth of route 1 cannot be "open"`, `[{"path":"/a","handler":"x","auth":false}]`: "auth must be a string", `[{"path":"/a","handler":"x","auth":""}]`: "cannot be",
		`[{"path":"/a","handler":"x","timeout":"2h"}]`: "timeout of route 1", `[{"path":"/a","handler":"x","bodyLimit":0}]`: "bodyLimit of route 1", `[{"path":"/a","handler":"x","group":"a b"}]`: "no name of a group",
		`[{"path":"/a","path":"/b","handler":"x"}]`: "stands twice", `[{"path":"/a","handler":"x"},{"path":"/a/{$}","handler":"y"}]`: `the routes "/a" and "/a/{$}" answer the same`,
		`[{"path":"GET /{a}","handler":"x"},{"path":"GET /{b}","handler":"x"}]`:      `the routes "GET /{a}" and "GET /{b}" answer the same`,
		`[{"path":"/{a}/b","handler":"x"},{"path":"/a/{b}","handler":"x"}]`:          `the routes "/{a}/b" and "/a/{b}" both answer some`,
		`[{"path":"GET /{a}","handler":"x"},{"path":"/a","handler":"x"}]`:            `the routes "GET /{a}" and "/a" both answer some`,
		`[` + strings.Repeat(`{"path":"/a","handler":"x"},`, 500) + `{"path":"/a"}]`: "more than 500 routes",
	} {
		_, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name":"a","runtime":"node","routes":`+in+`}`))
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != "manifest_invalid" || !strings.Contains(f.Text, want) {
			t.Errorf("%.80s: %v, want %q", in, err, want)
		}
	}
	for _, in := range []string{`"style":"events"`, `"style":1`, `"eventFormat":"v1"`, `"eventFormat":null`} {
		if _, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name":"a","runtime":"node",`+in+`}`)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", in, err)
		}
	}
	m, warnings, err := function.ParseManifest(function.SourceSinch, []byte(`{"name":"a","runtime":"node","routes":[{"path":"/a","handler":"x","auth":"none"}],"style":"event"}`))
	if err != nil || len(m.Routes) != 0 || m.CallStyle() != "context" || len(warnings) != 2 {
		t.Errorf("in sinch.json: %+v, %q, %v", m, warnings, err)
	}
}

func TestParseManifest_Visibility(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]platform.Visibility{"": platform.Public, `,"visibility":"public"`: platform.Public, `,"visibility":"private"`: platform.Private} {
		m, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name":"a","runtime":"node"`+text+`}`))
		again, bad := function.DecodeManifest(m.Encode())
		if err != nil || bad != nil || m.Visibility != want || again.Visibility != want {
			t.Errorf("%s: %q, then %q: %v, %v", text, m.Visibility, again.Visibility, err, bad)
		}
	}
	for _, text := range []string{`""`, `"Private"`, `"internal"`, `"hidden"`, `true`, `null`, `["private"]`} {
		if _, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name":"a","runtime":"node","visibility":`+text+`}`)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", text, err)
		}
	}
	m, warnings, err := function.ParseManifest(function.SourceSinch, []byte(`{"name":"a","runtime":"node","visibility":"private"}`))
	if err != nil || m.Visibility != platform.Public || len(warnings) != 1 {
		t.Errorf("in sinch.json: %q, %q, %v", m.Visibility, warnings, err)
	}
}

func TestParseManifest_SinchFields(t *testing.T) {
	t.Parallel()
	m, warnings, err := function.ParseManifest(function.SourceSinch, []byte(`{"name":"a","runtime":"nodejs20","functionId":"x","tunnel":{"preference":"no"},"secrets":["A","PROJECT_ID_API_SECRET"],"other":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if m.Runtime != "node" || m.Source != function.SourceSinch || len(m.Secrets) != 1 || len(warnings) != 1 {
		t.Errorf("%+v, warnings %q", m, warnings)
	}
}

func TestParseManifest_Refuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ in, want, hint string }{
		"empty":               {``, "postern.json:1:1: the file ends too early", ""},
		"cut off":             {`{"name": "a"`, "the file ends too early", ""},
		"not JSON":            {"{\n  name: 1}", "postern.json:2:3", ""},
		"comma too many":      {"{\"name\":\"a\",\n}", "postern.json:2:1", ""},
		"a list":              {`[]`, "must be an object", ""},
		"two values":          {`{"name":"a","runtime":"node"} {}`, "postern.json:1:31: something follows the end", ""},
		"unknown field":       {"{\n  \"name\": \"a\",\n  \"runtme\": \"node\"}", `postern.json:3:3: unknown field "runtme"`, `did you mean "runtime"?`},
		"field far from any":  {`{"zzzzzzzzzzz":1}`, "unknown field", "the fields are"},
		"twice":               {"{\"name\":\"a\",\n \"name\":\"b\",\"runtime\":\"node\"}", `postern.json:2:2: "name" stands twice`, ""},
		"no name":             {`{"runtime":"node"}`, "name is missing", `"name"`},
		"no runtime":          {`{"name":"a"}`, "runtime is missing", `"runtime"`},
		"name not text":       {`{"name": 7,"runtime":"node"}`, "postern.json:1:10: name must be a string", ""},
		"upper-case name":     {`{"name":"Orders","runtime":"node"}`, "is no function name", "lower-case"},
		"name with a dot":     {`{"name":"a.b","runtime":"node"}`, "is no function name", ""},
		"name fn-":            {`{"name":"fn-a","runtime":"node"}`, "is no function name", ""},
		"C#":                  {`{"name":"a","runtime":"csharp"}`, `"csharp" is not one that this version runs`, "node"},
		"variables a list":    {`{"name":"a","runtime":"node","variables":[]}`, "variables must be an object", ""},
		"variable a number":   {`{"name":"a","runtime":"node","variables":{"N":1}}`, "the variable N must be a string", "quotes"},
		"variable lower case": {`{"name":"a","runtime":"node","variables":{"n":"1"}}`, "no variable name", ""},
		"platform's variable": {`{"name":"a","runtime":"node","variables":{"PROJECT_ID_API_KEY":"1"}}`, "belongs to the platform", ""},
		"our variable":        {`{"name":"a","runtime":"node","variables":{"POSTERN_WORKER_FD":"1"}}`, "belongs to the platform", ""},
		"loader variable":     {`{"name":"a","runtime":"node","variables":{"NODE_OPTIONS":"--require x"}}`, "belongs to the platform", ""},
		"our zone":            {`{"name":"a","runtime":"node","variables":{"TZ":"Europe/Paris"}}`, "belongs to the platform", ""},
		"variables too large": {`{"name":"a","runtime":"node","variables":{"BIG":"` + strings.Repeat("x", 64<<10) + `"}}`, "postern.json:1:30: the variables have", "imports"},
		"variable with a NUL": {`{"name":"a","runtime":"node","variables":{"A":"\u0000"}}`, "NUL", ""},
		"byte order mark":     {"\xef\xbb\xbf{}", "postern.json:1:1: the file begins with a byte order mark", ""},
		"not UTF-8":           {"{\n \"name\": \"\xff\"}", "postern.json:2:11: the file is not UTF-8 text", ""},
		"column after umlaut": {`{"description":"äöü","nam":1}`, `postern.json:1:22: unknown field "nam"`, `"name"`},
		"nested too deeply":   {`{"handlers":` + strings.Repeat("[", 1<<19), "nested too deeply", ""},
		"too large":           {strings.Repeat(" ", 1<<20+1), "larger than 1024 KiB", ""},
		"protection unknown":  {`{"name":"a","runtime":"node","webhookProtection":"off"}`, "cannot be", ""},
		"handlers a text":     {`{"name":"a","runtime":"node","handlers":"x"}`, "handlers must be an object", ""},
		"handler a text":      {`{"name":"a","runtime":"node","handlers":{"x":"y"}}`, "options of handler x", ""},
		"handler option":      {`{"name":"a","runtime":"node","handlers":{"x":{"timeOut":"1s"}}}`, `unknown option "timeOut"`, `did you mean "timeout"?`},
		"body neither":        {`{"name":"a","runtime":"node","handlers":{"x":{"body":"raw"}}}`, "is neither", ""},
		"limit negative":      {`{"name":"a","runtime":"node","handlers":{"x":{"bodyLimit":-1}}}`, "is no size", ""},
		"limit unit":          {`{"name":"a","runtime":"node","handlers":{"x":{"bodyLimit":"10MB"}}}`, "is no size", ""},
		"limit overflow":      {`{"name":"a","runtime":"node","handlers":{"x":{"bodyLimit":"9999999999GiB"}}}`, "is no size", ""},
		"timeout a number":    {`{"name":"a","runtime":"node","handlers":{"x":{"timeout":30}}}`, "is no duration", ""},
		"loader's variable":   {`{"name":"a","runtime":"node","variables":{"LD_AUDIT":"x"}}`, "belongs to the platform", ""},
		"timeout too long":    {`{"name":"a","runtime":"node","handlers":{"x":{"timeout":"2h"}}}`, "is no duration", ""},
	} {
		_, _, err := function.ParseManifest(function.SourcePostern, []byte(tc.in))
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != fault.Invalid || f.Code != "manifest_invalid" || !strings.Contains(f.Text, tc.want) || !strings.Contains(f.Hint, tc.hint) {
			t.Errorf("%s: err = %v (hint %q), want %q and hint %q", name, err, hintOf(f), tc.want, tc.hint)
		}
	}
}

func hintOf(f *fault.Error) string {
	if f == nil {
		return ""
	}
	return f.Hint
}

func TestDecodeManifest_ChecksAgain(t *testing.T) {
	t.Parallel()
	for _, in := range []string{``, `{}`, `{"name":"../x","runtime":"node","source":"postern.json"}`, `{"name":"a","runtime":"node","source":"x"}`,
		`{"name":"a","runtime":"node","source":"postern.json","variables":{"LD_PRELOAD":"x"}}`, `{"name":"a","runtime":"node","source":"postern.json","variables":{"A":"\u0000"}}`,
		`{"name":"a","runtime":"sh","source":"postern.json"}`, `{"name":"a","runtime":"node","source":"postern.json","style":"x"}`, `{"name":"a","runtime":"node","source":"postern.json","eventFormat":"x"}`,
		`{"name":"a","runtime":"node","source":"postern.json","routes":[{"path":"/health","handler":"x"}]}`, `{"name":"a","runtime":"node","source":"postern.json","routes":[{"path":"/a","handler":"__proto__"}]}`,
		`{"name":"a","runtime":"node","source":"postern.json","routes":[{"path":"/{a}","handler":"x"},{"path":"/{b}","handler":"y"}]}`,
		`{"name":"a","runtime":"node","source":"postern.json","routes":[{"path":"/a","handler":"x","auth":"x"}]}`, `{"name":"a","runtime":"node","source":"postern.json","routes":[{"path":"/a","handler":"x","scopes":["x"]}]}`, `{"name":"a","runtime":"node","source":"postern.json","routes":[{"path":"/a","handler":"x","timeout":-1}]}`,
		`{"name":"a","runtime":"node","source":"postern.json","handlers":{"x":{"timeout":-1}}}`, `{"name":"a","runtime":"node","source":"postern.json","visibility":"x"}`, `{"name":"a","runtime":"node","source":"postern.json","visibility":"public"}`, `{"name":"a","runtime":"node","source":"postern.json","more":1}`,
		`{"name":"a","runtime":"node","source":"postern.json"}{"name":"b","runtime":"node","source":"postern.json"}`, `{"name":"a","runtime":"node","source":"postern.json"}}`, `{"name":"a","runtime":"node","source":"postern.json"} x`} {
		if _, err := function.DecodeManifest([]byte(in)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("DecodeManifest(%s): err = %v", in, err)
		}
	}
}

func TestLoadManifest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, _, err := function.LoadManifest(dir)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != "manifest_missing" || !strings.Contains(f.Hint, "postern functions init") {
		t.Errorf("no manifest: %v", err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("sinch.json", `{"name":"theirs","runtime":"node"}`)
	if m, w, err := function.LoadManifest(dir); err != nil || m.Name != "theirs" || m.Source != function.SourceSinch || len(w) != 0 {
		t.Errorf("sinch.json alone: %+v %v %v", m, w, err)
	}
	write("postern.json", `{"name":"ours","runtime":"node"}`)
	if m, w, err := function.LoadManifest(dir); err != nil || m.Name != "ours" || len(w) != 1 {
		t.Errorf("both: %+v %v %v, want ours and one warning", m, w, err)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"webhook", "status"}
	for in, want := range map[string]string{"webhok": "webhook", "Webhook": "webhook", "stats": "status", "payments": "", "": ""} {
		if got := function.Nearest(in, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", in, got, want)
		}
	}
}

// Whatever the file is: a fault with a place in it, or a manifest that an
// artefact carries unchanged.
func FuzzParseManifest(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"name":"a","runtime":"node"}`, `{"name":"a","runtime":"node","handlers":{"x":{"body":"stream","bodyLimit":"1MiB","timeout":"1s"}},"variables":{"A":"b"}}`, "{\"a\":[1,\n{}]}", `{"name":"a",,}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		for _, source := range []string{function.SourcePostern, function.SourceSinch} {
			m, _, err := function.ParseManifest(source, []byte(in))
			if err != nil {
				fe, ok := errors.AsType[*fault.Error](err)
				if !ok || fe.Kind != fault.Invalid || !strings.HasPrefix(fe.Text, source+":") {
					t.Fatalf("%q: err = %v", in, err)
				}
				continue
			}
			again, err := function.DecodeManifest(m.Encode())
			if err != nil || string(again.Encode()) != string(m.Encode()) {
				t.Fatalf("%q: what was parsed is not what an artefact carries: %v", in, err)
			}
		}
	})
}
