package blob_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"postern.dev/postern/internal/blob"
	"postern.dev/postern/internal/fault"
)

const project = "prj_a"

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "artefacts")
	s, err := blob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const text = "some bytes"
	hash := hashOf(text)
	if _, err := s.Read(t.Context(), project, hash); fault.KindOf(err) != fault.NotFound {
		t.Errorf("read before put: %v", err)
	}
	for name, tc := range map[string]struct {
		hash string
		data io.Reader
		want error
	}{
		"other bytes": {hash, strings.NewReader("other bytes"), blob.ErrHashMismatch},
		"too large":   {hash, strings.NewReader(text + strings.Repeat("x", 100)), blob.ErrTooLarge},
		"cut off":     {hash, io.MultiReader(strings.NewReader("some"), iotest.ErrReader(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF},
	} {
		if err := s.Put(t.Context(), project, tc.hash, tc.data, 20); !errors.Is(err, tc.want) {
			t.Errorf("%s: err = %v", name, err)
		}
		if ok, err := s.Has(t.Context(), project, hash); ok || err != nil {
			t.Errorf("%s: the artefact is there (%v)", name, err)
		}
	}
	for range 2 { // putting it again is fine
		if err := s.Put(t.Context(), project, hash, strings.NewReader(text), 20); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Read(t.Context(), project, hash)
	if err != nil || string(got) != text {
		t.Errorf("read %q, %v", got, err)
	}
	if ok, err := s.Has(t.Context(), "prj_other", hash); ok || err != nil {
		t.Errorf("another project sees it: %v", err)
	}
	for _, p := range []string{"", "..", "prj_a/../x", "PRJ_A"} {
		if _, err := s.Read(t.Context(), p, hash); fault.KindOf(err) != fault.Invalid {
			t.Errorf("project %q: %v", p, err)
		}
	}
	dir = filepath.Join(dir, project)
	files, _ := os.ReadDir(dir)
	if len(files) != 1 || files[0].Name() != hash {
		t.Errorf("the directory holds %v", files)
	}
	if err := os.WriteFile(filepath.Join(dir, hash), []byte("altered"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), project, hash); !errors.Is(err, blob.ErrHashMismatch) {
		t.Errorf("an altered file was read: %v", err)
	}
}

func TestStore_RefusesNamesThatAreNoHash(t *testing.T) {
	t.Parallel()
	s, err := blob.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, name := range []string{"", "../../etc/passwd", strings.ToUpper(hashOf("A")), hashOf("a") + "0", hashOf("a")[1:], strings.Repeat("/", 64)} {
		if _, err := s.Read(t.Context(), project, name); fault.KindOf(err) != fault.Invalid {
			t.Errorf("Read(%q): %v", name, err)
		}
		if err := s.Put(t.Context(), project, name, strings.NewReader(""), 1); fault.KindOf(err) != fault.Invalid {
			t.Errorf("Put(%q): %v", name, err)
		}
	}
}
