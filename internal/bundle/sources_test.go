package bundle_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
)

// listing is what is in a zip file, by name.
func listing(t *testing.T, data []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range z.File {
		text, err := fs.ReadFile(z, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name] = string(text)
	}
	return out
}

func sourcesOf(t *testing.T, archive []byte, extra map[string][]byte) map[string]string {
	t.Helper()
	a, err := bundle.Open(archive)
	if err == nil {
		err = a.CheckSources()
	}
	if err != nil {
		t.Fatal(err)
	}
	zip, err := a.Sources(extra)
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.Sources(extra)
	if err != nil || !bytes.Equal(zip, again) {
		t.Error("the same sources give another file", err)
	}
	return listing(t, zip)
}

func keys(m map[string]string) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// The project comes back as it is, but for what is secret, what is not the
// developer's work, and what the manifest leaves out; and no worker sees it.
func TestSources(t *testing.T) {
	t.Parallel()
	a, err := bundle.Build(t.Context(), project(t, map[string]string{
		"postern.json": `{"name":"f","runtime":"node","exclude":["docs","*.psd","public/film.mp4"]}`, "function.ts": handler, "lib/math.ts": "export {};\n", "README.md": "# f\n", "package.json": "{}",
		"public/index.html": "<p>", "public/film.mp4": "long", "assets/menu.json": "{}", "docs/a.md": "x", "lib/docs/b.md": "x", "art.psd": "x",
		".env": "S=do-not-ship", ".env.local": "S=do-not-ship", "lib/.env": "S=do-not-ship", ".git/config": "x", ".gitignore": "x", ".vscode/launch.json": "x", "node_modules/p/index.js": "x", "lib/node_modules/p/index.js": "x",
		"storage/blob": "do-not-ship", "data/f.db": "do-not-ship", "function.db": "do-not-ship", "function.db-wal": "do-not-ship", "certs/tls.key": "do-not-ship", "tls.PEM": "do-not-ship", "lib/data/table.json": "[]",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(a.Archive, []byte("do-not-ship")) {
		t.Error("a secret is in the artefact")
	}
	got := sourcesOf(t, a.Archive, map[string][]byte{".env": []byte("S=\n")})
	want := []string{".env", "README.md", "assets/menu.json", "function.ts", "lib/data/table.json", "lib/math.ts", "package.json", "postern.json", "public/index.html"}
	if !slices.Equal(keys(got), want) || got["README.md"] != "# f\n" || got["public/index.html"] != "<p>" || got[".env"] != "S=\n" {
		t.Errorf("%q", got)
	}
	if all := strings.Join(a.Warnings, "\n"); !strings.Contains(all, `"certs/tls.key" (a private key, by its name)`) || !strings.Contains(all, `"tls.PEM"`) || strings.Contains(all, ".env") {
		t.Errorf("%q", a.Warnings)
	}
	if got := names(t, a.Archive); !slices.Equal(got, []string{"assets/menu.json", "manifest.json", "public/index.html", "worker.mjs", "worker.mjs.map"}) {
		t.Errorf("beside the sources: %q", got)
	}
	opened, err := bundle.Open(a.Archive)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "x")
	if err := opened.Extract(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "source")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the worker sees the sources: %v", err)
	}
	// An older artefact says that it has none.
	var old bytes.Buffer
	z := zip.NewWriter(&old)
	for name, text := range map[string]string{"manifest.json": `{"name":"f","runtime":"node","source":"postern.json"}`, "worker.mjs": "x", "public/a": "a"} {
		w, _ := z.Create(name)
		io.WriteString(w, text)
	}
	z.Close()
	if opened, err = bundle.Open(old.Bytes()); err != nil {
		t.Fatal(err)
	}
	if _, err := opened.Sources(nil); !errors.Is(err, bundle.ErrNoSources) {
		t.Error(err)
	}
}

// Of a program the sources are what its files are not.
func TestSources_Program(t *testing.T) {
	t.Parallel()
	files := map[string]string{"postern.json": `{"name":"p","runtime":"http","command":["python3","app.py"],"include":["app.py","lib"]}`, "app.py": "pass", "lib/a.py": "pass", "lib/__pycache__/a.pyc": "x",
		"test_app.py": "pass", "public/x.txt": "x", ".env": "S=do-not-ship"}
	a, err := bundle.Build(t.Context(), project(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if got := keys(sourcesOf(t, a.Archive, nil)); !slices.Equal(got, []string{"app.py", "lib/a.py", "postern.json", "public/x.txt", "test_app.py"}) {
		t.Errorf("%q", got)
	}
	files["p.csproj"], files["bin/Debug/p.dll"], files["obj/x"] = "<Project/>", "x", "x"
	if a, err = bundle.Build(t.Context(), project(t, files)); err != nil {
		t.Fatal(err)
	}
	if got := keys(sourcesOf(t, a.Archive, nil)); slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "bin/") || strings.HasPrefix(s, "obj/") }) {
		t.Errorf("%q", got)
	}
}

