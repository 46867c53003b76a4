package admin

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/policy"
)

func (s *service) registerPolicyDiff() {
	register(s, huma.Operation{OperationID: "diffGatewayPolicies", Method: http.MethodGet, Path: "/v1/projects/{projectId}/gateway/diff", Summary: "What a policy says otherwise than another", Errors: []int{404, 422}}, s.diffPolicies)
}

func (s *service) diffPolicies(ctx context.Context, in *struct {
	ProjectPath
	Before int `query:"before" minimum:"0" doc:"A number; absent or 0: no policy at all."`
	After  int `query:"after" minimum:"1" required:"true" doc:"A number."`
}) (*body[api.PolicyDiff], error) {
	before, err := s.document(ctx, in.ProjectID, in.Before)
	if err != nil {
		return nil, err
	}
	after, err := s.document(ctx, in.ProjectID, in.After)
	if err != nil {
		return nil, err
	}
	out := api.PolicyDiff{Before: in.Before, After: in.After, Changes: []api.PolicyChange{}}
	for _, c := range policy.Compare(before, after) {
		out.Changes = append(out.Changes, api.PolicyChange{What: c.What, Field: c.Field, Before: c.Before, After: c.After})
	}
	return &body[api.PolicyDiff]{out}, nil
}

// document is the policy of a number as it was applied; nil of 0.
func (s *service) document(ctx context.Context, projectID string, number int) (*policy.Document, error) {
	if number == 0 {
		return nil, nil
	}
	p, err := s.o.Store.Policy(ctx, projectID, number)
	if err != nil && !damaged(err) {
		return nil, err
	}
	d, err := policy.Parse(policy.File, p.Document)
	if err != nil { // of another version, or damaged
		return nil, fault.Wrap(err, fault.Invalid, fmt.Sprintf("policy %d cannot be compared: it is not read any more", number)).WithCode("policy_invalid").WithHint("look at it with: postern gateway export --number")
	}
	return d, nil
}
