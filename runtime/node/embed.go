// Package noderuntime holds the sources of the Node runtime, which package
// bundle compiles together with the user's code. There is nothing else in it.
package noderuntime

import (
	"embed"
	"strings"
)

// Files are the TypeScript sources, under src/.
//
//go:embed src/*.ts
var Files embed.FS

//go:embed src/types.ts
var types string

// Modules are the names under which user code imports the runtime: ours, and
// the one that functions written for the source use.
func Modules() []string { return []string{"@postern/functions", "@sinch/functions-runtime"} }

// Types is a file of ambient declarations for both modules, for editors: a
// project has types without installing anything.
func Types() string {
	var b strings.Builder
	b.WriteString("// Types of Postern's runtime, for the editor. Written by postern functions init; safe to write again.\n")
	body := types[strings.Index(types, "\n\n")+1:]                                // without the file's own head
	body = strings.ReplaceAll(body, "export declare function", "export function") // a module is ambient already
	b.WriteString("declare module '" + Modules()[0] + "' {" + strings.ReplaceAll(strings.TrimRight(body, "\n"), "\n", "\n  ") + "\n}\n")
	for _, m := range Modules()[1:] {
		b.WriteString("\ndeclare module '" + m + "' {\n  export * from '" + Modules()[0] + "';\n}\n")
	}
	return b.String()
}
