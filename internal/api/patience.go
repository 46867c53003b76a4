package api

import (
	"net/http"
	"strconv"
	"time"
)

// A call that was refused for coming too soon has done nothing, and is made
// again when the server says that this makes sense soon.
const (
	mostWaits   = 3
	longestWait = 5 // seconds
)

// patient sends a request again after a 429 that says when, that for a token
// included.
type patient struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (p patient) RoundTrip(req *http.Request) (*http.Response, error) {
	for waits := 0; ; waits++ {
		res, err := p.next.RoundTrip(req)
		if err != nil || res.StatusCode != http.StatusTooManyRequests || waits == mostWaits {
			return res, err
		}
		seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if err != nil || seconds < 0 || seconds > longestWait {
			return res, nil
		}
		res.Body.Close()
		select {
		case <-req.Context().Done():
			return nil, req.Context().Err()
		case <-time.After(time.Duration(seconds) * time.Second):
		}
		req = req.Clone(req.Context())
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}
