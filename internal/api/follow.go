package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
)

// LogEvent is one event of a log as it is written. One of its fields is set.
type LogEvent struct {
	Line    *LogEntry
	Request *RequestEvent
	Lost    *LostEvent
}

// FollowQuery says what of a log is followed. The zero value is what comes next,
// each call with its lines.
type FollowQuery struct {
	Since         time.Time
	After         string // ID of an entry: from behind it on
	Level, Search string // empty: all
	Entries       bool   // each line at once, and not with its call
	// Lost is told when the connection is lost, with the reason, and when there is
	// one again, with nil; nil tells nobody.
	Lost func(error)
}

const (
	silence      = 50 * time.Second // after which a connection is taken for dead: the server says something every 15
	longestEvent = 32 << 20
	soonest      = 200 * time.Millisecond
	latest       = 5 * time.Second
)

// FollowLogs gives take one event after the other until it returns an error or
// ctx ends. When the connection is lost it goes on behind the last event that
// take was given: none is left out or given twice. It fails when the server
// refuses, and when it cannot be reached at first.
func (c *Client) FollowLogs(ctx context.Context, name string, q FollowQuery, take func(LogEvent) error) error {
	f := follower{c: c, path: c.project("functions", name, "logs", "stream"), query: q.query, last: q.After, lost: q.Lost}
	f.give = func(name string, data []byte) (err error) {
		var e LogEvent
		switch name {
		case "line":
			err = json.Unmarshal(data, &e.Line)
		case "request":
			err = json.Unmarshal(data, &e.Request)
		case "lost":
			err = json.Unmarshal(data, &e.Lost)
		}
		if err == nil && e != (LogEvent{}) {
			f.taken = take(e)
		}
		return err
	}
	return f.run(ctx)
}

// ProjectEvent is one event of what changes. One of its fields is set.
type ProjectEvent struct {
	Changed *ChangedEvent
	Resync  *ResyncEvent
}

// FollowEvents gives take what of the project changes, as FollowLogs does of a log.
// lost is told when the connection is lost, and with nil when there is one again; nil
// tells nobody.
func (c *Client) FollowEvents(ctx context.Context, lost func(error), take func(ProjectEvent) error) error {
	f := follower{c: c, path: c.project("events"), query: func(bool) string { return "" }, lost: lost}
	f.give = func(name string, data []byte) (err error) {
		var e ProjectEvent
		switch name {
		case "changed":
			err = json.Unmarshal(data, &e.Changed)
		case "resync":
			err = json.Unmarshal(data, &e.Resync)
		}
		if err == nil && e != (ProjectEvent{}) {
			f.taken = take(e)
		}
		return err
	}
	return f.run(ctx)
}

// run reads one connection after the other.
func (f *follower) run(ctx context.Context) error {
	for wait := soonest; ; wait = min(2*wait, latest) {
		before := f.last
		err := f.stream(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case f.taken != nil:
			return f.taken
		case !f.connected || err != nil && !again(err):
			return err
		case f.last != before:
			wait = soonest
		}
		if f.lost != nil {
			f.lost(err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// again reports whether what is refused now may be given in a while.
func again(err error) bool {
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Timeout, fault.TooMany:
		return true
	}
	return false
}

// follower reads one stream of events over as many connections as it takes.
type follower struct {
	c         *Client
	path      string
	query     func(first bool) string // first: nothing was read yet
	last      string                  // ID of the last event
	connected bool                    // at some time
	lost      func(error)
	give      func(name string, data []byte) error // decodes an event, and sets taken
	taken     error                                // what who takes them said
}

var errCut = fault.New(fault.Unavailable, "the connection to the server was lost")

// stream is one connection. It returns why it ended.
func (f *follower) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dead := time.AfterFunc(silence, cancel)
	defer dead.Stop()
	res, err := f.open(ctx)
	if errors.Is(err, context.Canceled) {
		err = errCut // or the caller's own doing, which FollowLogs tells
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if f.connected && f.lost != nil {
		f.lost(nil)
	}
	f.connected = true
	r := bufio.NewReaderSize(res.Body, 64<<10)
	for f.taken == nil {
		if err := f.event(r, func() { dead.Reset(silence) }); err != nil {
			return err
		}
	}
	return nil
}

// open asks for the stream from behind the last event on.
func (f *follower) open(ctx context.Context) (*http.Response, error) {
	base, err := f.c.base()
	if err != nil {
		return nil, err
	}
	token, err := f.c.bearer(ctx, base, nil)
	for try := 0; err == nil; try++ {
		var req *http.Request
		if req, err = http.NewRequestWithContext(ctx, http.MethodGet, base+f.path+"?"+f.query(f.last == ""), nil); err != nil {
			return nil, fmt.Errorf("make the request: %w", err)
		}
		show(req, token)
		req.Header.Set("Accept", "text/event-stream")
		if f.last != "" {
			req.Header.Set("Last-Event-ID", f.last)
		}
		client := f.c.client()
		client.Timeout = 0 // the silence of a stream is bounded, not its length
		res, err := client.Do(req)
		if err != nil {
			return nil, f.c.unreachable(ctx, err)
		}
		if res.StatusCode == http.StatusOK && strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
			return res, nil
		}
		data, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		res.Body.Close()
		if !ranOut(res) || try > 0 {
			return nil, f.c.failure(res, data)
		}
		if token, err = f.c.bearer(ctx, base, token); err != nil {
			return nil, err
		}
	}
	return nil, err
}

func (f FollowQuery) query(first bool) string {
	q := LogQuery{Level: f.Level, Search: f.Search}
	if first {
		q.Since = f.Since
	}
	v := q.values()
	if f.Entries {
		v.Set("view", "entries")
	}
	return v.Encode()
}

// event reads one event and gives it on. The ID counts from when the event
// is whole: of half an event nothing is taken.
func (f *follower) event(r *bufio.Reader, alive func()) error {
	var id, name string
	var data []byte
	for {
		line, err := readEventLine(r)
		if err != nil {
			return err
		}
		alive()
		if len(line) == 0 {
			break
		}
		field, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			data = append(data, value...)
		}
	}
	if err := f.give(name, data); err != nil {
		return fault.Wrap(err, fault.Internal, "the server sent an event that is none").WithHint(wrongServer)
	}
	if id != "" {
		f.last = id
	}
	return nil
}

// readEventLine reads a line without its end.
func readEventLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, errCut
		case len(line) > longestEvent:
			return nil, fault.New(fault.Internal, "the server's answer is larger than any that Postern gives").WithHint(wrongServer)
		}
	}
}
