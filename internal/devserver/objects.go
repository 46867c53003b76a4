package devserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// objects keeps a function's storage in files that a person finds and reads: a
// file for each key, at the key's own path. It is index and blobs at once (see
// package state); of the one function, whose ID is not looked at.
//
// A name that is not a key's part in clear has a % that is followed by no two
// hexadecimal digits: a key "a" beside a key "a/b" is the file "a" beside the
// directory "a%dir", or "a%file" beside "a". A part that is too long for a name
// goes on in a directory whose name ends in "%+".
type objects struct {
	dir string

	mu   sync.Mutex // of whoever changes the tree
	root *os.Root   // nil until something is there; guarded by mu
}

const (
	draftDir = "%drafts"
	asDir    = "%dir"
	asFile   = "%file"
	goesOn   = "%+"
	longPart = 200 // bytes of a name
)

// open opens the directory; make makes it. Without it there is nothing.
func (o *objects) open(make bool) (*os.Root, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.root != nil {
		if info, err := o.root.Stat("."); err == nil {
			if now, err := os.Stat(o.dir); err == nil && os.SameFile(info, now) {
				return o.root, nil
			}
		}
		o.root.Close() // somebody removed it
		o.root = nil
	}
	if make {
		if err := os.MkdirAll(o.dir, 0o755); err != nil {
			return nil, fmt.Errorf("make the function's storage: %w", err)
		}
	}
	root, err := os.OpenRoot(o.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the function's storage: %w", err)
	}
	o.root = root
	return root, nil
}

// partsOf are the names of a key's parts.
func partsOf(key string) (names []string) {
	for part := range strings.SplitSeq(key, "/") {
		part = strings.ReplaceAll(part, "%", "%25")
		for len(part) > longPart {
			cut := longPart
			for cut > 0 && (!utf8.RuneStart(part[cut]) || strings.Contains(part[max(cut-2, 0):cut], "%")) {
				cut--
			}
			names = append(names, part[:cut]+goesOn)
			part = part[cut:]
		}
		names = append(names, part)
	}
	return names
}

// keyOfPath is the key whose file a path is; empty: it is none.
func keyOfPath(name string) string {
	var key strings.Builder
	parts := strings.Split(name, "/")
	for i, part := range parts {
		whole := true
		switch last := i == len(parts)-1; {
		case last:
			part = strings.TrimSuffix(part, asFile)
		case strings.HasSuffix(part, goesOn):
			part, whole = strings.TrimSuffix(part, goesOn), false
		default:
			part = strings.TrimSuffix(part, asDir)
		}
		plain := strings.ReplaceAll(part, "%25", "")
		if strings.Contains(plain, "%") || part == "" {
			return ""
		}
		key.WriteString(strings.ReplaceAll(part, "%25", "%"))
		if whole && i < len(parts)-1 {
			key.WriteByte('/')
		}
	}
	return key.String()
}

// place is where the file of a key is, or would be.
func place(root *os.Root, key string) string {
	names := partsOf(key)
	at := ""
	is := func(name string, dir bool) (there, fits bool) {
		info, err := root.Lstat(path.Join(at, name))
		return err == nil, err == nil && (dir && info.IsDir() || !dir && info.Mode().IsRegular())
	}
	for i, name := range names {
		dir := i < len(names)-1
		other := asFile
		if dir {
			other = asDir
		}
		there, fits := is(name, dir)
		if _, odd := is(name+other, dir); !fits && (odd || there) {
			name += other
		}
		at = path.Join(at, name)
	}
	return at
}

// Object implements state.Index.
func (o *objects) Object(_ context.Context, _, key string) (platform.StoredObject, error) {
	root, err := o.open(false)
	if err != nil {
		return platform.StoredObject{}, err
	}
	if root != nil {
		if info, err := root.Lstat(place(root, key)); err == nil && info.Mode().IsRegular() {
			return platform.StoredObject{Key: key, Blob: key, Size: info.Size(), At: info.ModTime()}, nil
		}
	}
	return platform.StoredObject{}, fault.New(fault.NotFound, "there is no such object")
}

// Objects implements state.Index.
func (o *objects) Objects(_ context.Context, _, prefix, after string, limit int) (out []platform.StoredObject, err error) {
	root, err := o.open(false)
	if err != nil || root == nil {
		return nil, err
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile, or not for us to read
		}
		if e.IsDir() && name == draftDir {
			return fs.SkipDir
		}
		key := keyOfPath(name)
		if !e.Type().IsRegular() || key == "" || key <= after || !strings.HasPrefix(key, prefix) || !utf8.ValidString(key) {
			return nil
		}
		if info, err := e.Info(); err == nil {
			out = append(out, platform.StoredObject{Key: key, Blob: key, Size: info.Size(), At: info.ModTime()})
		}
		return nil
	})
	slices.SortFunc(out, func(a, b platform.StoredObject) int { return strings.Compare(a.Key, b.Key) })
	return out[:min(len(out), limit)], err
}

