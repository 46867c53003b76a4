package state

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Index keeps where the keys of functions' storage lead. *store.DB is one.
type Index interface {
	// Object returns where a key leads; NotFound: nowhere.
	Object(ctx context.Context, functionID, key string) (platform.StoredObject, error)
	// Objects lists up to limit objects whose keys begin with prefix and stand
	// after a key, in the order of their bytes.
	Objects(ctx context.Context, functionID, prefix, after string, limit int) ([]platform.StoredObject, error)
	// PutObject lets a key lead to a blob, and returns the one before it, unless
	// the function would have too much: storage_full.
	PutObject(ctx context.Context, functionID string, o platform.StoredObject, maxObjects, maxBytes int64) (replaced string, err error)
	// DeleteObject removes a key, and returns the blob that it led to; empty: none.
	DeleteObject(ctx context.Context, functionID, key string) (removed string, err error)
}

// Blobs keeps bytes that never change, by function ID and a name that is used
// once. A name is there with all its bytes or not at all.
type Blobs interface {
	// Create begins a blob. It is nothing until it is committed.
	Create(ctx context.Context, functionID string) (platform.Draft, error)
	// Open reads a blob from its beginning; NotFound: there is none. What is
	// open can be read to its end, although it is removed meanwhile.
	Open(ctx context.Context, functionID, name string) (io.ReadCloser, error)
	// Remove removes a blob, whether it is there or not.
	Remove(ctx context.Context, functionID, name string) error
}

const (
	maxObjectKey = 1024      // bytes of a storage's key
	partSize     = 512 << 10 // bytes of an object that one call carries
	maxListPage  = 1000      // keys of one answer
)

