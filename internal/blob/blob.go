// Package blob keeps the artefacts of each project under the SHA-256 of their
// bytes.
//
// [Store] verifies while it writes: what is there is what its name says. An
// upload that was cut off leaves nothing that can be read. [Directory] and
// [Bucket] keep the bytes of functions' storage.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

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

// leftoverAge is how old an unfinished file is when nobody can be writing it.
const leftoverAge = time.Hour

// Open opens the store in a directory, which is made for its owner only, and
// clears what a killed process left half-written there.
func Open(dir string) (*Store, error) {
	b, err := fileblob.OpenBucket(dir, &fileblob.Options{CreateDir: true, DirFileMode: 0o700, NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return nil, fmt.Errorf("open artefacts in %s: %w", dir, err)
	}
	s := &Store{b}
	if err := s.clearLeftovers(context.Background(), time.Now().Add(-leftoverAge)); err != nil {
		b.Close()
		return nil, fmt.Errorf("open artefacts in %s: %w", dir, err)
	}
	return s, nil
}

// clearLeftovers removes unfinished files from before a time.
func (s *Store) clearLeftovers(ctx context.Context, before time.Time) error {
	const unfinished = ".tmp" // of fileblob
	files := s.bucket.List(nil)
	for {
		f, err := files.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if strings.HasSuffix(f.Key, unfinished) && f.ModTime.Before(before) {
			if err := s.bucket.Delete(ctx, f.Key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
				return err
			}
		}
	}
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

// Put stores at most limit bytes of data as hash of a project. It reads
// everything before it writes anything, so nothing that does not match ever
// gets a name; the caller's limit bounds the memory too. What is wrong with the
// data is ErrTooLarge or ErrHashMismatch.
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
	if err := s.write(ctx, key, all); err != nil {
		return fmt.Errorf("store artefact %s: %w", hash, err)
	}
	return nil
}

// write gives the bytes their name when they are on the disk: a reader sees
// all of them or nothing, after a power cut too.
func (s *Store) write(ctx context.Context, key string, data []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var f *os.File
	w, err := s.bucket.NewWriter(ctx, key, &blob.WriterOptions{ContentType: "application/zip", BeforeWrite: func(as func(any) bool) error {
		if !as(&f) {
			return errors.New("artefacts are kept in files")
		}
		return f.Chmod(0o600) // whatever the umask is
	}})
	if err != nil {
		return err
	}
	if _, err = w.Write(data); err == nil {
		err = f.Sync()
	}
	if err != nil {
		cancel() // Close then removes the file instead of naming it
	}
	return errors.Join(err, w.Close())
}

// Has reports whether the artefact is there and whole. A file that a power cut
// left empty or that was altered counts as absent, so the next Put mends it.
func (s *Store) Has(ctx context.Context, projectID, hash string) (bool, error) {
	_, err := s.Read(ctx, projectID, hash)
	if fault.KindOf(err) == fault.NotFound || errors.Is(err, ErrHashMismatch) {
		return false, nil
	}
	return err == nil, err
}

// Delete removes an artefact. One that is not there is no error.
func (s *Store) Delete(ctx context.Context, projectID, hash string) error {
	key, err := keyOf(projectID, hash)
	if err != nil {
		return err
	}
	if err := s.bucket.Delete(ctx, key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("delete artefact %s: %w", hash, err)
	}
	return nil
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
	if !validProject.MatchString(projectID) {
		return "", fault.New(fault.Invalid, fmt.Sprintf("%.80q is no project ID", projectID))
	}
	if !ValidHash(hash) {
		return "", fault.New(fault.Invalid, fmt.Sprintf("%.80q is no artefact hash", hash)).WithCode("artefact_invalid")
	}
	return projectID + "/" + hash, nil
}
