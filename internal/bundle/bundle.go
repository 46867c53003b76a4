// Package bundle turns a function's project into one content-addressed
// artefact, and reads artefacts back.
//
// [Build] bundles function.ts with everything that it imports and the runtime
// into one module; the same input gives the same hash, wherever it lies.
// [Open] reads an artefact that somebody uploaded, and trusts nothing of it.
// A worker sees what is imported or in public/ or assets/, and no stray file; the
// rest of the project lies beside it in source/, for who downloads it later. No
// .env is in an artefact, and nothing else that begins with a dot.
package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

// Artefact is a built function.
type Artefact struct {
	Manifest function.Manifest
	Hash     string // hex SHA-256 of Archive
	Archive  []byte // a zip file of manifest.json, worker.mjs, worker.mjs.map, sdk.cjs where there is one, public/…, assets/… and source/…
	Warnings []string
}

// The files of an artefact. Entry is what a worker runs.
const (
	Entry        = "worker.mjs"
	sourceMap    = "worker.mjs.map"
	sdkFile      = "sdk.cjs" // the official SDK, which is not read before a function asks for a client
	manifestFile = "manifest.json"
)

var ownFiles = []string{Entry, sourceMap, manifestFile, sdkFile}

// Limits of what runs, and as much again of the sources, uncompressed.
const (
	MaxBytes = 25 << 20
	MaxFiles = 500
)

// MaxArchive bounds an artefact as it is uploaded.
const MaxArchive = 2*MaxBytes + 1<<20

const entrySource = `import { run } from "postern:runtime/main"; run(() => import("./function.ts"));`

// CommonJS packages call require for Node's own modules; an ES module has none.
const banner = `import { createRequire as __posternRequire } from "node:module"; const require = __posternRequire(import.meta.url);`

// Build bundles the project in dir. Errors name file, line and column.
func Build(ctx context.Context, dir string) (*Artefact, error) {
	dir, err := findRoot(dir, "postern functions deploy")
	if err != nil {
		return nil, err
	}
	m, warnings, err := function.LoadManifest(dir)
	if err != nil {
		return nil, err
	}
	files, more, err := runs(ctx, dir, m)
	if err != nil {
		return nil, err
	}
	kept, left, err := sources(dir, m.Exclude, files)
	if err != nil {
		return nil, err
	}
	maps.Copy(files, kept)
	return seal(m, files, slices.Concat(warnings, more, left))
}

// runs are the files that a worker needs, by their names in the artefact.
func runs(ctx context.Context, dir string, m function.Manifest) (files map[string][]byte, warnings []string, err error) {
	if m.Program != nil {
		files, err := program(ctx, dir, m)
		return files, nil, err
	}
	if err := checkEntry(dir); err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	files, left, err := collect(dir, m.Exclude)
	if err != nil {
		return nil, nil, err
	}
	code, more, err := compile(dir)
	if err != nil {
		return nil, nil, err
	}
	maps.Copy(files, code)
	return files, slices.Concat(left, more), nil
}

// seal makes an artefact of what a function needs to run.
func seal(m function.Manifest, files map[string][]byte, warnings []string) (*Artefact, error) {
	files[manifestFile] = m.Encode()
	archive, err := pack(files)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(archive)
	return &Artefact{Manifest: m, Hash: hex.EncodeToString(sum[:]), Archive: archive, Warnings: warnings}, nil
}

func compile(dir string) (files map[string][]byte, warnings []string, err error) {
	options := buildOptions(dir)
	result := api.Build(options)
	return compiledFiles(dir, options, result)
}

// buildOptions are how the module of a function is made, whoever asks for it.
func buildOptions(dir string) api.BuildOptions {
	out := filepath.Join(dir, "out") // a name only: nothing is written
	options := api.BuildOptions{
		Stdin:             &api.StdinOptions{Contents: entrySource, ResolveDir: dir, Sourcefile: entryName, Loader: api.LoaderTS},
		AbsWorkingDir:     dir,
		Outfile:           filepath.Join(out, Entry),
		Bundle:            true,
		Write:             false,
		Platform:          api.PlatformNode,
		Format:            api.FormatESModule,
		Target:            api.ES2022,
		MinifySyntax:      true,
		MinifyWhitespace:  true, // by size, not by name: names stay in stacks and in handler tables
		KeepNames:         true,
		LegalComments:     api.LegalCommentsNone,
		Sourcemap:         api.SourceMapLinked,
		SourcesContent:    api.SourcesContentInclude,
		Charset:           api.CharsetUTF8,
		Banner:            map[string]string{"js": banner},
		ResolveExtensions: []string{".ts", ".mts", ".js", ".mjs", ".cjs", ".json"},
		Plugins:           []api.Plugin{runtimePlugin(dir), insidePlugin(dir)},
		LogLevel:          api.LogLevelSilent,
		LogLimit:          20,
		Loader:            map[string]api.Loader{".css": api.LoaderNone}, // would become a file of its own
	}
	// Only the project's own tsconfig.json counts: one in a directory above
	// would make the same project another artefact elsewhere.
	if own := filepath.Join(dir, "tsconfig.json"); isFile(own) {
		options.Tsconfig = own
	} else {
		options.TsconfigRaw = "{}"
	}
	return options
}

