package function_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// Whatever a pattern is: what is accepted comes back from an artefact as it
// was, answers the path that it is when its parameters are read as text, and
// never a path above the one it names.
func FuzzPattern(f *testing.F) {
	seeds := []string{"/a", "GET /customers/{customerId}", "/files/{path...}", "/{$}", "POST /a/{b}/c/{d...}", "/é/{x}", "/{a}/{a}", "/a/", "GET  /a", "/..", "/a%2f", "/{}", "/health", "/x/ice", "HEAD /a", "/\x00"}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, _, err := function.ParseManifest(function.SourcePostern, manifestWith(text))
		if err != nil || m.Routes[0].Path != text { // JSON has no way to write what is no UTF-8
			return
		}
		again, err := function.DecodeManifest(m.Encode())
		if err != nil || !cmp.Equal(again.Routes, m.Routes) {
			t.Fatalf("%q comes back as %+v, %v", text, again.Routes, err)
		}
		table := function.NewTable([]platform.Handler{{Name: "h", Routes: []platform.Route{{Pattern: text}}}})
		method, path, ok := strings.Cut(text, " ")
		if !ok {
			method, path = "PUT", text
		}
		path = strings.TrimSuffix(path, "{$}")
		if path = strings.TrimSuffix(path, "/"); path == "" {
			path = "/"
		}
		if found, ok := table.Match(method, path); !ok || found.Pattern != text {
			t.Fatalf("%q does not answer %s %s", text, method, path)
		}
		if found, ok := table.Match(method, "/~~"+path); ok && !strings.HasPrefix(path, "/{") {
			t.Fatalf("%q answers /~~%s as %+v", text, path, found)
		}
	})
}
