package admin

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/policy"
)

// table is every address of a project, with what is in force there. Several may
// read one at a time, and nobody changes it.
type table struct {
	number int // of the policy in force; 0: none
	rows   []policy.Row
	shut   []policy.Row // one for each function that answers nobody, because its policy does not fit
}

// keptTable is the table that was asked for last: who walks through pages, or searches
// while they type, asks for the same one each time.
type keptTable struct {
	projectID string
	seq       int64 // where the change log ended before it was read
	readAt    time.Time
	table
}

// keptFor bounds how long a table is kept: a database that was restored may come to
// the same end of its change log with something else before it.
const keptFor = time.Minute

// table is the table of a project as it is now.
func (s *service) table(ctx context.Context, projectID string) (table, error) {
	seq, err := s.o.Store.LastChange(ctx)
	if err != nil {
		return table{}, err
	}
	now := time.Now()
	if k := s.kept.Load(); k != nil && k.projectID == projectID && k.seq == seq && now.Sub(k.readAt) < keptFor {
		return k.table, nil
	}
	t, err := s.readTable(ctx, projectID)
	if err != nil {
		return table{}, err
	}
	s.kept.Store(&keptTable{projectID, seq, now, t})
	return t, nil
}

func (s *service) readTable(ctx context.Context, projectID string) (out table, err error) {
	p, err := s.inForce(ctx, projectID)
	if err != nil {
		return out, err
	}
	var d *policy.Document
	if p != nil {
		d, _ = policy.Parse(policy.File, p.Document) // nil: without lines
		out.number = p.Number
	}
	fs, err := s.o.Store.ActiveFunctions(ctx, projectID)
	if err != nil {
		return out, err
	}
	listed := map[string]bool{}
	if p == nil || p.Number > 0 {
		out.rows = policy.Table(fs, p, d)
	}
	for _, r := range out.rows {
		listed[r.Of] = true
	}
	for _, f := range fs {
		if !listed[f.Function.Name] {
			out.shut = append(out.shut, policy.Row{Of: f.Function.Name, Path: "/", From: map[string]string{"auth": policy.FromPolicy}})
		}
	}
	return out, nil
}

// RoutesInput is which routes are asked for.
type RoutesInput struct {
	ProjectPath
	PageSize  int    `query:"pageSize" minimum:"1" maximum:"1000" default:"100"`
	PageToken string `query:"pageToken" maxLength:"8" pattern:"^[0-9]*$" doc:"nextPageToken of the page before."`
	Query     string `query:"query" maxLength:"100" doc:"A part of a route's address, function, handler, group or guard, whatever its case. It is literal: no character stands for others."`
	Only      string `query:"only" enum:"public,key,signature,private" doc:"Only those that everybody may call, that ask for a key, that ask for a signature, or that other functions alone may call."`
}

func (s *service) listRoutes(ctx context.Context, in *RoutesInput) (*body[api.GatewayRoutes], error) {
	t, err := s.table(ctx, in.ProjectID)
	if err != nil {
		return nil, err
	}
	first, _ := strconv.Atoi(in.PageToken) // digits, by its pattern
	end := first + in.PageSize
	out := api.GatewayRoutes{Number: t.number, Routes: []api.GatewayRoute{}, AllCount: len(t.rows) + len(t.shut)}
	for i, r := range slices.Concat(t.rows, t.shut) {
		if r.Public() && !r.BuiltIn() { // which tells nobody what they should look at
			out.PublicCount++
		}
		shut := i >= len(t.rows)
		if !in.wants(r, shut) {
			continue
		}
		if out.RouteCount >= first && out.RouteCount < end {
			out.Routes = append(out.Routes, describePlace(r, shut))
		}
		out.RouteCount++
	}
	if out.RouteCount > end {
		out.NextPageToken = strconv.Itoa(end)
	}
	return &body[api.GatewayRoutes]{out}, nil
}

// wants reports whether a route is among those that are asked for.
func (in *RoutesInput) wants(r policy.Row, shut bool) bool {
	ok := true
	switch in.Only {
	case "public":
		ok = r.Public()
	case "key":
		ok = r.Guard == platform.GuardKey && !shut
	case "signature":
		ok = r.Guard == platform.GuardSignature && !shut
	case "private":
		ok = r.Private
	}
	guard := function.GuardWord(r.Guard)
	if shut {
		guard = shutGuard
	}
	return ok && mentions(r, guard, in.Query)
}

// mentions reports whether a route has a text in what names it, whatever its case.
func mentions(r policy.Row, guard, text string) bool {
	text = strings.ToLower(strings.TrimSpace(text))
	return text == "" || strings.Contains(strings.ToLower(strings.Join([]string{r.Name(), r.Handler, r.Group, guard}, " ")), text)
}

// shutGuard is what a list says of the guard of a function that is shut.
const shutGuard = "shut"

func describePlace(r policy.Row, shut bool) api.GatewayRoute {
	if shut {
		return api.GatewayRoute{Function: r.Of, Path: r.Path, Guard: shutGuard, Shut: true, From: r.From}
	}
	return describeRow(r)
}

func describeRow(r policy.Row) api.GatewayRoute {
	out := api.GatewayRoute{Method: r.Method, Path: r.Path, Handler: r.Handler, Guard: function.GuardWord(r.Guard), Public: r.Public(), Private: r.Private, Group: r.Group,
		Credentials: r.Rule.Methods, Addresses: r.Addresses(), Rate: r.Limits(), BodyLimit: r.Rule.BodyLimit, Timeout: r.TimeoutSeconds(), From: r.From, Line: r.Line}
	for _, s := range r.Rule.Scopes {
		out.Scopes = append(out.Scopes, string(s))
	}
	if out.Function = r.Of; r.Upstream {
		out.Function, out.Upstream = "", r.Of
	}
	return out
}
