package admin

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"postern.dev/postern/internal/fault"
)

// stalled is how long bytes on their way to us, or from us, may stand still. There is
// no bound on all of them together: what is large takes its time.
const stalled = time.Minute

// Arriving is the body of an upload, which the operation itself reads. It may take
// long, but must go on.
type Arriving struct {
	from incoming
	rc   *http.ResponseController
	due  time.Time // when the deadlines are moved next
}

// Resolve takes the body; huma calls it before the operation.
func (a *Arriving) Resolve(ctx huma.Context) []error {
	_, w := humago.Unwrap(ctx)
	a.rc = http.NewResponseController(w)
	a.from.Reader = ctx.BodyReader()
	return nil
}

// Read reads on.
func (a *Arriving) Read(p []byte) (int, error) {
	if now := time.Now(); now.After(a.due) {
		a.due = now.Add(stalled / 10)
		for _, move := range []func(time.Time) error{a.rc.SetReadDeadline, a.rc.SetWriteDeadline} {
			if err := move(now.Add(stalled)); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return 0, err
			}
		}
	}
	return a.from.Read(p)
}

// fault is what is said of an upload that failed with err: of one that did not come
// whole, that it did not.
func (a *Arriving) fault(err error) error {
	if err != nil && a.from.err != nil {
		return fault.Wrap(a.from.err, fault.Invalid, "the upload was cut off on the way, or came too slowly").WithCode("body_malformed").WithHint("upload it again")
	}
	return err
}

// answered gives an answer its time, which may be behind long work.
func (a *Arriving) answered() {
	a.rc.SetWriteDeadline(time.Now().Add(2 * stalled)) // what cannot be moved stays as it is
}

// bytesOf is an answer that is sent as it is read, and not held in memory. One that
// cannot be read to its end is cut off: its length was said before.
func bytesOf(s *service, from io.ReadCloser, size int64) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer from.Close()
		_, w := humago.Unwrap(ctx)
		rc := http.NewResponseController(w)
		ctx.SetHeader("Content-Type", "application/octet-stream")
		ctx.SetHeader("Content-Length", strconv.FormatInt(size, 10))
		ctx.SetHeader("X-Content-Type-Options", "nosniff")
		ctx.SetStatus(http.StatusOK)
		to, buf := ctx.BodyWriter(), make([]byte, 128<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				rc.SetWriteDeadline(time.Now().Add(stalled))
				if _, err := to.Write(buf[:n]); err != nil {
					return // who asked went away
				}
			}
			if err != nil {
				if err != io.EOF {
					s.o.Log.Error("an answer was cut off: what it was made of cannot be read", "error", err)
				}
				return
			}
		}
	}}
}
