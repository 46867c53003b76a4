package cli

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/internal/bundle"
)

// Whatever a server sends: a directory that is new and has what was sent, or
// nothing at all, there or anywhere else.
func TestExtract(t *testing.T) {
	t.Parallel()
	type entry struct {
		name string
		mode fs.FileMode
		size int
	}
	for name, tc := range map[string]struct {
		entries []entry
		ok      bool
	}{
		"a project":                         {[]entry{{"function.ts", 0o644, 3}, {"lib/a/b.ts", 0o644, 3}, {".env", 0o644, 3}}, true},
		"nothing":                           {nil, true},
		"zip slip":                          {[]entry{{"a.ts", 0o644, 1}, {"../escaped", 0o644, 1}}, false},
		"slip within":                       {[]entry{{"a/../../escaped", 0o644, 1}}, false},
		"from the root":                     {[]entry{{"/escaped", 0o644, 1}}, false},
		"backwards":                         {[]entry{{`..\escaped`, 0o644, 1}}, false},
		"a drive":                           {[]entry{{"C:escaped", 0o644, 1}}, false},
		"what git runs":                     {[]entry{{".git/config", 0o644, 3}}, false},
		"deeper":                            {[]entry{{"lib/.git/config", 0o644, 3}}, false},
		"what a shell reads":                {[]entry{{".envrc", 0o644, 3}}, false},
		"what npm reads":                    {[]entry{{".npmrc", 0o644, 3}}, false},
		"a second .env":                     {[]entry{{"lib/.env", 0o644, 3}}, false},
		"a name that git takes for its own": {[]entry{{".git./config", 0o644, 3}}, false},
		"escape sequences":                  {[]entry{{"a\x1b]0;x\x07.ts", 0o644, 3}}, false},
		"a name for nobody":                 {[]entry{{"a\u202ets.exe", 0o644, 3}}, false},
		"what is well known":                {[]entry{{"public/.well-known/a.txt", 0o644, 3}}, true},
		"a link":                            {[]entry{{"link", fs.ModeSymlink | 0o777, 3}}, false},
		"twice":                             {[]entry{{"a", 0o644, 1}, {"a", 0o644, 1}}, false},
		"file and folder":                   {[]entry{{"a", 0o644, 1}, {"a/b", 0o644, 1}}, false},
		"a directory":                       {[]entry{{"a/", fs.ModeDir | 0o755, 0}}, false},
		"a bomb":                            {[]entry{{"a", 0o644, 3*bundle.MaxBytes + 1}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			z := zip.NewWriter(&b)
			for _, e := range tc.entries {
				h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
				h.SetMode(e.mode)
				w, err := z.CreateHeader(h)
				if err != nil {
					t.Fatal(err)
				}
				w.Write(make([]byte, e.size))
			}
			z.Close()
			r, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
			if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
				t.Fatal(err)
			}
			base := filepath.Join(t.TempDir(), "here")
			os.Mkdir(base, 0o700)
			err = extract(r, filepath.Join(base, "out"))
			var names []string
			filepath.WalkDir(filepath.Dir(base), func(path string, e fs.DirEntry, _ error) error {
				if rel, _ := filepath.Rel(filepath.Dir(base), path); !e.IsDir() {
					names = append(names, filepath.ToSlash(rel))
				}
				return nil
			})
			if (err == nil) != tc.ok || !tc.ok && len(names) > 0 || tc.ok && len(names) != len(tc.entries) || strings.Contains(strings.Join(names, " "), "download-") {
				t.Errorf("%v; there is %q", err, names)
			}
			if tc.ok {
				if err := extract(r, filepath.Join(base, "out")); len(tc.entries) > 0 && !errors.Is(err, fs.ErrExist) {
					t.Errorf("a second time: %v", err)
				}
			}
		})
	}
}
