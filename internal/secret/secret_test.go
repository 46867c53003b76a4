package secret_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/secret"
)

func TestBox(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sealing.key")
	box, err := secret.OpenBox(file)
	if err != nil {
		t.Fatal(err)
	}
	plain := []byte("psk_very secret")
	sealed, err := box.Seal(t.Context(), "dep_1", plain)
	if err != nil || bytes.Contains(sealed, []byte("secret")) {
		t.Fatalf("sealed %q, %v", sealed, err)
	}
	again, err := secret.OpenBox(file) // a restart
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open(t.Context(), "dep_1", sealed); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("opened %q, %v", got, err)
	}
	other, err := secret.OpenBox(filepath.Join(t.TempDir(), "other.key"))
	if err != nil {
		t.Fatal(err)
	}
	altered := bytes.Clone(sealed)
	altered[len(altered)-1] ^= 1
	for name, f := range map[string]func() ([]byte, error){
		"another name":  func() ([]byte, error) { return box.Open(t.Context(), "dep_2", sealed) },
		"a shorter one": func() ([]byte, error) { return box.Open(t.Context(), "dep_", sealed) },
		"another key":   func() ([]byte, error) { return other.Open(t.Context(), "dep_1", sealed) },
		"altered":       func() ([]byte, error) { return box.Open(t.Context(), "dep_1", altered) },
		"empty":         func() ([]byte, error) { return box.Open(t.Context(), "dep_1", nil) },
	} {
		if got, err := f(); !errors.Is(err, secret.ErrUnsealable) || got != nil {
			t.Errorf("%s: opened %q, %v", name, got, err)
		}
	}
}

func TestOpenBox_Refuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tc := range []struct {
		name string
		mode os.FileMode
		size int
	}{
		{"group-reads", 0o640, 32}, {"others-read", 0o604, 32}, {"group-writes", 0o620, 32}, {"others-write", 0o602, 32},
		{"others-execute", 0o601, 32}, {"everybody", 0o777, 32}, {"empty", 0o600, 0}, {"short", 0o600, 31}, {"long", 0o600, 33},
	} {
		file := filepath.Join(dir, tc.name)
		key := bytes.Repeat([]byte("K"), tc.size)
		if err := os.WriteFile(file, key, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, tc.mode); err != nil { // past the umask
			t.Fatal(err)
		}
		_, err := secret.OpenBox(file)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Invalid || f.Hint == "" || !strings.Contains(f.Text, file) || strings.Contains(f.Error(), "KKK") {
			t.Errorf("%s: %v", tc.name, err)
		}
		if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, key) {
			t.Errorf("%s: the refused file was altered (%v)", tc.name, err)
		}
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{pipe, dir} {
		if _, err := secret.OpenBox(file); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s is no regular file: %v", file, err)
		}
	}
	if _, err := secret.OpenBox(filepath.Join(dir, "none", "key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// A damaged or foreign value is refused whatever is wrong with it, and the
// refusal says nothing of what was sealed.
func TestBox_RefusesEveryAlteredByte(t *testing.T) {
	t.Parallel()
	box, err := secret.OpenBox(filepath.Join(t.TempDir(), "k"))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := box.Seal(t.Context(), "dep_1", []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		altered := bytes.Clone(sealed)
		altered[i] ^= 0x80
		if got, err := box.Open(t.Context(), "dep_1", altered); !errors.Is(err, secret.ErrUnsealable) || got != nil {
			t.Errorf("byte %d altered: opened %q, %v", i, got, err)
		}
		if got, err := box.Open(t.Context(), "dep_1", sealed[:i]); !errors.Is(err, secret.ErrUnsealable) || got != nil {
			t.Errorf("cut to %d bytes: opened %q, %v", i, got, err)
		}
	}
	again, err := box.Seal(t.Context(), "dep_1", []byte("plain"))
	if err != nil || bytes.Equal(again, sealed) {
		t.Errorf("sealing twice gives the same bytes (%v)", err)
	}
}

// What is opened is what was sealed, under every name and only under that one:
// a name that is a prefix of another, or runs into the value, does not do.
func TestBox_Property(t *testing.T) {
	t.Parallel()
	box, err := secret.OpenBox(filepath.Join(t.TempDir(), "k"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		bind := rapid.String().Draw(t, "bind")
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		other := rapid.OneOf(rapid.String(), rapid.Just(bind+string(plain)), rapid.Just(bind+"\x00"), rapid.Just(bind[:len(bind)/2])).Draw(t, "other")
		sealed, err := box.Seal(ctx, bind, plain)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := box.Open(ctx, bind, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("opened %q, %v", got, err)
		}
		if got, err := box.Open(ctx, other, sealed); other != bind && (!errors.Is(err, secret.ErrUnsealable) || got != nil) {
			t.Fatalf("opened as %q: %q, %v", other, got, err)
		}
	})
}

func TestOpenBox_TwoAtOnceShareOneKey(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "k")
	boxes := make([]*secret.Box, 8)
	var wg sync.WaitGroup
	for i := range boxes {
		wg.Go(func() {
			var err error
			if boxes[i], err = secret.OpenBox(file); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	sealed, err := boxes[0].Seal(t.Context(), "x", []byte("y"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range boxes {
		if got, err := b.Open(t.Context(), "x", sealed); err != nil || string(got) != "y" {
			t.Errorf("opened %q, %v", got, err)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info, err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("beside the key lie %v (%v)", left, err)
	}
}
