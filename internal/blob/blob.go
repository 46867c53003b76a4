// Package blob keeps the artefacts of each project under the SHA-256 of their
// bytes.
//
// [Store] verifies while it writes: what is there is what its name says. An
// upload that was cut off leaves nothing that can be read.
package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"

	"postern.dev/postern/internal/fault"
)

var (
	// ErrHashMismatch says that the bytes are not those that their name promises.
	ErrHashMismatch = errors.New("the artefact's bytes do not have the hash of its name")
	// ErrTooLarge says that there are more bytes than the limit.
	ErrTooLarge = errors.New("the artefact is larger than the limit")
)

// Store is an open store of artefacts. It is safe for concurrent use.
type Store struct{ bucket *blob.Bucket }

// Open opens the store in a directory, which is made for its owner only.
func Open(dir string) (*Store, error) {
	b, err := fileblob.OpenBucket(dir, &fileblob.Options{CreateDir: true, DirFileMode: 0o700, NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return nil, fmt.Errorf("open artefacts in %s: %w", dir, err)
	}
	return &Store{b}, nil
}

// Close closes the store.
func (s *Store) Close() error { return s.bucket.Close() }

// ValidHash reports whether hash is 64 lower-case hexadecimal digits.
func ValidHash(hash string) bool {
	if len(hash) != hex.EncodedLen(sha256.Size) {
		return false
	}
	for i := range len(hash) {
		if c := hash[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Put stores at most limit bytes of data as hash of a project. It reads everything before
// it writes anything, so nothing that does not match ever gets a name.
func (s *Store) Put(ctx context.Context, projectID, hash string, data io.Reader, limit int64) error {
	key, err := keyOf(projectID, hash)
	if err != nil {
		return err
	}
	all, err := io.ReadAll(io.LimitReader(data, limit+1))
	if err != nil {
		return fmt.Errorf("receive artefact %s: %w", hash, err)
	}
	if int64(len(all)) > limit {
		return ErrTooLarge
	}
	if sum := sha256.Sum256(all); hex.EncodeToString(sum[:]) != hash {
		return ErrHashMismatch
	}
	// Uploads reads to the end, then renames: a reader sees all of it or nothing.
	if err := s.bucket.Upload(ctx, key, bytes.NewReader(all), &blob.WriterOptions{ContentType: "application/zip"}); err != nil {
		return fmt.Errorf("store artefact %s: %w", hash, err)
	}
	return nil
}

// Has reports whether the artefact is there.
func (s *Store) Has(ctx context.Context, projectID, hash string) (bool, error) {
	key, err := keyOf(projectID, hash)
	if err != nil {
		return false, err
	}
	ok, err := s.bucket.Exists(ctx, key)
	if err != nil {
		return false, fmt.Errorf("look for artefact %s: %w", hash, err)
	}
	return ok, nil
}

// Read returns an artefact's bytes, checked again: a file that somebody
// altered on disk is refused.
func (s *Store) Read(ctx context.Context, projectID, hash string) ([]byte, error) {
	key, err := keyOf(projectID, hash)
	if err != nil {
		return nil, err
	}
	all, err := s.bucket.ReadAll(ctx, key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fault.New(fault.NotFound, "there is no such artefact").WithCode("artefact_missing")
	}
	if err != nil {
		return nil, fmt.Errorf("read artefact %s: %w", hash, err)
	}
	if sum := sha256.Sum256(all); hex.EncodeToString(sum[:]) != hash {
		return nil, fmt.Errorf("read artefact %s: %w", hash, ErrHashMismatch)
	}
	return all, nil
}

var validProject = regexp.MustCompile(`^prj_[0-9a-z]{1,60}$`)

// keyOf is where an artefact lies. Each project has its own, so that a hash
// which one of them knows is of no use to another.
func keyOf(projectID, hash string) (string, error) {
	if !validProject.MatchString(projectID) || !ValidHash(hash) {
		return "", fault.New(fault.Invalid, fmt.Sprintf("%.80q is no artefact hash", hash)).WithCode("artefact_invalid")
	}
	return projectID + "/" + hash, nil
}
