package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// GatewayPolicy is a project's policy: the document that an operator applied.
type GatewayPolicy struct {
	Number    int        `json:"number" doc:"Counts the policies of the project, from 1; 0: none was applied yet."`
	Document  string     `json:"document,omitempty" doc:"As it was applied; see docs/gateway.md. In a history it is left out."`
	ApplyTime *time.Time `json:"applyTime,omitempty"`
	AppliedBy string     `json:"appliedBy,omitempty" doc:"The ID of the key or user who applied it."`
	// AppliedByName is empty where that is of a project that is not the caller's to know.
	AppliedByName string `json:"appliedByName,omitempty" doc:"What that key or user is called."`
}

// GatewayPolicies is one page of a project's policies, newest first.
type GatewayPolicies struct {
	Policies      []GatewayPolicy `json:"policies"`
	NextPageToken string          `json:"nextPageToken" doc:"Empty on the last page."`
}

// ApplyPolicyRequest asks for a document to become the policy of a project.
type ApplyPolicyRequest struct {
	Document string `json:"document" maxLength:"1048576" doc:"YAML or JSON; see docs/gateway.md."`
	// ExpectNumber keeps two operators from overwriting one another.
	ExpectNumber *int `json:"expectNumber,omitempty" minimum:"0" doc:"The number that must be in force, or the answer is 409 policy_raced; absent: any."`
}

// AppliedPolicy is what an apply did, or with dryRun would do.
type AppliedPolicy struct {
	Number    int            `json:"number" doc:"That is in force, or would be."`
	DryRun    bool           `json:"dryRun" doc:"Nothing was done."`
	Unchanged bool           `json:"unchanged" doc:"Document and keys are what they were; nothing was done."`
	Opened    []string       `json:"opened" doc:"Addresses that everybody may call from now on."`
	Closed    []string       `json:"closed" doc:"Addresses that not everybody may call any more."`
	Changes   []PolicyChange `json:"changes"`
	Warnings  []string       `json:"warnings"`
}

// PolicyChange is one thing that a document says otherwise than the one before.
type PolicyChange struct {
	What   string `json:"what" doc:"Such as 'function orders, handler refund'."`
	Field  string `json:"field,omitempty" doc:"Absent: the thing itself."`
	Before string `json:"before,omitempty" doc:"Absent: it is new."`
	After  string `json:"after,omitempty" doc:"Absent: it is gone."`
}

// PolicyDiff is what one policy says otherwise than another.
type PolicyDiff struct {
	Before  int            `json:"before" doc:"The number of the one; 0: none at all."`
	After   int            `json:"after" doc:"The number of the other."`
	Changes []PolicyChange `json:"changes" doc:"By meaning: comments and order are none."`
}

// GatewayRoutes is one page of a project's addresses, with what is in force there.
type GatewayRoutes struct {
	Number        int            `json:"number" doc:"Of the policy in force; 0: none."`
	Routes        []GatewayRoute `json:"routes"`
	RouteCount    int            `json:"routeCount" doc:"How many routes are asked for, on all pages."`
	AllCount      int            `json:"allCount" doc:"How many routes the project has."`
	PublicCount   int            `json:"publicCount" doc:"How many of all everybody may call, besides the /health that each function has built in."`
	NextPageToken string         `json:"nextPageToken" doc:"Empty on the last page."`
}

// RouteQuery says which routes are wanted; a zero field takes the server's default.
type RouteQuery struct {
	Query     string // a part of the address, function, handler, group or guard
	Only      string // public, key, signature or private; empty: all
	PageSize  int
	PageToken string
}

