package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// GatewayLimits is what of a project's limits is used now: the rates of its
// routes, and a page of its keys that have limits.
type GatewayLimits struct {
	Rates         []RateInForce `json:"rates"`
	Keys          []LimitedKey  `json:"accessKeys"`
	NextPageToken string        `json:"nextPageToken" doc:"Of keys; empty on the last page. A page may have few keys, or none, and still another after it."`
}

// RateInForce is a rate, and all addresses that share it.
type RateInForce struct {
	Routes   []string `json:"routes" doc:"Function or upstream, and pattern or handler."`
	Rate     string   `json:"rate" doc:"As a manifest has it."`
	By       string   `json:"by" doc:"Who has it for themselves: 'key', 'address', 'method' (the way in which a credential is shown); 'route': all callers together."`
	Pool     string   `json:"pool,omitempty" doc:"Of the policy, such as 'group:partner'; absent: it is of one address."`
	Requests int      `json:"requests"`
	Period   float64  `json:"period" doc:"Seconds."`
	AtOnce   int      `json:"atOnce" doc:"How many requests may come at once."`
	Left     *int64   `json:"left,omitempty" doc:"How many of these may come now; of a rate by route."`
	Callers  int      `json:"callers,omitempty" doc:"How many have used some of their rate lately; of the other rates."`
	Spent    int      `json:"spent,omitempty" doc:"How many of these have nothing left now."`
}

// LimitedKey is an access key with a rate or a quota.
type LimitedKey struct {
	AccessKeyID   string     `json:"accessKeyId"`
	DisplayName   string     `json:"displayName"`
	RatePerSecond int        `json:"ratePerSecond,omitempty"`
	RateLeft      *int64     `json:"rateLeft,omitempty" doc:"How many requests may come now, on the node that is asked."`
	Quota         *Quota     `json:"quota,omitempty"`
	QuotaLeft     *int64     `json:"quotaLeft,omitempty" doc:"As the node that is asked knows it; nodes take of a quota in blocks."`
	QuotaReset    *time.Time `json:"quotaReset,omitempty" doc:"When its period ends."`
}

// GatewayLimits returns what of the project's limits is used now, with the keys
// from a page token on.
func (c *Client) GatewayLimits(ctx context.Context, pageToken string) (out GatewayLimits, err error) {
	q := url.Values{}
	if pageToken != "" {
		q.Set("pageToken", pageToken)
	}
	return out, c.call(ctx, http.MethodGet, c.project("gateway", "limits")+"?"+q.Encode(), nil, &out)
}
