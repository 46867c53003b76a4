package state

import (
	"context"
	"io"
	"unicode/utf8"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// What follows is for the people whose function it is: the same storage, under the
// same rules and bounds as for the function itself.

// Objects lists up to limit objects of a function whose keys begin with prefix and
// stand after a key, in the order of their bytes.
func (s *Service) Objects(ctx context.Context, functionID, prefix, after string, limit int) ([]platform.StoredObject, error) {
	if len(prefix) > maxObjectKey || len(after) > maxObjectKey || !utf8.ValidString(prefix) || !utf8.ValidString(after) {
		return nil, fault.New(fault.Invalid, "no key of the storage begins like this").WithCode("storage_key_invalid")
	}
	return s.o.Index.Objects(ctx, functionID, prefix, after, limit)
}

// OpenObject opens what a key leads to. Close it; it can be read to its end, although
// it is replaced meanwhile.
func (s *Service) OpenObject(ctx context.Context, functionID, key string) (platform.StoredObject, io.ReadCloser, error) {
	key, err := objectKey([]byte(key))
	if err != nil {
		return platform.StoredObject{}, nil, err
	}
	o, from, err := s.open(ctx, functionID, key)
	if fault.KindOf(err) == fault.NotFound && err != nil {
		err = fault.Wrap(err, fault.NotFound, err.Error()).WithCode("object_not_found")
	}
	return o, from, err
}

// PutObject lets a key lead to what it reads, once all of it has come; else to what
// it led to before.
func (s *Service) PutObject(ctx context.Context, functionID, key string, from io.Reader) (size int64, err error) {
	key, err = objectKey([]byte(key))
	if err != nil {
		return 0, err
	}
	if s.isGone(functionID) {
		return 0, fault.New(fault.NotFound, "the function was deleted").WithCode("function_not_found")
	}
	u, err := s.begin(ctx, functionID)
	if err != nil {
		return 0, err
	}
	if _, err := io.Copy(partial{u}, from); err != nil {
		u.release()
		return 0, err
	}
	return u.size, s.commit(ctx, functionID, key, u)
}

// partial is an upload as io.Copy fills it.
type partial struct{ *upload }

func (p partial) Write(part []byte) (int, error) { return len(part), p.add(part) }

// DeleteObject removes a key with what it leads to; there has to be one.
func (s *Service) DeleteObject(ctx context.Context, functionID, key string) error {
	key, err := objectKey([]byte(key))
	if err != nil {
		return err
	}
	removed, err := s.o.Index.DeleteObject(ctx, functionID, key)
	if err != nil {
		return err
	}
	if removed == "" {
		return fault.New(fault.NotFound, "there is no object of this key in the storage").WithCode("object_not_found")
	}
	s.remove(context.WithoutCancel(ctx), functionID, removed)
	return nil
}
