package policy_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/policy"
)

// FuzzParse: a document never panics, and what is read says the same when it is
// written anew, which is one form.
func FuzzParse(f *testing.F) {
	seeds, err := filepath.Glob(filepath.Join("testdata", "*.yaml"))
	if err != nil || len(seeds) < 4 {
		f.Fatalf("%d seeds, %v", len(seeds), err)
	}
	for _, path := range seeds {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := policy.Parse("seed", text); err != nil {
			f.Fatalf("%s: %v", path, err)
		}
		f.Add(text)
	}
	for _, text := range []string{"", "version: 1", "a: &a [*a]", "? - : {", "version: 1\n\tx", "%YAML 1.2\n---\nversion: 1\n...", "version: 0x1", "{\"version\":1}", "!!binary aGk="} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := policy.Parse("f", data)
		if err != nil {
			if d != nil {
				t.Fatal("a document beside an error")
			}
			return
		}
		text := policy.Render(d)
		again, err := policy.Parse("f", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(d, again, same); diff != "" {
			t.Fatalf("%s\n%s", diff, text)
		}
		if !bytes.Equal(policy.Render(again), text) {
			t.Fatalf("two forms: %s", text)
		}
		if changes := policy.Compare(d, again); len(changes) != 0 {
			t.Fatalf("changes: %v", changes)
		}
		p := d.Policy()
		policy.Table(nil, &p, d)
		d.Fit(nil)
	})
}
