package admin

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/funclog"
	"postern.dev/postern/internal/platform"
)

// Wanted says which entries of a log are wanted.
type Wanted struct {
	Since  time.Time `query:"since" doc:"Only what is newer."`
	Level  string    `query:"level" enum:"debug,info,warning,error" doc:"The least level; absent: all. A call that was refused is a warning, and one that failed an error."`
	Search string    `query:"search" maxLength:"256" doc:"Only what has this in its text, in any case; of a call: in its method, URL, status, problem or request ID."`
}

// since is w.Since, no earlier than there are logs: what is before the epoch has
// no number.
func (w *Wanted) since() time.Time {
	if w.Since.UnixMicro() <= 0 && !w.Since.IsZero() {
		return time.UnixMicro(1)
	}
	return w.Since
}

func (w *Wanted) filter() funclog.Filter {
	f := funclog.Filter{Level: funclog.Every, Search: w.Search}
	for _, l := range []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if levelWord(l) == w.Level {
			f.Level = l
		}
	}
	return f
}

func (s *service) registerLogs() {
	const one = "/v1/projects/{projectId}/functions/{name}"
	register(s, huma.Operation{OperationID: "getFunctionStatus", Method: http.MethodGet, Path: one + "/status", Summary: "Whether a function answers",
		Description: "The function is named by its name or its ID.", Errors: []int{404}}, s.getStatus)
	register(s, huma.Operation{OperationID: "getLogs", Method: http.MethodGet, Path: one + "/logs", Summary: "What a function wrote",
		Description: "The newest entries, oldest first; with after, the first that follow it; with before, the last that precede it. They are those of the node that was asked.", Errors: []int{404}}, s.getLogs)
	s.registerStream(one + "/logs/stream")
}

var functionID = regexp.MustCompile(`^fn-[0-9a-z]{26}$`)

// named is the function that a path means, by name or by ID. One of another
// project is not found, like one that is not there.
func (s *service) named(ctx context.Context, in FunctionPath) (platform.Function, error) {
	f, err := s.o.Store.Function(ctx, in.ProjectID, in.Name)
	if fault.KindOf(err) == fault.NotFound && functionID.MatchString(in.Name) {
		return s.o.Store.FunctionByID(ctx, in.ProjectID, in.Name)
	}
	return f, err
}

func (s *service) getStatus(ctx context.Context, in *FunctionPath) (*body[api.FunctionStatus], error) {
	name := in.Name
	if f, err := s.named(ctx, *in); err == nil {
		name = f.Name
	}
	f, err := s.function(ctx, in.ProjectID, name)
	if err != nil {
		return nil, err
	}
	out := api.FunctionStatus{FunctionID: f.ID, Status: f.State}
	if len(f.URLs) > 0 {
		out.URL = f.URLs[0]
	}
	if f.State == stateFailed {
		out.Error = f.Status.LastErr
	}
	if f.Attempt != nil {
		out.Error = cmp.Or(out.Error, f.Attempt.Error)
	}
	return &body[api.FunctionStatus]{out}, nil
}

func (s *service) getLogs(ctx context.Context, in *struct {
	FunctionPath
	Wanted
	Limit       int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	After       string `query:"after" pattern:"^[0-9]{1,18}$" doc:"ID of an entry."`
	Before      string `query:"before" pattern:"^[0-9]{1,18}$" doc:"ID of an entry."`
	Invocations bool   `query:"invocations" doc:"Give calls that are over as well."`
	Calls       bool   `query:"calls" doc:"Give calls that are over and no lines."`
	RequestID   string `query:"requestId" maxLength:"64" doc:"Only this call, and what was written for it."`
}) (*body[api.Logs], error) {
	f, err := s.named(ctx, in.FunctionPath)
	if err != nil {
		return nil, err
	}
	q := funclog.Query{Filter: in.filter(), Since: in.since(), Limit: in.Limit, After: sequence(in.After), Before: sequence(in.Before)}
	q.Invocations, q.Calls, q.RequestID = in.Invocations, in.Calls, in.RequestID
	next := s.o.Logs.Last(f.ID)
	list, more := s.o.Logs.Page(ctx, f.ID, q)
	out := api.Logs{Entries: make([]api.LogEntry, 0, len(list)), More: more}
	for _, e := range list {
		out.Entries = append(out.Entries, entryOf(e))
		next = max(next, e.Seq) // written since, and given
	}
	out.Next = strconv.FormatInt(next, 10)
	return &body[api.Logs]{out}, nil
}

func sequence(id string) int64 {
	n, _ := strconv.ParseInt(id, 10, 64) // its pattern is checked; none is 0
	return n
}

// entryOf is an entry as the API shows it.
func entryOf(e funclog.Entry) api.LogEntry {
	out := api.LogEntry{ID: strconv.FormatInt(e.Seq, 10), Time: e.At.UTC(), Level: levelWord(e.Level), RequestID: e.RequestID, DeploymentID: e.DeploymentID, Text: e.Text}
	if e.Invocation != nil {
		c := invocationOf(e.Invocation)
		out.Invocation = &c
	}
	return out
}

func invocationOf(c *funclog.Invocation) api.Invocation {
	return api.Invocation{
		Request:         api.LogRequest{Time: c.BeganAt.UTC(), Method: c.Method, URL: c.URL, Headers: c.Request, Auth: c.Auth, ClientIP: c.Remote},
		Response:        api.LogResponse{Status: c.Status, Headers: c.Response},
		ExecutionTimeMS: float64(c.Took.Microseconds()) / 1000, MemoryUsage: c.Memory, ColdStart: c.Cold, Handler: c.Handler, Code: c.Code, Error: c.Error,
	}
}

// requestOf is an invocation with its lines, of which those that a reader wants.
func requestOf(g funclog.Gathered, filter funclog.Filter) api.RequestEvent {
	out := api.RequestEvent{ID: strconv.FormatInt(g.Seq, 10), Time: g.At.UTC(), Level: levelWord(g.Level), RequestID: g.RequestID, DeploymentID: g.DeploymentID,
		Invocation: invocationOf(g.Invocation), Logs: []api.LogEntry{}}
	for _, line := range g.Lines {
		if line.Level >= filter.Level {
			out.Logs = append(out.Logs, entryOf(line))
		}
	}
	return out
}

func levelWord(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warning"
	}
	return "error"
}