// GatewayRoute is one address of a function or of an upstream.
type GatewayRoute struct {
	Function string   `json:"function,omitempty"`
	Upstream string   `json:"upstream,omitempty"`
	Method   string   `json:"method,omitempty" doc:"Absent: any."`
	Path     string   `json:"path" doc:"Below the address of the function or upstream."`
	Handler  string   `json:"handler" doc:"The export that runs, or 'built in'; of an upstream where it is."`
	Guard    string   `json:"guard" doc:"'access key', 'open' or 'signature'."`
	Public   bool     `json:"public" doc:"Everybody may call."`
	Private  bool     `json:"private" doc:"Other functions of the project may call, and nobody else."`
	Group    string   `json:"group,omitempty" doc:"Of keys; absent where no key is asked for."`
	Scopes   []string `json:"scopes,omitempty" doc:"That a key needs beside invoke."`
	// Credentials are the ways in which a credential may be shown.
	Credentials []string `json:"credentials,omitempty" doc:"Ways in which a credential may be shown; absent: all."`
	Addresses   []string `json:"addresses,omitempty" doc:"From where; absent: anywhere."`
	Rate        []string `json:"rate,omitempty"`
	BodyLimit   int64    `json:"bodyLimit,omitempty" doc:"Bytes; absent: the gateway's."`
	Timeout     float64  `json:"timeout,omitempty" doc:"Seconds; absent: the gateway's."`
	// From says who decided what, by the field.
	From map[string]string `json:"from" doc:"Where each value comes from: gateway, default, manifest, auth export, callback, policy or group."`
	Line int               `json:"line,omitempty" doc:"Of the policy's entry for this very address."`
	Shut bool              `json:"shut,omitempty" doc:"The policy does not fit the function: no address of it answers."`
}

// GatewayPolicy returns the policy of a number, or the one in force where that
// is 0; with the keys that people made as well, when asked, by their digests.
func (c *Client) GatewayPolicy(ctx context.Context, number int, keys bool) (out GatewayPolicy, err error) {
	q := url.Values{}
	if number > 0 {
		q.Set("number", strconv.Itoa(number))
	}
	if keys {
		q.Set("withKeys", "true")
	}
	return out, c.call(ctx, http.MethodGet, c.project("gateway")+"?"+q.Encode(), nil, &out)
}

// ApplyPolicy makes a document the policy of the project, or says what that
// would do.
func (c *Client) ApplyPolicy(ctx context.Context, in ApplyPolicyRequest, dryRun bool) (out AppliedPolicy, err error) {
	return out, c.call(ctx, http.MethodPut, c.project("gateway")+"?dryRun="+strconv.FormatBool(dryRun), in, &out)
}

// GatewayHistory returns one page of the policies of the project.
func (c *Client) GatewayHistory(ctx context.Context, pageToken string, size int) (out GatewayPolicies, err error) {
	q := url.Values{"pageSize": {strconv.Itoa(size)}}
	if pageToken != "" {
		q.Set("pageToken", pageToken)
	}
	return out, c.call(ctx, http.MethodGet, c.project("gateway", "history")+"?"+q.Encode(), nil, &out)
}

// GatewayDiff returns what the policy of a number says otherwise than that of another.
func (c *Client) GatewayDiff(ctx context.Context, before, after int) (out PolicyDiff, err error) {
	q := url.Values{"before": {strconv.Itoa(before)}, "after": {strconv.Itoa(after)}}
	return out, c.call(ctx, http.MethodGet, c.project("gateway", "diff")+"?"+q.Encode(), nil, &out)
}

// GatewayRoutes returns one page of the addresses that a query asks for.
func (c *Client) GatewayRoutes(ctx context.Context, q RouteQuery) (out GatewayRoutes, err error) {
	query := listQuery(map[string]string{"query": q.Query, "only": q.Only, "pageToken": q.PageToken}, nil, q.PageSize)
	return out, c.call(ctx, http.MethodGet, c.project("gateway", "routes")+query, nil, &out)
}

// AllGatewayRoutes returns the addresses of all pages as one.
func (c *Client) AllGatewayRoutes(ctx context.Context, q RouteQuery) (all GatewayRoutes, err error) {
	for q.PageSize = 1000; ; q.PageToken = all.NextPageToken {
		before := all.Routes
		if all, err = c.GatewayRoutes(ctx, q); err != nil {
			return all, err
		}
		if all.Routes = append(before, all.Routes...); all.NextPageToken == "" {
			return all, nil
		}
	}
}
