package admin

import (
	"net/http"

	"postern.dev/postern/internal/function"
)

// SchemaPath is where the JSON Schema of manifests is, for editors that look at
// another than the one beside the manifest. Like the OpenAPI document it is shown
// to anybody: it is the same on every server of the version.
const SchemaPath = "/schemas/postern.json"

func schema(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/schema+json")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Header().Set("Access-Control-Allow-Origin", "*") // editors are pages, too
	_, _ = w.Write(function.Schema)                    // whoever went away needs none
}