// compiledFiles are the files that a build has made, and its warnings.
func compiledFiles(dir string, options api.BuildOptions, result api.BuildResult) (files map[string][]byte, warnings []string, err error) {
	if len(result.Errors) > 0 {
		return nil, nil, buildError(dir, result.Errors)
	}
	for _, w := range result.Warnings {
		warnings = append(warnings, message(w))
	}
	files = map[string][]byte{}
	for _, f := range result.OutputFiles {
		files[filepath.Base(f.Path)] = f.Contents
	}
	if dependsOn(dir, sdk) {
		if files[sdkFile], err = compileSDK(dir, options); err != nil {
			return nil, nil, err
		}
	}
	return files, warnings, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func message(m api.Message) string {
	text := importNames(m)
	if m.Location == nil {
		return text
	}
	return fmt.Sprintf("%s:%d:%d: %s", m.Location.File, m.Location.Line, m.Location.Column+1, text)
}

// buildError makes one error of all that is wrong: the first with its source
// line, the others by place.
func buildError(dir string, messages []api.Message) error {
	first := messages[0]
	lines := []string{message(first)}
	if first.Location != nil && first.Location.LineText != "" {
		lines = append(lines, "    "+strings.TrimSpace(first.Location.LineText))
	}
	for _, m := range messages[1:] {
		lines = append(lines, message(m))
	}
	e := fault.New(fault.Invalid, strings.Join(lines, "\n")).WithCode("bundle_failed")
	var missing []string
	for _, m := range messages {
		if name, ok := missingPackage(m.Text); ok && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	if i := slices.IndexFunc(first.Notes, func(n api.Note) bool { return strings.HasPrefix(n.Text, "Did you mean") }); i >= 0 && len(missing) == 0 {
		return e.WithHint(first.Notes[i].Text)
	}
	if len(missing) > 0 {
		return e.WithHint(installHint(dir, missing...))
	}
	return e.WithHint("correct the code and run the command again; nothing was deployed")
}

func installHint(dir string, packages ...string) string {
	return fmt.Sprintf("install it in %s: npm install %s", dir, strings.Join(packages, " "))
}

// missingPackage recognises esbuild's message for an import that it cannot find.
func missingPackage(text string) (name string, ok bool) {
	spec, ok := strings.CutPrefix(text, `Could not resolve "`)
	if !ok {
		return "", false
	}
	spec, _, _ = strings.Cut(spec, `"`)
	if spec == "" || strings.IndexByte("./#", spec[0]) >= 0 || strings.Contains(spec, ":") {
		return "", false
	}
	parts := strings.SplitN(spec, "/", 3)
	if spec[0] == '@' && len(parts) > 1 {
		return parts[0] + "/" + parts[1], true
	}
	return parts[0], true
}

// errOutside says that an import leads out of the project.
var errOutside = errors.New("leads out of the project's directory")

// insidePlugin refuses files outside of the project: what is deployed must not
// depend on what lies beside it. Links are followed first, so a link that leads
// out is refused too. Packages may come from the node_modules of a directory above,
// as Node looks for them. What lies on the web is not there when a worker starts.
func insidePlugin(dir string) api.Plugin {
	return api.Plugin{Name: "inside", Setup: func(b api.PluginBuild) {
		b.OnResolve(api.OnResolveOptions{Filter: `^(https?:)?//`}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			return api.OnResolveResult{}, fmt.Errorf("%.200q is on the web: install a package instead", a.Path)
		})
		b.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: "file"}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
			rel, err := filepath.Rel(dir, a.Path)
			inPackage := slices.Contains(strings.Split(filepath.ToSlash(a.Path), "/"), "node_modules")
			if err != nil || !inPackage && (rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator))) {
				return api.OnLoadResult{}, fmt.Errorf("%s %w", a.Path, errOutside)
			}
			return api.OnLoadResult{}, nil // as esbuild does it
		})
	}}
}

// Directory is a project's directory without links, for who looks into it before
// it is built.
func Directory(dir string) (string, error) { return findRoot(dir, "postern functions deploy") }
