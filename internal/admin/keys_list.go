package admin

import (
	"context"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/platform"
)

// Search is how a list is narrowed and counted.
type Search struct {
	Query     string `query:"query" maxLength:"100" doc:"A part of the name, whatever its case, or the beginning of the ID. It is literal: no character stands for others."`
	WithTotal bool   `query:"withTotal" doc:"Count what is on all pages, too."`
}

// countedTo is how far a list is counted.
const countedTo = 10_000

func (s *service) listKeys(ctx context.Context, in *struct {
	ProjectPath
	Page
	Search
	State     string `query:"state" enum:"live,expiring,expired,revoked" doc:"Absent: all but revoked ones. Of the live ones those are expiring that end within 30 days."`
	Order     string `query:"order" enum:"oldest,newest" default:"oldest" doc:"Which come first."`
	Functions bool   `query:"includeFunctionKeys" doc:"The keys that functions were given, too."`
	Plans     bool   `query:"servicePlans" doc:"Only the tokens of service plans."`
}) (*body[api.AccessKeys], error) {
	if in.PageToken != "" && !accesskey.ValidID(in.PageToken) {
		return nil, errPageToken
	}
	now := time.Now()
	q := platform.KeyQuery{Text: in.Query, State: platform.KeyState(in.State), Now: now, Functions: in.Functions, Plans: in.Plans, Newest: in.Order == "newest", After: in.PageToken, Limit: in.PageSize + 1}
	ks, err := s.o.Store.FindKeys(ctx, in.ProjectID, q)
	if err != nil {
		return nil, err
	}
	out := api.AccessKeys{AccessKeys: []api.AccessKey{}}
	ks, out.NextPageToken = pageOf(ks, in.PageSize, func(k platform.AccessKey) string { return k.ID })
	for _, k := range ks {
		out.AccessKeys = append(out.AccessKeys, describeKey(k, now))
	}
	switch {
	case !in.WithTotal:
	case in.PageToken == "" && out.NextPageToken == "":
		out.Total = totalOf(len(ks))
	default:
		n, err := s.o.Store.CountKeys(ctx, in.ProjectID, q, countedTo+1)
		if err != nil {
			return nil, err
		}
		out.Total = totalOf(n)
	}
	return &body[api.AccessKeys]{out}, nil
}

var errPageToken = invalid("pageToken", "is none that a list gave", "send the nextPageToken of the page before as it is, or none for the first page")

// totalOf is a number that was counted to one beyond countedTo.
func totalOf(n int) *api.Total { return &api.Total{Count: min(n, countedTo), More: n > countedTo} }
