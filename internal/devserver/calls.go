package devserver

import (
	"context"
	"crypto/subtle"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/signin"
)

// calls stands before the gateway: a call waits for what was saved before it
// came, and is told of on the feed when it is over. It is also the handler of the
// gateway's access log, from which it knows what became of a call.
type calls struct {
	s *Server

	mu      sync.Mutex
	done    int64               // changes that are built; guarded by mu
	waiting chan struct{}       // closed when done grows; guarded by mu
	lines   map[string]*Request // what the access log said of calls that are not over here; guarded by mu
	open    map[string]*Request // and the other way round: WebSockets; guarded by mu
}

func newCalls(s *Server) *calls {
	return &calls{s: s, done: -1, waiting: make(chan struct{}), lines: map[string]*Request{}, open: map[string]*Request{}}
}

// built says that so many changes have been built, or could not be.
func (c *calls) built(count int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = max(c.done, count)
	close(c.waiting)
	c.waiting = make(chan struct{})
}

// buildTimeout is how long a call waits for a build.
const buildTimeout = 60 * time.Second

// wait waits for a build of all that was saved before it was called.
func (c *calls) wait(ctx context.Context) error {
	need := c.s.watch.sync(ctx)
	timer := time.NewTimer(buildTimeout)
	defer timer.Stop()
	for {
		c.mu.Lock()
		done, more := c.done, c.waiting
		c.mu.Unlock()
		if done >= need {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return fault.New(fault.Timeout, "the function is still being built")
		}
	}
}

// Local is the local door: the function, and the developer's page.
func (s *Server) Local() http.Handler {
	outside := s.door(false)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := local(r.Host)
		if strings.HasPrefix(r.URL.Path, pageDir) || r.URL.Path == strings.TrimSuffix(pageDir, "/") {
			switch { // one page on the web must not read what another program of this machine was asked
			case s.page == nil:
				httpx.WriteProblem(w, errNoPage, httpx.NewRequestID())
			case !own || !sameOrigin(r):
				httpx.WriteProblem(w, errForeignPage, httpx.NewRequestID())
			default:
				s.page.ServeHTTP(w, r)
			}
			return
		}
		if !own && !s.o.AnyHost {
			id := httpx.NewRequestID()
			w.Header()["X-Request-Id"] = []string{id}
			s.problem(w, r, errHost, id)
			return
		}
		outside.ServeHTTP(w, r)
	})
}

// Outside is the door for callers from elsewhere, such as a tunnel's: the
// function alone, whatever the host.
func (s *Server) Outside() http.Handler {
	door := s.door(true)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, pageDir) || r.URL.Path == strings.TrimSuffix(pageDir, "/") {
			httpx.WriteProblem(w, errNoPage, httpx.NewRequestID())
			return
		}
		door.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), outsideKey{}, true)))
	})
}

// outsideKey marks the calls of others than the developer. What fails is told to
// them as where the function is deployed: nothing of its code.
type outsideKey struct{}

func fromOutside(r *http.Request) bool { return r.Context().Value(outsideKey{}) != nil }

var (
	errNoPage      = fault.New(fault.NotFound, "there is nothing at this address").WithCode("not_found")
	errForeignPage = fault.New(fault.Denied, "this page is for the developer at this machine").WithCode("not_allowed").WithHint("open it as http://localhost, at the port of postern functions dev")
	errOtherSite   = fault.New(fault.Denied, "pages of other sites may not call what is guarded when it is deployed and open here").WithCode("origin_not_allowed").
			WithHint("call it from a page of this machine; or have it guarded here, too: postern auth login")
	errHost = fault.New(fault.Denied, "this server takes requests for this machine only, and the request is for another host").WithCode("not_allowed").
		WithHint("call it as localhost; or, if others are to reach it, name the address: postern functions dev --host ADDRESS")
)

// door is the way to the function.
func (s *Server) door(tunnel bool) http.Handler {
	next := s.recorded(http.HandlerFunc(s.answer), func(r *Request) { r.Tunnel = tunnel })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.calls.wait(r.Context()); err != nil {
			id := httpx.NewRequestID()
			w.Header()["X-Request-Id"] = []string{id}
			s.problem(w, r, err, id)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// answer lets the function answer, or says why it cannot.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	if f := s.broken(); f != nil {
		id := httpx.NewRequestID()
		w.Header()["X-Request-Id"] = []string{id}
		s.writeFailure(w, r, f, id)
		return
	}
	s.translate(r)
	s.gateway.ServeHTTP(w, r)
}

// recorded tells of each call when it is over. mark adds what is known of its door.
func (s *Server) recorded(next http.Handler, mark func(*Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		kept := &Request{Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Host: r.Host}
		kept.Header, kept.Shown = public(r.Header)
		mark(kept)
		call, body := *r, &copied{ReadCloser: r.Body}
		if r.Body != nil {
			call.Body = body
		}
		answer := &recorder{ResponseWriter: w}
		defer func() {
			failed := recover()
			kept.Body, kept.Took, kept.ID = body.bytes(), time.Since(began), w.Header().Get("X-Request-Id")
			kept.Status, kept.Answer = answer.taken()
			s.calls.over(kept)
			if failed != nil {
				panic(failed)
			}
		}()
		next.ServeHTTP(answer, &call)
	})
}

