package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"postern.dev/postern/internal/fault"
)

const tokenPath = "/oauth2/token"

// bearer returns an access token: the one at hand, or a new one when there is
// none, when it has run out by its own account, or when it is the stale one.
// Calls at the same time share one fetch.
func (c *Client) bearer(ctx context.Context, base string, stale *oauth2.Token) (*oauth2.Token, error) {
	if c.Known {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token.Valid() && c.token != stale {
		return c.token, nil
	}
	c.token = nil
	conf := clientcredentials.Config{
		ClientID: c.KeyID, ClientSecret: c.Secret, TokenURL: base + tokenPath,
		// Without a style the library tries a second one after each failure,
		// and one wrong secret counts as two.
		AuthStyle: oauth2.AuthStyleInHeader,
	}
	got, err := conf.Token(context.WithValue(ctx, oauth2.HTTPClient, c.client()))
	if err != nil {
		return nil, c.noToken(ctx, err)
	}
	if !strings.EqualFold(got.TokenType, "bearer") {
		return nil, fault.New(fault.Internal, fmt.Sprintf("%s gives tokens of a kind that Postern does not use", c.Server)).WithHint(wrongServer)
	}
	c.token = got
	return got, nil
}

// show puts a token into a request; nil is none.
func show(r *http.Request, token *oauth2.Token) {
	if token != nil {
		token.SetAuthHeader(r)
	}
}

// noToken tells why there is no token. What the server said is told as it is
// for every other call; the library's own text would quote all of it.
func (c *Client) noToken(ctx context.Context, err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.Response.StatusCode >= 300 {
		status := refused.Response.StatusCode
		err := c.faultOf(refused.Response, refused.Body, understandOAuth(status, refused.Body))
		if status == http.StatusNotFound {
			err = fault.Wrap(err, fault.Unavailable, fmt.Sprintf("%s has no token endpoint (%s)", c.Server, tokenPath)).WithCode("no_token_endpoint").
				WithHint("if it is a control plane of Postern, it is older than this command: update it; " + wrongServer)
		}
		return err
	}
	if _, ok := errors.AsType[*url.Error](err); !ok && ctx.Err() == nil {
		if strings.HasPrefix(err.Error(), "oauth2: cannot fetch token: ") {
			return fault.Wrap(err, fault.Unavailable, "the server's answer was cut off")
		}
		// Without the library's text, which may quote what it could not read.
		return fault.New(fault.Internal, fmt.Sprintf("%s does not answer like a control plane of Postern", c.Server)).WithHint(wrongServer)
	}
	return c.unreachable(ctx, err)
}

// ranOut reports whether an answer says that the token has expired. Only then
// may another help: a token that was revoked, or is of no use here, is not
// replaced, or a revoked key would be tried again and again.
func ranOut(res *http.Response) bool {
	if res.StatusCode != http.StatusUnauthorized {
		return false
	}
	for _, challenge := range res.Header.Values("Www-Authenticate") {
		if strings.Contains(challenge, "expired") {
			return true
		}
	}
	return false
}
