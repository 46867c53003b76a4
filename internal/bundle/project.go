package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/evanw/esbuild/pkg/api"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// Project is a function's project that is built again and again where it lies,
// for development. What did not change is not read twice. It is not safe for
// concurrent use.
type Project struct {
	dir     string
	shape   string           // what the options of context depend on
	context api.BuildContext // nil: none was made
	static  map[string][]byte
	left    []string // warnings of static
	read    readFiles
}

// Tree is a function as it was built, without an archive around it.
type Tree struct {
	Manifest function.Manifest
	// Files are those of an artefact, by name. Of a program there are none: it
	// runs where it lies.
	Files map[string][]byte
	Hash  string // of Files and Manifest
	// StaticHash is of the files of public/ and assets/.
	StaticHash string
	Warnings   []string
}

// OpenProject finds the project in dir. Nothing of it is read yet.
func OpenProject(dir string) (*Project, error) {
	root, err := findRoot(dir, "postern functions dev")
	if err != nil {
		return nil, err
	}
	return &Project{dir: root}, nil
}

// Dir is where the project lies, without links.
func (p *Project) Dir() string { return p.dir }

// Close lets go of what was read.
func (p *Project) Close() {
	if p.context != nil {
		p.context.Dispose()
		p.context = nil
	}
}

// Inputs lists the files that the last build has read, whether it succeeded or
// not, but for those of public/ and assets/. It is sorted.
func (p *Project) Inputs() []string { return p.read.list() }

// Build builds the project as it is now. static says that files of public/ or
// assets/ may be others than at the last build.
func (p *Project) Build(ctx context.Context, static bool) (*Tree, error) {
	p.read.reset()
	m, warnings, err := function.LoadManifest(p.dir)
	if err != nil {
		return nil, err
	}
	t := &Tree{Manifest: m, Files: map[string][]byte{}, Warnings: warnings}
	if m.Program != nil {
		files, err := program(ctx, p.dir, m)
		if err != nil {
			return nil, err
		}
		t.hash(files)
		return t, nil
	}
	if err := checkEntry(p.dir); err != nil {
		return nil, err
	}
	if static || p.static == nil {
		if p.static, p.left, err = collect(p.dir, m.Exclude); err != nil {
			p.static = nil
			return nil, err
		}
	}
	code, more, err := p.compile()
	if err != nil {
		return nil, err
	}
	maps.Copy(t.Files, p.static)
	maps.Copy(t.Files, code)
	t.Manifest.Files = publicFiles(t.Files)
	t.Warnings = slices.Concat(warnings, p.left, more)
	t.hash(t.Files)
	t.StaticHash = hashFiles(p.static)
	return t, p.fits(t)
}

// fits refuses in development what could not be deployed.
func (p *Project) fits(t *Tree) error {
	size, largest := 0, ""
	for name, data := range t.Files {
		if size += len(data); len(data) > len(t.Files[largest]) {
			largest = name
		}
	}
	if size > MaxBytes {
		return tooLarge("the bundle has", int64(size), largest, int64(len(t.Files[largest])))
	}
	return nil
}

// compile makes the module, with what an earlier build has left in memory.
func (p *Project) compile() (map[string][]byte, []string, error) {
	options := buildOptions(p.dir)
	options.Plugins = append([]api.Plugin{p.read.plugin()}, options.Plugins...)
	if shape := fmt.Sprint(options.Tsconfig, dependsOn(p.dir, sdk)); p.context == nil || shape != p.shape {
		p.Close()
		made, err := api.Context(options)
		if err != nil {
			return nil, nil, buildError(p.dir, err.Errors)
		}
		p.context, p.shape = made, shape
	}
	options.Plugins = options.Plugins[1:] // the SDK's files are not the developer's to change
	return compiledFiles(p.dir, options, p.context.Rebuild())
}

// hash makes the tree's hash.
func (t *Tree) hash(files map[string][]byte) {
	sum := sha256.Sum256([]byte(string(t.Manifest.Encode()) + hashFiles(files)))
	t.Hash = hex.EncodeToString(sum[:])
}

func hashFiles(files map[string][]byte) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s\x00%d\x00", name, len(files[name]))
		h.Write(files[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// publicFiles are the files of an artefact that are served.
func publicFiles(files map[string][]byte) (out []function.File) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasPrefix(name, function.PublicDir) {
			sum := sha256.Sum256(files[name])
			out = append(out, function.File{Name: name, File: platform.File{Size: int64(len(files[name])), Hash: hex.EncodeToString(sum[:])}})
		}
	}
	return out
}

// readFiles takes down what a build reads. esbuild asks from several goroutines.
type readFiles struct {
	mu    sync.Mutex
	paths map[string]bool // guarded by mu
}

func (r *readFiles) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths = map[string]bool{}
}

func (r *readFiles) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.paths))
}

func (r *readFiles) plugin() api.Plugin {
	return api.Plugin{Name: "read", Setup: func(b api.PluginBuild) {
		b.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: "file"}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.paths[a.Path] = true
			return api.OnLoadResult{}, nil // as the next one does it
		})
	}}
}

// findRoot is the project's directory without links; command is the one to
// type with the directory that a file is in.
func findRoot(dir, command string) (string, error) {
	root, err := filepath.Abs(dir)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, fmt.Sprintf("cannot find the directory %s", dir)).WithCode("manifest_missing").
			WithHint("name the function's directory, or make one: postern functions init")
	}
	if info, err := os.Stat(root); err == nil && !info.IsDir() {
		return "", fault.New(fault.Invalid, dir+" is no directory").WithCode("manifest_missing").
			WithHint("name the directory that it is in: " + command + " " + filepath.Dir(dir))
	}
	return root, nil
}

// checkEntry finds the module's file.
func checkEntry(dir string) error {
	if info, err := os.Lstat(filepath.Join(dir, "function.ts")); err != nil || !info.Mode().IsRegular() {
		text := " is missing"
		if err == nil {
			text = " is no regular file"
		}
		return fault.New(fault.Invalid, filepath.Join(dir, "function.ts")+text).WithCode("entry_missing").
			WithHint("put the handlers into function.ts, or make an example: postern functions init")
	}
	return nil
}
