package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
)

// Client calls the control plane of one server for one project. It is safe
// for concurrent use.
type Client struct {
	// Server is the control plane's URL, such as http://127.0.0.1:8081.
	Server    string
	ProjectID string
	KeyID     string
	// Secret is sent as HTTP Basic with every request, to Server and nowhere else.
	Secret string
	// HTTP is the client to use; nil means one with a limit of two minutes a
	// call. Redirects are never followed, whichever it is.
	HTTP *http.Client
	// Impatient tells of a call that came too soon at once, instead of waiting
	// and making it again.
	Impatient bool
}

const maxAnswer = 64 << 20

const wrongServer = "POSTERN_SERVER must be the control listener, not the gateway"

// WhoAmI tells whose credential the client shows.
func (c *Client) WhoAmI(ctx context.Context) (out WhoAmI, err error) {
	return out, c.call(ctx, http.MethodGet, "/v1/whoami", nil, &out)
}

// Functions lists one page of functions, from a page token on.
func (c *Client) Functions(ctx context.Context, pageToken string) (out Functions, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("functions")+"?pageToken="+url.QueryEscape(pageToken), nil, &out)
}

// Function returns one function.
func (c *Client) Function(ctx context.Context, name string) (out Function, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("functions", name), nil, &out)
}

// DeleteFunction ends a function.
func (c *Client) DeleteFunction(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, c.project("functions", name), nil, nil)
}

// HasArtefact reports whether an artefact was uploaded already.
func (c *Client) HasArtefact(ctx context.Context, hash string) (bool, error) {
	err := c.call(ctx, http.MethodHead, c.project("artefacts", hash), nil, nil)
	if fault.KindOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil, err
}

// PutArtefact uploads an artefact.
func (c *Client) PutArtefact(ctx context.Context, hash string, archive []byte) error {
	return c.call(ctx, http.MethodPut, c.project("artefacts", hash), archive, nil)
}

// Deploy makes an uploaded artefact the active deployment of a function.
func (c *Client) Deploy(ctx context.Context, name string, in DeployRequest) (out DeployResponse, err error) {
	return out, c.call(ctx, http.MethodPost, c.project("functions", name, "deployments"), in, &out)
}

// Logs returns up to limit of a function's last lines after since.
func (c *Client) Logs(ctx context.Context, name string, since time.Time, limit int) (out Logs, err error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if !since.IsZero() {
		q.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	return out, c.call(ctx, http.MethodGet, c.project("functions", name, "logs")+"?"+q.Encode(), nil, &out)
}

func (c *Client) project(parts ...string) string {
	path := "/v1/projects/" + url.PathEscape(c.ProjectID)
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

// call sends one request: in as JSON, or as it is when it is bytes.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	contentType := "application/json"
	switch in := in.(type) {
	case nil:
	case []byte:
		body, contentType = bytes.NewReader(in), "application/octet-stream"
	default:
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	base, err := c.base()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	req.SetBasicAuth(c.KeyID, c.Secret)
	res, err := c.send(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the server's answer was cut off")
	}
	if len(data) > maxAnswer {
		return fault.New(fault.Internal, "the server's answer is larger than any that Postern gives").WithHint(wrongServer)
	}
	if res.StatusCode >= 300 {
		return failure(res, data)
	}
	if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			return fault.Wrap(err, fault.Internal, fmt.Sprintf("%s does not answer like a control plane of Postern", c.Server)).
				WithHint(wrongServer)
		}
	}
	return nil
}

// A call that was refused for coming too soon has done nothing, and is made
// again when the server says that this makes sense soon.
const (
	mostWaits   = 3
	longestWait = 5 // seconds
)

