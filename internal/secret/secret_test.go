package secret_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

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
	readable := filepath.Join(dir, "readable")
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(readable, make([]byte, 32), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(short, make([]byte, 31), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{readable, short} {
		if _, err := secret.OpenBox(f); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", f, err)
		}
	}
	if _, err := secret.OpenBox(filepath.Join(dir, "none", "key")); err == nil {
		t.Error("a directory that is not there was accepted")
	}
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
}
