package console

import (
	"net/http"
	"path"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
)

// Over HTTP/1 a browser has six connections to a server, whatever its windows want: where
// streams have all of them, not even a click is answered. So two are left. Over HTTP/2
// what is bounded is only what one session has of the project's streams.
const (
	mostOfOld = 4
	mostOfNew = 32
	// linger is how long a page waits for the place of the one that it follows in the
	// same window.
	linger = 500 * time.Millisecond
)

// windows counts the streams of each session, which are those of one browser: a page
// that somebody sees has one. Its zero value has none.
type windows struct {
	mu   sync.Mutex
	of   map[string]int // by the session's ID; guarded by mu
	left chan struct{}  // closed when a place is given back; guarded by mu
}

// errWindows is refused to a page, which says so and comes back.
var errWindows = httpx.Later(fault.New(fault.TooMany, "as many windows of the console as a browser has connections for are live").WithCode("windows_limited"), 2*time.Second)

// live reports whether a request is for a stream.
func live(r *http.Request) bool {
	events, _ := path.Match(Dir+"/api/v1/projects/*/events", r.URL.Path)
	logs, _ := path.Match(Dir+"/api/v1/projects/*/functions/*/logs/stream", r.URL.Path)
	return events || logs
}

// open takes a place for a stream of a session, which release gives back. Where there is
// none it waits for a moment.
func (w *windows) open(session string, r *http.Request) (release func(), err error) {
	most := mostOfOld
	if r.ProtoMajor > 1 {
		most = mostOfNew
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of, w.left = map[string]int{}, make(chan struct{})
	}
	for late := time.After(linger); w.of[session] >= most; {
		if !w.wait(w.left, late) {
			return nil, errWindows
		}
	}
	w.of[session]++
	return func() { w.close(session) }, nil
}

// wait waits for a place to be given back. It is called with w.mu held, and returns so.
func (w *windows) wait(left <-chan struct{}, late <-chan time.Time) bool {
	w.mu.Unlock()
	defer w.mu.Lock()
	select {
	case <-left:
		return true
	case <-late:
		return false
	}
}

func (w *windows) close(session string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of[session]--; w.of[session] == 0 {
		delete(w.of, session)
	}
	close(w.left)
	w.left = make(chan struct{})
}
