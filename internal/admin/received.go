package admin

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// received takes down the answer to a request that was sent to a door: the
// first maxSent bytes of it. When there is more the request is ended, as by a
// caller who has seen enough.
type received struct {
	cancel context.CancelFunc
	header http.Header // that is being made

	status     int         // 0: none yet
	sentHeader http.Header // as it was when the answer began
	firstAt    time.Time
	body       []byte
	full       bool
}

// from lets a door answer. What it cuts off is not whole.
func (w *received) from(door http.Handler, r *http.Request) (whole bool) {
	defer func() {
		if failed := recover(); failed != nil && failed != http.ErrAbortHandler {
			panic(failed)
		}
	}()
	door.ServeHTTP(w, r)
	if w.status == 0 {
		w.WriteHeader(http.StatusOK) // as net/http does
	}
	return true
}

// Header implements http.ResponseWriter.
func (w *received) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Answers that only announce
// another one are passed over.
func (w *received) WriteHeader(status int) {
	if w.status != 0 || status < 200 {
		return
	}
	w.status, w.firstAt, w.sentHeader = status, time.Now(), http.Header{}
	for name, values := range w.header {
		if !strings.HasPrefix(name, http.TrailerPrefix) {
			w.sentHeader[http.CanonicalHeaderKey(name)] = values
		}
	}
}

// Write implements http.ResponseWriter.
func (w *received) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	n := min(len(p), maxSent-len(w.body))
	w.body = append(w.body, p[:n]...)
	if n < len(p) {
		w.full = true
		w.cancel()
		return n, http.ErrContentLength
	}
	return n, nil
}

// Flush implements http.Flusher: who streams wants to know that it arrives.
func (w *received) Flush() { w.WriteHeader(http.StatusOK) }
