package function

import (
	"net/http"
	"slices"
	"strings"

	"postern.dev/postern/internal/platform"
)

// The directories of a project whose files go into its artefact: those in public/
// are sent to callers, those in assets/ are for the function alone.
const (
	PublicDir = "public/"
	AssetsDir = "assets/"
)

// indexFile is sent for the directory that it is in.
const indexFile = "index.html"

// File is a file of public/, with its name in the artefact: "public/logo.png".
type File struct {
	Name string
	platform.File
}

func isFile(name string) bool { return strings.HasPrefix(name, PublicDir) }

// pathOf is the address of a file: of an index.html its directory.
func pathOf(name string) string {
	path := strings.TrimPrefix(name, "public")
	if dir, ok := strings.CutSuffix(path, "/"+indexFile); ok {
		return "/" + strings.TrimPrefix(dir, "/")
	}
	return path
}

// filesOf decides how each file is guarded, by the rule that handlers have, and
// warns of those that nothing leads to.
func filesOf(m Manifest, d platform.Declaration, deployed bool, handlers []platform.Handler) (files []platform.Handler, warnings []string) {
	for _, f := range m.Files {
		guard := guardOf(m, d, platform.DeclaredHandler{Name: f.Name, Kind: platform.HandlerFile}, deployed)
		files = append(files, platform.Handler{Name: f.Name, Kind: platform.HandlerFile, Guard: guard, File: &f.File})
	}
	table := NewTable(append(slices.Clip(handlers), files...))
	var behind []string
	for _, f := range files {
		path := pathOf(f.Name)
		if m, ok := table.Match(http.MethodGet, path); !ok || m.Handler == nil || m.Handler.File == nil {
			behind = append(behind, path+" ("+f.Name+")")
		}
	}
	if len(behind) > 0 {
		warnings = append(warnings, "handlers and routes go before files, so these are not sent at: "+some(behind))
	}
	return files, warnings
}

// some is a list of which only the beginning is told.
func some(list []string) string {
	const most = 10
	if len(list) > most {
		return strings.Join(list[:most], ", ") + ", …"
	}
	return strings.Join(list, ", ")
}

// addFile makes a file known by its path, an index.html also by its directory's.
func (t *Table) addFile(n *named) {
	if t.files == nil {
		t.files = map[string]*named{}
	}
	t.files[strings.TrimPrefix(n.Name, "public")] = n
	t.files[pathOf(n.Name)] = n
}

// order finds the files that go before the routes.
func (t *Table) order() {
	if t.routes == nil || len(t.routes.below) == 0 {
		return
	}
	particular := *t.routes
	particular.below = nil // what knows every path
	t.ahead = map[string]*named{}
	var values [MaxParams]string
	for path, f := range t.files {
		left := strings.TrimSuffix(path, "/")
		if particular.find("", left, &values, 0) == nil && particular.allow(left) == "" {
			t.ahead[path] = f
		}
	}
}

// serve is a file to those who ask for it with a method that files have.
func serve(n *named, method string) (Match, bool) {
	switch {
	case n == nil:
		return Match{}, false
	case method != http.MethodGet && method != http.MethodHead:
		return Match{Allow: "GET, HEAD"}, false
	}
	return found(n)
}
