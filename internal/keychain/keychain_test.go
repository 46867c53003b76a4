package keychain_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/keychain"
)

const (
	account = "auth/default"
	secret  = "psk_this-must-not-be-seen"
)

// A keychain that hangs holds a call for its limit and no longer, and the
// failure says what to do instead.
func TestKeychain_Hangs(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(context.Context, *keychain.Keychain) error{
		"get":    func(ctx context.Context, k *keychain.Keychain) error { _, err := k.Get(ctx, account); return err },
		"set":    func(ctx context.Context, k *keychain.Keychain) error { return k.Set(ctx, account, secret) },
		"delete": func(ctx context.Context, k *keychain.Keychain) error { return k.Delete(ctx, account) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				k := keychain.Hanging(release, map[string]string{account: "old"})
				for range 2 { // the second waits behind the first, no longer either
					began := time.Now()
					err := call(t.Context(), k)
					f, ok := errors.AsType[*fault.Error](err)
					if took := time.Since(began); !errors.Is(err, keychain.ErrUnavailable) || !ok || took != keychain.Limit {
						t.Errorf("%v after %v", err, took)
					} else if !strings.Contains(f.Text, "within 3s") || !strings.Contains(f.Hint, "export POSTERN_KEYCHAIN=file") {
						t.Errorf("%q %q", f.Text, f.Hint)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				if err := call(ctx, k); !errors.Is(err, context.Canceled) {
					t.Errorf("interrupted: %v", err)
				}
				close(release)
			})
		})
	}
}

// A late Set is over before the next call begins, so that a Delete is final.
func TestKeychain_LateSetDoesNotOvertake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release, stored := make(chan struct{}), map[string]string{}
		k := keychain.Hanging(release, stored)
		if err := k.Set(t.Context(), account, secret); !errors.Is(err, keychain.ErrUnavailable) {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { close(release) })
		if err := k.Delete(t.Context(), account); err != nil {
			t.Error(err)
		}
		if len(stored) != 0 {
			t.Error("the secret is back")
		}
	})
}

