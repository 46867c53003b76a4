package bundle_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/examples"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
)

// project writes files into a new directory.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const manifest = `{"name":"f","runtime":"node"}`

var richProject = map[string]string{
	"postern.json":                      manifest,
	"function.ts":                       "import { ok } from '@postern/functions';\nimport { twice } from './lib/math.js';\nimport pad from 'pad-cjs';\nimport { readFileSync } from 'node:fs';\nexport const calc = () => ok({ n: twice(2), p: pad('x'), f: typeof readFileSync });\n",
	"lib/math.ts":                       "export const twice = (n: number): number => n * 2;\n",
	".env":                              "TOP_SECRET=do-not-ship\n",
	"node_modules/pad-cjs/package.json": `{"name":"pad-cjs","version":"1.0.0","main":"index.js"}`,
	"node_modules/pad-cjs/index.js":     "const path = require('path'); module.exports = (s) => path.join(s, 'y');\n",
}

func TestBuild_FindsFilesByEachName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"./lib/math.ts", "./lib/math.js", "./lib/math"} {
		b, err := bundle.Build(t.Context(), project(t, map[string]string{
			"postern.json": manifest,
			"function.ts":  "import { twice } from '" + name + "';\nexport const a = () => twice('x');\n",
			"lib/math.ts":  "export const twice = (s: string): string => [s, 'of the other file', s].join();\n",
		}))
		if err != nil || !strings.Contains(unpack(t, b.Archive, "worker.mjs"), "of the other file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBuild_SameInputSameHash(t *testing.T) {
	t.Parallel()
	a, err := bundle.Build(t.Context(), project(t, richProject))
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Build(t.Context(), project(t, richProject))
	if err != nil {
		t.Fatal(err)
	}
	if a.Hash != b.Hash || !bytes.Equal(a.Archive, b.Archive) || len(a.Hash) != 64 {
		t.Error("the same project in another directory gives another artefact")
	}
	if bytes.Contains(a.Archive, []byte("do-not-ship")) || strings.Contains(unpack(t, a.Archive, "worker.mjs"), "do-not-ship") {
		t.Error(".env got into the artefact")
	}
	changed := map[string]string{"lib/math.ts": "export const twice = (n: number): number => n + n;\n"}
	for k, v := range richProject {
		if changed[k] == "" {
			changed[k] = v
		}
	}
	if c, err := bundle.Build(t.Context(), project(t, changed)); err != nil || c.Hash == a.Hash {
		t.Errorf("another source gives the same hash (%v)", err)
	}
	if strings.Contains(unpack(t, a.Archive, "worker.mjs.map"), os.TempDir()) {
		t.Error("the source map names a directory of this machine")
	}
}

func unpack(t *testing.T, archive []byte, name string) string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	data, err := fs.ReadFile(z, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestBuild_Examples(t *testing.T) {
	t.Parallel()
	entries, err := examples.Files.ReadDir(".")
	if err != nil || len(entries) < 3 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		sub, err := fs.Sub(examples.Files, e.Name())
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.CopyFS(dir, sub); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "package.json")); err == nil { // its packages are where the tests install them
			installed, err := filepath.Abs(filepath.Join("../../examples", e.Name(), "node_modules"))
			if err == nil {
				err = os.Symlink(installed, filepath.Join(dir, "node_modules"))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		a, err := bundle.Build(t.Context(), dir)
		if err != nil || a.Manifest.Name != e.Name() || len(a.Warnings) != 0 {
			t.Errorf("%s: %v, %+v", e.Name(), err, a)
		}
	}
}

func TestBuild_CarriesOnlyTheBuildersThatAreUsed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		source                 string
		svaml, menus, commands bool
	}{
		"none":       {"import { ok } from '@postern/functions'; export const status = () => ok();", false, false, false},
		"a builder":  {"import { createIceBuilder } from '@postern/functions'; export default { ice: () => createIceBuilder().hangup().build() };", true, false, false},
		"a template": {"import { MenuTemplates } from '@sinch/functions-runtime'; export default { ice: () => MenuTemplates.yesNo('?') };", false, true, false},
		"commands":   {"import { onCall } from '@postern/functions/voice'; export const voiceWebhook = onCall({ incoming: (call, b) => b.answer() });", false, false, true},
		"their name": {"import { onCall } from '@sinch/functions-runtime/voice'; export const voiceWebhook = onCall({});", false, false, true},
		"v2":         {"import { commands } from '@sinch/functions-runtime/voice/v2'; export const f = () => commands().build();", false, false, true},
		"ours, v2":   {"import { commands } from '@postern/functions/voice/v2'; export const f = () => commands().build();", false, false, true},
		"the root":   {"import { onCall } from '@sinch/functions-runtime'; export const voiceWebhook = onCall({});", false, false, true},
	} {
		a, err := bundle.Build(t.Context(), project(t, map[string]string{"postern.json": manifest, "function.ts": tc.source}))
		if err != nil || len(a.Warnings) != 0 {
			t.Fatalf("%s: %v, %+v", name, err, a)
		}
		js := unpack(t, a.Archive, "worker.mjs")
		svaml, menus, commands := strings.Contains(js, "does not take"), strings.Contains(js, "outside of our opening hours"), strings.Contains(js, "cannot follow hangup")
		if svaml != tc.svaml || menus != tc.menus || commands != tc.commands {
			t.Errorf("%s: the bundle has SVAML %t, menus %t, commands %t", name, svaml, menus, commands)
		}
	}
}

