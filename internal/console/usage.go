package console

import (
	"net/url"
	"strings"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/say"
)

func (c *Console) registerUsage() { c.page("GET /p/{project}/usage", c.usage) }

// usagePage is what the page of usage shows.
type usagePage struct {
	From, To, By string
	Report       api.UsageReport
	Codes        []refusedBy
	Bars         []bar
	Most         int64 // calls of the day that has most
	Next, First  string
	CSV          string
}

type refusedBy struct {
	Code  string
	Count int64
}

// bar is a day of the chart: where it stands and how high, in a box of 1000 × 100.
type bar struct {
	Day              string
	Calls, Errors    int64
	X, Width         float64
	Y, Height        float64
	ErrorY, ErrorsUp float64
}

// usageRows is how many rows one page has.
const usageRows = 100

func (c *Console) usage(v *visit) error {
	q := v.r.URL.Query()
	body := usagePage{From: q.Get("from"), To: q.Get("to"), By: q.Get("by")}
	if body.By == "" {
		body.By = "function"
	}
	ask := api.UsageQuery{From: body.From, To: body.To, By: body.By, PageSize: usageRows, PageToken: q.Get("page")}
	report, err := v.api.Usage(v.r.Context(), ask)
	if err != nil {
		return v.mistaken(err, "usage", "usage", "Usage", body)
	}
	days, err := v.api.Usage(v.r.Context(), api.UsageQuery{From: body.From, To: body.To, By: "day", PageSize: 1000})
	if err != nil {
		return err
	}
	body.Report, body.From, body.To = report, report.From, report.To
	body.Next, body.First = v.pager("page", report.NextPageToken)
	body.Codes = codesOf(report.Total)
	body.Bars, body.Most = bars(report.From, report.To, days.Usage)
	csv := url.Values{"by": {body.By}, "from": {body.From}, "to": {body.To}, "format": {"csv"}}
	body.CSV = Dir + "/api/v1/projects/" + url.PathEscape(v.project) + "/usage?" + csv.Encode()
	return v.show("usage", "usage", "Usage", body)
}

// codesOf is what was refused, most first.
func codesOf(total api.UsageCounts) (out []refusedBy) {
	for code, n := range total.RefusedBy {
		at := 0
		for at < len(out) && (out[at].Count > n || out[at].Count == n && out[at].Code < code) {
			at++
		}
		out = append(out[:at:at], append([]refusedBy{{code, n}}, out[at:]...)...)
	}
	return out
}

// mostBars bounds the chart: what is longer is a table alone.
const mostBars = 400

// bars draws each day of a period, those without a call as well.
func bars(from, to string, days []api.UsageSum) (out []bar, most int64) {
	first, err := time.Parse(time.DateOnly, from)
	last, other := time.Parse(time.DateOnly, to)
	n := int(last.Sub(first)/(24*time.Hour)) + 1
	if err != nil || other != nil || n < 2 || n > mostBars || len(days) == 0 {
		return nil, 0
	}
	by := map[string]api.UsageCounts{}
	for _, d := range days {
		by[d.ID], most = d.UsageCounts, max(most, d.Invocations)
	}
	if most == 0 {
		return nil, 0
	}
	step := 1000 / float64(n)
	for i := range n {
		day := first.AddDate(0, 0, i).Format(time.DateOnly)
		c := by[day]
		b := bar{Day: day, Calls: c.Invocations, Errors: c.Errors, X: float64(i)*step + step*.1, Width: step * .8}
		b.Height, b.ErrorsUp = 100*float64(c.Invocations)/float64(most), 100*float64(c.Errors)/float64(most)
		b.Y, b.ErrorY = 100-b.Height, 100-b.ErrorsUp
		out = append(out, b)
	}
	return out, most
}

// Share is which part of the calls failed.
func (p usagePage) Share() string {
	if p.Report.Total.Invocations == 0 {
		return "–"
	}
	return say.Percent(float64(p.Report.Total.Errors) / float64(p.Report.Total.Invocations))
}

// Noun is what a row is of.
func (p usagePage) Noun() string {
	return map[string]string{"function": "Function", "key": "Access key", "day": "Day"}[p.By]
}

// IsKey reports whether a row is of an access key that has a page.
func (p usagePage) IsKey(id string) bool { return p.By == "key" && strings.HasPrefix(id, "pak_") }
