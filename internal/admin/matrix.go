package admin

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/policy"
)

func (s *service) registerMatrix() {
	register(s, huma.Operation{OperationID: "getGatewayMatrix", Method: http.MethodGet, Path: "/v1/projects/{projectId}/gateway/matrix", Summary: "Which keys open which addresses",
		Description: "The gateway that is asked decides, by the steps that a request takes, and before any limit. Keys of functions are not in it.", Errors: []int{400}}, s.getMatrix)
}

// MatrixInput is which part of the matrix is asked for.
type MatrixInput struct {
	ProjectPath
	Query          string `query:"query" maxLength:"100" doc:"Of keys: a part of the name, whatever its case, or the beginning of the ID."`
	Order          string `query:"order" enum:"oldest,newest" default:"oldest" doc:"Which keys come first."`
	PageSize       int    `query:"pageSize" minimum:"1" maximum:"50" default:"20" doc:"Of keys."`
	PageToken      string `query:"pageToken" maxLength:"64" doc:"nextPageToken of the page before."`
	RoutePageSize  int    `query:"routePageSize" minimum:"1" maximum:"200" default:"50"`
	RoutePageToken string `query:"routePageToken" maxLength:"8" pattern:"^[0-9]*$" doc:"nextRoutePageToken of the page before."`
	RouteQuery     string `query:"routeQuery" maxLength:"100" doc:"A part of a route's address, function, handler or group, whatever its case."`
	Guarded        bool   `query:"guarded" doc:"Only routes that ask for a key."`
	From           string `query:"from" maxLength:"64" doc:"An address that all keys are used from; absent: each from one that suits it and the route."`
}

func (s *service) getMatrix(ctx context.Context, in *MatrixInput) (*body[api.GatewayMatrix], error) {
	if in.PageToken != "" && !accesskey.ValidID(in.PageToken) {
		return nil, errPageToken
	}
	q := audit.Reaching{ProjectID: in.ProjectID, CallerID: principal(ctx).ProjectID()}
	if in.From != "" {
		addr, err := netip.ParseAddr(in.From)
		if err != nil {
			return nil, errFrom
		}
		q.Remote = net.JoinHostPort(addr.String(), "0")
	}
	table, err := s.table(ctx, in.ProjectID)
	if err != nil {
		return nil, err
	}
	keys, err := s.o.Store.FindKeys(ctx, in.ProjectID, platform.KeyQuery{Text: in.Query, Now: time.Now(), Newest: in.Order == "newest", After: in.PageToken, Limit: in.PageSize + 1})
	if err != nil {
		return nil, err
	}
	out := api.GatewayMatrix{Number: table.number, Routes: []api.GatewayRoute{}, Keys: []api.MatrixKey{}, Verdicts: []api.MatrixVerdict{}}
	keys, out.NextPageToken = pageOf(keys, in.PageSize, func(k platform.AccessKey) string { return k.ID })
	var rows []policy.Row
	for _, r := range table.rows {
		if in.wants(r) {
			rows = append(rows, r)
		}
	}
	out.RouteCount = len(rows)
	first, _ := strconv.Atoi(in.RoutePageToken) // digits, by its pattern
	rows, out.NextRoutePageToken = pageOf(rows[min(first, len(rows)):], in.RoutePageSize, func(policy.Row) string { return strconv.Itoa(first + in.RoutePageSize) })
	for _, r := range rows {
		out.Routes = append(out.Routes, describeRow(r))
		q.Doors = append(q.Doors, audit.Door{Of: r.Of, Handler: r.Door, Pattern: r.Pattern})
	}
	q.Keys = keys
	fillMatrix(&out, keys, s.o.Explainer.Reach(q))
	return &body[api.GatewayMatrix]{out}, nil
}

var errFrom = fault.New(fault.Invalid, "from is no address").WithHint("write it like 192.0.2.7 or 2001:db8::7")

// wants reports whether a route is among those that are asked for.
func (in *MatrixInput) wants(r policy.Row) bool {
	if in.Guarded && r.Guard != platform.GuardKey {
		return false
	}
	return mentions(r, function.GuardWord(r.Guard), in.RouteQuery)
}

// fillMatrix puts what is said of each key at each door into a matrix.
func fillMatrix(out *api.GatewayMatrix, keys []platform.AccessKey, said [][]audit.Reach) {
	type verdict struct {
		opens             bool
		reason, why, from string
		more              int
	}
	places := map[verdict]int{}
	for i, k := range keys {
		row := api.MatrixKey{AccessKeyID: k.ID, DisplayName: k.DisplayName, Cells: make([]int, len(said[i]))}
		for j, r := range said[i] {
			v := describeReach(r)
			id := verdict{v.Opens, v.Reason, v.Why, strings.Join(v.From, " "), v.More}
			at, known := places[id]
			if !known {
				at = len(out.Verdicts)
				places[id] = at
				out.Verdicts = append(out.Verdicts, v)
			}
			row.Cells[j] = at
		}
		out.Keys = append(out.Keys, row)
	}
}

func describeReach(r audit.Reach) api.MatrixVerdict {
	out := api.MatrixVerdict{Opens: r.Opens, Reason: string(r.Reason), Why: r.Why, More: r.More}
	for _, p := range r.From {
		out.From = append(out.From, p.String())
	}
	return out
}