func TestBuild_Refuses(t *testing.T) {
	t.Parallel()
	outside := project(t, map[string]string{"shared.ts": "export const x = 1"})
	for name, tc := range map[string]struct {
		files map[string]string
		code  string
		text  string
		hint  string
	}{
		"no manifest":     {map[string]string{"function.ts": ""}, "manifest_missing", "postern.json", "postern functions init"},
		"bad manifest":    {map[string]string{"postern.json": "{\n \"nam\": 1}", "function.ts": ""}, "manifest_invalid", "postern.json:2:2", `"name"`},
		"no function.ts":  {map[string]string{"postern.json": manifest}, "entry_missing", "function.ts", "init"},
		"syntax error":    {map[string]string{"postern.json": manifest, "function.ts": "export const a = 1;\nexport function b( {\n"}, "bundle_failed", "function.ts:", "correct the code"},
		"missing package": {map[string]string{"postern.json": manifest, "function.ts": "import x from '@scope/left-pad/deep';\nexport const a = () => x;"}, "bundle_failed", "function.ts:1:15", "npm install @scope/left-pad"},
		"missing two":     {map[string]string{"postern.json": manifest, "function.ts": "import './gone.js';\nimport 'one';\nimport 'one/sub';\nimport 'two';"}, "bundle_failed", "function.ts:4:8", "npm install one two"},
		"missing file":    {map[string]string{"postern.json": manifest, "function.ts": "import x from './gone.js';\nexport const a = () => x;"}, "bundle_failed", "function.ts:1:15", "correct"},
		"style sheet":     {map[string]string{"postern.json": manifest, "function.ts": "import './a.css';", "a.css": "a{}"}, "bundle_failed", "function.ts:1:8", ""},
		"from the web":    {map[string]string{"postern.json": manifest, "function.ts": "import x from 'https://example.org/x.js';\nexport const a = () => x;"}, "bundle_failed", "is on the web", ""},
		"own subpath":     {map[string]string{"postern.json": manifest, "function.ts": "import x from '#lib';\nexport const a = () => x;"}, "bundle_failed", "function.ts:1:15", "correct the code"},
		"directory":       {map[string]string{"postern.json": manifest, "function.ts/x": ""}, "entry_missing", "no regular file", "init"},
		"bad tsconfig":    {map[string]string{"postern.json": manifest, "function.ts": "", "tsconfig.json": "{ nope"}, "bundle_failed", "tsconfig.json:1:3", ""},
		"our insides":     {map[string]string{"postern.json": manifest, "function.ts": "import 'postern:runtime/main';"}, "bundle_failed", "not for functions", ""},
		"unknown subpath": {map[string]string{"postern.json": manifest, "function.ts": "import '@sinch/functions-runtime/casino';"}, "bundle_failed", "not part of this version", ""},
		"missing export":  {map[string]string{"postern.json": manifest, "function.ts": "import { realtimeAgent } from '@sinch/functions-runtime/voice';\nexport const a = () => realtimeAgent();"}, "bundle_failed", `in "@sinch/functions-runtime/voice" for import "realtimeAgent"`, ""},
		"misspelt export": {map[string]string{"postern.json": manifest, "function.ts": "import {\n  notFond\n} from '@postern/functions';\nexport const a = () => notFond();"}, "bundle_failed", `function.ts:2:3: No matching export in "@postern/functions" for import "notFond"`, `"notFound"`},
		"outside":         {map[string]string{"postern.json": manifest, "function.ts": "import '" + outside + "/shared.ts';"}, "bundle_failed", "leads out of the project", ""},
	} {
		_, err := bundle.Build(t.Context(), project(t, tc.files))
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != fault.Invalid || f.Code != tc.code || !strings.Contains(f.Text, tc.text) || !strings.Contains(f.Hint, tc.hint) {
			t.Errorf("%s: err = %#v", name, err)
		}
	}
}

