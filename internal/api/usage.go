package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// UsageCounts are the figures of usage. What was refused is in none of the others.
type UsageCounts struct {
	Invocations int64   `json:"invocations" doc:"Calls that a handler was asked for."`
	Errors      int64   `json:"errors" doc:"Of these: answered 5xx, cut off, or not answered."`
	ComputeMs   float64 `json:"computeMs" doc:"Wall time that a worker had them, in ms."`
	GBSeconds   float64 `json:"gbSeconds" doc:"Compute time in seconds, times the memory of a worker in GB (1,024 MiB) as it was configured then."`
	BytesIn     int64   `json:"bytesIn" doc:"Of request bodies."`
	BytesOut    int64   `json:"bytesOut" doc:"Of response bodies."`
	Refused     int64   `json:"refused" doc:"Calls that no handler was asked for; never billed. They are of no key: by key it is 0 but in the total."`
	// RefusedBy has no row by key.
	RefusedBy map[string]int64 `json:"refusedBy,omitempty" doc:"The same by the problem's code."`
}

// UsageSum is the sum of one function, one key or one day.
type UsageSum struct {
	ID   string `json:"id" doc:"A function's ID, an access key's ('open' where none was asked for; another issuer's URL), or a day."`
	Name string `json:"name,omitempty" doc:"Of the function or the key, as it was last."`
	UsageCounts
}

// UsageReport is one page of sums, and the total of all pages.
type UsageReport struct {
	From          string      `json:"from" format:"date" doc:"The first day, of UTC."`
	To            string      `json:"to" format:"date" doc:"The last day, of UTC; it is included."`
	By            string      `json:"by" doc:"function, key or day."`
	Usage         []UsageSum  `json:"usage"`
	Total         UsageCounts `json:"total"`
	NextPageToken string      `json:"nextPageToken" doc:"Empty on the last page."`
}

// FunctionUsage is what one function used.
type FunctionUsage struct {
	FunctionID string `json:"functionId"`
	From       string `json:"from" format:"date" doc:"The first day, of UTC."`
	To         string `json:"to" format:"date" doc:"The last day, of UTC; it is included."`
	UsageCounts
}

// FunctionUsage returns what a function used in a period; an empty day is the
// server's default: this month until today.
func (c *Client) FunctionUsage(ctx context.Context, name, from, to string) (out FunctionUsage, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("functions", name, "usage")+"?"+UsageQuery{From: from, To: to}.values().Encode(), nil, &out)
}

// UsageQuery says which usage is wanted; a zero field takes the server's default.
type UsageQuery struct {
	From, To, By string
	PageSize     int
	PageToken    string
}

func (q UsageQuery) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{"from": q.From, "to": q.To, "by": q.By, "pageToken": q.PageToken} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.PageSize > 0 {
		v.Set("pageSize", strconv.Itoa(q.PageSize))
	}
	return v
}

// Usage returns one page of usage.
func (c *Client) Usage(ctx context.Context, q UsageQuery) (out UsageReport, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("usage")+"?"+q.values().Encode(), nil, &out)
}

// UsageCSV returns all pages of usage as CSV.
func (c *Client) UsageCSV(ctx context.Context, q UsageQuery) (out []byte, err error) {
	v := q.values()
	v.Set("format", "csv")
	return out, c.call(ctx, http.MethodGet, c.project("usage")+"?"+v.Encode(), nil, &out)
}
