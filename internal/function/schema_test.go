package function_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

// validator is the schema as an editor's validator reads it.
func validator(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(function.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// says is what the schema says of a manifest.
func says(t *testing.T, s *jsonschema.Schema, manifest string) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(manifest))
	if err != nil {
		t.Fatalf("%s: %v", manifest, err)
	}
	return s.Validate(doc)
}

// Each object of the schema, with a manifest that has one of it: %s is inside.
var objects = map[string]string{
	"":                          `{"name":"a","runtime":"node",%s}`,
	"/definitions/handler":      `{"name":"a","runtime":"node","handlers":{"h":{%s}}}`,
	"/definitions/route":        `{"name":"a","runtime":"node","routes":[{%s}]}`,
	"/definitions/signature":    `{"name":"a","runtime":"node","handlers":{"h":{"signature":{%s}}}}`,
	"/definitions/customScheme": `{"name":"a","runtime":"node","handlers":{"h":{"signature":{"custom":{%s}}}}}`,
	"/definitions/cors":         `{"name":"a","runtime":"node","handlers":{"h":{"cors":{%s}}}}`,
	"/definitions/workers":      `{"name":"a","runtime":"node","workers":{%s}}`,
}

// The parser names the fields that it knows to whoever writes another; the schema
// has exactly these, in each object, and the parser takes each of them.
func TestSchema_HasTheParsersFields(t *testing.T) {
	t.Parallel()
	var root any
	if err := json.Unmarshal(function.Schema, &root); err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	walk("", root, func(at string, o map[string]any) {
		if p, ok := o["properties"].(map[string]any); ok && o["additionalProperties"] == false {
			found[at] = slices.Sorted(maps.Keys(p))
		}
	})
	if d := cmp.Diff(slices.Sorted(maps.Keys(objects)), slices.Sorted(maps.Keys(found))); d != "" {
		t.Fatalf("other objects than are looked at: %s", d)
	}
	for at, form := range objects {
		_, _, err := function.ParseManifest(function.SourcePostern, fmt.Appendf(nil, form, `"qqqqqqqqqqqqqqqqqqqqqqqq":1`))
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || !strings.Contains(f.Text, "unknown") {
			t.Fatalf("%s: %v", at, err)
		}
		_, list, _ := strings.Cut(f.Hint, " are: ")
		known := strings.Split(list, ", ")
		slices.Sort(known)
		if d := cmp.Diff(known, found[at]); d != "" {
			t.Errorf("%s: the parser's fields are not the schema's: %s", at, d)
		}
		for _, field := range found[at] {
			_, _, err := function.ParseManifest(function.SourcePostern, fmt.Appendf(nil, form, fmt.Sprintf(`%q:[[]]`, field)))
			if err == nil || strings.Contains(err.Error(), "unknown") {
				t.Errorf("%s: %s with a value that cannot be: %v", at, field, err)
			}
		}
	}
}

// walk calls do with each object of a JSON document, with its place.
func walk(at string, v any, do func(at string, o map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		do(at, v)
		for name, member := range v {
			walk(at+"/"+name, member, do)
		}
	case []any:
		for i, e := range v {
			walk(fmt.Sprint(at, "/", i), e, do)
		}
	}
}

