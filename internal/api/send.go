package api

import (
	"context"
	"net/http"
	"time"
)

// As whom a request is sent.
const (
	AsCaller   = "caller"
	AsFunction = "function"
	AsNobody   = "nobody"
)

// SendRequest is one request to a function, to be sent through the gateway.
type SendRequest struct {
	Method     string            `json:"method,omitempty" maxLength:"32" default:"GET"`
	Path       string            `json:"path" minLength:"1" maxLength:"8192" doc:"Below the function's address, with the query, as it stands in a request: percent-encoded."`
	Headers    map[string]string `json:"headers,omitempty" doc:"By name. Credentials are refused. What belongs to a connection, what only a proxy may say, and what a log has removed, is left out, and told of as dropped."`
	Body       string            `json:"body,omitempty" doc:"A body that is text; 1 MiB at most."`
	BodyBase64 string            `json:"bodyBase64,omitempty" doc:"Any other body, in place of body."`
	As         string            `json:"as,omitempty" enum:"caller,function,nobody" default:"caller" doc:"caller: with a token of the access key that asks. function: as the function itself calls others, so that private functions answer. nobody: without a credential."`
}

// SentResponse is what a caller gets for such a request, a refusal as well.
type SentResponse struct {
	RequestID   string            `json:"requestId" doc:"Of the request that was sent."`
	Status      int               `json:"status"`
	Headers     map[string]string `json:"headers,omitempty" doc:"By name in lower case; credentials and cookies are removed, as in logs."`
	Body        string            `json:"body,omitempty" doc:"A body that is text. Values of secrets are removed, as in logs."`
	BodyBase64  string            `json:"bodyBase64,omitempty" doc:"Any other body, in place of body."`
	Truncated   bool              `json:"truncated,omitempty" doc:"There is more of the body than the first MiB, or it broke off."`
	Dropped     []string          `json:"dropped,omitempty" doc:"Names of the header fields that were not sent."`
	StartTime   time.Time         `json:"startTime"`
	FirstByteMS float64           `json:"firstByteMs" doc:"Until the answer began."`
	TookMS      float64           `json:"tookMs" doc:"Until its last byte."`
}

// SendRequest sends one request to a function through the gateway.
func (c *Client) SendRequest(ctx context.Context, function string, in SendRequest) (out SentResponse, err error) {
	return out, c.call(ctx, http.MethodPost, c.project("functions", function, "requests"), in, &out)
}
