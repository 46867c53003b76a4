package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/fault"
)

const (
	refreshEvery = 15 * time.Minute // while all is well
	refreshPause = 30 * time.Second // between two fetches, whoever asks
	fetchTimeout = 5 * time.Second
)

// IssuerOptions says whose tokens an Issuer takes. All but HTTP, Leeway and
// Log must be set.
type IssuerOptions struct {
	Issuer   string        // the iss of its tokens, exactly
	JWKSURL  string        // where its keys are; https, or http on this machine
	Audience string        // must be among the aud of its tokens
	HTTP     *http.Client  // nil is a plain one; its redirects and timeout are ours
	Leeway   time.Duration // by which clocks may differ
	Log      *slog.Logger  // told of fetches that fail; nil for nobody
}

// Issuer verifies the tokens of another issuer with the keys that it publishes.
// Run fetches them; Verify uses what was fetched, and never waits. When a fetch
// fails, the last good set stays. It is safe for concurrent use.
type Issuer struct {
	o      IssuerOptions
	client http.Client
	keys   atomic.Pointer[KeySet]
	asked  chan struct{} // holds one: a token named a key that is not known
}

// NewIssuer returns an issuer without keys: until Run has fetched them no token
// passes.
func NewIssuer(o IssuerOptions) (*Issuer, error) {
	if o.Issuer == "" || o.Audience == "" {
		return nil, fault.New(fault.Invalid, "an issuer needs the iss and the aud of its tokens")
	}
	u, err := url.Parse(o.JWKSURL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("the keys of the issuer %s must be at an https address", o.Issuer)).
			WithHint("plain http is taken for this machine only, such as http://127.0.0.1:8080/jwks.json")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	i := &Issuer{o: o, asked: make(chan struct{}, 1)}
	if o.HTTP != nil {
		i.client = *o.HTTP
	}
	i.client.Timeout = fetchTimeout
	i.client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		// Another host would be trusted with all tokens, on the word of a
		// redirect that anybody with an open one on the first can make.
		if req.URL.Scheme != u.Scheme || req.URL.Host != u.Host || len(via) > 3 {
			return errors.New("redirected to another host, or too often")
		}
		return nil
	}
	return i, nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Verify checks a token of the issuer. Its type may be at+jwt, JWT or absent.
// What Postern's own claims are called has no meaning in it: ProjectID and
// Generation are empty. The errors are those of the function Verify, and
// ErrAudience. An unknown key makes Run look for it, and the token is refused.
func (i *Issuer) Verify(raw string, now time.Time) (Claims, error) {
	t, err := i.keys.Load().open(raw)
	if errors.Is(err, ErrUnknownKey) {
		select {
		case i.asked <- struct{}{}:
		default:
		}
	}
	if err != nil {
		return Claims{}, err
	}
	if t.typ != "" && !isType(t.typ, "JWT") && !isType(t.typ, typeAccessToken) {
		return Claims{}, ErrMalformed
	}
	c, err := parseClaims(t.payload, true)
	if err != nil {
		return Claims{}, err
	}
	c, err = c.check(Expect{Issuer: i.o.Issuer, Now: now, Leeway: i.o.Leeway})
	if (err == nil || errors.Is(err, ErrExpired)) && !slices.Contains(c.Audience, i.o.Audience) {
		return Claims{}, ErrAudience
	}
	return c, err
}

// Run keeps the keys fresh until the context ends: it fetches them at once,
// every 15 minutes, and when a token named one that is not known; never more
// than once in 30 seconds.
func (i *Issuer) Run(ctx context.Context) error {
	for {
		wait := refreshEvery
		if err := i.fetch(ctx); err != nil && ctx.Err() == nil {
			i.o.Log.Warn("the keys of an issuer were not fetched", "issuer", i.o.Issuer, "error", err)
			wait = refreshPause
		}
		select { // a question from before the answer
		case <-i.asked:
		default:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(refreshPause):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-i.asked:
		case <-time.After(wait - refreshPause):
		}
	}
}

func (i *Issuer) fetch(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.o.JWKSURL, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := i.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", i.o.JWKSURL, res.Status)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxJWKS+1))
	if err != nil {
		return fmt.Errorf("read from %s: %w", i.o.JWKSURL, err)
	}
	ks, err := ParseJWKS(data)
	if err != nil {
		return fmt.Errorf("from %s: %w", i.o.JWKSURL, err)
	}
	i.keys.Store(ks)
	return nil
}