// broken is why nobody is served; nil: the function serves.
func (s *Server) broken() *Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// translate puts the key of this process in the place of the developer's pair,
// where that has not the form of a key.
func (s *Server) translate(r *http.Request) {
	s.mu.Lock()
	p := s.pair
	s.mu.Unlock()
	if p == nil || p.id == p.user {
		return
	}
	header := r.Header.Clone()
	if a := header["Authorization"]; len(a) == 1 {
		user, password, ok := signin.Basic(a[0])
		if ok && same(user, p.user)&same(password, p.pwd) == 1 {
			header["Authorization"] = []string{p.basic}
		}
	}
	if k := header["X-Api-Key"]; len(k) == 1 && same(k[0], p.pwd) == 1 {
		header["X-Api-Key"] = []string{p.secret.Reveal()}
	}
	r.Header = header
}

func same(a, b string) int { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) }

// public is a header without what may be a credential.
func public(h http.Header) (out http.Header, shown bool) {
	out = h.Clone()
	signin.Cut(out)
	for _, name := range []string{"Authorization", "X-Api-Key", "Dpop", "Proxy-Authorization", "X-Postern-Token"} {
		if len(out[name]) > 0 {
			shown = true
			delete(out, name)
		}
	}
	return out, shown
}

// over tells of a call that is over here. Of a WebSocket that is open the access
// log says so later.
func (c *calls) over(r *Request) {
	c.mu.Lock()
	line := c.lines[r.ID]
	delete(c.lines, r.ID)
	if line == nil && r.ID != "" && r.Status == http.StatusSwitchingProtocols {
		c.open[r.ID] = r
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.tell(r, line)
}

// tell puts a call on the feed.
func (c *calls) tell(r, line *Request) {
	if line == nil && r.Status == http.StatusInternalServerError {
		r.Code = codeBroken
	}
	if line != nil {
		r.Handler, r.Guard, r.Who, r.Code = line.Handler, line.Guard, line.Who, line.Code
		if r.Status == 0 || line.Status != 0 {
			r.Status = line.Status
		}
		c.s.mu.Lock()
		if v := c.s.current; v != nil && line.Guard == "open" {
			r.Unguarded = v.unguarded[line.route] || line.route == "" && v.unguarded[line.Handler]
		}
		c.s.mu.Unlock()
	}
	c.s.feed.add(Event{Request: r})
}

// Enabled implements slog.Handler.
func (c *calls) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler.
func (c *calls) WithAttrs([]slog.Attr) slog.Handler { return c }

// WithGroup implements slog.Handler.
func (c *calls) WithGroup(string) slog.Handler { return c }

// Handle implements slog.Handler: it reads an access line.
func (c *calls) Handle(_ context.Context, r slog.Record) error {
	line := &Request{}
	auth := ""
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "requestId":
			line.ID = a.Value.String()
		case "handler":
			line.Handler = a.Value.String()
		case "guard":
			line.Guard = a.Value.String()
		case "route":
			line.route = a.Value.String()
		case "code":
			line.Code = a.Value.String()
		case "auth":
			auth = a.Value.String()
		case "keyId":
			line.Who = a.Value.String()
		case "status":
			line.Status = int(a.Value.Int64())
		}
		return true
	})
	line.Who = strings.TrimSpace(auth + " " + line.Who)
	c.mu.Lock()
	open := c.open[line.ID]
	if delete(c.open, line.ID); open == nil {
		if len(c.lines) > 1000 { // of calls that nobody tells of
			clear(c.lines)
		}
		c.lines[line.ID] = line
	}
	c.mu.Unlock()
	if open != nil {
		c.tell(open, line)
	}
	return nil
}

// copied keeps the beginning of a body that is read.
type copied struct {
	io.ReadCloser
	mu   sync.Mutex
	kept []byte // guarded by mu
}

func (b *copied) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, p[:min(n, max(keptBody-len(b.kept), 0))]...)
	return n, err
}

func (b *copied) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept
}

// recorder keeps the beginning of an answer that is written.
type recorder struct {
	http.ResponseWriter
	mu     sync.Mutex
	status int         // guarded by mu
	header http.Header // guarded by mu
	kept   []byte      // guarded by mu
}

// Unwrap lets http.ResponseController find the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader takes the status down.
func (w *recorder) WriteHeader(status int) {
	w.mu.Lock()
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
		w.header = w.ResponseWriter.Header().Clone()
	}
	w.mu.Unlock()
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	w.mu.Lock()
	if w.status == 0 {
		w.status, w.header = http.StatusOK, w.ResponseWriter.Header().Clone()
	}
	w.kept = append(w.kept, p[:min(len(p), max(keptBody-len(w.kept), 0))]...)
	w.mu.Unlock()
	return w.ResponseWriter.Write(p)
}

// taken is what was written: nothing of a session is in it.
func (w *recorder) taken() (status int, a Answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cookies := w.header["Set-Cookie"]; len(cookies) > 0 {
		w.header["Set-Cookie"] = slices.DeleteFunc(cookies, func(c string) bool { return strings.Contains(c, "postern-") })
	}
	return w.status, Answer{Header: w.header, Body: w.kept}
}