func TestOpen_Refuses(t *testing.T) {
	t.Parallel()
	good := map[string]string{"manifest.json": `{"name":"f","runtime":"node","source":"postern.json"}`, "worker.mjs": "x"}
	make := func(change func(z *zip.Writer), files map[string]string) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for n, text := range files {
			w, err := z.Create(n)
			if err != nil {
				t.Fatal(err)
			}
			w.Write([]byte(text))
		}
		if change != nil {
			change(z)
		}
		z.Close()
		return b.Bytes()
	}
	add := func(name string, mode fs.FileMode, size int) func(*zip.Writer) {
		return func(z *zip.Writer) {
			h := &zip.FileHeader{Name: name, Method: zip.Deflate}
			h.SetMode(mode)
			w, err := z.CreateHeader(h)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(bytes.Repeat([]byte{'a'}, size))
		}
	}
	if _, err := bundle.Open(make(nil, good)); err != nil {
		t.Fatal("a good artefact is refused: ", err)
	}
	many := map[string]string{}
	for i := range 501 {
		many[strings.Repeat("a", i+1)] = ""
	}
	for name, archive := range map[string][]byte{
		"no zip":         []byte("PK nothing"),
		"empty":          nil,
		"a script too":   append([]byte("#!/bin/sh\n"), make(nil, good)...),
		"zip slip":       make(add("../../etc/cron.d/x", 0o644, 1), good),
		"absolute":       make(add("/etc/passwd", 0o644, 1), good),
		"other file":     make(add(".env", 0o644, 1), good),
		"twice":          make(add("worker.mjs", 0o644, 1), good),
		"symlink":        make(add("worker.mjs.map", fs.ModeSymlink|0o777, 11), good),
		"directory":      make(add("worker.mjs.map", fs.ModeDir|0o777, 0), good),
		"bomb":           make(add("worker.mjs.map", 0o644, bundle.MaxBytes), good),
		"501 files":      make(nil, many),
		"no entry":       make(nil, map[string]string{"manifest.json": good["manifest.json"]}),
		"no manifest":    make(nil, map[string]string{"worker.mjs": "x"}),
		"wrong manifest": make(nil, map[string]string{"worker.mjs": "x", "manifest.json": `{"name":"../x"}`}),
	} {
		if _, err := bundle.Open(archive); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: err = %v", name, err)
		}
	}
}

