package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/field"
)

// call is the part of a call that lives as long as its answer.
type call struct {
	proxy   *Proxy
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	timeout time.Duration
}

func (c *call) end() {
	c.timer.Stop()
	c.cancel(nil)
	c.proxy.leave()
}

// Response is what an upstream answered. Close it exactly once.
type Response struct {
	Status  int
	call    *call
	ctx     context.Context
	res     *http.Response
	request *Request
}

// Length is the length of the body; -1 if it is not known.
func (r *Response) Length() int64 { return r.res.ContentLength }

// CopyHeader adds the answer's header to one in canonical form, without what
// belongs to the connection or is the gateway's to say. What is there already is
// the gateway's and stays, but for Vary, to which the upstream's is added.
func (r *Response) CopyHeader(into http.Header) {
	r.copy(r.res.Header, into)
	if into["Content-Type"] == nil {
		into["Content-Type"] = nil // net/http must not guess
	}
	for name := range r.res.Trailer {
		if passes(name, nil) {
			into["Trailer"] = append(into["Trailer"], name)
		}
	}
}

// CopyTrailer adds what was announced by CopyHeader and has come after the body.
func (r *Response) CopyTrailer(into http.Header) {
	for name, values := range r.res.Trailer {
		if passes(name, nil) {
			into[name] = values
		}
	}
}

func (r *Response) copy(from, into http.Header) {
	connection := from["Connection"]
	for name, values := range from {
		switch {
		case !passes(name, connection):
		case name == "Vary":
			into[name] = append(into[name], values...)
		case into[name] != nil:
		case name == "Location" || name == "Content-Location":
			into[name] = []string{r.outside(values[0])}
		default:
			into[name] = values
		}
	}
}

// passes reports whether a field of an answer goes on to the caller. Alt-Svc does
// not: it would send callers round the gateway.
func passes(name string, connection []string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authentication-Info", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Alt-Svc", "X-Request-Id":
		return false
	}
	return !strings.HasPrefix(name, "X-Postern-") && !strings.ContainsFunc(name, notToken) && (len(connection) == 0 || !field.Listed(connection, name))
}

// notToken reports what may not be in a field name (RFC 9110 §5.6.2).
func notToken(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
}

// outside is an address of the upstream as callers reach it. What is none, or
// holds wherever it is read, stays as it is.
func (r *Response) outside(location string) string {
	u, err := url.Parse(location)
	if err != nil || u.Host == "" && !strings.HasPrefix(u.Path, "/") {
		return location
	}
	base := r.call.proxy.base
	if u.Host != "" && !strings.EqualFold(u.Host, base.Host) || u.Scheme != "" && u.Scheme != base.Scheme || u.User != nil {
		return location
	}
	rest, ok := strings.CutPrefix(u.EscapedPath(), base.EscapedPath())
	if !ok || rest != "" && rest[0] != '/' || strings.HasPrefix(rest, "//") {
		return location
	}
	if rest == "" {
		rest = "/"
	}
	u.Scheme, u.Host, u.Path, u.RawPath = "", "", "", ""
	return r.request.Prefix + rest + u.String()
}

// Read reads the body as it arrives. A pause that is longer than the route's
// timeout is its end.
func (r *Response) Read(p []byte) (int, error) {
	c := r.call
	c.timer.Reset(c.timeout)
	n, err := r.res.Body.Read(p)
	c.timer.Stop()
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case errors.Is(context.Cause(r.ctx), errLate):
		return n, fault.Wrap(c.proxy.named(err), fault.Timeout, "the upstream paused for too long")
	case r.ctx.Err() != nil:
		return n, r.ctx.Err()
	}
	return n, fault.Wrap(c.proxy.named(err), fault.Unavailable, "the upstream's answer broke off").WithCode("upstream_failed")
}

// Close releases the response, and gives up what is still to come of it.
func (r *Response) Close() {
	r.res.Body.Close()
	r.call.end()
}

// named says of which upstream an error is, for the log.
func (p *Proxy) named(err error) error {
	return fmt.Errorf("upstream %s at %s: %w", p.declared.Name, p.base.Host, err)
}
