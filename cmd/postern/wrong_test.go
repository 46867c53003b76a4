package main_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a handler throws is told in its function's log with the lines and names
// of the sources, whenever it throws and whoever wrote the code; and the caller
// is told none of it.
func TestWrong_StacksNameTheSource(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dir := filepath.Join(t.TempDir(), "stacks")
	s.files(dir, map[string]string{
		"postern.json":                     `{"name":"stacks","runtime":"node"}`,
		"node_modules/broken/package.json": `{"name":"broken","main":"lib/index.js"}`,
		"node_modules/broken/lib/index.js": "// one\nfunction deepInside(x) {\n  throw new Error('thrown in a dependency: ' + x);\n}\nexports.run = function run(x) { return deepInside(x); };\n",
		"lib/prices.ts": `interface Price { amount: number }

export function priceOf(of: Price): never {
  throw new TypeError('thrown in another file ' + of.amount);
}
`,
		"function.ts": `import { priceOf } from './lib/prices.js';
import broken from 'broken';
type Unused = { one: string;
  two: string };
export const auth: string[] = [];
const never = () => new Promise(() => {});
export function atOnce() { throw new Error('thrown at once'); }
export const another = async () => { await null; return priceOf({ amount: 1 }); };
export const dependency = () => broken.run('x');
export const late = () => {
  setTimeout(function afterwards() {
    throw new Error('thrown late');
  }, 5);
  return never();
};
export const stray = () => { void Promise.reject(new Error('rejected for nobody')); return never(); };
export const caused = () => { throw new Error('outer', { cause: new Error('the cause of it') }); };
`})
	s.must("functions", "deploy", dir)
	for _, tc := range []struct {
		handler, text string
		status        int
		frames        []string // as they stand in the stack
	}{
		{"atOnce", "thrown at once", 500, []string{"at atOnce (function.ts:7:"}},
		{"another", "thrown in another file 1", 500, []string{"at priceOf (lib/prices.ts:4:", "function.ts:8:"}},
		{"dependency", "thrown in a dependency: x", 500, []string{"at deepInside (node_modules/broken/lib/index.js:3:", "function.ts:9:"}},
		{"caused", "the cause of it", 500, []string{"function.ts:17:"}},
		{"stray", "rejected for nobody", 500, []string{"function.ts:16:"}},
		{"late", "thrown late", 502, []string{"afterwards", "function.ts:12:"}},
	} {
		status, body := call(t, http.DefaultClient, "GET", s.gateway+"/fn/stacks/"+tc.handler, "", "", "")
		if status != tc.status || strings.Contains(body, tc.text) || strings.Contains(body, "function.ts") || !strings.Contains(body, `"requestId":"`) {
			t.Errorf("%s: the caller gets %d %s", tc.handler, status, body)
		}
		var said string
		eventually(t, tc.handler+" is in the log", func() bool {
			said = s.must("functions", "logs", "stacks")
			return strings.Contains(said, tc.text)
		})
		_, stack, _ := strings.Cut(said, tc.text)
		for _, frame := range tc.frames {
			if !strings.Contains(stack, frame) {
				t.Errorf("%s: %q is not in its stack:\n%s", tc.handler, frame, stack)
			}
		}
	}
	if said := s.must("functions", "logs", "stacks"); strings.Contains(said, s.data) || strings.Contains(said, "worker.mjs") {
		t.Errorf("the log names files of the server:\n%s", said)
	}
}

// A handler that does not answer has one limit, and the error says which.
func TestWrong_TimeoutIsSaid(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.must("functions", "deploy", func() string {
		dir := filepath.Join(t.TempDir(), "slow")
		s.files(dir, map[string]string{
			"postern.json": `{"name":"slow","runtime":"node","handlers":{"own":{"timeout":"300ms"}}}`,
			"function.ts":  "export const auth: string[] = [];\nexport const own = () => new Promise(() => {});\nexport const set = own;\nexport const ok = () => 'ok';\n"})
		return dir
	}())
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.start("--timeout", "600ms")
	for handler, want := range map[string]string{"own": "300ms", "set": "600ms"} {
		status, body := call(t, http.DefaultClient, "GET", s.gateway+"/fn/slow/"+handler, "", "", "")
		if status != 504 || !strings.Contains(body, "within "+want+", its timeout") || !strings.Contains(body, `"code":"timeout"`) {
			t.Errorf("%s: %d %s", handler, status, body)
		}
		if status, body := call(t, http.DefaultClient, "GET", s.gateway+"/fn/slow/ok", "", "", ""); status != 200 || body != "ok" {
			t.Errorf("beside it: %d %s", status, body)
		}
	}
	if said := s.must("config", "show"); os.Getenv("POSTERN_TIMEOUT") == "" && !strings.Contains(strings.Join(strings.Fields(said), " "), "timeout 30s") {
		t.Errorf("the preset is not 30 s: %s", said)
	}
}
