package admin

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/funclog"
)

// The views of a log.
const (
	viewRequests = "requests"
	viewEntries  = "entries"
	viewCalls    = "calls"
)

type streamInput struct {
	FunctionPath
	Wanted
	View   string `query:"view" enum:"requests,entries,calls" default:"requests" doc:"requests: an event for each call that is over, with the lines that were written for it, and one for each line outside of a call. entries: each line at once, and each call when it is over. calls: each call when it is over, and no lines."`
	LastID string `header:"Last-Event-ID" pattern:"^[0-9]{1,18}([.][0-9]{1,18})?$" doc:"Go on behind this event; since is of no meaning then."`
}

func (s *service) registerStream(path string) {
	op := huma.Operation{OperationID: "streamLogs", Method: http.MethodGet, Path: path, Summary: "What a function writes, as it is written",
		Description: "Server-sent events: request, line, and lost where entries before the next one cannot be had any more. Without since and Last-Event-ID the stream begins with what comes next. " +
			"It ends when the credential that it was opened with does, when the function is deleted, and when the server stops; a client goes on with the ID of the last event that it saw. They are those of the node that was asked.",
		Errors: []int{404, 422}, Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: s.events(api.RequestEvent{}, api.LogEntry{}, api.LostEvent{})}}}}}
	register(s, op, s.streamLogs)
}

// events describes the data of each event.
func (s *service) events(data ...any) *huma.Schema {
	one := &huma.Schema{Type: huma.TypeArray, Title: "Server-sent events", Items: &huma.Schema{}}
	for _, of := range data {
		t := reflect.TypeOf(of)
		one.Items.OneOf = append(one.Items.OneOf, s.api.OpenAPI().Components.Schemas.Schema(t, true, t.Name()))
	}
	return one
}

func (s *service) streamLogs(ctx context.Context, in *streamInput) (*huma.StreamResponse, error) {
	f, err := s.named(ctx, in.FunctionPath)
	if err != nil {
		return nil, err
	}
	release, err := s.open.take(in.ProjectID)
	if err != nil {
		return nil, err
	}
	p := principal(ctx)
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer release()
		st := &stream{sse: s.sse(ctx, p, in.ProjectID), filter: in.filter(), view: in.View}
		st.filter.Invocations, st.filter.Calls = true, in.View == viewCalls
		st.run(st.r.Context(), f.ID, in)
	}}, nil
}

// stream is one reader of a log: who reads slowly is behind in the log, and holds
// nothing of it.
type stream struct {
	*sse
	filter funclog.Filter
	view   string
	reader *funclog.Reader
	gather funclog.Gather
}

// run sends until somebody ends it.
func (st *stream) run(ctx context.Context, functionID string, in *streamInput) {
	st.begin(st.place)
	st.reader = st.s.o.Logs.Follow(functionID, st.from(ctx, functionID, in))
	defer st.reader.Close()
	if in.LastID == "" {
		st.gather.Restore(nil, st.reader.Seq(), 0)
	}
	st.beat()
	for st.flush() == nil && st.may() {
		wait, cancel := context.WithTimeout(ctx, lookAgain)
		list, lost, err := st.reader.Next(wait)
		cancel()
		if ctx.Err() != nil || errors.Is(err, funclog.ErrEnded) || st.stopping() {
			return
		}
		if !st.may() { // before it is told anything more
			return
		}
		st.add(list, lost)
	}
}

// from is where the log is read from, with the lines that were held when the
// reader was last here held again.
func (st *stream) from(ctx context.Context, functionID string, in *streamInput) funclog.From {
	if in.LastID == "" {
		return funclog.From{Since: in.since()}
	}
	last, first, _ := strings.Cut(in.LastID, ".")
	seq, held := sequence(last), sequence(first)
	if st.view == viewRequests {
		before, _ := st.s.o.Logs.Page(ctx, functionID, funclog.Query{Filter: funclog.Filter{Level: funclog.Every, Invocations: true}, Before: seq + 1, Limit: 4000})
		if held == 0 {
			held = seq + 1
		}
		st.gather.Restore(before, seq, held)
	}
	return funclog.From{After: max(seq, 1)}
}

// add writes what comes next into the buffer.
func (st *stream) add(list []funclog.Entry, lost bool) {
	now := time.Now()
	if lost {
		st.event("lost", "", api.LostEvent{Text: "entries are missing here: they were written faster than they were read, and are not kept any more"})
	}
	for _, e := range list {
		if st.view != viewRequests {
			st.entry(e)
			continue
		}
		st.gathered(st.gather.Add(e))
		st.held(now)
	}
	st.held(now)
}

func (st *stream) entry(e funclog.Entry) {
	switch id := strconv.FormatInt(e.Seq, 10); {
	case !st.filter.Has(&e):
	case e.Invocation != nil:
		st.event("request", id, requestOf(funclog.Gathered{Entry: e}, st.filter))
	default:
		st.event("line", id, entryOf(e))
	}
}

// held sends the lines that wait no longer for their call.
func (st *stream) held(now time.Time) {
	for g, ok := st.gather.Held(now); ok; g, ok = st.gather.Held(now) {
		st.gathered(g, ok)
	}
}

// gathered sends a call with its lines, if it or one of them is wanted, or a line.
func (st *stream) gathered(g funclog.Gathered, ok bool) {
	wanted := ok && st.filter.Has(&g.Entry)
	for i := 0; i < len(g.Lines) && !wanted; i++ {
		wanted = st.filter.Has(&g.Lines[i])
	}
	switch {
	case !wanted:
	case g.Invocation == nil:
		st.event("line", st.place(), entryOf(g.Entry))
	default:
		st.event("request", st.place(), requestOf(g, st.filter))
	}
}

// place is the ID of what was sent last: up to where the log was read, and from
// where on lines are held.
func (st *stream) place() string {
	if st.view != viewRequests {
		return strconv.FormatInt(st.reader.Seq(), 10)
	}
	seq, held := st.gather.Place()
	return strconv.FormatInt(seq, 10) + "." + strconv.FormatInt(held, 10)
}
