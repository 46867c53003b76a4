package lane

import (
	"context"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/wire"
)

// turn is a request with all that belongs to it.
type turn struct {
	c        *conn
	head     wire.Head
	began    time.Time
	method   string
	request  *http.Request // its context is ctx
	url      url.URL
	header   http.Header
	values   []string // of header
	ctx      context.Context
	cancel   context.CancelFunc
	beneath  atomic.Pointer[context.Context] // of the connection: whose values ctx has
	body     body
	readSet  atomic.Bool // the handler has moved the deadline for reading
	response response
}

// values are those of a turn's context.
type values struct {
	context.Context // never ends
	of              *atomic.Pointer[context.Context]
}

// Value asks the connection. Whoever still has the context of a turn that was put
// back, against all promises, finds nothing: what they do it for may be somebody
// else's goroutine, where a panic would be the end of the server.
func (v values) Value(key any) any {
	if ctx := v.of.Load(); ctx != nil {
		return (*ctx).Value(key)
	}
	return nil
}

// turn gives a turn that nobody else has.
func (s *Server) turn(c *conn) *turn {
	t, ok := s.turns.Get().(*turn)
	if !ok {
		t = &turn{header: http.Header{}}
		t.response.header = http.Header{}
		t.ctx, t.cancel = context.WithCancel(values{context.Background(), &t.beneath})
		t.request = new(http.Request).WithContext(t.ctx)
	}
	t.c = c
	t.beneath.Store(c.ctx)
	t.head.Reset()
	return t
}

// putBack keeps a turn of which nobody holds anything.
func (s *Server) putBack(t *turn) {
	t.c = nil
	t.beneath.Store(nil)
	t.header, t.response.header = emptied(t.header), emptied(t.response.header)
	clear(t.values)
	t.url, t.body.t = url.URL{}, nil
	r := t.request
	r.URL, r.Header, r.Body, r.Form, r.PostForm, r.MultipartForm, r.Trailer = nil, nil, nil, nil, nil, nil, nil
	r.Host, r.RequestURI, r.RemoteAddr, r.Pattern = "", "", "", ""
	s.turns.Put(t)
}

// emptied is a header without fields: the same, unless it has grown.
func emptied(h http.Header) http.Header {
	if len(h) > 24 {
		return http.Header{}
	}
	clear(h)
	return h
}

// take makes a request of a head of n bytes. It reports false, and has changed
// nothing, where that is not plain in all.
func (t *turn) take(c *conn, n int) bool {
	text := c.buf[c.r : c.r+n]
	method := wire.Method(t.head.Method.In(text))
	if method == "" {
		return false
	}
	simple := isSimple(t.head.Target.In(text))
	if !simple {
		u, err := url.ParseRequestURI(string(t.head.Target.In(text)))
		if err != nil {
			return false
		}
		t.url = *u
	}
	fields := t.head.Fields()
	for _, f := range fields {
		canonical(f.Name.In(text))
	}
	head := string(text) // all texts of the request are parts of it
	if t.request.RequestURI = head[t.head.Target.From:t.head.Target.To]; simple {
		path, query, _ := strings.Cut(t.request.RequestURI, "?")
		t.url = url.URL{Path: path, RawQuery: query}
	}
	t.takeFields(fields, head)
	c.r += n
	t.began = time.Now()
	t.body.open(t, t.head.Length)
	t.readSet.Store(false)
	t.method = method
	r := t.request
	r.Method, r.URL, r.Proto, r.ProtoMajor, r.ProtoMinor = method, &t.url, "HTTP/1.1", 1, 1
	r.Header, r.Body, r.GetBody, r.ContentLength, r.TransferEncoding, r.Close = t.header, http.NoBody, nil, t.head.Length, nil, t.head.Close
	r.Form, r.PostForm, r.MultipartForm, r.Trailer = nil, nil, nil, nil
	r.RemoteAddr, r.TLS, r.Cancel, r.Response, r.Pattern = c.remote, nil, nil, nil, ""
	if t.head.Length > 0 {
		r.Body = &t.body
	}
	t.response.begin(t)
	return true
}

// isSimple reports whether a path with its query is what url.ParseRequestURI
// would make of it: it does not stand for another, and a query that is
// announced is there.
func isSimple(target []byte) bool {
	for i, c := range target {
		switch {
		case c == '?':
			return i+1 < len(target)
		case class[c]&inPath == 0:
			return false
		}
	}
	return true
}

// takeFields makes the header of a head's fields.
func (t *turn) takeFields(fields []wire.Field, head string) {
	if cap(t.values) < len(fields) {
		t.values = make([]string, max(len(fields), 16))
	}
	values := t.values[:len(fields)]
	names := len(t.header)
	for i, f := range fields {
		if f.Value == t.head.Host {
			continue
		}
		name := head[f.Name.From:f.Name.To]
		values[i] = head[f.Value.From:f.Value.To]
		before := values[i : i+1 : i+1]
		t.header[name] = before
		if names++; len(t.header) < names {
			t.takeAgain(fields, head)
			break
		}
	}
	if h := t.header; t.head.NoCache && h["Pragma"][0] == "no-cache" && h["Cache-Control"] == nil {
		h["Cache-Control"] = []string{"no-cache"} // as net/http has it
	}
	t.request.Host = head[t.head.Host.From:t.head.Host.To]
}

// takeAgain makes a header in which a name is there more than once.
func (t *turn) takeAgain(fields []wire.Field, head string) {
	clear(t.header)
	for _, f := range fields {
		if f.Value != t.head.Host {
			name := head[f.Name.From:f.Name.To]
			t.header[name] = append(t.header[name], head[f.Value.From:f.Value.To])
		}
	}
}

// serve has the handler run, and reports whether it came to its end.
func (t *turn) serve(h http.Handler) (whole bool) {
	defer func() {
		if whole {
			return
		}
		t.response.released = false
		if err := recover(); err != nil && err != http.ErrAbortHandler {
			buf := make([]byte, 64<<10)
			t.c.s.logf("http: panic serving %v: %v\n%s", t.c.remote, err, buf[:runtime.Stack(buf, false)])
		}
	}()
	h.ServeHTTP(&t.response, t.request)
	return true
}

func (s *Server) logf(format string, args ...any) {
	if s.Log != nil {
		s.Log.Printf(format, args...)
	}
}

// canonical writes a header's name as net/http has it.
func canonical(name []byte) {
	first := true
	for i, c := range name {
		switch {
		case first && c >= 'a' && c <= 'z':
			name[i] = c - 'a' + 'A'
		case !first && c >= 'A' && c <= 'Z':
			name[i] = c - 'A' + 'a'
		}
		first = c == '-'
	}
}

// isHead reports whether the answer is to have no body, whatever the handler has
// made of the method.
func (t *turn) isHead() bool { return t.method == http.MethodHead }

// now is the time, as exact as a second asks for.
func (t *turn) now() time.Time {
	if t.c.phase.Load()%phases == watched {
		return time.Now()
	}
	return t.began
}

// Which bytes are in a path that stands for itself.
const inPath = 1

var class = func() (table [256]uint8) {
	for c := range table {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("/-._~", byte(c)) >= 0:
			table[c] = inPath
		}
	}
	return table
}()
