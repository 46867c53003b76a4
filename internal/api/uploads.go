package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"postern.dev/postern/internal/fault"
)

// Upload is how far an artefact has come that is uploaded in pieces.
type Upload struct {
	Offset   int64 `json:"offset" doc:"How many bytes are there: where the next piece begins."`
	Complete bool  `json:"complete" doc:"It is there whole, and needs no more."`
}

// pieceSize is what one request uploads: little enough that one which is cut off
// costs little.
const pieceSize = 1 << 20

// An upload is taken up again so often without getting anywhere, each time after
// a longer wait.
const (
	mostRetries  = 6
	firstBackOff = 250 * time.Millisecond
)

// Upload uploads an artefact in pieces, unless it is there. Where the connection
// breaks, or the server is away for some seconds, it goes on where it was.
// progress, which may be nil, is told how many bytes are there.
func (c *Client) Upload(ctx context.Context, hash string, archive []byte, progress func(sent int64)) error {
	if progress == nil {
		progress = func(int64) {}
	}
	var up Upload
	fresh, asked := true, false // whether it may begin anew, and whether up is known
	return c.retry(ctx, func() (ahead bool, err error) {
		if !asked {
			if err := c.call(ctx, http.MethodGet, c.project("artefacts", hash, "upload"), nil, &up); err != nil {
				return false, err
			}
			asked = true
		}
		for !up.Complete {
			progress(up.Offset)
			if up.Offset >= int64(len(archive)) { // of another length: not ours, and no prefix of it
				return false, fault.New(fault.Internal, "the server has more of the artefact than there is")
			}
			before, end := up.Offset, min(up.Offset+pieceSize, int64(len(archive)))
			q := url.Values{"offset": {strconv.FormatInt(before, 10)}, "length": {strconv.Itoa(len(archive))}}
			err := c.call(ctx, http.MethodPatch, c.project("artefacts", hash, "upload")+"?"+q.Encode(), archive[before:end], &up)
			if err != nil {
				asked = false
				code := codeOf(err)
				switch {
				case code == "upload_moved", code == "body_malformed": // another uploads the same; or it was cut off for the server only
					err = fault.Wrap(err, fault.Unavailable, "the upload did not get on")
				case code == "artefact_invalid" && fresh: // what was there was damaged, and is gone
					fresh = false
					err = fault.Wrap(err, fault.Unavailable, "the upload begins anew")
				}
				return ahead, err
			}
			ahead = true
		}
		progress(int64(len(archive)))
		return true, nil
	})
}

// retry does a thing again as long as it fails because somebody is away, after
// longer and longer waits; one that got ahead begins with a short one.
func (c *Client) retry(ctx context.Context, try func() (ahead bool, err error)) error {
	wait := firstBackOff
	for n := 0; ; n++ {
		ahead, err := try()
		if ahead {
			n, wait = 0, firstBackOff
		}
		if err == nil || ctx.Err() != nil || !passes(err) || n == mostRetries {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, 4*time.Second)
	}
}

// passes reports whether a failure is one of the way to the server, or of its
// start and end, and not what it says of the call.
func passes(err error) bool {
	code := codeOf(err)
	switch fault.KindOf(err) {
	case fault.Unavailable:
		return code == "" || code == "shutting_down"
	case fault.Timeout:
		return code == ""
	}
	return false
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e.Code
	}
	return ""
}
