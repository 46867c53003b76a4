package bundle

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"

	"postern.dev/postern/internal/fault"
)

// sdk is the package of the official SDK, which the runtime makes its clients
// of. It is part of an artefact when the project names it among its
// dependencies, in a file of its own: a function that never asks for a client
// starts without reading it.
const sdk = "@sinch/sdk-core"

// loadSDK is the text of the runtime's sdk.ts in a bundle: the artefact's own
// file or a refusal, and never what lies about where a worker runs.
func loadSDK(dir string) string {
	if dependsOn(dir, sdk) {
		return `import { createRequire } from "node:module"; export const load = () => createRequire(import.meta.url)("./` + sdkFile + `");`
	}
	return `export const load = () => { throw Object.assign(new Error("package.json does not name ` + sdk + `"), { code: "MODULE_NOT_FOUND" }); };`
}

// compileSDK bundles the project's own copy, without a map: its lines are not
// the function's.
func compileSDK(dir string, options api.BuildOptions) ([]byte, error) {
	options.Stdin = &api.StdinOptions{Contents: `module.exports = require("` + sdk + `");`, ResolveDir: dir, Sourcefile: "postern:sdk", Loader: api.LoaderJS}
	options.Outfile = filepath.Join(dir, "out", sdkFile)
	options.Format = api.FormatCommonJS
	options.Banner, options.Sourcemap, options.Tsconfig, options.TsconfigRaw = nil, api.SourceMapNone, "", "{}"
	result := api.Build(options)
	if len(result.Errors) > 0 {
		if name, ok := missingPackage(result.Errors[0].Text); ok && name == sdk { // the line that asks for it is ours
			return nil, fault.New(fault.Invalid, "package.json names the package "+sdk+", which is not installed").WithCode("bundle_failed").WithHint(installHint(dir, sdk))
		}
		return nil, buildError(dir, result.Errors)
	}
	return result.OutputFiles[0].Contents, nil
}

// dependsOn says whether a project's package.json names a package. One that
// does not parse names none: the bundler refuses it by itself.
func dependsOn(dir, name string) bool {
	var project struct{ Dependencies, DevDependencies, OptionalDependencies map[string]any }
	text, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil || json.Unmarshal(text, &project) != nil {
		return false
	}
	return project.Dependencies[name] != nil || project.DevDependencies[name] != nil || project.OptionalDependencies[name] != nil
}