// The limits are those of the whole project, to the last file and byte; what is
// told is where the most lies, and what to write about it.
func TestSources_Limits(t *testing.T) {
	t.Parallel()
	size := func(dir string, more int) (err error) {
		have := len(manifest) + len(handler)
		return os.WriteFile(filepath.Join(dir, "film.mp4"), make([]byte, bundle.MaxBytes-have+more), 0o600)
	}
	count := func(n int) func(dir string) error {
		return func(dir string) (err error) {
			os.MkdirAll(filepath.Join(dir, "fixtures", "a"), 0o700)
			for i := range n - 2 {
				err = errors.Join(err, os.WriteFile(filepath.Join(dir, "fixtures", "a", fmt.Sprint(i)), nil, 0o600))
			}
			return err
		}
	}
	for _, tc := range []struct {
		name, want, hint string
		fill             func(dir string) error
	}{
		{"25 MiB", "", "", func(dir string) error { return size(dir, 0) }},
		{"25 MiB and a byte", "the project has 25.1 MiB; at most 25 MiB can be deployed. The largest files are film.mp4 (25.0 MiB)", `"exclude": ["film.mp4"]`, func(dir string) error { return size(dir, 1) }},
		{"500 files", "", "", count(500)},
		{"501 files", "the project has 501 files; at most 500 can be deployed. Most are in fixtures/ (499), ./ (2)", `"exclude": ["fixtures"]`, count(501)},
		{"a home directory", "more than 20000 files", "the function's own directory", func(dir string) (err error) {
			for i := range 200 {
				os.Mkdir(fmt.Sprint(dir, "/", i), 0o700)
				for j := range 101 {
					err = errors.Join(err, os.WriteFile(fmt.Sprint(dir, "/", i, "/", j), nil, 0o600))
				}
			}
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := project(t, map[string]string{"postern.json": manifest, "function.ts": handler})
			if err := tc.fill(dir); err != nil {
				t.Fatal(err)
			}
			a, err := bundle.Build(t.Context(), dir)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				sourcesOf(t, a.Archive, nil)
				return
			}
			e, ok := errors.AsType[*fault.Error](err)
			if !ok || e.Code != "sources_too_large" || !strings.Contains(e.Text, tc.want) || !strings.Contains(e.Hint, tc.hint) {
				t.Errorf("%v, hint %s", err, e.Hint)
			}
		})
	}
}

// What is no plain file is left at home, and said.
func TestSources_LinksStay(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"postern.json": manifest, "function.ts": handler, "lib/a.ts": ""})
	for link, to := range map[string]string{"passwd": "/etc/passwd", "up": "..", "lib/own": "a.ts"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	a, err := bundle.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := keys(sourcesOf(t, a.Archive, nil)); !slices.Equal(got, []string{"function.ts", "lib/a.ts", "postern.json"}) || !strings.Contains(strings.Join(a.Warnings, ""), `"lib/own" (a symbolic link)`) {
		t.Errorf("%q, %q", got, a.Warnings)
	}
}

// Sources that Build does not write are none, whoever made the archive.
func TestOpen_RefusesSources(t *testing.T) {
	t.Parallel()
	make := func(change func(z *zip.Writer)) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for name, text := range map[string]string{"manifest.json": `{"name":"f","runtime":"node","source":"postern.json"}`, "worker.mjs": "x"} {
			w, _ := z.Create(name)
			io.WriteString(w, text)
		}
		change(z)
		z.Close()
		return b.Bytes()
	}
	file := func(name string, mode fs.FileMode, size int) func(*zip.Writer) {
		return func(z *zip.Writer) {
			h := &zip.FileHeader{Name: name, Method: zip.Deflate}
			h.SetMode(mode)
			w, _ := z.CreateHeader(h)
			w.Write(bytes.Repeat([]byte{'a'}, size))
		}
	}
	all := func(fs ...func(*zip.Writer)) func(*zip.Writer) {
		return func(z *zip.Writer) {
			for _, f := range fs {
				f(z)
			}
		}
	}
	many := func(z *zip.Writer) {
		for i := range 501 {
			file(fmt.Sprint("source/", i), 0o644, 0)(z)
		}
	}
	for name, data := range map[string][]byte{
		"zip slip":        make(file("source/../../etc/cron.d/x", 0o644, 1)),
		"slip inside":     make(file("source/../worker.mjs", 0o644, 1)),
		"absolute":        make(file("source//etc/x", 0o644, 1)),
		"a drive":         make(file(`source/C:\x`, 0o644, 1)),
		"a link":          make(file("source/x", fs.ModeSymlink|0o777, 11)),
		"a directory":     make(file("source/x", fs.ModeDir|0o777, 0)),
		"hidden":          make(file("source/.env", 0o644, 1)),
		"hidden below":    make(file("source/.git/hooks/pre-commit", 0o755, 1)),
		"twice":           make(all(file("source/x", 0o644, 1), file("source/x", 0o644, 1))),
		"twice by case":   make(all(file("source/x", 0o644, 1), file("source/X", 0o644, 1))),
		"file and folder": make(all(file("source/x", 0o644, 1), file("source/x/y", 0o644, 1))),
		"the prefix":      make(file("source/", 0o644, 0)),
		"a bomb":          make(file("source/x", 0o644, bundle.MaxBytes+1)),
		"two halves":      make(all(file("source/x", 0o644, bundle.MaxBytes/2+1), file("source/y", 0o644, bundle.MaxBytes/2+1))),
		"501 files":       make(many),
	} {
		a, err := bundle.Open(data)
		if err == nil {
			err = a.CheckSources()
		}
		if e, ok := errors.AsType[*fault.Error](err); !ok || e.Code != "artefact_invalid" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