// Each list of words of the schema, with a manifest for one of them, and its
// fields that go with it.
var enums = map[string]string{
	"/properties/runtime/anyOf/0":                         `{"name":"a","runtime":%s,"command":"./x"}`,
	"/properties/style":                                   `{"name":"a","runtime":"node","style":%s}`,
	"/properties/eventFormat":                             `{"name":"a","runtime":"node","eventFormat":%s}`,
	"/properties/webhookProtection":                       `{"name":"a","runtime":"node","webhookProtection":%s}`,
	"/properties/visibility":                              `{"name":"a","runtime":"node","visibility":%s}`,
	"/properties/port":                                    `{"name":"a","runtime":"http","command":"./x","port":%s}`,
	"/definitions/credentials/items":                      `{"name":"a","runtime":"node","handlers":{"h":{"credentials":[%s]}}}`,
	"/definitions/cors/properties/methods/items":          `{"name":"a","runtime":"node","handlers":{"h":{"cors":{"origins":["https://a.example"],"methods":[%s]}}}}`,
	"/definitions/signature/properties/scheme":            `{"name":"a","runtime":"node","secrets":["S"],"variables":{"VOICE_APPLICATION_KEY":"","VOICE_SERVICE_ID":""},"handlers":{"h":{"signature":{"scheme":%s,"secrets":["S"]}}}}`,
	"/definitions/customScheme/properties/encoding":       `{"name":"a","runtime":"node","secrets":["S"],"handlers":{"h":{"signature":{"scheme":"custom","secrets":["S"],"custom":{"header":"X","encoding":%s}}}}}`,
	"/definitions/customScheme/properties/hash":           `{"name":"a","runtime":"node","secrets":["S"],"handlers":{"h":{"signature":{"scheme":"custom","secrets":["S"],"custom":{"header":"X","hash":%s}}}}}`,
	"/definitions/customScheme/properties/secretEncoding": `{"name":"a","runtime":"node","secrets":["S"],"handlers":{"h":{"signature":{"scheme":"custom","secrets":["S"],"custom":{"header":"X","secretEncoding":%s}}}}}`,
	"/definitions/handler/properties/body":                `{"name":"a","runtime":"node","handlers":{"h":{"body":%s}}}`,
	"/definitions/route/properties/auth":                  `{"name":"a","runtime":"node","secrets":["S"],"routes":[{"path":"/a","handler":"h","auth":%s}]}`,
	"/definitions/route/properties/scopes/items":          `{"name":"a","runtime":"node","routes":[{"path":"/a","handler":"h","scopes":[%s]}]}`,
	"/definitions/programSetting":                         "",
}

// Of all words of all lists, the parser takes at each place those that the schema
// has there, and no other.
func TestSchema_HasTheParsersWords(t *testing.T) {
	t.Parallel()
	var root any
	if err := json.Unmarshal(function.Schema, &root); err != nil {
		t.Fatal(err)
	}
	found, all := map[string][]any{}, []string{"", "qqq"}
	walk("", root, func(at string, o map[string]any) {
		if list, ok := o["enum"].([]any); ok {
			found[at] = list
			for _, word := range list {
				all = append(all, word.(string))
			}
		}
	})
	if d := cmp.Diff(slices.Sorted(maps.Keys(enums)), slices.Sorted(maps.Keys(found))); d != "" {
		t.Fatalf("other lists than are looked at: %s", d)
	}
	s := validator(t)
	for at, form := range enums {
		for _, word := range all {
			if form == "" || word == "custom" && strings.HasSuffix(at, "scheme") { // which has more to say
				continue
			}
			in := fmt.Sprintf(form, fmt.Sprintf("%q", word))
			if at == "/properties/runtime/anyOf/0" && word == "node" {
				in = strings.Replace(in, `,"command":"./x"`, "", 1)
			}
			_, _, err := function.ParseManifest(function.SourcePostern, []byte(in))
			if want := slices.Contains(found[at], any(word)); (err == nil) != want || (says(t, s, in) == nil) != want {
				t.Errorf("%s: %q: the parser says %v, the schema %v", at, word, err, says(t, s, in))
			}
		}
	}
	for _, name := range found["/definitions/programSetting"] {
		in := fmt.Sprintf(`{"name":"a","runtime":"http","command":"./x","variables":{%q:""}}`, name)
		if _, _, err := function.ParseManifest(function.SourcePostern, []byte(in)); err == nil || says(t, s, in) == nil {
			t.Errorf("a program's %s: the parser says %v, the schema %v", name, err, says(t, s, in))
		}
	}
}

