package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/traffic"
)

func (s *service) registerTraffic() {
	register(s, huma.Operation{OperationID: "getFunctionTraffic", Method: http.MethodGet, Path: "/v1/projects/{projectId}/functions/{name}/traffic", Summary: "What a function did lately",
		Description: "Calls by how they ended, how long they took, and cold starts, in steps: of ten seconds in 15 minutes, of five minutes in 24 hours. They are those of the node that was asked, since it started; " +
			"what counts for ever is under usage. The function is named by its name or its ID.", Errors: []int{404, 422}}, s.functionTraffic)
	register(s, huma.Operation{OperationID: "getProjectTraffic", Method: http.MethodGet, Path: "/v1/projects/{projectId}/traffic", Summary: "What the functions of a project did in the last 15 minutes",
		Description: "A row for each function that was called, upstreams among them, on the node that was asked.", Errors: []int{422}}, s.projectTraffic)
}

func (s *service) functionTraffic(ctx context.Context, in *struct {
	FunctionPath
	Window string `query:"window" enum:"15m,24h" default:"15m"`
}) (*body[api.Traffic], error) {
	f, err := s.named(ctx, in.FunctionPath)
	if err != nil {
		return nil, err
	}
	w := traffic.Minutes
	if in.Window == "24h" {
		w = traffic.Day
	}
	now := time.Now()
	points, total := s.o.Traffic.Read(f.ID, w, now)
	out := api.Traffic{FunctionID: f.ID, Window: in.Window, StepSeconds: int(w.Step / time.Second), Since: s.trafficSince(w, now), Points: []api.TrafficPoint{}, Total: countsOf(total)}
	for _, p := range points {
		if p.At.Add(w.Step).After(out.Since) {
			out.Points = append(out.Points, api.TrafficPoint{Time: p.At, TrafficCounts: countsOf(p)})
		}
	}
	return &body[api.Traffic]{out}, nil
}

// trafficSince is from when on there are figures of a window.
func (s *service) trafficSince(w traffic.Window, now time.Time) time.Time {
	begins := now.Add(-w.Step * time.Duration(w.Steps-1)).Truncate(w.Step)
	if began := s.o.Traffic.Began(); began.After(begins) {
		begins = began
	}
	return begins.UTC()
}

func (s *service) projectTraffic(_ context.Context, in *struct {
	ProjectPath
	FunctionIDs []string `query:"functionId,explode" maxItems:"100" doc:"Only of these functions; absent: of all. It may be there up to 100 times."`
}) (*body[api.ProjectTraffic], error) {
	now := time.Now()
	out := api.ProjectTraffic{Since: s.trafficSince(traffic.Minutes, now), Functions: []api.TrafficRow{}}
	for _, r := range s.o.Traffic.Recent(in.ProjectID, now, in.FunctionIDs...) {
		out.Functions = append(out.Functions, api.TrafficRow{FunctionID: r.FunctionID, Name: r.Name, LastCallTime: r.LastAt, Minutes: r.Minutes[:], BadMinutes: r.Bad[:], TrafficCounts: countsOf(r.Point)})
	}
	return &body[api.ProjectTraffic]{out}, nil
}

func countsOf(p traffic.Point) api.TrafficCounts {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return api.TrafficCounts{Calls: p.All(), Successes: p.Calls[traffic.Success], Redirects: p.Calls[traffic.Redirect], ClientErrors: p.Calls[traffic.ClientError], ServerErrors: p.Calls[traffic.ServerError],
		Refused: p.Calls[traffic.Refused], CutOff: p.Calls[traffic.CutOff], ColdStarts: p.Cold, BytesIn: p.BytesIn, BytesOut: p.BytesOut, P50Ms: ms(p.P50), P90Ms: ms(p.P90), P99Ms: ms(p.P99)}
}
