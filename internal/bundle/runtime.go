package bundle

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	noderuntime "postern.dev/postern/runtime/node"
)

const (
	entryName        = "postern:entry"
	runtimeScheme    = "postern:runtime/"
	runtimeNamespace = "postern-runtime"
)

// runtimePlugin resolves the runtime's modules to the sources in this binary,
// whatever a project has installed: what runs is what this version ships.
func runtimePlugin(dir string) api.Plugin {
	return api.Plugin{Name: "runtime", Setup: func(b api.PluginBuild) {
		b.OnResolve(api.OnResolveOptions{Filter: `^postern:runtime/`}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			if strings.HasSuffix(a.Importer, entryName) {
				return api.OnResolveResult{Path: strings.TrimPrefix(a.Path, runtimeScheme) + ".ts", Namespace: runtimeNamespace}, nil
			}
			return api.OnResolveResult{}, fmt.Errorf("%s is not for functions to import; import %s", a.Path, noderuntime.Modules()[0].Name)
		})
		b.OnResolve(api.OnResolveOptions{Filter: `^@(postern/functions|sinch/functions-runtime)(/|$)`}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			if a.Path == noderuntime.Testing {
				return api.OnResolveResult{}, fmt.Errorf("%s is for the function's own tests, which are not deployed", a.Path)
			}
			i := slices.IndexFunc(noderuntime.Modules(), func(m noderuntime.Module) bool { return m.Name == a.Path })
			if i < 0 {
				return api.OnResolveResult{}, fmt.Errorf("%s is not part of this version of the runtime", a.Path)
			}
			return api.OnResolveResult{Path: noderuntime.Modules()[i].File, Namespace: runtimeNamespace}, nil
		})
		b.OnResolve(api.OnResolveOptions{Filter: `^\.\.?/`, Namespace: runtimeNamespace}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			file := path.Join(path.Dir(a.Importer), a.Path)
			r := api.OnResolveResult{Path: file, Namespace: runtimeNamespace}
			if strings.HasPrefix(file, "voice/") { // builders, which only those who import them should carry
				r.SideEffects = api.SideEffectsFalse
			}
			return r, nil
		})
		b.OnLoad(api.OnLoadOptions{Filter: `^sdk\.ts$`, Namespace: runtimeNamespace}, func(api.OnLoadArgs) (api.OnLoadResult, error) {
			text := loadSDK(dir)
			return api.OnLoadResult{Contents: &text, Loader: api.LoaderTS}, nil
		})
		b.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: runtimeNamespace}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
			source, err := noderuntime.Files.ReadFile("src/" + a.Path)
			if err != nil {
				return api.OnLoadResult{}, err
			}
			text := string(source)
			return api.OnLoadResult{Contents: &text, Loader: api.LoaderTS}, nil
		})
	}}
}

// importNames is a message's text with the runtime's files called as the
// developer's code imports them: as the line has it, or else by our names.
func importNames(m api.Message) string {
	text, line := m.Text, ""
	if m.Location != nil {
		line = m.Location.LineText
	}
	for _, inLine := range []bool{true, false} {
		for _, module := range noderuntime.Modules() {
			if inLine && !strings.Contains(line, "'"+module.Name+"'") && !strings.Contains(line, `"`+module.Name+`"`) {
				continue
			}
			text = strings.ReplaceAll(text, `"`+runtimeNamespace+":"+module.File+`"`, `"`+module.Name+`"`)
		}
	}
	return text
}
