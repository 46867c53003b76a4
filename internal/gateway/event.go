package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"
)

// maxEvent bounds what is read of a body to find out what it is. It is read of
// anybody, before it is known who calls.
const maxEvent = 64 << 10

// routeEvent is step 2 for the event of a call that comes to the root.
func (x *exchange) routeEvent() bool {
	m, ok := x.target.routes.MatchEvent(x.r.Method, x.own)
	if !ok || !x.carriesEvent() {
		return false
	}
	x.match, x.door = m, &x.target.doors[m.Door]
	return true
}

// carriesEvent reports whether the body is the event of a call: JSON of at most
// 64 KiB with a member event that begins with "call.". Whoever calls chooses
// thereby which of two handlers is asked, and it is that one whose guard they
// must satisfy: nothing of the match before stays. What cannot be read, or is
// anything else, is none. Who reads the body afterwards reads it from its
// beginning; when the steps are taken again the answer is the same.
func (x *exchange) carriesEvent() bool {
	if x.event == nil {
		is := x.readEvent()
		x.event = &is
	}
	return *x.event
}

func (x *exchange) readEvent() bool {
	r := x.r
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength > maxEvent || len(r.Header["Content-Encoding"]) > 0 || !isJSON(r.Header["Content-Type"]) {
		return false
	}
	body := r.Body
	head, err := io.ReadAll(io.LimitReader(body, maxEvent+1))
	rest := io.Reader(body)
	if err != nil {
		rest = failing{err}
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), rest), body}
	if err != nil || len(head) > maxEvent {
		return false
	}
	var members map[string]json.RawMessage // a struct would take "Event" for it as well
	var event string
	return json.Unmarshal(head, &members) == nil && json.Unmarshal(members["event"], &event) == nil && strings.HasPrefix(event, "call.")
}

func isJSON(types []string) bool {
	if len(types) != 1 {
		return false
	}
	kind, _, err := mime.ParseMediaType(types[0])
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// failing fails as the reader before it did.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
