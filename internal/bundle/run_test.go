package bundle_test

import (
	"io"
	"os/exec"
	"path/filepath"
	"testing"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/worker"
)

// What people write in TypeScript runs in Node as they meant it.
func TestBuild_RunsInNode(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("Node is needed: ", err)
	}
	dir := project(t, map[string]string{
		"postern.json": manifest,
		"d.json":       `{"n":3}`,
		"lib/late.ts":  "export const late = 'late';\n",
		"function.ts": `import { createRequire } from 'node:module';
import cjs from 'old-package';
import data from './d.json';
const require = createRequire(import.meta.url); // the idiom, beside the one of the bundle
const os = require('node:os');
enum Colour { Red = 7 }
const waited = await Promise.resolve('waited');
class Thing { name = 'thing'; }
export const all = async () => ({ eol: os.EOL, cjs: cjs('x'), json: data.n, enum: Colour.Red, waited,
  late: (await import('./lib/late.js')).late, class: new Thing().constructor.name, self: all.name });
`,
		"node_modules/old-package/package.json": `{"name":"old-package","main":"./lib/index.js"}`,
		"node_modules/old-package/lib/index.js": "const path = require('path'); const other = require('./other'); module.exports = (s) => path.posix.join(s, other);\n",
		"node_modules/old-package/lib/other.js": "exports = module.exports = 'y';\n",
	})
	built, err := bundle.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := bundle.Open(built.Archive)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := archive.Extract(out); err != nil {
		t.Fatal(err)
	}
	w, err := worker.Start(t.Context(), worker.Spec{Argv: []string{node, "--enable-source-maps", bundle.Entry}, Dir: out,
		Env: []string{"PATH=" + filepath.Dir(node)}, Log: func(worker.Line) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Kill("test over") })
	res, err := w.Do(t.Context(), &worker.Request{ID: "req_1", Method: "GET", Handler: "all", Path: "/all", ClientIP: "192.0.2.1", AuthMethod: "none", Host: "h"})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	body, err := io.ReadAll(res)
	const want = `{"eol":"\n","cjs":"x/y","json":3,"enum":7,"waited":"waited","late":"late","class":"Thing","self":"all"}`
	if err != nil || res.Status != 200 || string(body) != want {
		t.Errorf("%d %s, %v; want %s", res.Status, body, err, want)
	}
}
