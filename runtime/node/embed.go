// Package noderuntime holds the sources of the Node runtime, which package
// bundle compiles together with the user's code. There is nothing else in it.
package noderuntime

import (
	"embed"
	"strings"
)

// Files are the TypeScript sources, under src/.
//
//go:embed src
var Files embed.FS

//go:embed src/types.ts
var types string

// Module is a name under which user code imports a part of the runtime.
type Module struct {
	Name string
	File string // below src/
}

// Modules are ours first, then those that functions written for the source use.
func Modules() []Module {
	return []Module{
		{"@postern/functions", "index.ts"},
		{"@sinch/functions-runtime", "index.ts"},
	}
}

// Types is a file of ambient declarations for both modules, for editors: a
// project has types without installing anything.
func Types() string {
	var b strings.Builder
	b.WriteString("// Types of Postern's runtime, for the editor. Written by postern functions init; safe to write again.\n")
	body := types[strings.Index(types, "\n\n")+1:]                                // without the file's own head
	body = strings.ReplaceAll(body, "export declare function", "export function") // a module is ambient already
	b.WriteString("declare module '" + Modules()[0].Name + "' {" + strings.ReplaceAll(strings.TrimRight(body, "\n"), "\n", "\n  ") + "\n}\n")
	for _, m := range Modules()[1:] {
		b.WriteString("\ndeclare module '" + m.Name + "' {\n  export * from '" + Modules()[0].Name + "';\n}\n")
	}
	return b.String()
}
