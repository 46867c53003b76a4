package bundle_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
)

const handler = "export const a = () => 1;\n"

// names are those in an artefact, but for its sources.
func names(t *testing.T, archive []byte) (out []string) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if !strings.HasPrefix(f.Name, bundle.SourceDir) {
			out = append(out, f.Name)
		}
	}
	return out
}

// What lies in public/ and assets/ is in the artefact as it is; what is hidden
// there is not, and is told of.
func TestBuild_TakesStaticFiles(t *testing.T) {
	t.Parallel()
	a, err := bundle.Build(t.Context(), project(t, map[string]string{
		"postern.json": manifest, "function.ts": handler, "notes.txt": "stray", ".env": "SECRET=do-not-ship", "public/index.html": "<p>hello", "public/img/ü b.png": "\x89PNG",
		"public/.well-known/security.txt": "Contact: x", "assets/menu.json": "{}", "public/.env": "SECRET=do-not-ship", "public/img/.DS_Store": "junk", "assets/.git/config": "junk", "public/a/.well-known/x": "junk",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"assets/menu.json", "manifest.json", "public/.well-known/security.txt", "public/img/ü b.png", "public/index.html", "worker.mjs", "worker.mjs.map"}
	if got := names(t, a.Archive); !slices.Equal(got, want) {
		t.Errorf("the artefact has %q", got)
	}
	if got := unpack(t, a.Archive, "public/img/ü b.png"); got != "\x89PNG" {
		t.Errorf("the file is %q", got)
	}
	if all := strings.Join(a.Warnings, "\n"); !strings.Contains(all, `"public/.env"`) || !strings.Contains(all, `"assets/.git"`) || !strings.Contains(all, `"public/a/.well-known"`) {
		t.Errorf("warnings: %q", all)
	}
	opened, err := bundle.Open(a.Archive)
	if err != nil {
		t.Fatal(err)
	}
	var served []string
	for _, f := range opened.Manifest().Files {
		served = append(served, f.Name)
		if f.Size == 0 || len(f.Hash) != 64 {
			t.Errorf("%s is recorded as %+v", f.Name, f.File)
		}
	}
	if !slices.Equal(served, want[2:5]) {
		t.Errorf("served are %q", served)
	}
	dir := filepath.Join(t.TempDir(), "x")
	if err := opened.Extract(dir); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "public", "img", "ü b.png")); err != nil || string(text) != "\x89PNG" {
		t.Errorf("extracted: %q, %v", text, err)
	}
}