// objectKey checks a key of the storage, which is a relative path in its
// shortest form. It never becomes a path of ours; but it becomes one of others.
func objectKey(b []byte) (string, error) {
	key := string(b)
	why := ""
	switch {
	case len(key) == 0 || len(key) > maxObjectKey:
		why = fmt.Sprintf("has 1 to %d bytes; this one has %d", maxObjectKey, len(key))
	case !utf8.ValidString(key):
		why = "is UTF-8"
	case strings.ContainsFunc(key, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		why = "has no control characters"
	default:
		for part := range strings.SplitSeq(key, "/") {
			if part == "" || part == "." || part == ".." {
				why = `is a relative path without empty parts, "." and ".."`
			}
		}
	}
	if why != "" {
		return "", fault.New(fault.Invalid, "a key of the storage "+why).WithCode("storage_key_invalid")
	}
	return key, nil
}

// storageRead answers with an object's size, a handle for the rest of it, which
// is empty where there is none, and its first part.
func (s *Service) storageRead(ctx context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	key, err := objectKey(fields[0])
	if err != nil {
		return nil, err
	}
	o, r, err := s.open(ctx, functionID, key)
	if err != nil {
		return nil, err
	}
	part := make([]byte, min(o.Size, partSize))
	if _, err := io.ReadFull(r, part); err != nil {
		r.Close()
		return nil, fmt.Errorf("read %s of %s: %w", o.Blob, functionID, err)
	}
	h := ""
	if rest := o.Size - int64(len(part)); rest > 0 {
		if h, err = s.handles.keep(ctx, functionID, &download{r, rest}, s.o.Now()); err != nil {
			r.Close()
			return nil, err
		}
	} else {
		r.Close()
	}
	return [][]byte{fmt.Append(nil, o.Size), []byte(h), part}, nil
}

// open opens what a key leads to. Between the two somebody may replace it, and
// remove what it led to: then it leads elsewhere.
func (s *Service) open(ctx context.Context, functionID, key string) (platform.StoredObject, io.ReadCloser, error) {
	last := ""
	for {
		o, err := s.o.Index.Object(ctx, functionID, key)
		if fault.KindOf(err) == fault.NotFound {
			return o, nil, fault.New(fault.NotFound, fmt.Sprintf("there is no object %q in the storage", key)).WithCode("not_found")
		}
		if err != nil {
			return o, nil, err
		}
		r, err := s.o.Blobs.Open(ctx, functionID, o.Blob)
		if fault.KindOf(err) != fault.NotFound || o.Blob == last {
			if err != nil {
				err = fmt.Errorf("open the object %q of %s: %w", key, functionID, hidden{err})
			}
			return o, r, err
		}
		last = o.Blob
	}
}

// hidden keeps a fault of ours from being taken for one of the caller's.
type hidden struct{ err error }

func (h hidden) Error() string { return h.err.Error() }

// download is an object that is read part by part.
type download struct {
	r    io.ReadCloser
	rest int64
}

func (d *download) release() { d.r.Close() }

func (s *Service) storageNext(ctx context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	h, done, err := s.handles.take(functionID, fields[0])
	if err != nil {
		return nil, err
	}
	d, ok := h.(*download)
	if !ok {
		done(true, s.o.Now())
		return nil, malformed("next of what is written")
	}
	part := make([]byte, min(d.rest, partSize))
	if _, err := io.ReadFull(d.r, part); err != nil {
		done(true, s.o.Now())
		return nil, fmt.Errorf("read an object of %s: %w", functionID, err)
	}
	d.rest -= int64(len(part))
	done(d.rest == 0, s.o.Now())
	return [][]byte{part}, nil
}

// storageWrite replaces an object by what fits into one call.
func (s *Service) storageWrite(ctx context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	key, err := objectKey(fields[0])
	if err != nil {
		return nil, err
	}
	u, err := s.begin(ctx, functionID)
	if err != nil {
		return nil, err
	}
	if err := u.add(fields[1]); err != nil {
		u.release()
		return nil, err
	}
	return nil, s.commit(ctx, functionID, key, u)
}

// upload is an object that is written part by part.
type upload struct {
	draft     platform.Draft
	size, max int64
}

func (u *upload) release() { u.draft.Discard() }

func (u *upload) add(part []byte) error {
	if u.size += int64(len(part)); u.size > u.max {
		return fault.New(fault.Invalid, fmt.Sprintf("an object of the storage has at most %d bytes", u.max)).WithCode("storage_object_too_large")
	}
	_, err := u.draft.Write(part)
	return err
}

func (s *Service) begin(ctx context.Context, functionID string) (*upload, error) {
	draft, err := s.o.Blobs.Create(ctx, functionID)
	if err != nil {
		return nil, err
	}
	return &upload{draft: draft, max: s.o.ObjectBytes}, nil
}

// commit gives an upload its key. The bytes are there before the key leads to
// them, and those that it led to go after it: whenever the server is killed, a
// key leads to all of the old object or all of the new one.
func (s *Service) commit(ctx context.Context, functionID, key string, u *upload) error {
	name := newBlobName(s.o.Now())
	if err := u.draft.Commit(ctx, name); err != nil {
		u.release()
		return err
	}
	// A worker that ends now does not leave half of it undone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	replaced, err := s.o.Index.PutObject(ctx, functionID, platform.StoredObject{Key: key, Blob: name, Size: u.size, At: s.o.Now()}, s.o.StorageObjects, s.o.StorageBytes)
	if err != nil {
		// Where the answer was lost the key may lead there already.
		if o, lookup := s.o.Index.Object(ctx, functionID, key); fault.KindOf(lookup) == fault.NotFound || lookup == nil && o.Blob != name {
			s.remove(ctx, functionID, name)
		}
		return err
	}
	s.remove(ctx, functionID, replaced)
	return nil
}

// remove removes a blob to which nothing leads. What stays is swept.
func (s *Service) remove(ctx context.Context, functionID, name string) {
	if name == "" {
		return
	}
	if err := s.o.Blobs.Remove(ctx, functionID, name); err != nil {
		s.o.Log.Warn("the bytes of an object that is gone were not removed; they will be swept", "function", functionID, "blob", name, "error", err)
	}
}

// newBlobName is a name that was never used, and tells when it was made.
func newBlobName(now time.Time) string {
	return fmt.Sprintf("%012x-%s", now.UnixMilli(), strings.ToLower(rand.Text()))
}

func (s *Service) storageBegin(ctx context.Context, functionID string, _ [][]byte) ([][]byte, error) {
	u, err := s.begin(ctx, functionID)
	if err != nil {
		return nil, err
	}
	h, err := s.handles.keep(ctx, functionID, u, s.o.Now())
	if err != nil {
		u.release()
		return nil, err
	}
	return [][]byte{[]byte(h)}, nil
}

// ofUpload does something with an upload that was begun. One that fails is over.
func (s *Service) ofUpload(functionID string, handle []byte, f func(*upload) (over bool, err error)) error {
	h, done, err := s.handles.take(functionID, handle)
	if err != nil {
		return err
	}
	u, ok := h.(*upload)
	if !ok {
		done(true, s.o.Now())
		return malformed("a part for what is read")
	}
	over, err := f(u)
	done(over || err != nil, s.o.Now())
	return err
}

func (s *Service) storageAppend(_ context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	return nil, s.ofUpload(functionID, fields[0], func(u *upload) (bool, error) { return false, u.add(fields[1]) })
}

func (s *Service) storageCommit(ctx context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	return nil, s.ofUpload(functionID, fields[0], func(u *upload) (bool, error) {
		key, err := objectKey(fields[1])
		if err != nil {
			return true, err
		}
		return true, s.commit(ctx, functionID, key, u)
	})
}

// storageAbort lets go of a handle; of one that is gone already, too.
func (s *Service) storageAbort(_ context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	if _, done, err := s.handles.take(functionID, fields[0]); err == nil {
		done(true, s.o.Now())
	}
	return nil, nil
}

// storageList answers with whether there are more, and a page of keys.
func (s *Service) storageList(ctx context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	prefix, after := fields[0], fields[1]
	if len(prefix) > maxObjectKey || len(after) > maxObjectKey || !utf8.Valid(prefix) || !utf8.Valid(after) {
		return nil, fault.New(fault.Invalid, "no key of the storage begins like this").WithCode("storage_key_invalid")
	}
	objects, err := s.o.Index.Objects(ctx, functionID, string(prefix), string(after), maxListPage+1)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(objects))
	for i, o := range objects {
		keys[i] = o.Key
	}
	return page(keys, maxListPage), nil
}

func (s *Service) storageExists(ctx context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	key, err := objectKey(fields[0])
	if err != nil {
		return nil, err
	}
	_, err = s.o.Index.Object(ctx, functionID, key)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return nil, err
	}
	return yes(err == nil), nil
}

func (s *Service) storageDelete(ctx context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	key, err := objectKey(fields[0])
	if err != nil {
		return nil, err
	}
	removed, err := s.o.Index.DeleteObject(ctx, functionID, key)
	if err != nil {
		return nil, err
	}
	s.remove(context.WithoutCancel(ctx), functionID, removed)
	return yes(removed != ""), nil
}
