package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// TrafficCounts are the figures of calls. Each call is in one of the classes.
type TrafficCounts struct {
	Calls        int64 `json:"calls" doc:"All that came, those that were refused as well."`
	Successes    int64 `json:"successes,omitempty" doc:"Answered 2xx, and WebSockets that were opened."`
	Redirects    int64 `json:"redirects,omitempty" doc:"Answered 3xx."`
	ClientErrors int64 `json:"clientErrors,omitempty" doc:"Answered 4xx by the function."`
	ServerErrors int64 `json:"serverErrors,omitempty" doc:"Answered 5xx, also where no worker could be had."`
	Refused      int64 `json:"refused,omitempty" doc:"Refused at the door: nothing ran."`
	CutOff       int64 `json:"cutOff,omitempty" doc:"Whose answer did not come to its end, or whose caller went away before it began."`
	ColdStarts   int64 `json:"coldStarts,omitempty" doc:"Calls that waited for a worker to start."`
	BytesIn      int64 `json:"bytesIn,omitempty" doc:"Of request bodies."`
	BytesOut     int64 `json:"bytesOut,omitempty" doc:"Of response bodies."`
	// The quantiles are of a histogram: see package traffic for their error.
	P50Ms float64 `json:"p50Ms,omitempty" doc:"Half of the calls that were not refused took no longer; right to 10 %. Absent: there were none."`
	P90Ms float64 `json:"p90Ms,omitempty"`
	P99Ms float64 `json:"p99Ms,omitempty"`
}

// Bad is how many calls failed on this side.
func (c TrafficCounts) Bad() int64 { return c.ServerErrors + c.CutOff }

// TrafficPoint is what came in one step.
type TrafficPoint struct {
	Time time.Time `json:"time" doc:"When the step began."`
	TrafficCounts
}

// Traffic is what one function did in a window, on the node that was asked.
type Traffic struct {
	FunctionID  string         `json:"functionId"`
	Window      string         `json:"window" doc:"15m or 24h."`
	StepSeconds int            `json:"stepSeconds"`
	Since       time.Time      `json:"since" doc:"When the node started, if that is within the window: there are no figures from before. Else when the window begins."`
	Points      []TrafficPoint `json:"points" doc:"The steps since then, oldest first, the last one under way; empty if the function was not called, or not as lately as a thousand others."`
	Total       TrafficCounts  `json:"total" doc:"Of the window; its quantiles may reach back a ninth further."`
}

// TrafficRow is what one function did in the last 15 minutes.
type TrafficRow struct {
	FunctionID   string    `json:"functionId"`
	Name         string    `json:"name"`
	LastCallTime time.Time `json:"lastCallTime"`
	Minutes      []int64   `json:"minutes" doc:"Calls of each minute, oldest first."`
	BadMinutes   []int64   `json:"badMinutes" doc:"Those of them that were answered 5xx or cut off."`
	TrafficCounts
}

// ProjectTraffic is what the functions of a project did in the last 15 minutes, on
// the node that was asked.
type ProjectTraffic struct {
	Since     time.Time    `json:"since" doc:"From when on there are figures."`
	Functions []TrafficRow `json:"functions" doc:"Those that were called, by name; of an installation a thousand at most."`
}

// ChangedEvent says that things of a kind have changed.
type ChangedEvent struct {
	Kind  string   `json:"kind" enum:"functions,keys,policy,secrets,subprojects,traffic"`
	Names []string `json:"names,omitempty" doc:"Names of functions, IDs of keys; absent: any of the kind may have changed."`
}

// ResyncEvent says that changes were missed: whatever is shown has to be read anew.
type ResyncEvent struct {
	Text string `json:"text"`
}

// Traffic returns what a function did in a window: "15m" or "24h".
func (c *Client) Traffic(ctx context.Context, name, window string) (out Traffic, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("functions", name, "traffic")+"?window="+url.QueryEscape(window), nil, &out)
}

// ProjectTraffic returns what functions of the project did in the last 15 minutes:
// those of up to a hundred IDs; of none, all of them.
func (c *Client) ProjectTraffic(ctx context.Context, functionIDs ...string) (out ProjectTraffic, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("traffic")+"?"+url.Values{"functionId": functionIDs}.Encode(), nil, &out)
}
