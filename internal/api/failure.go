package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"postern.dev/postern/internal/fault"
)

// told is what a server says went wrong, in any of the three shapes that a
// control plane has: problem+json (RFC 9457), the nested error of
// google.rpc.Status, and that of the token endpoint (RFC 6749 section 5.2).
type told struct {
	Code, Title, Detail, Hint, RequestID string
}

// statusKind is the one table from a status to what it means here. What is not
// in it is Internal.
var statusKind = map[int]fault.Kind{
	400: fault.Invalid, 405: fault.Invalid, 413: fault.Invalid, 415: fault.Invalid, 422: fault.Invalid,
	401: fault.Unauthenticated,
	403: fault.Denied,
	404: fault.NotFound,
	409: fault.Conflict,
	429: fault.TooMany,
	502: fault.Unavailable, 503: fault.Unavailable,
	408: fault.Timeout, 504: fault.Timeout,
}

// failure is the fault that an answer tells of.
func (c *Client) failure(res *http.Response, data []byte) error {
	return c.faultOf(res, data, understand(data))
}

// faultOf makes a fault of what a server says; nil is what no Postern says. A
// server that sends the secret back does not get it shown.
func (c *Client) faultOf(res *http.Response, data []byte, p *told) *fault.Error {
	if p == nil {
		p = &told{Title: fmt.Sprintf("the server answered %s", res.Status), Hint: wrongServer}
		if bytes.Contains(data, []byte("HTTP request to an HTTPS server")) { // as net/http says it
			p.Hint = "write https:// instead of http:// in POSTERN_SERVER"
		}
	}
	text := p.Title
	if p.Detail != "" {
		text = p.Detail
	}
	kind := statusKind[res.StatusCode]
	if p.Code == "not_allowed" { // the token endpoint's is a 400
		kind = fault.Denied
	}
	if kind == fault.Internal && p.RequestID != "" {
		text += " (request ID " + p.RequestID + ")"
	}
	if after, err := strconv.Atoi(res.Header.Get("Retry-After")); kind == fault.TooMany && err == nil {
		p.Hint = strings.TrimPrefix(p.Hint+"; ", "; ") + fmt.Sprintf("the server says to wait %d s", after)
	}
	return fault.New(kind, c.hide(text)).WithCode(c.hide(p.Code)).WithHint(c.hide(p.Hint))
}

// understand reads an error's body in the first two shapes; nil is one that no
// Postern writes.
func understand(data []byte) *told {
	var flat told
	if json.Unmarshal(data, &flat) == nil && flat.Code != "" {
		return &flat
	}
	var nested struct {
		Error struct {
			Message, Status string
			Details         []struct {
				Reason, Domain string
				Metadata       struct{ Hint, RequestID string }
			}
		}
	}
	if json.Unmarshal(data, &nested) != nil {
		return nil
	}
	for _, d := range nested.Error.Details {
		if d.Domain == "postern" {
			return &told{d.Reason, nested.Error.Status, nested.Error.Message, d.Metadata.Hint, d.Metadata.RequestID}
		}
	}
	return nil
}

// understandOAuth reads an error of the token endpoint, which may have any of
// the shapes: others stand before it.
func understandOAuth(status int, data []byte) *told {
	var body struct {
		Error       string
		Description string `json:"error_description"`
		Hint        string `json:"error_hint"`
	}
	if json.Unmarshal(data, &body) != nil || body.Error == "" {
		return understand(data)
	}
	p := &told{Code: oauthCode[body.Error], Title: "the token endpoint answered " + body.Error, Detail: body.Description, Hint: body.Hint}
	if p.Code == "" {
		p.Code = body.Error
	}
	if status == http.StatusTooManyRequests {
		p.Code = "rate_limited"
	}
	return p
}

// oauthCode gives an error of the token endpoint the code that the same thing
// has elsewhere, so that scripts need know one.
var oauthCode = map[string]string{
	"invalid_client":          "unauthenticated",
	"unauthorized_client":     "not_allowed",
	"temporarily_unavailable": "unavailable",
	"server_error":            "internal",
}

// hide removes the secret from what a server said.
func (c *Client) hide(text string) string {
	if c.Secret == "" {
		return text
	}
	return strings.ReplaceAll(text, c.Secret, "[redacted]")
}
