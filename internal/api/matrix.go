package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// GatewayMatrix is which keys of a project open which of its addresses: a page
// of keys by a page of routes.
type GatewayMatrix struct {
	Number int            `json:"number" doc:"Of the policy in force; 0: none."`
	Routes []GatewayRoute `json:"routes"`
	Keys   []MatrixKey    `json:"accessKeys"`
	// Verdicts are what is said; most cells say one of a few things.
	Verdicts           []MatrixVerdict `json:"verdicts" doc:"What the cells say, each once."`
	RouteCount         int             `json:"routeCount" doc:"How many routes there are on all pages."`
	NextPageToken      string          `json:"nextPageToken" doc:"Of keys; empty on the last page."`
	NextRoutePageToken string          `json:"nextRoutePageToken" doc:"Of routes; empty on the last page."`
}

// MatrixKey is a row of the matrix.
type MatrixKey struct {
	AccessKeyID string `json:"accessKeyId"`
	DisplayName string `json:"displayName"`
	Cells       []int  `json:"cells" doc:"One a route, in their order: the place of what is said in verdicts."`
}

// MatrixVerdict is what is said of a key at an address, before any limit.
type MatrixVerdict struct {
	Opens  bool     `json:"opens"`
	Reason string   `json:"reason" enum:"key,open,signature,ended,credential,scope,project,group,address,private,shut,unknown" doc:"What decided: 'key' and 'open' open; of a 'signature' no key is asked for; 'ended' is a key that has expired; 'unknown' is what the gateway that is asked does not know yet."`
	Why    string   `json:"why"`
	From   []string `json:"from,omitempty" doc:"From where callers may come, 16 networks at most; absent: from anywhere."`
	More   int      `json:"more,omitempty" doc:"How many networks there are beyond these."`
}

// MatrixQuery says which part of the matrix is wanted; a zero field takes the
// server's default.
type MatrixQuery struct {
	Query                     string // a part of a key's name, or the beginning of its ID
	Order                     string // oldest or newest keys first
	PageSize, RoutePageSize   int
	PageToken, RoutePageToken string
	RouteQuery                string // a part of a route's address, function, handler or group
	Guarded                   bool   // only routes that ask for a key
	From                      string // an address from which keys are used; empty: one that suits them
}

// GatewayMatrix returns which keys open which addresses.
func (c *Client) GatewayMatrix(ctx context.Context, q MatrixQuery) (out GatewayMatrix, err error) {
	v := url.Values{}
	for name, text := range map[string]string{"query": q.Query, "order": q.Order, "pageToken": q.PageToken, "routePageToken": q.RoutePageToken, "routeQuery": q.RouteQuery, "from": q.From} {
		if text != "" {
			v.Set(name, text)
		}
	}
	for name, n := range map[string]int{"pageSize": q.PageSize, "routePageSize": q.RoutePageSize} {
		if n > 0 {
			v.Set(name, strconv.Itoa(n))
		}
	}
	if q.Guarded {
		v.Set("guarded", "true")
	}
	return out, c.call(ctx, http.MethodGet, c.project("gateway", "matrix")+"?"+v.Encode(), nil, &out)
}
