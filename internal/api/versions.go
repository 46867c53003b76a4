package api

import (
	"context"
	"net/http"
)

// Version is a deployment with its part of the traffic.
type Version struct {
	Deployment
	State        string `json:"state" enum:"active,candidate,old" doc:"candidate: it gets a part of the calls beside the active one."`
	Percent      int    `json:"percent" doc:"Of the calls that it gets."`
	RestoredFrom int    `json:"restoredFrom,omitempty" doc:"It is an earlier version again: that one's number."`
	EndedBecause string `json:"endedBecause,omitempty" doc:"Why the platform itself ended it as a candidate."`
}

// Versions are deployments of a function, newest first.
type Versions struct {
	Versions []Version `json:"versions"`
}

// PromoteRequest gives a version a part of the traffic.
type PromoteRequest struct {
	Version int `json:"version,omitempty" minimum:"0" maximum:"1000000000" doc:"Its number; absent: the candidate."`
	Percent int `json:"percent" minimum:"0" maximum:"100" doc:"100 makes it the active one; 0 ends a candidate."`
}

// RollBackRequest makes an earlier version serve again.
type RollBackRequest struct {
	Version int `json:"version,omitempty" minimum:"0" maximum:"1000000000" doc:"Its number; absent: the one before. Absent with a candidate beside the active one: that is ended instead."`
}

// Versions lists the newest versions of a function.
func (c *Client) Versions(ctx context.Context, function string) (out Versions, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("functions", function, "deployments"), nil, &out)
}

// Promote gives a version a part of the traffic.
func (c *Client) Promote(ctx context.Context, function string, in PromoteRequest) (out DeployResponse, err error) {
	return out, c.call(ctx, http.MethodPost, c.project("functions", function, "promote"), in, &out)
}

// RollBack makes an earlier version serve again.
func (c *Client) RollBack(ctx context.Context, function string, in RollBackRequest) (out DeployResponse, err error) {
	return out, c.call(ctx, http.MethodPost, c.project("functions", function, "rollback"), in, &out)
}
