package devserver

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// Event is one thing that happened. Exactly one of its parts is set.
type Event struct {
	Seq     int64     `json:"seq"` // from 1, without gaps
	At      time.Time `json:"time"`
	Build   *Build    `json:"build,omitempty"`
	Request *Request  `json:"request,omitempty"`
	Line    *Line     `json:"line,omitempty"`
	Notice  *Notice   `json:"notice,omitempty"`
	Tunnel  *Tunnel   `json:"tunnel,omitempty"`
}

// Tunnel is how the way in for callers from elsewhere is now.
type Tunnel struct {
	Open     bool          `json:"open"`
	URLs     []string      `json:"urls,omitempty"` // the one that needs no DNS first
	Left     time.Duration `json:"left,omitempty"` // until it is closed
	Idle     time.Duration `json:"idle,omitempty"` // without a call, after which it is closed
	Why      string        `json:"why,omitempty"`  // it is not open
	Retry    time.Duration `json:"retry,omitempty"`
	Insecure bool          `json:"insecure,omitempty"` // nobody is asked for credentials
}

// Build is a version of the function that serves from now on, or that could not
// be made: then callers are told why until the next one.
type Build struct {
	Number   int           `json:"number"`
	URL      string        `json:"url"`               // where the function answers
	Took     time.Duration `json:"took"`              // from the first change that it has
	Changed  []string      `json:"changed,omitempty"` // paths below the project; of the first build none
	Failure  *Failure      `json:"failure,omitempty"` // nil: it serves
	Function *Function     `json:"function,omitempty"`
	Warnings []string      `json:"warnings,omitempty"`
}

// Function is the function as it serves.
type Function struct {
	Name       string              `json:"name"`
	Visibility platform.Visibility `json:"visibility,omitempty"`
	Handlers   []platform.Handler  `json:"-"` // with the guards that they have here
	Routes     []Route             `json:"routes"`
	// Skipped says that guarded handlers are open, for want of credentials.
	Skipped bool `json:"skipped"`
	// PairFrom is where the pair is from that opens guarded handlers.
	PairFrom string `json:"pairFrom,omitempty"`
	// Settings have their names, and where they are from; no value is told.
	Settings []Setting `json:"settings"`
	Missing  []string  `json:"missing,omitempty"` // secrets without a value
}

// Setting is a name of the function's environment, and where its value is from.
type Setting struct {
	Name   string `json:"name"`
	From   string `json:"from"`
	Secret bool   `json:"secret,omitempty"`
}

// Route is an address of the function with how it is guarded here.
type Route struct {
	function.RouteRow
	// Deployed is the guard where the function is deployed; empty: the same.
	Deployed string `json:"deployed,omitempty"`
}

// Failure is why a version does not serve, as its developer reads it.
type Failure struct {
	Code  string `json:"code"` // of docs/errors.md
	Title string `json:"title"`
	Text  string `json:"text"` // of several lines where there is a stack
	Hint  string `json:"hint,omitempty"`
	Frame *Frame `json:"frame,omitempty"` // where it was; nil: that is not known
}

// Frame is a place in the developer's code, with the lines around it.
type Frame struct {
	File   string   `json:"file"` // below the project
	Line   int      `json:"line"`
	Column int      `json:"column"` // in characters, from 1
	First  int      `json:"first"`  // the number of the first of Lines
	Lines  []string `json:"lines"`
}

// Request is a call that is over. Credentials are in none of its parts.
type Request struct {
	ID     string `json:"id"`
	Method string `json:"method"`
	Path   string `json:"path"` // as it was sent
	Query  string `json:"query,omitempty"`
	Host   string `json:"host"`
	Tunnel bool   `json:"tunnel,omitempty"` // it came through the tunnel
	// Internal says that the function called itself.
	Internal bool          `json:"internal,omitempty"`
	Status   int           `json:"status"`
	Took     time.Duration `json:"took"`
	Handler  string        `json:"handler,omitempty"`
	Guard    string        `json:"guard,omitempty"`
	Who      string        `json:"who,omitempty"` // how the caller was recognised, and as whom
	Code     string        `json:"code,omitempty"`
	// Unguarded says that the handler asks for an access key where it is deployed.
	Unguarded bool        `json:"unguarded,omitempty"`
	Header    http.Header `json:"header,omitempty"`
	Body      []byte      `json:"body,omitempty"`
	Answer    Answer      `json:"answer"`
	route     string      // the pattern that it came by
	// Shown says that the caller showed a credential, of which nothing is kept.
	Shown bool `json:"shown,omitempty"`
}

// Answer is what a call was answered.
type Answer struct {
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"body,omitempty"`
}

// keptBody is how much of a body is kept for who looks at a request.
const keptBody = 64 << 10

// Line is a line that the function wrote.
type Line struct {
	Level     slog.Level `json:"level"`
	RequestID string     `json:"requestId,omitempty"`
	Text      string     `json:"text"`
}

// Notice is something that the developer should know of.
type Notice struct {
	Level slog.Level `json:"level"`
	Text  string     `json:"text"`
}

// Feed keeps the last events for all who read them, each at their own pace. It
// is safe for concurrent use; no reader holds up who writes.
type Feed struct {
	mu      sync.Mutex
	ring    []Event       // of seq last-len+1 to last; guarded by mu
	size    int           // bytes of bodies in ring; guarded by mu
	last    int64         // guarded by mu
	changed chan struct{} // closed at the next event; guarded by mu
}

// The most that a feed remembers.
const (
	keptEvents = 2000
	keptBytes  = 16 << 20
)

func newFeed() *Feed { return &Feed{changed: make(chan struct{})} }

// add adds an event.
func (f *Feed) add(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	e.Seq = f.last
	if e.At.IsZero() {
		e.At = time.Now()
	}
	f.ring = append(f.ring, e)
	f.size += e.weight()
	for len(f.ring) > keptEvents || f.size > keptBytes && len(f.ring) > 1 {
		f.size -= f.ring[0].weight()
		f.ring[0] = Event{}
		f.ring = f.ring[1:]
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

func (e *Event) weight() int {
	if e.Request == nil {
		return 0
	}
	return len(e.Request.Body) + len(e.Request.Answer.Body)
}

// After returns the events after a sequence number, which is 0 for all that are
// kept, and a channel that is closed when there are more. The first of them is
// not the next one where some were forgotten meanwhile.
func (f *Feed) After(seq int64) ([]Event, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := max(min(f.last-seq, int64(len(f.ring))), 0)
	return append([]Event(nil), f.ring[int64(len(f.ring))-n:]...), f.changed
}

// Request returns a call by its ID; nil: it is not kept any more.
func (f *Feed) Request(id string) *Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.ring) - 1; i >= 0; i-- {
		if r := f.ring[i].Request; r != nil && r.ID == id {
			return r
		}
	}
	return nil
}
