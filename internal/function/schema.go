package function

import _ "embed"

// Schema is the JSON Schema (draft 7) of postern.json, for editors. The parser
// alone decides; the schema knows each field that it knows, and a test holds them
// against one another.
//
//go:embed schema.json
var Schema []byte

// SchemaFile is the schema's name beside a manifest, which names it as "$schema":
// an editor has it there without a network.
const SchemaFile = "postern.schema.json"
