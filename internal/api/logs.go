package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// LogEntry is one line that a function wrote or, where it has an invocation, a
// call of it that is over.
type LogEntry struct {
	ID           string      `json:"id,omitempty" doc:"Its place in the function's log."`
	Time         time.Time   `json:"time"`
	Level        string      `json:"level" enum:"debug,info,warning,error"`
	RequestID    string      `json:"requestId,omitempty"`
	DeploymentID string      `json:"deploymentId,omitempty"`
	Text         string      `json:"text"`
	Invocation   *Invocation `json:"invocation,omitempty"`
}

// Invocation is a call of a function that is over. Credentials and cookies are
// taken off, and there is no body.
type Invocation struct {
	Request         LogRequest  `json:"request"`
	Response        LogResponse `json:"response"`
	ExecutionTimeMS float64     `json:"executionTimeMs" doc:"Until the last byte was sent."`
	MemoryUsage     int64       `json:"memoryUsageBytes,omitempty" doc:"Of the worker when the call was over, where that is known."`
	ColdStart       bool        `json:"coldStart,omitempty" doc:"It waited for a worker to start."`
	Handler         string      `json:"handler,omitempty"`
	Code            string      `json:"code,omitempty" doc:"Of the problem, where it was refused or failed."`
	Error           string      `json:"error,omitempty"`
}

// LogRequest is what was asked for.
type LogRequest struct {
	Time     time.Time         `json:"time"`
	Method   string            `json:"method"`
	URL      string            `json:"url" doc:"As called; what its query shows as a credential is removed."`
	Headers  map[string]string `json:"headers,omitempty" doc:"By name in lower case."`
	Auth     string            `json:"auth,omitempty" doc:"How the caller was recognised."`
	ClientIP string            `json:"clientAddress,omitempty"`
}

// LogResponse is what was answered.
type LogResponse struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers,omitempty"`
}

// RequestEvent is an invocation with the lines that were written for it.
type RequestEvent struct {
	ID           string    `json:"id"`
	Time         time.Time `json:"time" doc:"When it was over."`
	Level        string    `json:"level" enum:"debug,info,warning,error"`
	RequestID    string    `json:"requestId"`
	DeploymentID string    `json:"deploymentId,omitempty"`
	Invocation
	Logs []LogEntry `json:"logs" doc:"What the function wrote for it; what it wrote more than 30 seconds before its end came by itself."`
}

// LostEvent says that entries before the next one cannot be had any more.
type LostEvent struct {
	Text string `json:"text"`
}

// Logs is a part of a function's log, oldest line first.
type Logs struct {
	Entries []LogEntry `json:"entries"`
	// More says that there are others before the first, or, where after was
	// given, behind the last.
	More bool `json:"more,omitempty"`
	// Next is where a stream of what was not given goes on.
	Next string `json:"next" doc:"As Last-Event-ID of a stream: what is written after this answer."`
}

// FunctionStatus is whether a function answers.
type FunctionStatus struct {
	FunctionID string `json:"functionId"`
	Status     string `json:"status" enum:"Queued,Deploying,Running,Stopped,Failed"`
	Error      string `json:"error,omitempty" doc:"Why it does not, or why the last deploy failed."`
	URL        string `json:"url,omitempty" doc:"Where it answers; absent of a private function."`
}

// LogQuery says which part of a log is wanted. The zero value is the newest
// lines, as many as the server gives at once.
type LogQuery struct {
	Since         time.Time
	Limit         int    // 0: the server's usual number
	Level, Search string // empty: all
	After, Before string // IDs of entries
	Invocations   bool   // and not lines alone
	Calls         bool   // and no lines at all
	RequestID     string // of the one call, and its lines; empty: all
}

func (q LogQuery) values() url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.Invocations {
		v.Set("invocations", "true")
	}
	if q.Calls {
		v.Set("calls", "true")
	}
	set("requestId", q.RequestID)
	set("level", q.Level)
	set("search", q.Search)
	set("after", q.After)
	set("before", q.Before)
	return v
}

// Logs returns a part of a function's log.
func (c *Client) Logs(ctx context.Context, name string, q LogQuery) (out Logs, err error) {
	path := c.project("functions", name, "logs")
	if v := q.values(); len(v) > 0 {
		path += "?" + v.Encode()
	}
	return out, c.call(ctx, http.MethodGet, path, nil, &out)
}

// FunctionStatus tells whether a function answers. It is named by its name or
// its ID.
func (c *Client) FunctionStatus(ctx context.Context, name string) (out FunctionStatus, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("functions", name, "status"), nil, &out)
}
