package admin

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Events is the reading of the audit log, and of the keys that are asked about.
type Events interface {
	AuditEvents(ctx context.Context, projectID string, f platform.AuditFilter, after string, limit int) ([]platform.AuditEvent, error)
	// AuditBefore is the ID of the n-th event before one; empty: there are fewer.
	AuditBefore(ctx context.Context, projectID string, since time.Time, after string, n int) (string, error)
	Key(ctx context.Context, projectID, id string) (platform.AccessKey, error)
}

// Explainer knows what became of the gateway's requests, and what would.
// *gateway.Gateway is one.
type Explainer interface {
	Explained(projectID, requestID string) (audit.Explanation, bool)
	Explain(q audit.Question) (audit.Explanation, error)
	// Reach tells what becomes of keys at doors: for each key what each door says.
	Reach(q audit.Reaching) [][]audit.Reach
	// Rates are those of a project's doors, and Used is what is used of a key's
	// limits, both on this node now.
	Rates(projectID string) []audit.Rate
	Used(k platform.AccessKey) audit.KeyUse
}

func (s *service) registerAudit() {
	const project = "/v1/projects/{projectId}"
	register(s, huma.Operation{OperationID: "listAuditEvents", Method: http.MethodGet, Path: project + "/audit", Summary: "List what was allowed and refused, newest first",
		Description: "Refusals are sampled under a flood: an event with a count stands for many. A page with a query looks through 100,000 events at most: it may have few or none and a nextPageToken all the same."}, s.listAuditEvents)
	register(s, huma.Operation{OperationID: "explainRequest", Method: http.MethodGet, Path: project + "/explain/{requestId}", Summary: "Which step allowed or refused a request",
		Description: "Known are the last few thousand requests of the node that is asked, and every refusal that was recorded by itself.", Errors: []int{404}}, s.explainRequest)
	register(s, huma.Operation{OperationID: "explain", Method: http.MethodPost, Path: project + "/explain", Summary: "Which step would allow or refuse a request",
		Description: "The request is not made: no worker is called and no limit is used up. A function of another project is none.", Errors: []int{400}, Metadata: map[string]any{readsOnly: true}}, s.explain)
}

func (s *service) listAuditEvents(ctx context.Context, in *struct {
	ProjectPath
	Page
	Since     time.Time `query:"since" doc:"Only events at or after this time."`
	Until     time.Time `query:"until" doc:"Only events before this time."`
	KeyID     string    `query:"accessKeyId" maxLength:"64" pattern:"^[A-Za-z0-9_]*$"`
	Action    string    `query:"action" maxLength:"64" pattern:"^[A-Za-z0-9]*$" doc:"The ID of an operation; 'invoke' at the gateway."`
	Outcome   string    `query:"outcome" enum:"allowed,refused,failed"`
	Code      string    `query:"code" maxLength:"64" pattern:"^[a-z_]*$" doc:"Of the problem that was answered."`
	RequestID string    `query:"requestId" maxLength:"64" pattern:"^[A-Za-z0-9_]*$"`
	Changes   bool      `query:"changes" doc:"Without what only reads at the control plane."`
	Query     string    `query:"query" maxLength:"100" doc:"A part of the action, the target, the code, or the ID or name of who asked, whatever its case. It is literal: no character stands for others."`
}) (*body[api.AuditEvents], error) {
	f := platform.AuditFilter{Since: in.Since, Until: in.Until, KeyID: in.KeyID, Action: in.Action, Outcome: platform.Outcome(in.Outcome), Code: in.Code, RequestID: in.RequestID}
	if in.Changes {
		f.Without = s.reading()
	}
	if in.Query != "" {
		var err error
		if f.From, err = s.o.Store.AuditBefore(ctx, in.ProjectID, in.Since, in.PageToken, searchedMost); err != nil {
			return nil, err
		}
		f.Text, f.NamesOf = in.Query, namesOf(ctx, in.ProjectID)
	}
	events, err := s.o.Store.AuditEvents(ctx, in.ProjectID, f, in.PageToken, in.PageSize+1)
	if err != nil {
		return nil, err
	}
	out := api.AuditEvents{Events: []api.AuditEvent{}}
	events, out.NextPageToken = pageOf(events, in.PageSize, func(e platform.AuditEvent) string { return e.ID })
	if out.NextPageToken == "" {
		out.NextPageToken = f.From
	}
	for _, e := range events {
		out.Events = append(out.Events, describeEvent(e))
	}
	return &body[api.AuditEvents]{out}, s.nameEvents(ctx, in.ProjectID, out.Events)
}

