package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// AuditEvent is one decision, or many alike.
type AuditEvent struct {
	ID                 string            `json:"id" doc:"Sorts by time."`
	Time               time.Time         `json:"time"`
	ProjectID          string            `json:"projectId"`
	Door               string            `json:"door" doc:"control, gateway or token."`
	Action             string            `json:"action" doc:"The ID of an operation; 'invoke' at the gateway."`
	Target             string            `json:"target,omitempty"`
	Outcome            string            `json:"outcome" doc:"allowed, refused (nothing was done), or failed (allowed, and not done)."`
	Code               string            `json:"code,omitempty" doc:"The problem's code."`
	Status             int               `json:"status,omitempty"`
	AccessKeyID        string            `json:"accessKeyId,omitempty" doc:"A user's ID where they did it in the console. Absent where no key of the project was recognised."`
	AccessKeyName      string            `json:"accessKeyName,omitempty" doc:"How the key or user is called now. Absent for those of a project that is neither this one nor the caller's."`
	AccessKeyState     string            `json:"accessKeyState,omitempty" enum:"live,expiring,expired,revoked" doc:"With accessKeyName; a user is live, or revoked once removed."`
	AccessKeyProjectID string            `json:"accessKeyProjectId,omitempty" doc:"With accessKeyName: whose the key or user is."`
	TargetName         string            `json:"targetName,omitempty" doc:"Of a key or user whose ID is in the target: how it is called now."`
	Method             string            `json:"method,omitempty" doc:"How the credential was shown."`
	RequestID          string            `json:"requestId,omitempty"`
	Remote             string            `json:"remote,omitempty"`
	Count              int64             `json:"count" doc:"How many decisions the event stands for."`
	Detail             map[string]string `json:"detail,omitempty"`
}

// AuditEvents is one page of events, newest first.
type AuditEvents struct {
	Events        []AuditEvent `json:"events"`
	NextPageToken string       `json:"nextPageToken" doc:"Empty on the last page."`
}

// ExplainRequest describes a request that is not made.
type ExplainRequest struct {
	URL         string `json:"url" minLength:"1" maxLength:"8192" doc:"Where it would be sent: an absolute URL, or a path."`
	Method      string `json:"method,omitempty" maxLength:"32" doc:"Default: GET."`
	AccessKeyID string `json:"accessKeyId,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9_]*$" doc:"The key that would be shown, with its right secret; absent: no credentials."`
	From        string `json:"from,omitempty" maxLength:"64" doc:"The address that it would come from; default: that of this call."`
}

// Explanation is what became of a request, or what would, step by step.
type Explanation struct {
	RequestID string          `json:"requestId,omitempty"`
	Time      time.Time       `json:"time"`
	Door      string          `json:"door"`
	Outcome   string          `json:"outcome" doc:"allowed, refused or failed."`
	Status    int             `json:"status,omitempty"`
	Code      string          `json:"code,omitempty" doc:"The problem's code."`
	Steps     []ExplainedStep `json:"steps"`
}

// ExplainedStep is one step with what decided it.
type ExplainedStep struct {
	Number  int    `json:"number"`
	Name    string `json:"name"`
	Verdict string `json:"verdict" doc:"passed, refused, failed, not reached or not tried."`
	Why     string `json:"why,omitempty"`
}

// AuditQuery says which events are wanted; a zero field asks for nothing.
type AuditQuery struct {
	Since, Until time.Time // at or after, and before
	KeyID        string
	Action       string
	Outcome      string
	Code         string
	RequestID    string
	Changes      bool   // without what only reads at the control plane
	Query        string // a part of action, target or code, or of who it was
	PageSize     int    // 0: 100
	PageToken    string
}

// Audit lists one page of audit events, newest first.
func (c *Client) Audit(ctx context.Context, q AuditQuery) (out AuditEvents, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("audit")+"?"+q.Values().Encode(), nil, &out)
}

// Values is the query as a request has it.
func (q AuditQuery) Values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{"accessKeyId": q.KeyID, "action": q.Action, "outcome": q.Outcome, "code": q.Code, "requestId": q.RequestID, "query": q.Query, "pageToken": q.PageToken} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.Changes {
		v.Set("changes", "true")
	}
	if q.PageSize > 0 {
		v.Set("pageSize", strconv.Itoa(q.PageSize))
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if !q.Until.IsZero() {
		v.Set("until", q.Until.UTC().Format(time.RFC3339Nano))
	}
	return v
}

// ExplainRequest tells what became of a request.
func (c *Client) ExplainRequest(ctx context.Context, requestID string) (out Explanation, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("explain", requestID), nil, &out)
}

// Explain tells what would become of a request.
func (c *Client) Explain(ctx context.Context, in ExplainRequest) (out Explanation, err error) {
	return out, c.call(ctx, http.MethodPost, c.project("explain"), in, &out)
}
