package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
)

const (
	streamsOfProject = 100
	streamsInAll     = 512
	heartbeat        = 15 * time.Second
	lookAgain        = 100 * time.Millisecond // whether who reads may still do so
	slowest          = 30 * time.Second       // that a reader may take for what is sent at once
)

var errStreams = httpx.Later(fault.New(fault.TooMany, "as many streams as the project may have at the moment are open").WithCode("streams_limited"), 5*time.Second)

// sse is one reader of server-sent events, of whatever. It has one buffer, which is
// sent before more is taken.
type sse struct {
	s         *service
	r         *http.Request
	w         *http.ResponseController
	out       http.ResponseWriter
	began     time.Time
	principal auth.Principal
	projectID string
	keys      *auth.Directory // as of the last look
	until     time.Time       // when to look again though nothing has changed; zero: never
	place     func() string   // the ID with which a reader that comes back goes on
	buf       bytes.Buffer
	sentAt    time.Time
}

func (s *service) sse(ctx huma.Context, p auth.Principal, projectID string) *sse {
	r, w := humago.Unwrap(ctx)
	return &sse{s: s, r: r, w: http.NewResponseController(w), out: w, began: time.Now(), principal: p, projectID: projectID, keys: s.o.Directory()}
}

// begin begins the answer.
func (st *sse) begin(place func() string) {
	h := st.out.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that know it pass on at once
	st.out.WriteHeader(http.StatusOK)
	st.until, st.place = st.principal.Until(time.Now()), place
}

func (st *sse) stopping() bool {
	select {
	case <-st.s.o.Stopping:
		return true
	default:
		return false
	}
}

// may reports whether the reader's credential still opens what is read. It is looked
// at again when any key or token changed, and when it may have ended by itself.
func (st *sse) may() bool {
	now := time.Now()
	keys := st.s.o.Directory()
	if keys == st.keys && (st.until.IsZero() || now.Before(st.until)) {
		return true
	}
	p, err := st.s.still(st.r, st.principal, st.projectID, st.began)
	st.keys, st.until = keys, p.Until(now)
	return err == nil
}

// beat writes a heartbeat, which is no event: but a client that comes back is
// where it was, also when nothing that it wanted came for long.
func (st *sse) beat() {
	st.buf.WriteString(": still here\n")
	if place := st.place(); place != "" {
		st.buf.WriteString("id: " + place + "\n")
	}
	st.buf.WriteByte('\n')
}

// event writes one event. Its data is one line, because JSON escapes the end of
// one: nothing that is told can be another event.
func (st *sse) event(name, id string, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		return // of our own types: cannot happen
	}
	if id != "" {
		fmt.Fprintf(&st.buf, "id: %s\n", id)
	}
	fmt.Fprintf(&st.buf, "event: %s\ndata: %s\n\n", name, text)
}

// flush sends what is in the buffer, or a heartbeat when nothing was for long.
func (st *sse) flush() error {
	now := time.Now()
	if st.buf.Len() == 0 {
		if now.Sub(st.sentAt) < heartbeat {
			return nil
		}
		st.beat()
	}
	st.sentAt = now
	st.w.SetReadDeadline(now.Add(2 * slowest)) // the server's own are for answers that end
	st.w.SetWriteDeadline(now.Add(slowest))
	if _, err := st.out.Write(st.buf.Bytes()); err != nil {
		return err
	}
	st.buf.Reset()
	if st.buf.Cap() > 1<<20 {
		st.buf = bytes.Buffer{}
	}
	return st.w.Flush()
}
