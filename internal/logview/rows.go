package logview

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"postern.dev/postern/internal/api"
)

// What is held at most: the oldest goes first.
const (
	mostRows  = 5000
	mostBytes = 32 << 20
	mostLines = 1000 // of one call
)

// row is a call with its lines, or a line outside of any.
type row struct {
	first   api.LogEntry  // that began it
	call    *api.LogEntry // with its invocation; nil: it is not over, or is a line
	lines   []api.LogEntry
	dropped int // lines before those in lines
	size    int

	matched string // the search that was looked for last, when there were so many lines
	looked  int
	matches bool
}

// rows are what is shown. The feed adds to it while the screen is drawn.
type rows struct {
	mu      sync.Mutex
	list    []*row          // guarded by mu
	calls   map[string]*row // by request ID; guarded by mu
	size    int             // guarded by mu
	gone    int             // rows that were let go of; guarded by mu
	version int             // guarded by mu
}

func (rs *rows) add(e api.LogEntry) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.version++
	r := rs.calls[e.RequestID]
	if e.RequestID == "" || r == nil || e.Invocation != nil && r.call != nil {
		r = &row{first: e}
		rs.list = append(rs.list, r)
		if e.RequestID != "" {
			if rs.calls == nil {
				rs.calls = map[string]*row{}
			}
			rs.calls[e.RequestID] = r
		}
	}
	before := r.size
	switch {
	case e.Invocation != nil:
		r.call = &e
		r.size += 1 << 10
		for _, h := range []map[string]string{e.Invocation.Request.Headers, e.Invocation.Response.Headers} {
			for name, value := range h {
				r.size += len(name) + len(value)
			}
		}
	default:
		if len(r.lines) == mostLines {
			r.size -= len(r.lines[0].Text) + 200
			r.lines[0] = api.LogEntry{}
			r.lines = r.lines[1:]
			r.dropped++
		}
		r.lines = append(r.lines, e)
		r.size += len(e.Text) + 200
	}
	rs.size += r.size - before
	for len(rs.list) > mostRows || rs.size > mostBytes && len(rs.list) > 1 {
		old := rs.list[0]
		rs.list[0] = nil
		rs.list, rs.size = rs.list[1:], rs.size-old.size
		rs.gone++
		if id := old.first.RequestID; rs.calls[id] == old {
			delete(rs.calls, id)
		}
	}
}

// seen is the rows that a search finds.
func (rs *rows) seen(search string) []*row {
	if search == "" {
		return rs.list
	}
	var out []*row
	for _, r := range rs.list {
		if r.has(search) {
			out = append(out, r)
		}
	}
	return out
}

// has reports whether a search finds the row, and remembers it.
func (r *row) has(search string) bool {
	looked := len(r.lines) + r.dropped
	if r.call != nil {
		looked = -looked - 1
	}
	if r.matched == search && r.looked == looked {
		return r.matches
	}
	r.matched, r.looked = search, looked
	search = strings.ToLower(search)
	found := func(s string) bool { return strings.Contains(strings.ToLower(s), search) }
	r.matches = found(r.first.RequestID)
	if c := r.call; c != nil {
		i := c.Invocation
		r.matches = r.matches || found(i.Request.Method+" "+i.Request.URL) || found(strconv.Itoa(i.Response.Status)) || found(i.Code) || found(i.Error)
	}
	for i := 0; i < len(r.lines) && !r.matches; i++ {
		r.matches = found(r.lines[i].Text)
	}
	return r.matches
}

func (r *row) at() time.Time {
	if r.call != nil {
		return r.call.Invocation.Request.Time
	}
	return r.first.Time
}

// event is the row as the stream of the API would give it.
func (r *row) event() any {
	if r.call == nil {
		return r.lines
	}
	return api.RequestEvent{ID: r.call.ID, Time: r.call.Time, Level: r.call.Level, RequestID: r.call.RequestID, DeploymentID: r.call.DeploymentID, Invocation: *r.call.Invocation,
		Logs: append([]api.LogEntry{}, r.lines...)}
}