// send sends a request, and again after a 429 that says when.
func (c *Client) send(req *http.Request) (*http.Response, error) {
	h := c.client()
	for waits := 0; ; waits++ {
		res, err := h.Do(req)
		if err != nil || res.StatusCode != http.StatusTooManyRequests || waits == mostWaits || c.Impatient {
			return res, err
		}
		seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if err != nil || seconds < 0 || seconds > longestWait {
			return res, nil
		}
		res.Body.Close()
		select {
		case <-req.Context().Done():
			return nil, req.Context().Err()
		case <-time.After(time.Duration(seconds) * time.Second):
		}
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// base is the checked server URL. One with a user or password in it is
// refused, because errors quote the URL.
func (c *Client) base() (string, error) {
	u, err := url.Parse(c.Server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fault.New(fault.Invalid, "the server's URL is not of the form http://host:port").WithHint("set POSTERN_SERVER to something like http://127.0.0.1:8081")
	}
	return strings.TrimRight(c.Server, "/"), nil
}

func (c *Client) client() *http.Client {
	h := http.Client{Timeout: 2 * time.Minute}
	if c.HTTP != nil {
		h = *c.HTTP
	}
	// Credentials must not follow a redirect to somewhere else.
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &h
}

// unreachable tells why there is no answer: nobody there, not the protocol
// that the URL says, a certificate that is not trusted, or too late.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ue, ok := errors.AsType[*url.Error](err)
	if ok {
		err = ue.Err // without the URL, which says nothing new
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fault.Wrap(err, fault.Unavailable, fmt.Sprintf("the certificate of %s is not trusted: %v", c.Server, cert.Err)).
			WithHint("use the name that the certificate is for, and make its authority known to this machine; SSL_CERT_FILE names more authorities")
	}
	if op, isOp := errors.AsType[*net.OpError](err); isOp && op.Op == "dial" {
		return fault.Wrap(op.Err, fault.Unavailable, fmt.Sprintf("no server answers at %s", c.Server)).
			WithHint("is `postern serve` running there? set POSTERN_SERVER, or use --server")
	}
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return fault.Wrap(err, fault.Unavailable, fmt.Sprintf("the server at %s does not speak TLS", c.Server)).WithHint("write http:// instead of https:// in POSTERN_SERVER")
	case ok && ue.Timeout():
		return fault.Wrap(err, fault.Timeout, fmt.Sprintf("%s did not answer in time", c.Server))
	}
	return fault.Wrap(err, fault.Unavailable, fmt.Sprintf("cannot talk to %s", c.Server))
}

// problem is what a failed answer says.
type problem struct{ Code, Title, Detail, Hint, RequestID string }

// rpcProblem reads the other shape, which the paths of access keys and
// subprojects have.
func rpcProblem(data []byte) (p problem) {
	var body struct {
		Error struct {
			Message string
			Details []struct {
				Reason, Domain string
				Metadata       struct{ Hint, RequestID string }
			}
		}
	}
	if json.Unmarshal(data, &body) != nil {
		return p
	}
	for _, d := range body.Error.Details {
		if d.Domain == "postern" {
			p = problem{Code: d.Reason, Detail: body.Error.Message, Hint: d.Metadata.Hint, RequestID: d.Metadata.RequestID}
		}
	}
	return p
}

// failure is the fault that an answer tells of.
func failure(res *http.Response, data []byte) error {
	var p problem
	if json.Unmarshal(data, &p) != nil || p.Code == "" {
		p = rpcProblem(data)
	}
	if p.Code == "" {
		p.Code, p.Detail, p.RequestID = "", "", ""
		p.Title, p.Hint = fmt.Sprintf("the server answered %s", res.Status), wrongServer
		if bytes.Contains(data, []byte("HTTP request to an HTTPS server")) { // as net/http says it
			p.Hint = "write https:// instead of http:// in POSTERN_SERVER"
		}
	}
	text := p.Title
	if p.Detail != "" {
		text = p.Detail
	}
	kind := fault.Internal
	switch res.StatusCode {
	case 400, 405, 413, 415, 422:
		kind = fault.Invalid
	case 401:
		kind = fault.Unauthenticated
	case 403:
		kind = fault.Denied
	case 404:
		kind = fault.NotFound
	case 409:
		kind = fault.Conflict
	case 429:
		kind = fault.TooMany
	case 503, 502:
		kind = fault.Unavailable
	case 408, 504:
		kind = fault.Timeout
	}
	if kind == fault.Internal && p.RequestID != "" {
		text += " (request ID " + p.RequestID + ")"
	}
	return fault.New(kind, text).WithCode(p.Code).WithHint(p.Hint)
}
