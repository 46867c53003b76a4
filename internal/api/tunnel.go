package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"golang.org/x/oauth2"
)

// TunnelURL is where the control plane opens tunnels for the project.
func (c *Client) TunnelURL() (string, error) {
	base, err := c.base()
	if err != nil {
		return "", err
	}
	return base + c.project("tunnels"), nil
}

// Tunnels is a transport for TunnelURL: it shows a token, and a new one where the
// server says that it has expired; a refusal is an error, as of any other call.
func (c *Client) Tunnels() http.RoundTripper { return &tunnels{client: c} }

type tunnels struct{ client *Client }

// refusalTime is how long the text of a refusal may take to come.
const refusalTime = 10 * time.Second

// RoundTrip sends a request.
func (t *tunnels) RoundTrip(r *http.Request) (*http.Response, error) {
	base, err := t.client.base()
	if err != nil {
		return nil, err
	}
	token, err := t.client.bearer(r.Context(), base, nil)
	if err != nil {
		return nil, err
	}
	res, err := t.send(r, token)
	if err == nil && ranOut(res) {
		res.Body.Close()
		if token, err = t.client.bearer(r.Context(), base, token); err != nil {
			return nil, err
		}
		res, err = t.send(r, token)
	}
	if err != nil {
		return nil, t.client.unreachable(r.Context(), err)
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return res, nil
	}
	defer res.Body.Close()
	defer time.AfterFunc(refusalTime, func() { res.Body.Close() }).Stop()
	data, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return nil, t.client.unreachable(context.Background(), err)
	}
	return nil, t.client.failure(res, data)
}

// send makes no second try after a 429: who keeps a tunnel tries again by itself.
func (t *tunnels) send(r *http.Request, token *oauth2.Token) (*http.Response, error) {
	r = r.Clone(r.Context())
	token.SetAuthHeader(r)
	transport := http.DefaultTransport
	if h := t.client.HTTP; h != nil && h.Transport != nil {
		transport = h.Transport
	}
	return transport.RoundTrip(r)
}