func TestExtract_IsReadOnlyAndRepeatable(t *testing.T) {
	t.Parallel()
	built, err := bundle.Build(t.Context(), project(t, richProject))
	if err != nil {
		t.Fatal(err)
	}
	a, err := bundle.Open(built.Archive)
	if err != nil {
		t.Fatal(err)
	}
	if a.Manifest().Name != "f" {
		t.Error("the manifest differs")
	}
	dir := filepath.Join(t.TempDir(), built.Hash)
	for range 2 {
		if err := a.Extract(dir); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, bundle.Entry))
	if err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("the entry: %v, %v", info, err)
	}
	if rest, _ := os.ReadDir(filepath.Dir(dir)); len(rest) != 1 {
		t.Errorf("left beside it: %v", rest)
	}
}

func TestBuild_NamesTheDirectoryThatIsNotThere(t *testing.T) {
	t.Parallel()
	_, err := bundle.Build(t.Context(), filepath.Join(t.TempDir(), "nowhere"))
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != "manifest_missing" || !strings.Contains(f.Text, "nowhere") || f.Hint == "" {
		t.Errorf("err = %#v", err)
	}
}

func TestBuild_RefusesLinksThatLeadOut(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(project(t, map[string]string{"x.ts": "export const x = 1"}), "x.ts")
	for link, want := range map[string]string{"function.ts": "no regular file", "lib.ts": "leads out of the project"} {
		files := map[string]string{"postern.json": manifest, "function.ts": "import { x } from './lib.js';\nexport const a = () => x;"}
		delete(files, link)
		dir := project(t, files)
		if err := os.Symlink(outside, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.Build(t.Context(), dir); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is a link: err = %v", link, err)
		}
	}
}

// What lies above a project changes nothing in its artefact.
func TestBuild_HeedsNoConfigurationAbove(t *testing.T) {
	t.Parallel()
	files := map[string]string{"p/postern.json": manifest, "p/function.ts": "class A { x = 1; y; }\nexport const a = () => new A();"}
	alone, err := bundle.Build(t.Context(), filepath.Join(project(t, files), "p"))
	if err != nil {
		t.Fatal(err)
	}
	files["tsconfig.json"] = `{"compilerOptions":{"useDefineForClassFields":false}}`
	below, err := bundle.Build(t.Context(), filepath.Join(project(t, files), "p"))
	if err != nil || below.Hash != alone.Hash {
		t.Errorf("a tsconfig.json above gives another artefact (%v)", err)
	}
	files["p/tsconfig.json"] = files["tsconfig.json"]
	if own, err := bundle.Build(t.Context(), filepath.Join(project(t, files), "p")); err != nil || own.Hash == alone.Hash {
		t.Errorf("the project's own tsconfig.json is not heeded (%v)", err)
	}
}

// The sizes that an archive gives for its files are claims of whoever made it.
func TestOpen_DoesNotTrustSizes(t *testing.T) {
	t.Parallel()
	var packed, out bytes.Buffer
	deflate, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for range bundle.MaxBytes>>20 + 1 {
		deflate.Write(make([]byte, 1<<20))
	}
	deflate.Close()
	z := zip.NewWriter(&out)
	w, err := z.CreateRaw(&zip.FileHeader{Name: "worker.mjs", Method: zip.Deflate, CompressedSize64: uint64(packed.Len()), UncompressedSize64: 10})
	if err != nil {
		t.Fatal(err)
	}
	w.Write(packed.Bytes())
	z.Close()
	if _, err := bundle.Open(out.Bytes()); fault.KindOf(err) != fault.Invalid {
		t.Errorf("err = %v", err)
	}
}

// Whatever is uploaded: a refusal, or exactly the files that Build writes.
func FuzzOpen(f *testing.F) {
	built, err := bundle.Build(f.Context(), "../../examples/protect")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(built.Archive)
	f.Add(built.Archive[:len(built.Archive)/2])
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := bundle.Open(data)
		if err != nil && fault.KindOf(err) != fault.Invalid {
			t.Fatalf("err = %v", err)
		}
		if err == nil && a.Manifest().Name == "" {
			t.Fatal("an artefact without a name is accepted")
		}
	})
}