func TestKeychain_RefusesWhatIsNoAccount(t *testing.T) {
	t.Parallel()
	k := keychain.Hanging(nil, nil) // must not be reached
	for _, bad := range []string{"", "auth", "auth/", "/default", "a/b/c", "auth/a\nb", "auth/a\x00", "auth/\xff", "auth/" + strings.Repeat("x", 400)} {
		if _, err := k.Get(t.Context(), bad); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := k.Set(t.Context(), account, ""); fault.KindOf(err) != fault.Invalid {
		t.Errorf("empty secret: %v", err)
	}
}

// told returns a function that gives a passphrase and counts how it was asked.
func told(passphrase string, asked *[]bool) func(bool) (string, error) {
	return func(fresh bool) (string, error) {
		if asked != nil {
			*asked = append(*asked, fresh)
		}
		return passphrase, nil
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "postern", "keychain.age")
	ctx := t.Context()
	var asked []bool
	k := keychain.CheapFile(path, told("right", &asked))
	if _, err := k.Get(ctx, account); !errors.Is(err, keychain.ErrNotFound) || fault.KindOf(err) != fault.NotFound {
		t.Errorf("before it is stored: %v", err)
	}
	if err := errors.Join(k.Set(ctx, account, "old"), k.Set(ctx, account, secret), k.Set(ctx, "hello/TOKEN", "t")); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 1 || !asked[0] {
		t.Errorf("asked for the passphrase %v, want once, as for a new file", asked)
	}
	asked = nil
	again := keychain.CheapFile(path, told("right", &asked))
	for a, want := range map[string]string{account: secret, "hello/TOKEN": "t"} {
		if got, err := again.Get(ctx, a); got != want || err != nil {
			t.Errorf("Get(%s) = %q, %v; want %q", a, got, err, want)
		}
	}
	if len(asked) != 1 || asked[0] {
		t.Errorf("asked for the passphrase %v, want once, as for an old file", asked)
	}
	data, err := os.ReadFile(path)
	if err != nil || bytes.Contains(data, []byte(secret)) || bytes.Contains(data, []byte("right")) || bytes.Contains(data, []byte("auth")) {
		t.Errorf("the file shows what it holds: %v", err)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Lstat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := again.Delete(ctx, account); err != nil {
		t.Error(err)
	}
	if err := again.Delete(ctx, account); !errors.Is(err, keychain.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if err := again.Delete(ctx, "hello/TOKEN"); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty keychain leaves its file: %v", err)
	}
}

// A wrong passphrase opens nothing and changes nothing.
func TestFile_WrongPassphrase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keychain.age")
	ctx := t.Context()
	if err := keychain.CheapFile(path, told("right", nil)).Set(ctx, account, secret); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wrong := keychain.CheapFile(path, told("wrong", nil))
	_, get := wrong.Get(ctx, account)
	for name, err := range map[string]error{"get": get, "set": wrong.Set(ctx, account, "x"), "delete": wrong.Delete(ctx, account)} {
		f, ok := errors.AsType[*fault.Error](err)
		if !errors.Is(err, keychain.ErrPassphrase) || !ok || f.Kind != fault.Denied || !strings.Contains(f.Hint, "POSTERN_KEYCHAIN_PASSPHRASE") || strings.Contains(err.Error(), "wrong\"") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file changed: %v", err)
	}
	if _, err := keychain.CheapFile(path, told("", nil)).Get(ctx, account); fault.KindOf(err) != fault.Invalid {
		t.Errorf("no passphrase: %v", err)
	}
	refused := errors.New("no terminal")
	if _, err := keychain.CheapFile(path, func(bool) (string, error) { return "", refused }).Get(ctx, account); !errors.Is(err, refused) {
		t.Errorf("nobody to ask: %v", err)
	}
}

// A file that is cut, changed, open to others or no file at all is refused, and
// left as it is.
func TestFile_Damaged(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "keychain.age")
	ctx := t.Context()
	if err := keychain.CheapFile(whole, told("right", nil)).Set(ctx, account, secret); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(data)
	flipped[len(flipped)-1] ^= 1
	for name, bad := range map[string][]byte{"empty": nil, "cut": data[:len(data)-5], "cut in the head": data[:40], "changed": flipped, "more": append(bytes.Clone(data), 'x'), "plain": []byte(`{"version":1,"secrets":{}}`)} {
		path := filepath.Join(t.TempDir(), "keychain.age")
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		k := keychain.CheapFile(path, told("right", nil))
		_, get := k.Get(ctx, account)
		for what, err := range map[string]error{"get": get, "set": k.Set(ctx, account, "x")} {
			if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Invalid || !strings.Contains(f.Text, "damaged") || strings.Contains(err.Error(), secret) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, bad) {
			t.Errorf("%s: the file changed", name)
		}
	}
	link := filepath.Join(t.TempDir(), "link.age")
	if err := os.Symlink(whole, link); err != nil {
		t.Fatal(err)
	}
	k := keychain.CheapFile(link, told("right", nil))
	if _, err := k.Get(ctx, account); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link, read: %v", err)
	}
	if err := k.Set(ctx, account, "x"); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link, written: %v", err)
	}
	if err := os.Chmod(whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := keychain.CheapFile(whole, told("right", nil)).Get(ctx, account); err == nil || !strings.Contains(err.Error(), "others may read") {
		t.Errorf("mode 0644: %v", err)
	}
}

// The work factor that people get is one that a guess pays for.
func TestFile_CostOfAGuess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keychain.age")
	if err := keychain.File(path, told("right", nil)).Set(t.Context(), account, secret); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if head, _, _ := strings.Cut(string(data), "\n---"); err != nil || !strings.Contains(head, "-> scrypt ") || !strings.HasSuffix(strings.Split(head, "\n")[1], " 17") {
		t.Errorf("head %q, %v", head, err)
	}
}
