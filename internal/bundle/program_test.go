package bundle_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
)

const programManifest = `{"name":"p","runtime":"http","command":["./bin/server","-v"]}`

// The artefact of a program has the project's files, and nothing that keeps
// secrets; what is run is executable where it is unpacked, and nothing else is.
func TestBuild_Program(t *testing.T) {
	t.Parallel()
	files := map[string]string{"postern.json": programManifest, "bin/server": "#!/bin/sh\n", "templates/a.html": "<p>", "empty": "", "manifest.json": "its own", "public/x.txt": "x",
		".env": "TOP_SECRET=1", ".env.local": "TOP_SECRET=1", "config/.env": "TOP_SECRET=1", ".git/config": "x", ".ssh/id": "x", "node_modules/x/index.js": "x", "lib/__pycache__/a.pyc": "x", "lib/a.py": "x", "function.db": "x", "data/function.db-wal": "x"}
	make := func(manifest string) (dir string) {
		files["postern.json"] = manifest
		dir = project(t, files)
		if err := os.Chmod(filepath.Join(dir, "bin", "server"), 0o755); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for name, tc := range map[string]struct {
		fields string
		want   []string
	}{
		"all":           {"", []string{"manifest.json", "program/bin/server", "program/empty", "program/lib/a.py", "program/manifest.json", "program/public/x.txt", "program/templates/a.html"}},
		"what is named": {`,"include":["bin/*","templates/","node_modules","lib"]`, []string{"manifest.json", "program/bin/server", "program/lib/a.py", "program/node_modules/x/index.js", "program/templates/a.html"}},
		"by a pattern":  {`,"include":["*","bin"]`, []string{"manifest.json", "program/bin/server", "program/data/function.db-wal", "program/empty", "program/function.db", "program/lib/a.py", "program/manifest.json", "program/node_modules/x/index.js", "program/postern.json", "program/public/x.txt", "program/templates/a.html"}},
		"what is built": {`,"include":["bin","made"],"build":["cp","empty","made"]`, []string{"manifest.json", "program/bin/server", "program/made"}},
	} {
		manifest := strings.TrimSuffix(programManifest, "}") + tc.fields + "}"
		a, err := bundle.Build(t.Context(), make(manifest))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := names(t, a.Archive); !slices.Equal(got, tc.want) {
			t.Errorf("%s: the artefact has %q", name, got)
		}
		again, err := bundle.Build(t.Context(), make(manifest))
		if err != nil || again.Hash != a.Hash {
			t.Errorf("%s: the same project gives another hash, %v", name, err)
		}
		opened, err := bundle.Open(a.Archive)
		if err != nil {
			t.Fatal(err)
		}
		if m := opened.Manifest(); m.Program == nil || m.Program.Build != nil || m.Program.Include != nil || len(m.Files) > 0 {
			t.Errorf("%s: %+v", name, m)
		}
		dir := filepath.Join(t.TempDir(), "x")
		if err := opened.Extract(dir); err != nil {
			t.Fatal(err)
		}
		for file, mode := range map[string]os.FileMode{"bin/server": 0o500, tc.want[len(tc.want)-1][len("program/"):]: 0o400} {
			if info, err := os.Stat(filepath.Join(dir, bundle.ProgramDir, file)); err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s: %s is %v, %v", name, file, info.Mode(), err)
			}
		}
	}
}

