package console

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/signin"
)

// client asks the control API for somebody.
func (c *Console) client(v *visit, project string) *api.Client {
	return &api.Client{Server: "http://console.invalid", ProjectID: project, Known: true, Impatient: true,
		HTTP: &http.Client{Transport: &inside{api: c.o.API, session: v.session, remote: v.r.RemoteAddr, agent: v.r.UserAgent()}}}
}

// inside is a transport that leads into a handler of this process, in the name of a
// session. The address is the browser's: what a key may do may depend on it.
type inside struct {
	api           http.Handler
	session       Session
	remote, agent string
}

// RoundTrip runs the handler; the answer's header is there when the handler has sent
// it, and the body as it is written. Who closes that body, or ends the request, ends
// the handler's context: nothing goes on for a page that has been answered.
func (t *inside) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, end := context.WithCancel(r.Context())
	in := r.Clone(t.session.In(ctx))
	in.RemoteAddr, in.RequestURI, in.Host = t.remote, r.URL.RequestURI(), r.URL.Host
	in.Header.Set("User-Agent", t.agent)
	if in.Body == nil {
		in.Body = http.NoBody
	}
	from, to := io.Pipe()
	w := &answer{header: http.Header{}, to: to, sent: make(chan struct{})}
	go func() { // it ends with ctx: what it writes then goes nowhere
		defer in.Body.Close()
		defer func() {
			if failed := recover(); failed != nil {
				to.CloseWithError(fmt.Errorf("the control API was cut off: %v", failed))
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			w.WriteHeader(http.StatusOK)
			to.Close()
		}()
		t.api.ServeHTTP(w, in)
	}()
	select {
	case <-w.sent:
	case <-r.Context().Done():
		end()
		from.CloseWithError(r.Context().Err())
		return nil, r.Context().Err()
	}
	context.AfterFunc(ctx, func() { from.CloseWithError(ctx.Err()) })
	return &http.Response{StatusCode: w.status, Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sentHeader, Body: &piped{from, end}, ContentLength: -1, Request: r}, nil
}

// piped is the body of an answer.
type piped struct {
	*io.PipeReader
	end context.CancelFunc
}

// Close ends the call as well.
func (p *piped) Close() error {
	p.end()
	return p.PipeReader.Close()
}

// answer is what the handler writes into.
type answer struct {
	header     http.Header
	to         *io.PipeWriter
	once       sync.Once
	sent       chan struct{} // closed when status and sentHeader are there
	status     int
	sentHeader http.Header
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if status < 200 {
		return
	}
	a.once.Do(func() {
		a.status, a.sentHeader = status, a.header.Clone()
		close(a.sent)
	})
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.to.Write(p)
}

// Flush is for handlers that stream; what was written is with the reader already.
func (a *answer) Flush() { a.WriteHeader(http.StatusOK) }

// passAPI is the control API with the session in place of a key, for what a page does
// by itself: streams, charts, and trying an operation. What is not safe needs the token
// of the session's forms in a header, which no other site can set.
func (c *Console) passAPI(w http.ResponseWriter, r *http.Request) {
	id := httpx.NewRequestID()
	session, err := c.session(r)
	if err == nil && !signin.Honours(r, c.origin(r)) {
		err = errForged
	}
	if err == nil && r.Method != http.MethodGet && r.Method != http.MethodHead && !session.made(r.Header.Get("X-CSRF-Token")) {
		err = fault.New(fault.Denied, "this needs the token of the page's forms in X-CSRF-Token").WithCode("signin_forged")
	}
	if err == nil && live(r) {
		var release func()
		if release, err = c.windows.open(session.account.ID, r); err == nil {
			defer release()
		}
	}
	if err != nil {
		httpx.WriteProblem(w, err, id)
		return
	}
	in := r.Clone(session.In(r.Context()))
	in.URL.Path, in.URL.RawPath = strings.TrimPrefix(r.URL.Path, Dir+"/api"), strings.TrimPrefix(r.URL.RawPath, Dir+"/api")
	in.RequestURI = in.URL.RequestURI()
	for _, name := range []string{"Authorization", "X-Api-Key", "Dpop", "Cookie"} { // the session says who it is, and nothing else does
		in.Header.Del(name)
	}
	c.o.API.ServeHTTP(w, in)
}
