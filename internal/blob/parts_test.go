package blob_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/blob"
	"postern.dev/postern/internal/fault"
)

type parts struct {
	*blob.Parts
	store *blob.Store
	dir   string
}

func newParts(t *testing.T) *parts {
	t.Helper()
	dir := t.TempDir()
	store, err := blob.Open(filepath.Join(dir, "artefacts"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	p := &parts{store: store, dir: filepath.Join(dir, "uploads")}
	if p.Parts, err = blob.OpenParts(p.dir, store); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *parts) files(t *testing.T) (all []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(p.dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func random(t *testing.T, n int) (data []byte, hash string) {
	t.Helper()
	data = make([]byte, n)
	rand.Read(data)
	sum := sha256.Sum256(data)
	return data, hex.EncodeToString(sum[:])
}

const someProject = "prj_0123456789"

// An upload goes on where it was, over a restart too, and is stored when it is
// whole; then nothing of it is left beside.
func TestParts(t *testing.T) {
	t.Parallel()
	p := newParts(t)
	data, hash := random(t, 1000)
	ctx := t.Context()
	if at, whole, err := p.Offset(ctx, someProject, hash); at != 0 || whole || err != nil {
		t.Fatal(at, whole, err)
	}
	if at, whole, err := p.Append(ctx, someProject, hash, 0, 1000, data[:400]); at != 400 || whole || err != nil {
		t.Fatal(at, whole, err)
	}
	again, err := blob.OpenParts(p.dir, p.store)
	if err != nil {
		t.Fatal(err)
	}
	if at, _, err := again.Offset(ctx, someProject, hash); at != 400 || err != nil {
		t.Fatal("after a restart:", at, err)
	}
	for _, offset := range []int64{0, 399, 401} {
		var moved *blob.OffsetError
		if _, _, err := again.Append(ctx, someProject, hash, offset, 1000, data[:10]); !errors.As(err, &moved) || moved.At != 400 {
			t.Errorf("a piece at %d: %v", offset, err)
		}
	}
	if at, whole, err := again.Append(ctx, someProject, hash, 400, 1000, data[400:]); at != 1000 || !whole || err != nil {
		t.Fatal(at, whole, err)
	}
	if got, err := p.store.Read(ctx, someProject, hash); err != nil || !bytes.Equal(got, data) {
		t.Error(err)
	}
	if _, whole, err := p.Offset(ctx, someProject, hash); !whole || err != nil {
		t.Error(whole, err)
	}
	if at, whole, err := p.Offset(ctx, "prj_another", hash); at != 0 || whole || err != nil {
		t.Error("another project:", at, whole, err)
	}
	if left := p.files(t); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestParts_Refuse(t *testing.T) {
	t.Parallel()
	p := newParts(t)
	data, hash := random(t, 100)
	ctx := t.Context()
	for name, bad := range map[string]func() error{
		"more than it says":       func() error { _, _, err := p.Append(ctx, someProject, hash, 0, 99, data); return err },
		"below the start":         func() error { _, _, err := p.Append(ctx, someProject, hash, -1, 100, data); return err },
		"no hash":                 func() error { _, _, err := p.Append(ctx, someProject, "../../x", 0, 100, data); return err },
		"no project":              func() error { _, _, err := p.Append(ctx, "../x", hash, 0, 100, data); return err },
		"where it is, of no hash": func() error { _, _, err := p.Offset(ctx, someProject, "x"); return err },
		"other bytes": func() error {
			_, _, err := p.Append(ctx, someProject, hash, 0, 100, make([]byte, 100))
			if !errors.Is(err, blob.ErrHashMismatch) {
				t.Error(err)
			}
			return err
		},
	} {
		if bad() == nil {
			t.Errorf("%s: taken", name)
		}
		if left := p.files(t); len(left) > 0 {
			t.Errorf("%s: left %q", name, left)
		}
	}
	if at, whole, err := p.Append(ctx, someProject, hash, 0, 100, data); at != 100 || !whole || err != nil {
		t.Error("after other bytes came:", at, whole, err)
	}
}

// Two who upload the same help one another.
func TestParts_Together(t *testing.T) {
	t.Parallel()
	p := newParts(t)
	data, hash := random(t, 50_000)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for at := int64(0); ; {
				to := min(at+777, int64(len(data)))
				next, whole, err := p.Append(t.Context(), someProject, hash, at, int64(len(data)), data[at:to])
				var moved *blob.OffsetError
				switch {
				case whole:
					return
				case errors.As(err, &moved):
					if at, whole, err = p.Offset(t.Context(), someProject, hash); whole {
						return
					}
				case err != nil:
					t.Error(err)
					return
				default:
					at = next
				}
			}
		})
	}
	all.Wait()
	if got, err := p.store.Read(t.Context(), someProject, hash); err != nil || !bytes.Equal(got, data) {
		t.Error(err)
	}
}

// What is begun and not ended is bounded, by project and by age.
func TestParts_Bounded(t *testing.T) {
	t.Parallel()
	p := newParts(t)
	ctx := t.Context()
	hashes := make([]string, 6)
	for i := range hashes {
		var data []byte
		data, hashes[i] = random(t, 10)
		if _, _, err := p.Append(ctx, someProject, hashes[i], 0, 10, data[:5]); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(i-10) * time.Minute)
		os.Chtimes(filepath.Join(p.dir, someProject, hashes[i]), at, at)
	}
	if left := p.files(t); len(left) != 4 || strings.Contains(fmt.Sprint(left), hashes[0]) || !strings.Contains(fmt.Sprint(left), hashes[5]) {
		t.Errorf("%q", left)
	}
	old := time.Now().Add(-25 * time.Hour)
	os.Chtimes(filepath.Join(p.dir, someProject, hashes[5]), old, old)
	if _, err := blob.OpenParts(p.dir, p.store); err != nil || len(p.files(t)) != 3 {
		t.Errorf("%v %q", err, p.files(t))
	}
	for i := range 300 {
		data, hash := random(t, 10)
		_, _, err := p.Append(ctx, fmt.Sprint("prj_", i), hash, 0, 10, data[:5])
		// Three from before stall, and make room.
		if (err != nil) != (i >= 256) || err != nil && fault.KindOf(err) != fault.Unavailable {
			t.Fatal(i, err)
		}
	}
	// One that stalls makes room for one, of whichever project.
	left := p.files(t)
	stalls := left[len(left)-1]
	ago := time.Now().Add(-2 * time.Minute)
	if err := os.Chtimes(stalls, ago, ago); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		data, hash := random(t, 10)
		_, _, err := p.Append(ctx, "prj_late", hash, 0, 10, data[:5])
		if (err != nil) != (i > 0) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if now := p.files(t); len(now) != len(left) || strings.Contains(fmt.Sprint(now), stalls) {
		t.Errorf("%s, of %d now %d", stalls, len(left), len(now))
	}
}
