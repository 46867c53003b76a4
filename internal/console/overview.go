package console

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/say"
)

// overviewPage is what the page of one function shows first.
type overviewPage struct {
	functionRow
	Window  string // of the charts: 15m or 24h
	Traffic api.Traffic
	Usage   api.FunctionUsage // of this month
	Routes  []shownRoute
	Steps   []api.TrafficPoint // in which something came, newest first
}

// shownRoute is an address with how it is guarded.
type shownRoute struct {
	api.Route
	URL string // empty: none is reached from outside
	Tag string // the class of the guard's tag
}

func (c *Console) overview(v *visit) error {
	ctx := v.r.Context()
	f, err := v.api.Function(ctx, v.r.PathValue("name"))
	if err != nil {
		return err
	}
	body := overviewPage{functionRow: functionRow{Function: f}, Window: "15m", Routes: shownRoutes(f)}
	if v.r.URL.Query().Get("window") == "24h" {
		body.Window = "24h"
	}
	if f.ID != "" { // else there has been nothing but attempts
		if body.Traffic, err = v.api.Traffic(ctx, f.ID, body.Window); err == nil {
			body.Usage, err = v.api.FunctionUsage(ctx, f.ID, "", "")
		}
		if fault.KindOf(err) == fault.NotFound {
			err = nil // it was deleted just now: what was read of it is shown once more
		}
		if err != nil {
			return err
		}
		body.Health = healthOf(body.Traffic.Total, body.Traffic.Since, nil, nil)
	}
	for _, p := range slices.Backward(body.Traffic.Points) {
		if p.Calls > 0 {
			body.Steps = append(body.Steps, p)
		}
	}
	v.charts = true
	return v.show("overview", "functions", f.Name, body)
}

// shownRoutes are the addresses of a function, those that anybody may call first.
func shownRoutes(f api.Function) (out []shownRoute) {
	for _, r := range f.Routes {
		one := shownRoute{Route: r, Tag: "good"}
		if r.Guard == "open" && f.Visibility == "" && r.Handler != builtIn {
			one.Tag = "warn"
		}
		if len(f.URLs) > 0 {
			one.URL = strings.TrimSuffix(f.URLs[0], "/") + r.Path
		}
		out = append(out, one)
	}
	slices.SortStableFunc(out, func(a, b shownRoute) int { return cmp.Compare(tagOrder[a.Tag], tagOrder[b.Tag]) })
	return out
}

var tagOrder = map[string]int{"warn": 0, "good": 1}

// Why says more of a state that needs it.
func (p overviewPage) Why() string {
	switch s := p.Status; {
	case p.State != "Running":
		return ""
	case s.Workers == 0 && s.State == "starting":
		return "its first worker starts"
	case s.Workers == 0:
		return "no worker runs; the next call starts one"
	case s.State == "backing off":
		return "a worker ended by itself; another one is started in a moment"
	}
	return ""
}

// Guarded is the guard of a route in words.
func (r shownRoute) Guarded() string {
	if r.Tag == "warn" {
		return "open to everyone"
	}
	return r.Guard
}

// Lately is the window of the charts in words.
func (p overviewPage) Lately() string {
	if p.Window == "24h" {
		return "24 hours"
	}
	return "15 minutes"
}

// Step is how long each step of the charts is, in words.
func (p overviewPage) Step() string {
	if p.Window == "24h" {
		return "5 minutes"
	}
	return "10 seconds"
}

// Summary is what the charts show, for who does not see them.
func (p overviewPage) Summary() string {
	t := p.Traffic.Total
	if t.Calls == 0 {
		return "No calls in the last " + p.Lately() + "."
	}
	text := fmt.Sprintf("In the last %s: %s, of which %s succeeded, %s redirected, %s answered 4xx, %s answered 5xx, %s refused and %s cut off.", p.Lately(), say.Plural(int(t.Calls), "call", "calls"),
		say.Count(t.Successes), say.Count(t.Redirects), say.Count(t.ClientErrors), say.Count(t.ServerErrors), say.Count(t.Refused), say.Count(t.CutOff))
	if t.P50Ms > 0 {
		text += fmt.Sprintf(" Half took no longer than %s, 90 of 100 no longer than %s, 99 no longer than %s.", say.Took(t.P50Ms), say.Took(t.P90Ms), say.Took(t.P99Ms))
	}
	return text
}

// Short reports whether the node was started within the window.
func (p overviewPage) Short() bool {
	return p.Traffic.StepSeconds > 0 && time.Since(p.Traffic.Since) < time.Duration(p.Traffic.StepSeconds)*time.Second*time.Duration(map[string]int{"15m": 89, "24h": 287}[p.Window])
}
