package console

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/say"
)

func (c *Console) registerFunctions() {
	c.page("GET /p/{project}/functions", c.functions)
	c.page("GET /p/{project}/functions/{name}", c.overview)
}

// functionsShown is how many functions one page has: a little more than a screen, for
// what is below it is laid out before anything is seen.
const functionsShown = 25

// functionsPage is what the list of functions shows.
type functionsPage struct {
	Query       string
	Found       *api.Total
	Rows        []functionRow
	Next, First string
}

// functionRow is a function with how it does.
type functionRow struct {
	api.Function
	Health *health // nil: it was not called in the last 15 minutes
}

func (c *Console) functions(v *visit) error {
	q := v.r.URL.Query()
	body := functionsPage{Query: q.Get("q")}
	list, err := v.api.FindFunctions(v.r.Context(), api.FunctionQuery{Query: strings.TrimSpace(body.Query), WithTotal: true, PageSize: functionsShown, PageToken: q.Get("page")})
	if err != nil {
		return err
	}
	var ids []string
	for _, f := range list.Functions {
		if f.ID != "" { // else it was never deployed
			ids = append(ids, f.ID)
		}
	}
	var lately api.ProjectTraffic
	if len(ids) > 0 { // none would be all
		if lately, err = v.api.ProjectTraffic(v.r.Context(), ids...); err != nil {
			return err
		}
	}
	did := make(map[string]*health, len(ids))
	for _, r := range lately.Functions {
		did[r.FunctionID] = healthOf(r.TrafficCounts, lately.Since, r.Minutes, r.BadMinutes)
	}
	for _, f := range list.Functions {
		body.Rows = append(body.Rows, functionRow{f, did[f.ID]})
	}
	body.Found = list.Total
	body.Next, body.First = v.pager("page", list.NextPageToken)
	return v.show("functions", "functions", "Functions", body)
}

// StateTag is the class of a tag that tells a function's state.
func (r functionRow) StateTag() string { return stateTag(r.State) }

// Stumbled reports whether a function answers as its last deploy but one left it.
func (r functionRow) Stumbled() bool {
	return r.Attempt != nil && r.Attempt.State == "Failed" && r.Deployment.Number > 0
}

func stateTag(state string) string {
	switch state {
	case "Running":
		return "good"
	case "Queued", "Deploying":
		return "warn"
	}
	return "bad"
}

// health is how a function did lately, in words that fit into a row.
type health struct {
	api.TrafficCounts
	PerMinute string
	Failed    float64 // the share of calls that failed on this side, of those that were not refused
	Turned    float64 // the share that was refused, of all
	Spark     spark
}

func healthOf(c api.TrafficCounts, since time.Time, minutes, bad []int64) *health {
	h := &health{TrafficCounts: c, PerMinute: perMinute(c.Calls, time.Since(since)), Spark: sparkOf(minutes, bad)}
	if ran := c.Calls - c.Refused; ran > 0 {
		h.Failed = float64(c.Bad()) / float64(ran)
	}
	if c.Calls > 0 {
		h.Turned = float64(c.Refused) / float64(c.Calls)
	}
	if c.P90Ms == 0 {
		h.P90Ms = math.NaN() // there is none
	}
	return h
}

// FailedTag is the class of a tag that tells how many calls failed.
func (h *health) FailedTag() string {
	switch {
	case h.Failed >= .05:
		return "bad"
	case h.Failed > 0:
		return "warn"
	}
	return ""
}

// FailedShare is how many calls failed, in words.
func (h *health) FailedShare() string {
	if h.Calls == h.Refused {
		return "–" // none ran
	}
	return say.Percent(h.Failed)
}

// TurnedTag is the class of a tag that tells how many calls were refused: of a
// function that nobody is let into more is wrong than its callers.
func (h *health) TurnedTag() string {
	if h.Turned >= .5 {
		return "warn"
	}
	return ""
}

// perMinute is a rate in words, over a minute at least.
func perMinute(n int64, over time.Duration) string {
	switch rate := float64(n) / max(over.Minutes(), 1); {
	case rate == 0:
		return "0"
	case rate < .1:
		return "under 0.1"
	case rate < 10:
		return strings.TrimSuffix(strconv.FormatFloat(rate, 'f', 1, 64), ".0")
	default:
		return say.Count(int64(math.Round(rate)))
	}
}

// spark is a drawing of calls by minute, as two paths of bars: of all calls, and of
// those that failed.
type spark struct {
	Width, Height   int
	All, Bad, Words string
}

const (
	sparkBar    = 4 // wide, with a gap of 1 to the next
	sparkHeight = 20
)

func sparkOf(minutes, bad []int64) spark {
	var most, all int64
	for _, n := range minutes {
		most, all = max(most, n), all+n
	}
	s := spark{Width: len(minutes)*(sparkBar+1) - 1, Height: sparkHeight, Words: fmt.Sprintf("%s in 15 minutes, %s at most in one", say.Plural(int(all), "call", "calls"), say.Count(most))}
	bars := func(list []int64) string {
		var b strings.Builder
		for i, n := range list {
			if n > 0 {
				high := max(1, int(math.Round(float64(n)*sparkHeight/float64(most))))
				fmt.Fprintf(&b, "M%d %dv-%dh%dv%dz", i*(sparkBar+1), sparkHeight, high, sparkBar, high)
			}
		}
		return b.String()
	}
	s.All, s.Bad = bars(minutes), bars(bad)
	return s
}

// DeployedAt is when a function was deployed last; zero: it never was.
func (r functionRow) DeployedAt() time.Time {
	if r.Deployment.Number == 0 {
		return time.Time{}
	}
	return r.Deployment.CreateTime
}
