package upstream

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/field"
)

// Request is a call as the gateway knows it.
type Request struct {
	ID         string
	Method     string
	Path       string // canonical and decoded, below the upstream's address
	Query      string // raw
	Prefix     string // what stands before Path in the caller's URL
	Host       string
	Scheme     string // of the caller's URL
	ClientIP   string
	KeyID      string // who calls: a key's ID, or issuer#subject; empty when the route is open
	ProjectID  string
	AuthMethod string
	Scopes     string
	// Header is the header as it came in canonical form. What may not go past
	// the gateway is left out while it is copied; Authorization is not where it
	// is known to be none of ours.
	Header               http.Header
	ForeignAuthorization bool
	// Credentials passes on what the caller shows: the server itself looks at it.
	Credentials bool
	Body        io.Reader // nil: none
	Length      int64     // of Body; -1: not known
	// Timeout bounds the time until the answer begins, and each pause in it.
	Timeout time.Duration
}

// HopsField counts the gateways of this kind that a request has come through, and
// the calls between functions that led to it: of both together MaxHops at most. A
// caller can set it, and do no more than have a request refused.
const (
	HopsField = "X-Postern-Hops"
	MaxHops   = 10
)

var errLoop = fault.New(fault.Unavailable, "the request has come through too many gateways; perhaps an upstream leads back here").WithCode("loop_detected")

// hops is how many gateways the request has come through.
func (r *Request) hops() (int, error) {
	v := r.Header[HopsField]
	if len(v) == 0 {
		return 0, nil
	}
	n, err := strconv.Atoi(v[0])
	if err != nil || len(v) > 1 || n < 0 || n >= MaxHops {
		return 0, errLoop
	}
	return n, nil
}

// header makes the header that the upstream gets.
func (r *Request) header(hops int) http.Header {
	h := make(http.Header, len(r.Header)+12)
	connection := r.Header["Connection"]
	for name, values := range r.Header {
		switch {
		case r.Credentials && field.Credential(name) && !field.Listed(connection, name):
			h[name] = values
		case field.Stripped(name, connection), field.Is(name, "x-request-id"), field.Is(name, "expect"), field.Is(name, "content-length"):
		default:
			h[name] = values
		}
	}
	if a := r.Header["Authorization"]; r.ForeignAuthorization && !field.Listed(connection, "Authorization") {
		h["Authorization"] = a
	}
	if h["User-Agent"] == nil {
		h["User-Agent"] = nil // else net/http would name itself
	}
	set := func(name, value string) {
		if value != "" {
			h[name] = []string{value}
		}
	}
	set("X-Request-Id", r.ID)
	set("X-Postern-Auth-Method", r.AuthMethod)
	set("X-Postern-Key-Id", r.KeyID)
	set("X-Postern-Project-Id", r.ProjectID)
	set("X-Postern-Scopes", r.Scopes)
	set("X-Forwarded-For", r.ClientIP)
	set("X-Forwarded-Host", r.Host)
	set("X-Forwarded-Proto", r.Scheme)
	set("X-Forwarded-Prefix", r.Prefix)
	set(HopsField, strconv.Itoa(hops+1))
	return h
}

// target is the URL that the upstream is asked for: made from the canonical
// path, so that what policy looked at is what the upstream gets.
func (p *Proxy) target(r *Request) *url.URL {
	u := *p.base
	u.Path = p.base.Path + r.Path
	u.RawPath = escape(u.Path)
	u.RawQuery = r.Query
	return &u
}

// escape writes a decoded path so that it can be read in one way. Beside letters,
// digits and "-._~" it leaves what segments have that mean something to people
// ("@", ":", "+" and the like). It does not leave ";": what follows it is a
// parameter to some servers, which look for the path without it.
func escape(path string) string {
	const upper = "0123456789ABCDEF"
	isPlain := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("/-._~@:!$&'()*+,=", c) >= 0
	}
	i := 0
	for i < len(path) && isPlain(path[i]) {
		i++
	}
	if i == len(path) {
		return path
	}
	var b strings.Builder
	b.Grow(len(path) + 16)
	for i := range len(path) {
		if c := path[i]; isPlain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upper[c>>4])
			b.WriteByte(upper[c&15])
		}
	}
	return b.String()
}

// request makes what is sent.
func (p *Proxy) request(ctx context.Context, r *Request, header http.Header, b *body) *http.Request {
	out := &http.Request{Method: r.Method, URL: p.target(r), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Host: p.base.Host}
	if p.declared.PreserveHost {
		out.Host = r.Host
	}
	switch {
	case b.r != nil:
		out.Body, out.ContentLength = b, r.Length
		// Where a body means nothing (RFC 9110 §9.3) a server may not read it, and
		// take it for the next request on the connection, which is somebody else's.
		out.Close = bodyMeansNothing(r.Method)
	case !replayed(r.Method):
		// net/http takes these for leave to send the request again by itself. They
		// go out all the same; it looks for them as it would spell them.
		for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
			if v, ok := header[name]; ok {
				delete(header, name)
				header[strings.ToLower(name)] = v
			}
		}
	}
	return out.WithContext(ctx)
}

func bodyMeansNothing(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodDelete || method == http.MethodOptions
}

// replayed reports whether a request may be sent again: its method is idempotent
// (RFC 9110 §9.2.2).
func replayed(method string) bool {
	return bodyMeansNothing(method) || method == http.MethodPut
}

// body is a request's body, which remembers why it could not be read, and when
// the server was waited for last.
type body struct {
	r    io.Reader
	err  chan error   // of one
	came atomic.Int64 // when the last of it came, in Unix nanoseconds; -1: the caller is waited for
}

func newBody(r io.Reader) *body { return &body{r: r, err: make(chan error, 1)} }

func (b *body) Read(p []byte) (int, error) {
	b.came.Store(-1)
	n, err := b.r.Read(p)
	b.came.Store(time.Now().UnixNano())
	if err != nil && err != io.EOF {
		select {
		case b.err <- err:
		default:
		}
	}
	return n, err
}

// Close leaves the body to the server that it came from.
func (b *body) Close() error { return nil }

// held reports whether the caller had so much of a call's time that what is left
// of it says nothing of the server: it sends still, or ended a moment ago.
func (b *body) held(timeout time.Duration) bool {
	came := b.came.Load()
	return came < 0 || came > 0 && time.Since(time.Unix(0, came)) < timeout/2
}

// failed is why the body could not be read; nil if it could.
func (b *body) failed() error {
	select {
	case err := <-b.err:
		b.err <- err
		return err
	default:
		return nil
	}
}
