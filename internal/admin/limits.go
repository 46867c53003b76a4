package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

func (s *service) registerLimits() {
	register(s, huma.Operation{OperationID: "getGatewayLimits", Method: http.MethodGet, Path: "/v1/projects/{projectId}/gateway/limits", Summary: "Rates and quotas, and what is used of them now",
		Description: "As the node that is asked counts them. Keys without a limit of their own are left out.", Errors: []int{400}}, s.getLimits)
}

// keysLooked is how many keys one page of limits looks at, at most: few may have any.
const keysLooked = 5000

func (s *service) getLimits(ctx context.Context, in *struct {
	ProjectPath
	Page
}) (*body[api.GatewayLimits], error) {
	if in.PageToken != "" && !accesskey.ValidID(in.PageToken) {
		return nil, errPageToken
	}
	out := api.GatewayLimits{Rates: []api.RateInForce{}, Keys: []api.LimitedKey{}}
	for _, r := range s.o.Explainer.Rates(in.ProjectID) {
		out.Rates = append(out.Rates, describeRate(r))
	}
	const step = 1000
	for looked, after := 0, in.PageToken; ; looked += step {
		ks, err := s.o.Store.Keys(ctx, in.ProjectID, after, step, false)
		if err != nil {
			return nil, err
		}
		for _, k := range ks {
			if after = k.ID; k.RatePerSecond <= 0 && k.Quota.Limit <= 0 {
				continue
			}
			if out.Keys = append(out.Keys, s.describeLimits(k)); len(out.Keys) == in.PageSize {
				out.NextPageToken = after // if it was the last, the next page has none
				return &body[api.GatewayLimits]{out}, nil
			}
		}
		if len(ks) < step {
			return &body[api.GatewayLimits]{out}, nil
		}
		if looked+step >= keysLooked {
			out.NextPageToken = after
			return &body[api.GatewayLimits]{out}, nil
		}
	}
}

func describeRate(r audit.Rate) api.RateInForce {
	l := r.Limit
	if l.Burst == l.Requests { // as it is where nothing is said of it
		l.Burst = 0
	}
	out := api.RateInForce{Rate: function.FormatRate(l), By: string(l.By), Pool: l.Pool, Requests: l.Requests, Period: l.Per.Seconds(), AtOnce: l.AtOnce(), Callers: r.Callers, Spent: r.Spent}
	if l.By == platform.LimitByRoute {
		out.Left = &r.Left
	}
	for _, d := range r.Doors {
		name := d.Pattern
		if name == "" {
			name = d.Handler
		}
		out.Routes = append(out.Routes, d.Of+" "+name)
	}
	return out
}

func (s *service) describeLimits(k platform.AccessKey) api.LimitedKey {
	used := s.o.Explainer.Used(k)
	out := api.LimitedKey{AccessKeyID: k.ID, DisplayName: k.DisplayName, RatePerSecond: k.RatePerSecond, RateLeft: used.RateLeft, QuotaLeft: used.QuotaLeft}
	if k.Quota.Limit > 0 {
		out.Quota = &api.Quota{Limit: k.Quota.Limit, Per: string(k.Quota.Per)}
		reset := k.Quota.Per.End(time.Now())
		out.QuotaReset = &reset
	}
	return out
}
