package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // s3:// URLs
	"gocloud.dev/gcerrors"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Bucket keeps the bytes of functions' storage in an S3 bucket, by function ID
// and blob, below a prefix. What is written waits in a file of this machine
// until all of it is there, so that nothing half is ever in the bucket.
type Bucket struct {
	bucket *blob.Bucket
	spool  string
}

// OpenBucket opens the bucket of an s3:// URL. Credentials are where the AWS SDK
// looks for them. spool is a directory for what is being written.
func OpenBucket(ctx context.Context, url, prefix, spool string) (*Bucket, error) {
	b, err := blob.OpenBucket(ctx, url)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the address of the functions' storage does not open").
			WithHint("write it as s3://bucket?region=eu-central-1")
	}
	if err := os.MkdirAll(spool, 0o700); err != nil {
		b.Close()
		return nil, fmt.Errorf("make %s: %w", spool, err)
	}
	return &Bucket{blob.PrefixedBucket(b, prefix), spool}, nil
}

// Close closes the bucket.
func (b *Bucket) Close() error { return b.bucket.Close() }

type spooledDraft struct {
	b          *Bucket
	f          *os.File // nil: committed or discarded
	functionID string
}

// Create begins a blob. Its file has no name: it goes with this process.
func (b *Bucket) Create(_ context.Context, functionID string) (platform.Draft, error) {
	if _, err := objectName(functionID, anyBlob); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(b.spool, "object-")
	if err != nil {
		return nil, fmt.Errorf("begin an object of %s: %w", functionID, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("begin an object of %s: %w", functionID, err)
	}
	return &spooledDraft{b, f, functionID}, nil
}

func (w *spooledDraft) Write(p []byte) (int, error) {
	if w.f == nil {
		return 0, os.ErrClosed
	}
	return w.f.Write(p)
}

// Commit sends the blob to the bucket.
func (w *spooledDraft) Commit(ctx context.Context, name string) error {
	name, err := objectName(w.functionID, name)
	if err != nil {
		return err
	}
	if w.f == nil {
		return os.ErrClosed
	}
	defer w.Discard()
	if _, err := w.f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read an object of %s: %w", w.functionID, err)
	}
	return away(w.b.bucket.Upload(ctx, name, w.f, &blob.WriterOptions{ContentType: "application/octet-stream", MaxConcurrency: 1}))
}

func (w *spooledDraft) Discard() {
	if w.f != nil {
		w.f.Close()
		w.f = nil
	}
}

// Open reads a blob. What has begun can be read to its end although it is
// removed meanwhile. It ends with ctx.
func (b *Bucket) Open(ctx context.Context, functionID, name string) (io.ReadCloser, error) {
	name, err := objectName(functionID, name)
	if err != nil {
		return nil, err
	}
	r, err := b.bucket.NewReader(ctx, name, nil)
	if err != nil {
		return nil, away(err)
	}
	return r, nil
}

// Remove removes a blob, whether it is there or not.
func (b *Bucket) Remove(ctx context.Context, functionID, name string) error {
	name, err := objectName(functionID, name)
	if err != nil {
		return err
	}
	if err := b.bucket.Delete(ctx, name); gcerrors.Code(err) != gcerrors.NotFound {
		return away(err)
	}
	return nil
}

// Clear removes all blobs of a function.
func (b *Bucket) Clear(ctx context.Context, functionID string) error {
	if _, err := objectName(functionID, anyBlob); err != nil {
		return err
	}
	return b.each(ctx, functionID+"/", func(functionID, name string) error { return b.Remove(ctx, functionID, name) })
}

// Each tells of every blob, those of one function one after another.
func (b *Bucket) Each(ctx context.Context, tell func(functionID, name string) error) error {
	return b.each(ctx, "", tell)
}

func (b *Bucket) each(ctx context.Context, prefix string, tell func(functionID, name string) error) error {
	list := b.bucket.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return away(err)
		}
		functionID, name, _ := strings.Cut(o.Key, "/")
		if _, err := objectName(functionID, name); err != nil {
			continue // not ours
		}
		if err := tell(functionID, name); err != nil {
			return err
		}
	}
}

// away tells a bucket that has no such blob from one that does not answer.
func away(err error) error {
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case gcerrors.Code(err) == gcerrors.NotFound:
		return fault.New(fault.NotFound, "there is no such blob")
	}
	return fault.Wrap(err, fault.Unavailable, "the bucket of the functions' storage does not answer").WithCode("unavailable")
}
