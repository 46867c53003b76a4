package scaffold

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"

	"postern.dev/postern/examples"
)

//go:embed template
var own embed.FS

// Template is what a new function may begin as.
type Template struct {
	Name    string `json:"name"`
	Runtime string `json:"runtime"` // node or http
	About   string `json:"about"`
	example bool   // it is the example of that name
}

// templates are read only. Those that are examples too are taken from there.
var templates = []Template{
	{"empty", "node", "one handler behind the door", false},
	{"protect", "node", "a handler that asks for an access key, and one that does not", true},
	{"event", "node", "handler(event) on a route with a parameter", false},
	{"webhooks", "node", "webhooks of GitHub, Stripe and Standard Webhooks, verified before a line runs", true},
	{"stream", "node", "bodies that are never held as a whole", true},
	{"sms", "node", "text messages, answered through the official SDK", true},
	{"ivr", "node", "a telephone menu with two levels", true},
	{"routing", "node", "calls by business hours and choice; sessions in the cache", true},
	{"http-node", "http", "a server of node:http with a WebSocket", true},
	{"http-python", "http", "a server in Python, of its standard library alone", true},
	{"http-go", "http", "a server in Go, built by the deploy", false},
}

// Default is the template of who names none.
const Default = "protect"

// Templates lists the templates, simple ones first.
func Templates() []Template { return append([]Template{}, templates...) }

// Find returns the template of that name.
func Find(name string) (t Template, ok bool) {
	for _, t := range templates {
		if t.Name == name {
			return t, true
		}
	}
	return t, false
}

// skipped are files of an example that say how it is tried where it lies.
var skipped = map[string]bool{"README.md": true}

// Files are those of a new function of that name, by their names. The manifest
// names the schema as an editor finds it.
func (t Template) Files(name, schema string) (map[string]string, error) {
	files := map[string]string{}
	layers := []string{"template/all"}
	if t.Runtime == "node" {
		layers = append(layers, "template/module")
	}
	for _, dir := range layers {
		if err := render(files, own, dir); err != nil {
			return nil, err
		}
	}
	var from fs.FS = own
	dir := "template/" + t.Name
	if t.example {
		from, dir = examples.Files, t.Name
	}
	if err := render(files, from, dir); err != nil {
		return nil, err
	}
	files["package.json"] = strings.ReplaceAll(files["package.json"], "{{name}}", name)
	if files["package.json"] == "" {
		delete(files, "package.json")
	}
	for _, file := range []string{"package.json", "package-lock.json"} {
		if text, ok := files[file]; ok {
			files[file] = strings.ReplaceAll(text, `"name": `+strconv.Quote(t.Name), `"name": `+strconv.Quote(name))
		}
	}
	manifest, ok := strings.CutPrefix(files["postern.json"], "{\n  \"name\": "+strconv.Quote(t.Name))
	if !ok {
		return nil, fmt.Errorf("the manifest of the template %s does not begin with its name", t.Name)
	}
	files["postern.json"] = "{\n  \"$schema\": " + strconv.Quote("./"+schema) + ",\n  \"name\": " + strconv.Quote(name) + manifest
	return files, nil
}

// render reads a directory. Names of our own templates have no leading dot and end
// in .txt, so that neither Go's embedding nor other tools take them for their own.
func render(files map[string]string, from fs.FS, dir string) error {
	entries, err := fs.ReadDir(from, dir)
	if err != nil {
		return fmt.Errorf("read the template %s: %w", dir, err)
	}
	for _, e := range entries {
		text, err := fs.ReadFile(from, path.Join(dir, e.Name()))
		if err != nil {
			return fmt.Errorf("read the template %s: %w", dir, err)
		}
		target := strings.TrimSuffix(e.Name(), ".txt")
		if rest, ok := strings.CutPrefix(target, "dot-"); ok {
			target = "." + rest
		}
		if !skipped[target] {
			files[target] = string(text)
		}
	}
	return nil
}

// SetVariable gives a variable of a manifest another value, and leaves the rest of
// the text as it stands.
func SetVariable(manifest, name, value string) (string, error) {
	place := regexp.MustCompile(`("` + regexp.QuoteMeta(name) + `"\s*:\s*)"(?:[^"\\]|\\.)*"`)
	at := place.FindStringSubmatchIndex(manifest)
	if at == nil {
		return manifest, errors.New("the template has no variable " + name)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return manifest, err
	}
	return manifest[:at[3]] + string(text) + manifest[at[1]:], nil
}
