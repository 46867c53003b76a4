// Package noderuntime holds the sources of the Node runtime, which package
// bundle compiles together with the user's code. There is nothing else in it.
package noderuntime

import "embed"

// Files are the TypeScript sources, under src/.
//
//go:embed src
var Files embed.FS

// Module is a name under which user code imports a part of the runtime.
type Module struct {
	Name string
	File string // below src/
}

// Testing is a module for the tests of a function, which is in the npm package
// and never in a bundle.
const Testing = "@postern/functions/testing"

// Modules are ours first, then those that functions written for the source use.
func Modules() []Module {
	return []Module{
		{"@postern/functions", "index.ts"},
		{"@sinch/functions-runtime", "index.ts"},
		{"@postern/functions/voice", "voice/index.ts"},
		{"@postern/functions/voice/v2", "voice/index.ts"},
		{"@sinch/functions-runtime/voice", "voice/index.ts"},
		{"@sinch/functions-runtime/voice/v2", "voice/index.ts"},
	}
}

// Types is a file of ambient declarations for all modules, for editors: a
// project has types without installing anything. `npm run types` makes it of the
// sources.
//
//go:embed types/postern.d.ts
var Types string