// searchedMost is how many events one page of a search looks through.
const searchedMost = 100_000

// reading are the operations that change nothing, by ID.
func (s *service) reading() (ids []string) {
	for _, item := range s.api.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Head, item.Put, item.Post, item.Delete, item.Patch} {
			if op != nil && !changes(op) {
				ids = append(ids, op.OperationID)
			}
		}
	}
	return ids
}

func describeEvent(e platform.AuditEvent) api.AuditEvent {
	return api.AuditEvent{ID: e.ID, Time: e.At.UTC(), ProjectID: e.ProjectID, Door: string(e.Door), Action: e.Action, Target: e.Target, Outcome: string(e.Outcome), Code: e.Code, Status: e.Status,
		AccessKeyID: e.KeyID, Method: e.Method, RequestID: e.RequestID, Remote: e.Remote, Count: e.Count, Detail: e.Detail}
}

var errRequestUnknown = fault.New(fault.NotFound, "nothing is known of a request with this ID in this project").WithCode("request_unknown")

func (s *service) explainRequest(ctx context.Context, in *struct {
	ProjectPath
	ID string `path:"requestId" maxLength:"64" pattern:"^[A-Za-z0-9_]+$"`
}) (*body[api.Explanation], error) {
	if e, ok := s.o.Explainer.Explained(in.ProjectID, in.ID); ok {
		return describeExplanation(e), nil
	}
	// What was refused before a project was known is nobody's: it is for
	// whoever was given its ID.
	for _, project := range []string{in.ProjectID, ""} {
		events, err := s.o.Store.AuditEvents(ctx, project, platform.AuditFilter{RequestID: in.ID}, "", 1)
		if err != nil {
			return nil, err
		}
		if in.ID != "" && len(events) > 0 {
			return describeExplanation(audit.Explain(events[0])), nil
		}
	}
	return nil, errRequestUnknown
}

func (s *service) explain(ctx context.Context, in *struct {
	ProjectPath
	Body api.ExplainRequest
}) (*body[api.Explanation], error) {
	q := audit.Question{ProjectID: in.ProjectID, CallerID: principal(ctx).ProjectID(), Method: in.Body.Method, URL: in.Body.URL, KeyID: in.Body.AccessKeyID, Remote: remoteAddr(ctx)}
	if in.Body.From != "" {
		addr, err := netip.ParseAddr(in.Body.From)
		if err != nil {
			return nil, errFrom
		}
		q.Remote = net.JoinHostPort(addr.String(), "0")
	}
	for _, project := range []string{q.ProjectID, q.CallerID} {
		if q.KeyID == "" || q.Key != nil {
			continue
		}
		k, err := s.o.Store.Key(ctx, project, q.KeyID)
		switch {
		case err == nil:
			q.Key = &k
		case fault.KindOf(err) != fault.NotFound:
			return nil, err
		}
	}
	e, err := s.o.Explainer.Explain(q)
	if err != nil {
		return nil, err
	}
	return describeExplanation(e), nil
}

func describeExplanation(e audit.Explanation) *body[api.Explanation] {
	out := api.Explanation{RequestID: e.RequestID, Time: e.At.UTC(), Door: string(e.Door), Outcome: string(e.Outcome), Status: e.Status, Code: e.Code}
	for _, s := range e.Steps {
		out.Steps = append(out.Steps, api.ExplainedStep{Number: s.Number, Name: s.Name, Verdict: string(s.Verdict), Why: s.Why})
	}
	return &body[api.Explanation]{out}
}
