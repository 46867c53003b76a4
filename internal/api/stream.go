package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"postern.dev/postern/internal/fault"
)

// standstill is how long bytes may stand still on their way. There is no bound on all
// of them together.
const standstill = time.Minute

// download begins to read an answer of which nothing is held in memory.
func (c *Client) download(ctx context.Context, path string) (from io.ReadCloser, size int64, err error) {
	res, err := c.stream(ctx, http.MethodGet, path, nil, 0)
	if err != nil {
		return nil, 0, err
	}
	return res.Body, res.ContentLength, nil
}

// upload sends what it reads, and nothing of it is held in memory.
func (c *Client) upload(ctx context.Context, path string, from io.ReadSeeker, size int64, out any) error {
	res, err := c.stream(ctx, http.MethodPut, path, from, size)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(out); err != nil {
		return fault.Wrap(err, fault.Unavailable, "the server's answer was cut off")
	}
	return nil
}

// stream sends one request, and once more with a new token where the server says that
// the one before has expired. The answer is a success, to be closed.
func (c *Client) stream(ctx context.Context, method, path string, from io.ReadSeeker, size int64) (*http.Response, error) {
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	token, err := c.bearer(ctx, base, nil)
	if err != nil {
		return nil, err
	}
	for again := false; ; again = true {
		res, err := c.begin(ctx, method, base+path, from, size, token)
		if err != nil {
			return nil, err
		}
		if res.StatusCode < 300 {
			return res, nil
		}
		data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		res.Body.Close()
		if again || !ranOut(res) {
			if err != nil {
				return nil, fault.Wrap(err, fault.Unavailable, "the server's answer was cut off")
			}
			return nil, c.failure(res, data)
		}
		if token, err = c.bearer(ctx, base, token); err != nil {
			return nil, err
		}
		if from != nil {
			if _, err := from.Seek(0, io.SeekStart); err != nil {
				return nil, fmt.Errorf("read it again: %w", err)
			}
		}
	}
}

// begin sends a request and returns when the header of its answer has come. It ends
// when bytes stand still, in either direction.
func (c *Client) begin(ctx context.Context, method, url string, from io.Reader, size int64, token *oauth2.Token) (*http.Response, error) {
	inner, cancel := context.WithCancel(ctx)
	w := &watched{cancel: cancel}
	w.timer = time.AfterFunc(2*standstill, cancel) // the server may have to wait for what runs
	var body io.Reader
	if from != nil {
		body = io.NopCloser(&moving{Reader: from, w: w}) // which the transport must not close
	}
	req, err := http.NewRequestWithContext(inner, method, url, body)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if from != nil {
		req.ContentLength = size
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	show(req, token)
	client := c.client()
	client.Timeout = 0
	res, err := client.Do(req)
	if err != nil {
		cancel()
		if ctx.Err() == nil && inner.Err() != nil {
			return nil, fault.Wrap(err, fault.Timeout, c.Server+" did not answer in time")
		}
		return nil, c.unreachable(ctx, err)
	}
	res.Body = &arriving{moving{res.Body, w}, res.Body, ctx}
	return res, nil
}

// watched ends what stands still.
type watched struct {
	timer  *time.Timer
	cancel context.CancelFunc
}

// moving tells that bytes move.
type moving struct {
	io.Reader
	w *watched
}

func (m *moving) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.w.timer.Reset(2 * standstill)
	return n, err
}

// arriving is the body of an answer. Its errors say what the caller can do about.
type arriving struct {
	moving
	body io.Closer
	ctx  context.Context // of the caller
}

func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.moving.Read(p)
	if err != nil && err != io.EOF {
		if a.ctx.Err() != nil {
			return n, a.ctx.Err()
		}
		err = fault.Wrap(err, fault.Unavailable, "the server's answer was cut off").WithHint("try again")
	}
	return n, err
}

// Close ends it.
func (a *arriving) Close() error {
	a.w.timer.Stop()
	err := a.body.Close()
	a.w.cancel()
	return err
}
