package console

import (
	"net/http"
	"path"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
)

// Over HTTP/1 a browser has six connections to a server, whatever its windows want: where
// streams have all of them, not even a click is answered. So two are left. Over HTTP/2
// what is bounded is only what one session has of the project's streams.
const (
	mostOfOld = 4
	mostOfNew = 32
)

// windows counts the streams of each session, which are those of one browser: a page
// that somebody sees has one. Its zero value has none.
type windows struct {
	mu sync.Mutex
	of map[string]int // by the session's ID; guarded by mu
}

// errWindows is refused to a page, which says so and comes back.
var errWindows = &later{fault.New(fault.TooMany, "as many windows of the console as a browser has connections for are live").WithCode("windows_limited"), 2 * time.Second}

// later is a refusal that passes.
type later struct {
	error // a *fault.Error
	wait  time.Duration
}

// Unwrap gives the fault, for errors.As.
func (l *later) Unwrap() error { return l.error }

// RetryAfter is how long to wait.
func (l *later) RetryAfter() time.Duration { return l.wait }

// live reports whether a request is for a stream.
func live(r *http.Request) bool {
	events, _ := path.Match(Dir+"/api/v1/projects/*/events", r.URL.Path)
	logs, _ := path.Match(Dir+"/api/v1/projects/*/functions/*/logs/stream", r.URL.Path)
	return events || logs
}

// open takes a place for a stream of a session, which release gives back.
func (w *windows) open(session string, r *http.Request) (release func(), err error) {
	most := mostOfOld
	if r.ProtoMajor > 1 {
		most = mostOfNew
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of[session] >= most {
		return nil, errWindows
	}
	if w.of == nil {
		w.of = map[string]int{}
	}
	w.of[session]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.of[session]--; w.of[session] == 0 {
			delete(w.of, session)
		}
	}, nil
}
