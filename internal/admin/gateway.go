package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/policy"
)

// Policies is the reading and applying of policies.
type Policies interface {
	Policy(ctx context.Context, projectID string, number int) (platform.Policy, error)
	PolicyHistory(ctx context.Context, projectID string, before, limit int) ([]platform.Policy, error)
	ActiveFunctions(ctx context.Context, projectID string) ([]platform.ActiveFunction, error)
	// LastChange is another when a function, a key or a policy is not what it was.
	LastChange(ctx context.Context) (seq int64, err error)
	ApplyPolicy(ctx context.Context, a platform.PolicyApply, decide func(platform.PolicyState) (platform.PolicyInput, error)) (platform.PolicyResult, error)
}

func (s *service) registerGateway() {
	const path = "/v1/projects/{projectId}/gateway"
	register(s, huma.Operation{OperationID: "getGatewayPolicy", Method: http.MethodGet, Path: path, Summary: "The policy in force, or an earlier one", Errors: []int{404}}, s.getPolicy)
	register(s, huma.Operation{OperationID: "applyGatewayPolicy", Method: http.MethodPut, Path: path, Summary: "Apply a policy",
		Description:  "The document takes the place of all that was in force: what it does not name is not governed, and a key that an earlier one made and that it lacks is ended. All of it is done or nothing. To go back, apply an earlier document.",
		MaxBodyBytes: 8 << 20, Errors: []int{400, 409, 503}}, s.applyPolicy)
	register(s, huma.Operation{OperationID: "listGatewayPolicies", Method: http.MethodGet, Path: path + "/history", Summary: "List policies, newest first", Errors: []int{400}}, s.listPolicies)
	register(s, huma.Operation{OperationID: "listGatewayRoutes", Method: http.MethodGet, Path: path + "/routes", Summary: "The addresses and what is in force there",
		Description: "Functions by name, then upstreams, then functions that the policy shuts."}, s.listRoutes)
}

// noPolicy is what is in force where nothing was applied.
var noPolicy = string(policy.Render(&policy.Document{}))

func (s *service) getPolicy(ctx context.Context, in *struct {
	ProjectPath
	Number   int  `query:"number" minimum:"0" doc:"Which; absent or 0: the one in force."`
	WithKeys bool `query:"withKeys" doc:"The keys that people made as well, by their digests, in a document without comments: what another installation needs to know them."`
}) (*body[api.GatewayPolicy], error) {
	p, err := s.o.Store.Policy(ctx, in.ProjectID, in.Number)
	if in.Number == 0 && fault.KindOf(err) == fault.NotFound {
		p, err = platform.Policy{Document: []byte(noPolicy)}, nil
	}
	if err != nil && !damaged(err) { // of what is damaged the document may be whole
		return nil, err
	}
	out := []api.GatewayPolicy{describePolicy(p)}
	if err := nameOf(ctx, s, in.ProjectID, out, appliedBy); err != nil {
		return nil, err
	}
	if out[0].Document = string(p.Document); in.WithKeys {
		out[0].Document, err = s.withKeys(ctx, in.ProjectID, p.Document)
		return &body[api.GatewayPolicy]{out[0]}, err
	}
	return &body[api.GatewayPolicy]{out[0]}, nil
}

func damaged(err error) bool {
	_, ok := errors.AsType[*platform.UnreadableError](err)
	return ok
}

// withKeys is a document with the keys that people made beside those it has.
func (s *service) withKeys(ctx context.Context, projectID string, document []byte) (string, error) {
	d, err := policy.Parse(policy.File, document)
	if err != nil {
		return "", fmt.Errorf("read what was applied: %w", err)
	}
	for after := ""; ; {
		ks, err := s.o.Store.Keys(ctx, projectID, after, 1000, false)
		if err != nil {
			return "", err
		}
		for _, k := range ks {
			if !k.ByPolicy {
				d.Keys = append(d.Keys, k)
			}
			after = k.ID
		}
		if len(ks) < 1000 {
			return string(policy.Render(d)), nil
		}
	}
}

func describePolicy(p platform.Policy) api.GatewayPolicy {
	return api.GatewayPolicy{Number: p.Number, ApplyTime: when(p.AppliedAt), AppliedBy: p.AppliedBy}
}

func appliedBy(p *api.GatewayPolicy) (id string, name *string) { return p.AppliedBy, &p.AppliedByName }

func (s *service) listPolicies(ctx context.Context, in *struct {
	ProjectPath
	Page
}) (*body[api.GatewayPolicies], error) {
	before := 0
	if in.PageToken != "" {
		var err error
		if before, err = strconv.Atoi(in.PageToken); err != nil || before < 1 {
			return nil, errPageToken
		}
	}
	ps, err := s.o.Store.PolicyHistory(ctx, in.ProjectID, before, in.PageSize+1)
	if err != nil {
		return nil, err
	}
	out := api.GatewayPolicies{Policies: []api.GatewayPolicy{}}
	ps, out.NextPageToken = pageOf(ps, in.PageSize, func(p platform.Policy) string { return strconv.Itoa(p.Number) })
	for _, p := range ps {
		out.Policies = append(out.Policies, describePolicy(p))
	}
	return &body[api.GatewayPolicies]{out}, nameOf(ctx, s, in.ProjectID, out.Policies, appliedBy)
}