// PutObject implements state.Index: it gives a draft that was committed the name
// of its key.
func (o *objects) PutObject(ctx context.Context, _ string, s platform.StoredObject, maxObjects, maxBytes int64) (string, error) {
	root, err := o.open(true)
	if err != nil {
		return "", err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := fits(root, s, maxObjects, maxBytes); err != nil {
		return "", err
	}
	to := place(root, s.Key)
	if dir := path.Dir(to); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return "", fmt.Errorf("write the object %q: %w", s.Key, err)
		}
	}
	if err := root.Rename(path.Join(draftDir, s.Blob), to); err != nil {
		return "", fmt.Errorf("write the object %q: %w", s.Key, err)
	}
	root.Remove(draftDir) // if it is empty
	return "", nil
}

// fits refuses an object with which a function would have too much.
func fits(root *os.Root, s platform.StoredObject, maxObjects, maxBytes int64) error {
	objects, bytes := int64(1), s.Size
	err := fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() && name == draftDir {
			return fs.SkipDir
		}
		if key := keyOfPath(name); e.Type().IsRegular() && key != "" && key != s.Key {
			if info, err := e.Info(); err == nil {
				objects, bytes = objects+1, bytes+info.Size()
			}
		}
		return nil
	})
	if err == nil && (objects > maxObjects || bytes > maxBytes) {
		return fault.New(fault.Denied, fmt.Sprintf("the storage of a function has at most %d objects and %d bytes", maxObjects, maxBytes)).WithCode("storage_full")
	}
	return err
}

// DeleteObject implements state.Index.
func (o *objects) DeleteObject(_ context.Context, _, key string) (string, error) {
	root, err := o.open(false)
	if err != nil || root == nil {
		return "", err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	at := place(root, key)
	if info, err := root.Lstat(at); err != nil || !info.Mode().IsRegular() {
		return "", nil
	}
	if err := root.Remove(at); err != nil {
		return "", fmt.Errorf("delete the object %q: %w", key, err)
	}
	for dir := path.Dir(at); dir != "."; dir = path.Dir(dir) {
		if root.Remove(dir) != nil { // it is not empty
			break
		}
	}
	return removed, nil
}

// removed is a blob that is gone already.
const removed = "removed"

// Create implements state.Blobs.
func (o *objects) Create(context.Context, string) (platform.Draft, error) {
	root, err := o.open(true)
	if err != nil {
		return nil, err
	}
	if err := root.MkdirAll(draftDir, 0o755); err != nil {
		return nil, fmt.Errorf("begin an object: %w", err)
	}
	name := path.Join(draftDir, rand.Text())
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("begin an object: %w", err)
	}
	return &draft{root, f, name}, nil
}

// draft is an object while it is written.
type draft struct {
	root *os.Root
	f    *os.File // nil: committed or discarded
	name string
}

func (d *draft) Write(p []byte) (int, error) {
	if d.f == nil {
		return 0, os.ErrClosed
	}
	return d.f.Write(p)
}

// Commit implements platform.Draft, but for a power cut: what is lost then was
// made in development.
func (d *draft) Commit(_ context.Context, blob string) error {
	if d.f == nil {
		return os.ErrClosed
	}
	if err := d.f.Close(); err != nil {
		return fmt.Errorf("write an object: %w", err)
	}
	d.f = nil
	return d.root.Rename(d.name, path.Join(draftDir, blob))
}

func (d *draft) Discard() {
	if d.f != nil {
		d.f.Close()
		d.root.Remove(d.name)
		d.f = nil
	}
}

// Open implements state.Blobs: the blob of an object is named like its key.
func (o *objects) Open(_ context.Context, _, key string) (io.ReadCloser, error) {
	root, err := o.open(false)
	if err != nil {
		return nil, err
	}
	if root != nil {
		f, err := root.Open(place(root, key))
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open the object %q: %w", key, err)
		}
	}
	return nil, fault.New(fault.NotFound, "there is no such object")
}

// Remove implements state.Blobs, for a draft that nothing leads to.
func (o *objects) Remove(_ context.Context, _, blob string) error {
	if root, err := o.open(false); err != nil || root == nil {
		return err
	} else if err := root.Remove(path.Join(draftDir, blob)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Each implements state.BlobKeeper: nothing here is ever left over.
func (o *objects) Each(context.Context, func(functionID, name string) error) error { return nil }

// Clear implements state.BlobKeeper: the developer's files are theirs.
func (o *objects) Clear(context.Context, string) error { return nil }
