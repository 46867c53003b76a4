package admin

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/policy"
)

func (s *service) registerReach() {
	register(s, huma.Operation{OperationID: "getAccessKeyReach", Method: http.MethodGet, Path: "/v1/projects/{projectId}/accessKeys/{accessKeyId}/reach", Summary: "What would stop working without an access key",
		Description: "The gateway that is asked decides what the key opens, by the steps that a request takes and before any limit. Usage is written every few seconds.", Errors: []int{400, 404}}, s.keyReach)
}

// The bounds of an answer about one key.
const (
	calledMost = 50
	usedLately = 30 * 24 * time.Hour
)

func (s *service) keyReach(ctx context.Context, in *struct {
	KeyPath
	PageSize  int    `query:"pageSize" minimum:"1" maximum:"200" default:"50" doc:"Of routes."`
	PageToken string `query:"pageToken" maxLength:"8" pattern:"^[0-9]*$" doc:"nextPageToken of the page before."`
}) (*body[api.KeyReach], error) {
	k, err := s.liveKey(ctx, &in.KeyPath)
	if err != nil {
		return nil, err
	}
	opened, err := s.openedBy(ctx, k)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	since := platform.DayOf(platform.PerMonth.Begin(now))
	called, err := s.o.Store.UsageOfKey(ctx, k.ID, since, platform.DayOf(now), calledMost+1)
	if err != nil {
		return nil, err
	}
	out := api.KeyReach{Routes: []api.GatewayRoute{}, RouteCount: len(opened), Called: []api.KeyCalls{}, CalledMore: len(called) > calledMost, Since: since.String(),
		LastUsedTime: when(k.LastUsedAt), Used: !k.LastUsedAt.IsZero() && now.Sub(k.LastUsedAt) < usedLately}
	first, _ := strconv.Atoi(in.PageToken) // digits, by its pattern
	opened, out.NextPageToken = pageOf(opened[min(first, len(opened)):], in.PageSize, func(policy.Row) string { return strconv.Itoa(first + in.PageSize) })
	for _, r := range opened {
		out.Routes = append(out.Routes, describeRow(r))
	}
	for _, c := range called[:min(len(called), calledMost)] {
		out.Called = append(out.Called, api.KeyCalls{FunctionID: c.ID, Function: c.Name, Invocations: c.Invocations, Errors: c.Errors})
	}
	return &body[api.KeyReach]{out}, nil
}

// openedBy are the addresses of a key's project that ask for a key and take it.
func (s *service) openedBy(ctx context.Context, k platform.AccessKey) (opened []policy.Row, err error) {
	table, err := s.table(ctx, k.ProjectID)
	if err != nil {
		return nil, err
	}
	q := audit.Reaching{ProjectID: k.ProjectID, CallerID: principal(ctx).ProjectID(), Keys: []platform.AccessKey{k}}
	var asked []policy.Row
	for _, r := range table.rows {
		if r.Guard == platform.GuardKey {
			asked = append(asked, r)
			q.Doors = append(q.Doors, audit.Door{Of: r.Of, Handler: r.Door, Pattern: r.Pattern})
		}
	}
	if len(asked) == 0 {
		return nil, nil
	}
	for i, said := range s.o.Explainer.Reach(q)[0] {
		if said.Opens {
			opened = append(opened, asked[i])
		}
	}
	return opened, nil
}
