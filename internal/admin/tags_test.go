package admin_test

import (
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// Every operation is told in a part of the document that says what it is about.
func TestEveryOperation_HasItsPart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, item := range w.openAPI.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Head, item.Put, item.Post, item.Delete, item.Patch} {
			if op != nil && (len(op.Tags) != 1 || op.Tags[0] == "Other") {
				t.Errorf("%s %s: %v; name its part in tags.go", op.Method, path, op.Tags)
			}
		}
	}
}