// What both take, and what both refuse.
func TestSchema_AgreesWithTheParser(t *testing.T) {
	t.Parallel()
	s := validator(t)
	const node = `"name":"a","runtime":"node"`
	for _, in := range []string{
		`{"$schema":"./postern.schema.json",` + node + `}`, `{"name":"a1-b","runtime":"nodejs20.x"}`, `{"name":"` + strings.Repeat("a", 40) + `","runtime":"node"}`,
		`{` + node + `,"variables":{"_A1":"","PORT":"1","POSTERNS":"x"},"secrets":["B"]}`, `{` + node + `,"secrets":[],"handlers":{},"routes":[],"workers":{}}`,
		`{` + node + `,"handlers":{"h":{"body":"stream","bodyLimit":"10 MiB","timeout":"1h","rate":"10/s","addresses":["10.0.0.0/8","2001:db8::1"],"credentials":["basic"],"cors":{"origins":["*"],"maxAge":"10m"}}}}`,
		`{` + node + `,"handlers":{"h":{"bodyLimit":1,"timeout":"1m30s","rate":["1000/1h by key, burst 50","100/m by address"]}}}`,
		`{` + node + `,"secrets":["S","T"],"routes":[{"path":"POST /a/{b}/{c...}","handler":"h","auth":"signature","signature":{"scheme":"custom","secrets":["S","T"],"window":"3m","custom":{"header":"X-S","timestampHeader":"X-T","signed":"{timestamp}.{body}"}}}]}`,
		`{` + node + `,"routes":[{"path":"/b","handler":"h"},{"path":"/a/{$}","handler":"h","group":"g.1","scopes":["control"]}]}`,
		`{` + node + `,"workers":{"max":2,"spare":0,"memory":"96MiB"},"visibility":"private"}`,
		`{"name":"a","runtime":"http","command":"./server --fast","build":["go","build"],"include":["server","t/*.html"],"ready":"/ready","port":"socket","routes":[{"path":"/a"},{"path":"/b","handler":"http"}]}`,
		`{"name":"a","runtime":"http","command":["python3","app.py",""]}`,
	} {
		if _, _, err := function.ParseManifest(function.SourcePostern, []byte(in)); err != nil {
			t.Errorf("the parser refuses %s: %v", in, err)
		}
		if err := says(t, s, in); err != nil {
			t.Errorf("the schema refuses %s: %v", in, err)
		}
	}
	for name, in := range map[string]string{
		"a list": `[]`, "nothing": `{}`, "no name": `{"runtime":"node"}`, "no runtime": `{"name":"a"}`, "a name that is none": `{"name":"A","runtime":"node"}`, "fn-": `{"name":"fn-a","runtime":"node"}`, "two dashes": `{"name":"a--b","runtime":"node"}`, "a dash at the end": `{"name":"a-","runtime":"node"}`, "a long name": `{"name":"` + strings.Repeat("a", 41) + `","runtime":"node"}`,
		"another runtime": `{"name":"a","runtime":"csharp"}`, "an unknown field": `{` + node + `,"handler":{}}`,
		"a number in variables": `{` + node + `,"variables":{"A":1}}`, "a lower-case variable": `{` + node + `,"variables":{"a":""}}`, "the platform's": `{` + node + `,"variables":{"PROJECT_ID":""}}`, "ours": `{` + node + `,"variables":{"POSTERN_X":""}}`, "the loader's": `{` + node + `,"secrets":["LD_PRELOAD"]}`,
		"secrets with values": `{` + node + `,"secrets":{"A":"x"}}`, "a secret that is none": `{` + node + `,"secrets":["a"]}`, "a secret twice": `{` + node + `,"secrets":["A","A"]}`,
		"a handler that is a text": `{` + node + `,"handlers":{"h":"x"}}`, "a size without a number": `{` + node + `,"handlers":{"h":{"bodyLimit":"MiB"}}}`, "MB": `{` + node + `,"handlers":{"h":{"bodyLimit":"1MB"}}}`, "no bytes": `{` + node + `,"handlers":{"h":{"bodyLimit":0}}}`, "half a byte": `{` + node + `,"handlers":{"h":{"bodyLimit":1.5}}}`,
		"a timeout in numbers": `{` + node + `,"handlers":{"h":{"timeout":30}}}`, "a timeout without a unit": `{` + node + `,"handlers":{"h":{"timeout":"30"}}}`, "a rate of nothing": `{` + node + `,"handlers":{"h":{"rate":"often"}}}`, "no rates": `{` + node + `,"handlers":{"h":{"rate":[]}}}`, "an address that is none": `{` + node + `,"handlers":{"h":{"addresses":["home"]}}}`,
		"no origins": `{` + node + `,"handlers":{"h":{"cors":{}}}}`, "cors that is a text": `{` + node + `,"handlers":{"h":{"cors":"*"}}}`, "maxAge in numbers": `{` + node + `,"handlers":{"h":{"cors":{"origins":["*"],"maxAge":10}}}}`,
		"a signature without secrets": `{` + node + `,"handlers":{"h":{"signature":{"scheme":"github"}}}}`, "a scheme of its own without one": `{` + node + `,"secrets":["S"],"handlers":{"h":{"signature":{"scheme":"custom","secrets":["S"]}}}}`, "one too many": `{` + node + `,"secrets":["S"],"handlers":{"h":{"signature":{"scheme":"github","secrets":["S"],"custom":{"header":"X"}}}}}`, "no header": `{` + node + `,"secrets":["S"],"handlers":{"h":{"signature":{"scheme":"custom","secrets":["S"],"custom":{}}}}}`,
		"routes that are an object": `{` + node + `,"routes":{}}`, "a route without a path": `{` + node + `,"routes":[{"handler":"h"}]}`, "a route without a handler": `{` + node + `,"routes":[{"path":"/a"}]}`, "the root alone": `{` + node + `,"routes":[{"path":"/","handler":"h"}]}`, "a path without a slash": `{` + node + `,"routes":[{"path":"a","handler":"h"}]}`, "HEAD": `{` + node + `,"routes":[{"path":"HEAD /a","handler":"h"}]}`, "no scopes": `{` + node + `,"routes":[{"path":"/a","handler":"h","scopes":[]}]}`,
		"no workers": `{` + node + `,"workers":{"max":0}}`, "half a worker": `{` + node + `,"workers":{"max":1.5}}`, "workers in words": `{` + node + `,"workers":{"max":"two"}}`,
		"a program without a command": `{"name":"a","runtime":"http"}`, "a program with handlers": `{"name":"a","runtime":"http","command":"./x","handlers":{}}`, "a module with a command": `{` + node + `,"command":"./x"}`, "a module with a port": `{` + node + `,"port":"tcp"}`, "a command for a shell": `{"name":"a","runtime":"http","command":"a | b"}`, "no words": `{"name":"a","runtime":"http","command":[]}`, "spaces alone": `{"name":"a","runtime":"http","command":" "}`, "a program's secret": `{"name":"a","runtime":"http","command":"./x","secrets":["PORT"]}`, "a program's handler": `{"name":"a","runtime":"http","command":"./x","routes":[{"path":"/a","handler":"h"}]}`, "nothing included": `{"name":"a","runtime":"http","command":"./x","include":[]}`,
	} {
		if _, _, err := function.ParseManifest(function.SourcePostern, []byte(in)); err == nil {
			t.Errorf("%s: the parser takes it", name)
		}
		if says(t, s, in) == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
}

// The manifests of all examples are good by both.
func TestSchema_Examples(t *testing.T) {
	t.Parallel()
	s, seen := validator(t), 0
	err := filepath.WalkDir("../../examples", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != function.SourcePostern {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		if _, _, err := function.ParseManifest(function.SourcePostern, text); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if err := says(t, s, string(text)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		return nil
	})
	if err != nil || seen < 10 {
		t.Errorf("%d manifests: %v", seen, err)
	}
}
