package devpage

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"postern.dev/postern/internal/devserver"
	"postern.dev/postern/internal/fault"
)

// sendTimeout is how long an answer may take to a request that the page sends.
const sendTimeout = time.Minute

var errForm = fault.New(fault.Invalid, "the request cannot be sent as it stands in the form").WithHint("a method, a path that begins with a slash, and of the header a line for each field, such as content-type: application/json")

// send sends what the form says, and shows what came of it.
func (p *page) send(w http.ResponseWriter, r *http.Request) {
	f := r.PostForm
	req, err := p.made(r.Context(), f.Get("method"), f.Get("path"), f.Get("header"), f.Get("body"))
	if err != nil {
		p.refuse(w, err)
		return
	}
	if f.Get("credentials") != "" {
		p.dev.Authorize(req.Header)
	}
	p.sent(w, r, req)
}

// made is a request to the function, as a caller of this machine would make it.
func (p *page) made(ctx context.Context, method, path, header, body string) (*http.Request, error) {
	u, err := url.ParseRequestURI(strings.TrimSpace(path))
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path+"/", Dir) {
		return nil, errForm
	}
	u.Scheme, u.Host = "http", strings.TrimPrefix(p.dev.URL(), "http://")
	req, err := http.NewRequestWithContext(ctx, strings.ToUpper(strings.TrimSpace(method)), u.String(), strings.NewReader(body))
	if err != nil {
		return nil, errForm
	}
	if body == "" {
		req.Body, req.GetBody = http.NoBody, nil
	}
	header = strings.TrimSpace(strings.ReplaceAll(header, "\r\n", "\n"))
	read, err := textproto.NewReader(bufio.NewReader(strings.NewReader(header + "\n\n"))).ReadMIMEHeader()
	if err != nil && header != "" {
		return nil, errForm
	}
	for name, values := range read {
		if !hopByHop(name) {
			req.Header[name] = values
		}
	}
	return req, nil
}

// hopByHop reports whether a field belongs to a connection, or to the length of
// what is sent, and so not to a request that is sent again.
func hopByHop(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Host", "Connection", "Content-Length", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Keep-Alive", "Proxy-Connection", "Expect":
		return true
	}
	return false
}

// sent sends a request through the local door and leads to what is known of it.
func (p *page) sent(w http.ResponseWriter, r *http.Request, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), sendTimeout)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, p.dev.Addr().Network(), p.dev.Addr().String())
	}}
	res, err := transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		p.refuse(w, fault.Wrap(err, fault.Unavailable, "the function did not answer"))
		return
	}
	io.CopyN(io.Discard, res.Body, 1<<20)
	res.Body.Close()
	id := res.Header.Get("X-Request-Id")
	if !p.told(ctx, id) {
		p.refuse(w, errForgotten)
		return
	}
	http.Redirect(w, r, Dir+"requests/"+url.PathEscape(id), http.StatusSeeOther)
}

// told waits until the feed has a request.
func (p *page) told(ctx context.Context, id string) bool {
	for {
		_, more := p.dev.Feed().After(1 << 62)
		if p.dev.Feed().Request(id) != nil {
			return true
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false
		}
	}
}

// ready is a callback with a body to begin with.
type ready struct {
	devserver.Callback
	Kinds []sample
}

func (p *page) callbacks(w http.ResponseWriter, r *http.Request) {
	list := []ready{}
	for _, c := range p.dev.Callbacks() {
		list = append(list, ready{c, samplesOf(c)})
	}
	p.show(w, http.StatusOK, "callbacks", "Callbacks", 0, list)
}

// sendCallback signs what the form says and sends it.
func (p *page) sendCallback(w http.ResponseWriter, r *http.Request) {
	f := r.PostForm
	body := strings.ReplaceAll(f.Get("body"), "\r\n", "\n")
	req, err := p.made(r.Context(), http.MethodPost, f.Get("path"), f.Get("header"), body)
	if err != nil {
		p.refuse(w, err)
		return
	}
	if f.Get("unsigned") == "" {
		if err := p.dev.Sign(req.URL.Path, f.Get("handler"), req, []byte(body)); err != nil {
			if _, ok := errors.AsType[*fault.Error](err); !ok {
				err = fault.Wrap(err, fault.Invalid, "the callback cannot be signed")
			}
			p.refuse(w, err)
			return
		}
	}
	p.sent(w, r, req)
}
