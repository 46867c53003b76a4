package deploy_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// site bundles and uploads a function with a file, and returns its hash.
func (w *world) site(name, text string) string {
	w.t.Helper()
	dir := w.t.TempDir()
	err := errors.Join(os.Mkdir(filepath.Join(dir, "public"), 0o700), os.Mkdir(filepath.Join(dir, "assets"), 0o700))
	for file, text := range map[string]string{"postern.json": `{"name":"` + name + `","runtime":"node"}`, "function.ts": "export const a = () => 1;", "public/x.txt": text, "assets/y.txt": "private"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, filepath.FromSlash(file)), []byte(text), 0o600))
	}
	a, more := bundle.Build(w.t.Context(), dir)
	if err = errors.Join(err, more); err == nil {
		err = w.blobs.Put(w.t.Context(), w.project, a.Hash, bytes.NewReader(a.Archive), bundle.MaxArchive)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return a.Hash
}

func read(t *testing.T, f *os.File, err error) string {
	t.Helper()
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// What a deploy records of files is what is in the artefact.
func TestDeploy_RecordsFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, err := w.d.Deploy(t.Context(), deploy.Request{ProjectID: w.project, Name: "f", Artefact: w.site("f", "hello")})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := w.db.Deployment(t.Context(), r.Deployment.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []platform.Deployment{r.Deployment, kept} {
		i := slices.IndexFunc(d.Handlers, func(h platform.Handler) bool { return h.Kind == platform.HandlerFile })
		if i < 0 || d.Handlers[i].Name != "public/x.txt" || d.Handlers[i].Guard != platform.GuardKey || d.Handlers[i].File.Size != 5 ||
			d.Handlers[i].File.Hash != "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" {
			t.Errorf("handlers %+v", d.Handlers)
		}
		if len(d.Handlers) != 2 {
			t.Errorf("what is in assets has an address: %+v", d.Handlers)
		}
	}
}

// A file is there without any worker, also on a node that never ran one, and
// nothing but the files of public/ is.
func TestOpenFile_WithoutAWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dep := platform.Deployment{ID: function.NewDeploymentID(time.Now()), ProjectID: w.project, Artefact: w.site("f", "hello")}
	elsewhere := deploy.New(deploy.Options{Artefacts: w.blobs, RunDir: t.TempDir()})
	for range 2 {
		f, err := elsewhere.OpenFile(t.Context(), dep, "public/x.txt")
		if got := read(t, f, err); got != "hello" {
			t.Errorf("the file is %q", got)
		}
	}
	for _, name := range []string{"worker.mjs", "manifest.json", "assets/y.txt", "public/../assets/y.txt", "public/../worker.mjs", "public/../../../p.db", "/etc/passwd", "public//etc/passwd", "", "public", "public/nothing"} {
		if f, err := elsewhere.OpenFile(t.Context(), dep, name); err == nil {
			t.Errorf("%q: %.50q", name, read(t, f, err))
		}
	}
	dep.ProjectID = "prj_b"
	if f, err := deploy.New(deploy.Options{Artefacts: w.blobs, RunDir: t.TempDir()}).OpenFile(t.Context(), dep, "public/x.txt"); err == nil {
		t.Errorf("another project's artefact: %q", read(t, f, err))
	}
}

// Two projects may deploy the very same files. Where one's workers run, and may
// write, the other's are not.
func TestOpenFile_ProjectsAreApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := platform.Deployment{ID: "dep_1", ProjectID: w.project, Artefact: w.site("f", "hello")}
	w.project = function.NewProjectID(time.Now())
	two := platform.Deployment{ID: "dep_2", ProjectID: w.project, Artefact: w.site("f", "hello")}
	if one.Artefact != two.Artefact {
		t.Fatal("the artefacts differ")
	}
	d := deploy.New(deploy.Options{Artefacts: w.blobs, RunDir: t.TempDir()})
	var lie []os.FileInfo
	for _, dep := range []platform.Deployment{one, two, one} {
		f, err := d.OpenFile(t.Context(), dep, "public/x.txt")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		lie = append(lie, info)
	}
	if os.SameFile(lie[0], lie[1]) || !os.SameFile(lie[0], lie[2]) {
		t.Error("a tree is that of two projects, or of one deployment there are two")
	}
	d.Gone("dep_1")
	if f, err := d.OpenFile(t.Context(), two, "public/x.txt"); read(t, f, err) != "hello" {
		t.Error("with the one project's tree the other's is gone")
	}
}

// A tree is removed with the last deployment that needs it; who reads a file of
// it reads on.
func TestGone_RemovesWhatNobodyNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := t.TempDir()
	d := deploy.New(deploy.Options{Artefacts: w.blobs, RunDir: run})
	shared, other := w.site("f", strings.Repeat("hello", 100_000)), w.site("f", "other")
	one, two := platform.Deployment{ID: "dep_1", ProjectID: w.project, Artefact: shared}, platform.Deployment{ID: "dep_2", ProjectID: w.project, Artefact: shared}
	three := platform.Deployment{ID: "dep_3", ProjectID: w.project, Artefact: other}
	var begun *os.File
	for _, dep := range []platform.Deployment{one, two, three} {
		f, err := d.OpenFile(t.Context(), dep, "public/x.txt")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if begun == nil {
			begun = f
		}
	}
	trees := func() (names []string) {
		list, _ := os.ReadDir(filepath.Join(run, "artefacts"))
		for _, e := range list {
			names = append(names, e.Name())
		}
		return names
	}
	compiled := filepath.Join(run, "compiled", shared+"."+w.project) // by Node
	if err := os.MkdirAll(filepath.Join(compiled, "v22"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.Gone("dep_9")
	d.Gone("dep_1")
	if _, err := os.Stat(compiled); len(trees()) != 2 || err != nil {
		t.Errorf("with one of two gone there are %v, and of what was compiled: %v", trees(), err)
	}
	d.Gone("dep_2")
	d.Gone("dep_2")
	if _, err := os.Stat(compiled); !slices.Equal(trees(), []string{other + "." + w.project}) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("with both gone there are %v, and of what was compiled: %v", trees(), err)
	}
	if got := read(t, begun, nil); len(got) != 500_000 {
		t.Errorf("who read it got %d bytes", len(got))
	}
	f, err := d.OpenFile(t.Context(), two, "public/x.txt") // it is deployed again
	if got := read(t, f, err); len(got) != 500_000 {
		t.Errorf("again: %.50q", got)
	}
}