func TestBuild_RefusesPrograms(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fields, want string
		spoil        func(dir string) error
	}{
		"a link":                     {want: "x is no regular file", spoil: func(dir string) error { return os.Symlink("/etc/passwd", dir+"/x") }},
		"a link to a directory":      {want: "x is no regular file", spoil: func(dir string) error { return os.Symlink("/etc", dir+"/x") }},
		"a link that is named":       {fields: `,"include":["x","server"]`, want: "x is no regular file", spoil: func(dir string) error { return os.Symlink("/etc/passwd", dir+"/x") }},
		"a file behind a link":       {fields: `,"include":["x/passwd","server"]`, want: "lies behind a link", spoil: func(dir string) error { return os.Symlink("/etc", dir+"/x") }},
		"a command that is a link":   {want: "server is no regular file", spoil: func(dir string) error { os.Remove(dir + "/server"); return os.Symlink("/bin/sh", dir+"/server") }},
		"a socket":                   {want: "x is no regular file", spoil: func(dir string) error { _, err := net.Listen("unix", dir+"/x"); return err }},
		"no command":                 {want: "not among the files", spoil: func(dir string) error { return os.Remove(dir + "/server") }},
		"a command that is left out": {fields: `,"include":["a.txt"]`, want: "not among the files"},
		"a command that is not one":  {want: "not executable", spoil: func(dir string) error { return os.Chmod(dir+"/server", 0o644) }},
		"include of nothing":         {fields: `,"include":["server","nothing"]`, want: `include names "nothing"`},
		"a build that fails":         {fields: `,"build":["sh","-c","echo it is broken; exit 3"]`, want: "the build failed (exit status 3)\nit is broken"},
		"a build that is not there":  {fields: `,"build":["no-such-compiler","x"]`, want: `"no-such-compiler" was not found on this machine`},
		"a name with an escape":      {want: "cannot stand in a name", spoil: func(dir string) error { return os.WriteFile(dir+"/a\x1b[2J", nil, 0o600) }},
		"too many files": {want: "more than 499 files", spoil: func(dir string) (err error) {
			for i := range 500 {
				err = errors.Join(err, os.WriteFile(filepath.Join(dir, strings.Repeat("x", i%100+1)+string(rune('a'+i/100))), nil, 0o600))
			}
			return err
		}},
		"too much": {want: "more than 25 MiB", spoil: func(dir string) error { return os.WriteFile(dir+"/film.mp4", make([]byte, 26<<20), 0o600) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := project(t, map[string]string{"postern.json": `{"name":"p","runtime":"http","command":["./server"]` + tc.fields + `}`, "server": "#!/bin/sh\n", "a.txt": "a"})
			err := os.Chmod(filepath.Join(dir, "server"), 0o755)
			if tc.spoil != nil {
				err = errors.Join(err, tc.spoil(dir))
			}
			if err != nil {
				t.Fatal(err)
			}
			a, err := bundle.Build(t.Context(), dir)
			if e, ok := errors.AsType[*fault.Error](err); !ok || !strings.Contains(e.Text, tc.want) || a != nil {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// An artefact of a program that Build would not have written is none.
func TestOpen_RefusesPrograms(t *testing.T) {
	t.Parallel()
	const manifest, module = `{"name":"p","runtime":"http","source":"postern.json","program":{"command":["./server"],"port":"tcp"}}`, `{"name":"f","runtime":"node","source":"postern.json"}`
	for name, files := range map[string]map[string]string{
		"right":                         {"manifest.json": manifest, "program/server": "x"},
		"without its command":           {"manifest.json": manifest, "program/serve": "x"},
		"with a module":                 {"manifest.json": manifest, "program/server": "x", "worker.mjs": "x"},
		"with files that are public":    {"manifest.json": manifest, "program/server": "x", "public/x": "x"},
		"a module with its files":       {"manifest.json": module, "worker.mjs": "x", "program/server": "x"},
		"a file above it":               {"manifest.json": manifest, "program/server": "x", "program/../x": "x"},
		"a file beside it":              {"manifest.json": manifest, "program/server": "x", "programs/x": "x"},
		"a file of secrets":             {"manifest.json": manifest, "program/server": "x", "program/.env": "x"},
		"a command that is a directory": {"manifest.json": manifest, "program/server/x": "x"},
		"a command elsewhere":           {"manifest.json": strings.Replace(manifest, "./server", "../manifest.json", 1), "program/server": "x"},
	} {
		var buf bytes.Buffer
		z := zip.NewWriter(&buf)
		for name, text := range files {
			w, err := z.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			w.Write([]byte(text))
		}
		z.Close()
		_, err := bundle.Open(buf.Bytes())
		if e, ok := errors.AsType[*fault.Error](err); (name == "right") != (err == nil) || err != nil && (!ok || e.Code != "artefact_invalid") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