// A project whose static files are more than plain files does not build.
func TestBuild_RefusesStaticFiles(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, want string
		spoil      func(dir string) error
	}{
		{"a link to a file", `"public/x" is a symbolic link`, func(dir string) error { return os.Symlink("/etc/passwd", dir+"/public/x") }},
		{"a link inside", `"public/x" is a symbolic link`, func(dir string) error { return os.Symlink("a.txt", dir+"/public/x") }},
		{"a link to a directory", `"public/x" is a symbolic link`, func(dir string) error { return os.Symlink("/etc", dir+"/public/x") }},
		{"a link in assets", `"assets/x" is a symbolic link`, func(dir string) error { return os.Symlink("../.env", dir+"/assets/x") }},
		{"a link that is public", `"public" is no directory`, func(dir string) error {
			os.RemoveAll(dir + "/public")
			return os.Symlink("/etc", dir+"/public")
		}},
		{"a file that is assets", `"assets" is no directory`, func(dir string) error {
			os.RemoveAll(dir + "/assets")
			return os.WriteFile(dir+"/assets", nil, 0o600)
		}},
		{"a named pipe", `"public/x" is a named pipe`, func(dir string) error { return syscall.Mkfifo(dir+"/public/x", 0o600) }},
		{"a socket", `"public/x" is a socket`, func(dir string) error {
			_, err := net.Listen("unix", dir+"/public/x")
			return err
		}},
		{"a name with a newline", "cannot stand in a name", func(dir string) error { return os.WriteFile(dir+"/public/a\nb", nil, 0o600) }},
		{"a name with an escape", "cannot stand in a name", func(dir string) error { return os.WriteFile(dir+"/public/a\x1b[2Jb", nil, 0o600) }},
		{"a name with a backslash", "cannot stand in a name", func(dir string) error { return os.WriteFile(dir+`/public/a\b`, nil, 0o600) }},
		{"a name that reads backwards", "cannot stand in a name", func(dir string) error { return os.WriteFile(dir+"/public/a\u202egnp.exe", nil, 0o600) }},
		{"a name that is no UTF-8", "not in UTF-8", func(dir string) error { return os.WriteFile(dir+"/public/\xff", nil, 0o600) }},
		{"a name in pieces", "in two pieces", func(dir string) error { return os.WriteFile(dir+"/public/e\u0301.txt", nil, 0o600) }},
		{"two names that differ in case", "are one name", func(dir string) error { return os.WriteFile(dir+"/public/A.TXT", nil, 0o600) }},
		{"two directories that do", "are one name", func(dir string) error {
			os.MkdirAll(dir+"/public/Img", 0o700)
			os.MkdirAll(dir+"/public/img", 0o700)
			os.WriteFile(dir+"/public/Img/a", nil, 0o600)
			return os.WriteFile(dir+"/public/img/b", nil, 0o600)
		}},
		{"a name that ends with a dot", "ends with a dot", func(dir string) error { return os.WriteFile(dir+"/public/a.", nil, 0o600) }},
		{"a file that cannot be read", "cannot be deployed", func(dir string) error { return os.Mkdir(dir+"/public/locked", 0o000) }},
		{"too many", "more than 496 files", func(dir string) (err error) {
			for i := range 498 {
				err = errors.Join(err, os.WriteFile(filepath.Join(dir, "assets", strings.Repeat("x", i%90+1)+string(rune('a'+i/90))), nil, 0o600))
			}
			return err
		}},
		{"too much", "The largest file is public/film.mp4 with 20.0 MiB", func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/public/small.bin", make([]byte, 6<<20), 0o600), os.WriteFile(dir+"/public/film.mp4", make([]byte, 20<<20), 0o600))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.name == "a file that cannot be read" && os.Getuid() == 0 {
				return // whom nothing keeps out
			}
			dir := project(t, map[string]string{"postern.json": manifest, "function.ts": handler, "public/a.txt": "a", "assets/a.txt": "a"})
			if err := tc.spoil(dir); err != nil {
				t.Fatal(err)
			}
			_, err := bundle.Build(t.Context(), dir)
			if e, ok := errors.AsType[*fault.Error](err); !ok || e.Code != "bundle_failed" || !strings.Contains(e.Text, tc.want) {
				t.Errorf("err = %v, want %q", err, tc.want)
			}
		})
	}
}

// An artefact with names that Build does not write is none.
func TestOpen_RefusesNames(t *testing.T) {
	t.Parallel()
	long := "public/" + strings.Repeat("x", 256)
	for _, bad := range [][]string{
		{"public/../worker.mjs"}, {"public/../../x"}, {"public/./x"}, {"public//x"}, {"/public/x"}, {"public/x/"}, {"public"}, {"public/"}, {"../public/x"}, {"x"}, {"Public/x"}, {"node_modules/x"}, {"publicx/y"},
		{`public\x`}, {`public/..\x`}, {"public/a\nb"}, {"public/a\x00b"}, {"public/\xff"}, {"public/.env"}, {"public/.git/config"}, {"public/a/.well-known/b"}, {"assets/.htaccess"}, {"public/..;/x"}, {"public/...", "public/a"},
		{"public/a ", "public/b"}, {"public/ a"}, {"public/a."}, {"public/a./b"}, {long}, {"public/" + strings.Repeat("x/", 260) + "y"}, {"C:/public/x"}, {"public/\u202ex"}, {"public/e\u0301"}, {"public/\u200bx"},
		{"public/a", "public/A"}, {"public/a", "public/a/b"}, {"public/a/b", "public/a"}, {"public/K", "public/\u212a"}, {"public/É", "public/é"}, {"assets/d/a", "assets/D/b"}, {"public/a", "public/a"},
	} {
		files := map[string]string{}
		var buf bytes.Buffer
		z := zip.NewWriter(&buf)
		for _, name := range append([]string{"manifest.json", "worker.mjs"}, bad...) {
			w, err := z.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			if name == "manifest.json" {
				w.Write([]byte(`{"name":"f","runtime":"node","source":"postern.json"}`))
			}
			files[name] = ""
		}
		z.Close()
		a, err := bundle.Open(buf.Bytes())
		if e, ok := errors.AsType[*fault.Error](err); !ok || e.Code != "artefact_invalid" {
			t.Errorf("%q: %v, %v", bad, a, err)
		}
	}
	if _, err := fs.Stat(os.DirFS("."), "public"); err == nil {
		t.Error("something was written here")
	}
}
