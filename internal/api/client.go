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
	"sync"
	"time"

	"golang.org/x/oauth2"

	"postern.dev/postern/internal/fault"
)

// Client calls the control plane of one server for one project. It is safe
// for concurrent use.
type Client struct {
	// Server is the control plane's URL, such as http://127.0.0.1:8081.
	Server    string
	ProjectID string
	KeyID     string
	// Secret is sent to Server's token endpoint and nowhere else; what every
	// other request shows is the token got with it.
	Secret string
	// Known says that HTTP shows who calls by itself, so no token is got.
	Known bool
	// HTTP is the client to use; nil means one with a limit of two minutes a
	// call. Redirects are never followed, whichever it is.
	HTTP *http.Client
	// Impatient tells of a call that came too soon at once, instead of waiting
	// and making it again.
	Impatient bool

	mu    sync.Mutex
	token *oauth2.Token // guarded by mu; the last one, kept in memory only
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

// FindFunctions lists one page of those functions that a query asks for.
func (c *Client) FindFunctions(ctx context.Context, q FunctionQuery) (out Functions, err error) {
	query := listQuery(map[string]string{"query": q.Query, "pageToken": q.PageToken}, map[string]bool{"withTotal": q.WithTotal}, q.PageSize)
	return out, c.call(ctx, http.MethodGet, c.project("functions")+query, nil, &out)
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

// Deploy makes an uploaded artefact the active deployment of a function. One
// that has a name, its Attempt, is asked for again where the answer was lost.
func (c *Client) Deploy(ctx context.Context, name string, in DeployRequest) (out DeployResponse, err error) {
	ask := func() (bool, error) {
		return false, c.call(ctx, http.MethodPost, c.project("functions", name, "deployments"), in, &out)
	}
	if in.Attempt == "" {
		_, err = ask()
		return out, err
	}
	return out, c.retry(ctx, ask)
}

// Sources downloads the project of a version as a zip file; 0 is the active one.
func (c *Client) Sources(ctx context.Context, name string, version int) (zip []byte, err error) {
	path := c.project("functions", name, "source")
	if version > 0 {
		path += "?version=" + strconv.Itoa(version)
	}
	return zip, c.call(ctx, http.MethodGet, path, nil, &zip)
}

func (c *Client) project(parts ...string) string {
	path := "/v1/projects/" + url.PathEscape(c.ProjectID)
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

// call sends one request: in as JSON, or as it is when it is bytes; and out
// likewise. Where the
// server says that the token has expired, it is sent once more with a new one.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	body, contentType, err := encode(in)
	if err != nil {
		return err
	}
	base, err := c.base()
	if err != nil {
		return err
	}
	token, err := c.bearer(ctx, base, nil)
	if err != nil {
		return err
	}
	res, data, err := c.send(ctx, method, base+path, contentType, body, token)
	if err == nil && ranOut(res) {
		if token, err = c.bearer(ctx, base, token); err == nil {
			res, data, err = c.send(ctx, method, base+path, contentType, body, token)
		}
	}
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return c.failure(res, data)
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = data
		return nil
	}
	if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			return fault.Wrap(err, fault.Internal, fmt.Sprintf("%s does not answer like a control plane of Postern", c.Server)).
				WithHint(wrongServer)
		}
	}
	return nil
}

// encode makes a body; nil is none.
func encode(in any) (body []byte, contentType string, err error) {
	switch in := in.(type) {
	case nil:
		return nil, "", nil
	case []byte:
		return in, "application/octet-stream", nil
	}
	body, err = json.Marshal(in)
	if err != nil {
		return nil, "", fmt.Errorf("encode the request: %w", err)
	}
	return body, "application/json", nil
}

// send sends one request and reads the whole answer.
func (c *Client) send(ctx context.Context, method, url, contentType string, body []byte, token *oauth2.Token) (*http.Response, []byte, error) {
	var reader io.Reader
	if contentType != "" {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make the request: %w", err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	show(req, token)
	res, err := c.client().Do(req)
	if err != nil {
		return nil, nil, c.unreachable(ctx, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case err != nil:
		return nil, nil, fault.Wrap(err, fault.Unavailable, "the server's answer was cut off")
	case len(data) > maxAnswer:
		return nil, nil, fault.New(fault.Internal, "the server's answer is larger than any that Postern gives").WithHint(wrongServer)
	}
	return res, data, nil
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

// client is c.HTTP, or the usual one, with what holds for either.
func (c *Client) client() *http.Client {
	h := http.Client{Timeout: 2 * time.Minute}
	if c.HTTP != nil {
		h = *c.HTTP
	}
	// Credentials must not follow a redirect to somewhere else.
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if h.Transport == nil {
		h.Transport = http.DefaultTransport
	}
	if !c.Impatient {
		h.Transport = patient{h.Transport}
	}
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
