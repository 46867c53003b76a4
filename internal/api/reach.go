package api

import (
	"context"
	"net/http"
	"time"
)

// KeyReach is what would stop working if a key were revoked.
type KeyReach struct {
	Routes        []GatewayRoute `json:"routes" doc:"Addresses of the project that ask for a key and that this one opens."`
	RouteCount    int            `json:"routeCount" doc:"How many there are on all pages."`
	NextPageToken string         `json:"nextPageToken" doc:"Empty on the last page."`
	Called        []KeyCalls     `json:"called" doc:"The functions that it called since a day, at most 50, those first that it called most."`
	CalledMore    bool           `json:"calledMore" doc:"There are more than are listed."`
	Since         string         `json:"since" format:"date" doc:"The first of this month, of UTC."`
	LastUsedTime  *time.Time     `json:"lastUsedTime,omitempty"`
	Used          bool           `json:"used" doc:"It was used in the last 30 days."`
}

// KeyCalls is how often a key called a function.
type KeyCalls struct {
	FunctionID  string `json:"functionId"`
	Function    string `json:"function" doc:"Its name, as it was last."`
	Invocations int64  `json:"invocations"`
	Errors      int64  `json:"errors"`
}

// KeyReach tells what would stop working if a key were revoked: a page of routes,
// from a page token on.
func (c *Client) KeyReach(ctx context.Context, id, pageToken string) (out KeyReach, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("accessKeys", id, "reach")+listQuery(map[string]string{"pageToken": pageToken}, nil, 0), nil, &out)
}
