package blob_test

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"postern.dev/postern/internal/blob"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/state/statetest"
	"postern.dev/postern/internal/store"
)

func TestMain(m *testing.M) {
	// The AWS SDK looks here, and nowhere else.
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"} {
		os.Setenv(name, value)
	}
	os.Exit(m.Run())
}

const aFunction, aBlob = "fn-0123456789abcdefghjkmnpqrs", "0123456789ab-abcdefghijklmnopqrstuvwxyz"

func openDirectory(t *testing.T, dir string) *blob.Directory {
	t.Helper()
	d, err := blob.OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func openStore(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// newBucket is a bucket on a server of its own.
func newBucket(t *testing.T) *blob.Bucket {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("functions"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	url := "s3://functions?region=us-east-1&use_path_style=true&disable_https=true&endpoint=" + server.URL
	b, err := blob.OpenBucket(t.Context(), url, "instance/", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestBucket(t *testing.T) {
	t.Parallel()
	statetest.Storage(t, func(t *testing.T) (statetest.Indexing, statetest.Blobs) { return openStore(t), newBucket(t) })
}

// A bucket that is away is told as such, and not as one that is empty.
func TestBucket_Away(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	server.Close()
	b, err := blob.OpenBucket(t.Context(), "s3://functions?region=us-east-1&use_path_style=true&disable_https=true&endpoint="+server.URL, "instance/", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := b.Open(ctx, aFunction, aBlob); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("read: %v", err)
	}
	if err := b.Each(ctx, func(string, string) error { return nil }); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("list: %v", err)
	}
}

// Files of this directory that are not the storage's are neither told nor read,
// nor followed anywhere.
func TestDirectory_Strangers(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "storage")
	d := openDirectory(t, dir)
	if err := os.WriteFile(filepath.Join(root, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, aFunction), 0o700); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join(dir, aFunction, "other")
	if err := os.WriteFile(inside, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, target := range []string{filepath.Join(root, "secret"), "../../secret", inside, "other", "/etc/passwd", "."} {
		name := fmt.Sprintf("%012d-%s", i, strings.Repeat("a", 26))
		if err := os.Symlink(target, filepath.Join(dir, aFunction, name)); err != nil {
			t.Fatal(err)
		}
		if r, err := d.Open(t.Context(), aFunction, name); err == nil {
			r.Close()
			t.Errorf("a link to %s was opened", target)
		}
	}
	for _, name := range []string{"", ".", "..", "../secret", "other", strings.ToUpper(aBlob), aBlob + "a", aBlob[:38] + "/"} {
		if _, err := d.Open(t.Context(), aFunction, name); fault.KindOf(err) != fault.Invalid {
			t.Errorf("blob %q: %v", name, err)
		}
	}
	for _, id := range []string{"", ".", "..", "../..", "unfinished", "fn-", aFunction + "/..", strings.ToUpper(aFunction)} {
		if _, err := d.Create(t.Context(), id); fault.KindOf(err) != fault.Invalid {
			t.Errorf("create for %q: %v", id, err)
		}
		if err := d.Clear(t.Context(), id); fault.KindOf(err) != fault.Invalid {
			t.Errorf("clear %q: %v", id, err)
		}
	}
}

// What was being written when the server was killed goes, once nobody can be
// writing it any more.
func TestDirectory_Unfinished(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDirectory(t, dir)
	for _, age := range []time.Duration{2 * time.Hour, time.Minute} {
		w, err := d.Create(t.Context(), aFunction)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, "half")
		files, _ := filepath.Glob(filepath.Join(dir, "unfinished", "*"))
		at := time.Now().Add(-age)
		os.Chtimes(files[len(files)-1], at, at)
		for _, f := range files {
			if info, err := os.Stat(f); err == nil && info.Mode().Perm() != 0o600 {
				t.Errorf("it may be read by others: %v", info.Mode())
			}
		}
		if err := d.Each(t.Context(), func(_, name string) error { t.Errorf("what is not finished is told: %s", name); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "unfinished", "*")); len(files) != 1 {
		t.Errorf("%d files are left", len(files))
	}
}
