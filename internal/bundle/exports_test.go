package bundle_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"postern.dev/postern/internal/bundle"
)

func TestExports(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		files map[string]string
		names []string
		whole bool
	}{
		"named":            {map[string]string{"function.ts": "export const auth = ['a']; export function a() {}\nexport { b as c }; const b = 1; export type T = string;"}, []string{"a", "auth", "c"}, true},
		"of another file":  {map[string]string{"function.ts": "export * from './more.ts'; import { ok } from '@postern/functions'; export const x = ok;", "more.ts": "export const y = 1;"}, []string{"x", "y"}, true},
		"a default object": {map[string]string{"function.ts": "export default { a() {} }; export const b = 1;"}, []string{"b", "default"}, false},
		"nothing":          {map[string]string{"function.ts": "console.log(1)"}, nil, true},
	} {
		dir := t.TempDir()
		for file, text := range tc.files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		names, whole, err := bundle.Exports(dir)
		if err != nil || !slices.Equal(names, tc.names) || whole != tc.whole {
			t.Errorf("%s: %v, %v, %v", name, names, whole, err)
		}
		if all, _ := os.ReadDir(dir); len(all) != len(tc.files) {
			t.Errorf("%s: something was written: %v", name, all)
		}
	}
	if _, _, err := bundle.Exports(t.TempDir()); err == nil {
		t.Error("without an entry")
	}
}
