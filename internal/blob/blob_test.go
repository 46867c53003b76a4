package blob_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

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
	// A power cut can leave a name without its bytes; the next upload mends it.
	for _, damage := range []string{"", "altered"} {
		if err := os.WriteFile(filepath.Join(dir, hash), []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if ok, err := s.Has(t.Context(), project, hash); ok || err != nil {
			t.Errorf("Has says that %q is the artefact (%v)", damage, err)
		}
		if err := s.Put(t.Context(), project, hash, strings.NewReader(text), 20); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read(t.Context(), project, hash); err != nil || string(got) != text {
			t.Errorf("after mending: %q, %v", got, err)
		}
	}
	for range 2 { // deleting what is not there is fine
		if err := s.Delete(t.Context(), project, hash); err != nil {
			t.Error(err)
		}
	}
	if ok, err := s.Has(t.Context(), project, hash); ok || err != nil {
		t.Errorf("a deleted artefact is there (%v)", err)
	}
}

// The process can be killed at any moment of an upload: what it leaves is no
// artefact, does not hinder the next upload, and goes at a later start.
func TestStore_Leftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hash := hashOf("x")
	old, fresh := filepath.Join(dir, project, hash+".18a.tmp"), filepath.Join(dir, project, hash+".18b.tmp")
	kept := filepath.Join(dir, project, hashOf("kept"))
	if err := os.Mkdir(filepath.Dir(old), 0o700); err != nil {
		t.Fatal(err)
	}
	for file, age := range map[string]time.Duration{old: 2 * time.Hour, fresh: time.Minute, kept: 2 * time.Hour} {
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	s, err := blob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if ok, err := s.Has(t.Context(), project, hash); ok || err != nil {
		t.Errorf("a leftover is an artefact (%v)", err)
	}
	if _, err := s.Read(t.Context(), project, hash+".18b.tmp"); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a leftover can be read by its name: %v", err)
	}
	for file, want := range map[string]bool{old: false, fresh: true, kept: true} {
		if _, err := os.Stat(file); (err == nil) != want {
			t.Errorf("%s: %v", file, err)
		}
	}
	if err := s.Put(t.Context(), project, hash, strings.NewReader("x"), 1); err != nil {
		t.Error(err)
	}
}

// Uploads of the same artefact at once, some cut off, with readers beside:
// nobody ever reads anything but the whole of it.
func TestStore_UploadsAtOnce(t *testing.T) {
	t.Parallel()
	s, err := blob.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	text := strings.Repeat("artefact ", 50_000)
	hash := hashOf(text)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%2 == 1 {
				cancel()
			}
			err := s.Put(ctx, project, hash, strings.NewReader(text), int64(len(text)))
			if i%2 == 0 && err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			got, err := s.Read(t.Context(), project, hash)
			if err != nil && fault.KindOf(err) != fault.NotFound || err == nil && string(got) != text {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	if ok, err := s.Has(t.Context(), project, hash); !ok || err != nil {
		t.Errorf("it is not there (%v)", err)
	}
}

// What keyOf lets through can be no path, whatever is asked for.
func TestStore_Property_NoPathLeavesTheDirectory(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s, err := blob.Open(filepath.Join(root, "artefacts"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.WriteFile(filepath.Join(root, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	part := rapid.SampledFrom([]string{"..", "/", "\\", "secret", "prj_a", "%2e", "\x00", ".", "a", hashOf("a"), "\n", "__0x2f__"})
	rapid.Check(t, func(t *rapid.T) {
		p := strings.Join(rapid.SliceOfN(part, 0, 5).Draw(t, "project"), "")
		h := strings.Join(rapid.SliceOfN(part, 0, 5).Draw(t, "hash"), "")
		got, err := s.Read(ctx, p, h)
		if err == nil || got != nil || fault.KindOf(err) == fault.Internal {
			t.Fatalf("Read(%q, %q): %q, %v", p, h, got, err)
		}
		if err := s.Delete(ctx, p, h); err != nil && fault.KindOf(err) != fault.Invalid {
			t.Fatalf("Delete(%q, %q): %v", p, h, err)
		}
	})
	if _, err := os.Stat(filepath.Join(root, "secret")); err != nil {
		t.Error(err)
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
