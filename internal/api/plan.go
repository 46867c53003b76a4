package api

import (
	"context"
	"net/http"
)

// PlanRequest is a deploy that is not made.
type PlanRequest struct {
	Variables map[string]string `json:"variables,omitempty" doc:"All plain settings that it would have."`
}

// PlanResponse is what it would change.
type PlanResponse struct {
	Variables map[string]string `json:"variables" doc:"By name: new, changed, same or gone."`
}

// Plan tells what a deploy would change.
func (c *Client) Plan(ctx context.Context, name string, in PlanRequest) (out PlanResponse, err error) {
	return out, c.call(ctx, http.MethodPost, c.project("functions", name, "plan"), in, &out)
}
