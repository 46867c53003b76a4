package bundle

import (
	"encoding/json"
	"path/filepath"
	"slices"

	"github.com/evanw/esbuild/pkg/api"
)

// Exports lists the names that function.ts exports, sorted, without running it.
// whole is false where more may be exported than can be read from the text: the
// members of a default object are known to who runs the module.
func Exports(dir string) (names []string, whole bool, err error) {
	const entry = "function.ts"
	if dir, err = filepath.Abs(dir); err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, false, err
	}
	result := api.Build(api.BuildOptions{
		EntryPoints:   []string{entry},
		AbsWorkingDir: dir,
		Bundle:        true,
		Packages:      api.PackagesExternal,
		Metafile:      true,
		Write:         false,
		Outdir:        dir,
		Platform:      api.PlatformNode,
		Format:        api.FormatESModule,
		LogLevel:      api.LogLevelSilent,
		Plugins:       []api.Plugin{insidePlugin(dir)},
	})
	if len(result.Errors) > 0 {
		return nil, false, buildError(dir, result.Errors)
	}
	var meta struct {
		Outputs map[string]struct{ Exports []string }
	}
	if err := json.Unmarshal([]byte(result.Metafile), &meta); err != nil {
		return nil, false, err
	}
	for _, out := range meta.Outputs {
		names = append(names, out.Exports...)
	}
	slices.Sort(names)
	return names, !slices.Contains(names, "default"), nil
}