func (s *service) applyPolicy(ctx context.Context, in *struct {
	ProjectPath
	DryRun bool `query:"dryRun" doc:"Check all of it and say what it would do, and do nothing."`
	Body   api.ApplyPolicyRequest
}) (*body[api.AppliedPolicy], error) {
	d, err := policy.Parse(policy.File, []byte(in.Body.Document))
	if err != nil {
		return nil, err
	}
	caller, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	a := &application{document: d, text: []byte(in.Body.Document), caller: caller, projectID: in.ProjectID, now: time.Now().UTC().Truncate(time.Microsecond)}
	asked := platform.PolicyApply{ProjectID: in.ProjectID, Expect: -1, At: a.now, DryRun: in.DryRun}
	if in.Body.ExpectNumber != nil {
		asked.Expect = *in.Body.ExpectNumber
	}
	for _, k := range d.Keys {
		asked.KeyIDs = append(asked.KeyIDs, k.ID)
	}
	done, err := s.o.Store.ApplyPolicy(ctx, asked, a.decide)
	if err != nil {
		return nil, err
	}
	out := a.out
	out.Number, out.DryRun, out.Unchanged = done.Policy.Number, in.DryRun, done.Unchanged
	noteDetail(ctx, "number", strconv.Itoa(out.Number))
	if in.DryRun {
		noteDetail(ctx, "dryRun", "true")
	} else if len(out.Opened) > 0 {
		noteDetail(ctx, "authNone", fmt.Sprintf("%d: %s", len(out.Opened), strings.Join(out.Opened, ", "))) // a long list is cut, its number not
	}
	if in.DryRun || done.Unchanged {
		return &body[api.AppliedPolicy]{out}, nil
	}
	return &body[api.AppliedPolicy]{out}, s.enforced(ctx, done.Seq)
}

// application is one apply, on its way through the transaction.
type application struct {
	document  *policy.Document
	text      []byte
	caller    platform.AccessKey
	projectID string
	now       time.Time
	out       api.AppliedPolicy
}

// decide checks a document against what the project has, and says what is to
// be written.
func (a *application) decide(state platform.PolicyState) (platform.PolicyInput, error) {
	warnings, err := a.document.Fit(state.Functions)
	if err != nil {
		return platform.PolicyInput{}, err
	}
	in := platform.PolicyInput{Policy: a.document.Policy()}
	in.Policy.Document, in.Policy.AppliedBy = a.text, a.caller.ID
	for i := range in.Policy.Upstreams {
		in.Policy.Upstreams[i].ID = function.NewUpstreamID(a.now)
	}
	if in.Keys, err = a.keys(state.Keys); err != nil {
		return in, err
	}
	a.compare(state, &in.Policy)
	a.out.Warnings = append([]string{}, warnings...)
	return in, nil
}

// keys are the keys of the document, checked as those that people make are, and
// against what the key that applies it may give.
func (a *application) keys(live []platform.AccessKey) ([]platform.AccessKey, error) {
	before := map[string]*platform.AccessKey{}
	for i := range live {
		before[live[i].ID] = &live[i]
	}
	var out []platform.AccessKey
	for _, k := range a.document.Keys {
		k.ProjectID = a.projectID
		err := checkKey(k, a.now)
		if err == nil {
			old := before[k.ID]
			if old != nil && old.SecretHash != k.SecretHash {
				old = nil // whoever has the new secret has all that the key has
			}
			err = mayGrant(a.caller, old, k)
		}
		if err != nil {
			return nil, a.document.KeyFault(k.ID, err)
		}
		out = append(out, k)
	}
	return out, nil
}

// checkKey holds a key of a document to the rules for all keys, but for its
// end: one that has passed is no reason to refuse the rest.
func checkKey(k platform.AccessKey, now time.Time) error {
	in := api.CreateKeyRequest{DisplayName: k.DisplayName, Groups: k.Groups, RatePerSecond: k.RatePerSecond, Binding: string(k.Binding), CertThumbprint: k.CertThumbprint, Metadata: k.Metadata}
	for _, s := range k.Scopes {
		in.Scopes = append(in.Scopes, string(s))
	}
	for _, c := range k.AllowedCIDRs {
		in.AllowedCIDRs = append(in.AllowedCIDRs, c.String())
	}
	made := platform.AccessKey{ServicePlanID: k.ServicePlanID}
	err := fill(&made, in, now)
	if err == nil && made.DisplayName != k.DisplayName {
		err = invalid("name", "has blanks around it", "remove them")
	}
	return err
}

// compare says what the apply does.
func (a *application) compare(state platform.PolicyState, next *platform.Policy) {
	a.out.Changes, a.out.Opened, a.out.Closed = []api.PolicyChange{}, []string{}, []string{}
	var before *policy.Document
	if state.Current != nil {
		var err error
		if before, err = policy.Parse(policy.File, state.Current.Document); err != nil {
			before = nil // of another version, or damaged: all is new
		}
	}
	for _, c := range policy.Compare(before, a.document) {
		a.out.Changes = append(a.out.Changes, api.PolicyChange{What: c.What, Field: c.Field, Before: c.Before, After: c.After})
	}
	opened, closed := policy.Opened(policy.Table(state.Functions, state.Current, nil), policy.Table(state.Functions, next, nil))
	for _, r := range opened {
		a.out.Opened = append(a.out.Opened, r.Name())
	}
	for _, r := range closed {
		a.out.Closed = append(a.out.Closed, r.Name())
	}
}

// inForce is the policy of a project; nil: it has none. One that cannot be read
// is there without a number: all of the project is shut.
func (s *service) inForce(ctx context.Context, projectID string) (*platform.Policy, error) {
	p, err := s.o.Store.Policy(ctx, projectID, 0)
	switch {
	case damaged(err):
		return &platform.Policy{ProjectID: projectID}, nil
	case fault.KindOf(err) == fault.NotFound:
		return nil, nil
	}
	return &p, err
}
