package lane_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/lane"
	"postern.dev/postern/internal/wire"
	"postern.dev/postern/internal/wire/wiretest"
)

// seen is a request as a handler has it.
type seen struct {
	Method, Target, URL, Host, Proto, Remote string
	Close                                    bool
	Length                                   int64
	Header                                   http.Header
	Encodings                                []string
	Body                                     string
	Cut                                      bool // the body could not be read to its end
}

// told is an answer as a client has it.
type told struct {
	Status, Proto string
	Header        http.Header
	Encodings     []string
	Length        int64
	Close         bool
	Body, Err     string
	Trailer       http.Header
}

// recorder is a handler that takes down what it gets, and answers in one of
// many ways, which the target chooses.
type recorder struct {
	mu  sync.Mutex
	all []seen // guarded by mu
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := seen{Method: r.Method, Target: strings.Clone(r.RequestURI), URL: fmt.Sprintf("%#v", *r.URL), Host: r.Host, Proto: fmt.Sprint(r.Proto, r.ProtoMajor, r.ProtoMinor), Remote: r.RemoteAddr,
		Close: r.Close, Length: r.ContentLength, Header: r.Header.Clone(), Encodings: r.TransferEncoding}
	way := len(r.RequestURI) % len(ways)
	if way != 3 { // its body is nobody's
		b, err := io.ReadAll(r.Body)
		s.Body, s.Cut = string(b), err != nil
	}
	rec.mu.Lock()
	rec.all = append(rec.all, s)
	rec.mu.Unlock()
	ways[way](w)
}

// ways are those of answering. That of "/" comes second.
var ways = []func(http.ResponseWriter){
	func(w http.ResponseWriter) { io.WriteString(w, "<html>short") },
	func(w http.ResponseWriter) { fmt.Fprint(w, "short ", "and", " in pieces") },
	func(w http.ResponseWriter) {},
	func(w http.ResponseWriter) { w.WriteHeader(401) },
	func(w http.ResponseWriter) { io.WriteString(w, strings.Repeat("long", 1000)) },
	func(w http.ResponseWriter) {
		w.Header()["Content-Length"] = []string{"5000"}
		w.Header()["Content-Type"] = nil
		io.WriteString(w, strings.Repeat("piece", 200))
		io.WriteString(w, strings.Repeat("piece", 800))
	},
	func(w http.ResponseWriter) {
		io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		io.WriteString(w, strings.Repeat("more", 600))
		io.WriteString(w, "last")
	},
	func(w http.ResponseWriter) { w.Header().Set("X-A", "a"); w.WriteHeader(204); io.WriteString(w, "no") },
	func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/css")
		w.Header().Set("Content-Length", "7")
		w.WriteHeader(304)
	},
	func(w http.ResponseWriter) { w.Header()["Content-Length"] = []string{"9"}; io.WriteString(w, "less") },
	func(w http.ResponseWriter) {
		w.Header()["Content-Length"] = []string{"3"}
		io.WriteString(w, "more than was said")
		io.WriteString(w, "yes")
	},
	func(w http.ResponseWriter) { w.Header().Set("Connection", "close"); io.WriteString(w, "bye") },
	func(w http.ResponseWriter) {
		w.Header()["X-Split"] = []string{"a\r\nX-Evil: b", " \tpadded\n"}
		w.Header()["X Bad"] = []string{"c"}
		w.Header()["X:"] = []string{"c"}
		w.WriteHeader(299)
		w.Header().Set("X-Late", "d")
	},
	func(w http.ResponseWriter) { io.WriteString(w, "half"); panic(http.ErrAbortHandler) },
	func(w http.ResponseWriter) {
		io.WriteString(w, strings.Repeat("half", 1000))
		panic(http.ErrAbortHandler)
	},
	func(w http.ResponseWriter) {
		w.Header().Set("Trailer", "X-End, X-Other")
		io.WriteString(w, "body")
		w.Header().Set("X-End", "e")
		w.Header().Set(http.TrailerPrefix+"X-More", "m")
	},
	func(w http.ResponseWriter) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(103)
		w.Header().Set("X-A", "a")
		w.Header()["Date"] = nil
		io.WriteString(w, "after a hint")
	},
	func(w http.ResponseWriter) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, "encoded")
	},
	func(w http.ResponseWriter) {
		w.Header().Set("Transfer-Encoding", "identity")
		io.WriteString(w, "to the end")
	},
	func(w http.ResponseWriter) {
		io.WriteString(w, strings.Repeat("a", 2000))
		io.WriteString(w, strings.Repeat("b", 100))
	},
	func(w http.ResponseWriter) {
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Add("Set-Cookie", "c=d")
		lane.Release(w)
	},
}

// again is a connection whose first bytes are read again.
type again struct {
	net.Conn
	early []byte
}

func (a *again) Read(p []byte) (int, error) {
	if len(a.early) == 0 {
		return a.Conn.Read(p)
	}
	n := copy(p, a.early)
	a.early = a.early[n:]
	return n, nil
}

// limited is a server as package httpx makes them.
func limited(h http.Handler) *lane.Server {
	s := lane.New()
	s.Handler, s.MaxHeader = h, 64<<10
	s.ReadHeader, s.Read, s.Write, s.Idle = 10*time.Second, time.Minute, time.Minute, 2*time.Minute
	return s
}

// asked is what becomes of a client's bytes: by net/http alone, or by a lane
// first.
func asked(text []byte, size int, byLane bool) (requests []seen, answers []told, wrong string, lost bool) {
	c := wiretest.NewClient(text, size)
	rec := new(recorder)
	conn := net.Conn(c)
	if byLane {
		rest := limited(rec).Serve(context.Background(), c)
		if rest == nil {
			return rec.all, answersOf(c.Answered(), rec.all), "", true
		}
		conn = &again{c, rest}
	}
	srv := &http.Server{Handler: rec, ErrorLog: log.New(io.Discard, "", 0), DisableGeneralOptionsHandler: true, MaxHeaderBytes: 64 << 10}
	wiretest.Serve(srv, wire.New(conn, func(_ net.Addr, why string) { wrong = why }), c)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.all, answersOf(c.Answered(), rec.all), wrong, false
}

func answersOf(text []byte, requests []seen) (all []told) {
	r, hints := bufio.NewReader(bytes.NewReader(text)), 0
	for {
		method := "GET"
		if n := len(all) - hints; n < len(requests) {
			method = requests[n].Method
		}
		res, err := http.ReadResponse(r, httptest.NewRequest(method, "/", nil))
		if err != nil {
			return append(all, told{Err: err.Error()})
		}
		b, err := io.ReadAll(res.Body)
		if err != nil {
			b = b[:min(len(b), 1000)] // how much got out before it was cut off is nobody's promise
		}
		if d := res.Header.Get("Date"); d != "" {
			_, bad := http.ParseTime(d)
			res.Header.Set("Date", fmt.Sprint(bad))
		}
		if n := len(all) - hints; n >= 0 && n < len(requests) && requests[n].Cut {
			res.Close = false // whether it is said or not, there is nothing more to come
			res.Header.Del("Connection")
		}
		all = append(all, told{res.Status, res.Proto, res.Header, res.TransferEncoding, res.ContentLength, res.Close, string(b), fmt.Sprint(err), res.Trailer})
		if res.StatusCode < 200 {
			hints++
		}
	}
}

// agree fails unless a lane and net/http make the same of a client's bytes. What
// is told of a refusal is the same as well, unless something else is wrong before.
func agree(t *testing.T, name string, text []byte, size int, told bool) {
	t.Helper()
	requests, answers, wrong, _ := asked(text, size, false)
	got, gave, refused, _ := asked(text, size, true)
	if diff := cmp.Diff(requests, got); diff != "" {
		t.Errorf("%s, by %d: requests of net/http (-) and of a lane (+):\n%s", name, size, diff)
	}
	if diff := cmp.Diff(answers, gave); diff != "" {
		t.Errorf("%s, by %d: answers of net/http (-) and of a lane (+):\n%s", name, size, diff)
	}
	if told && wrong != refused {
		t.Errorf("%s, by %d: refused for %q, not for %q", name, size, refused, wrong)
	}
}

// seeds are requests beside those of package wiretest: each way of answering, each
// method, bodies that are read and not, and what a lane gives back.
func seeds() (all []string) {
	for i := range len(ways) {
		target := "/" + strings.Repeat("a", len(ways)+i-2)
		for _, head := range []string{"GET " + target, "HEAD " + target} {
			all = append(all, head+" HTTP/1.1\r\nHost: h\r\n\r\n")
		}
		all = append(all, "POST "+target+" HTTP/1.1\r\nhost: h:80 \r\nCONTENT-length: 5\r\n\r\nhello", "PUT "+target+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody")
	}
	for _, header := range []string{"Connection: close", "Connection: Keep-Alive", "Connection: keep-alive, close", "Connection: x", "connection: close\r\nConnection: keep-alive", "Pragma: no-cache", "Pragma: no-cache\r\ncache-control: max-age=1", "Pragma: x",
		"Expect: 100-continue", "Expect: x", "Upgrade: h2c\r\nConnection: Upgrade", "Trailer: X-A", "X-A: 1\r\nx-a: 2\r\nX-a:  3 \t", "x_a: b\r\nX.b: c\r\n1-a-b: d", "Cookie: a=b; c=\"\xff\"", "Accept:*/*", "X:", "X:\t", "Content-Length: 70000", "Content-Length: 0", "Via: 1.1 a\r\nForwarded: for=1",
		strings.Repeat("X-A: b\r\n", 70) + "X-B: c", "X-Long: " + strings.Repeat("a", 5000), "X-Long: " + strings.Repeat("a", 17000), "X-Long: " + strings.Repeat("a", 80000)} {
		all = append(all, "GET / HTTP/1.1\r\nHost: h\r\n"+header+"\r\n\r\n")
	}
	for _, target := range []string{"/a%20b", "/a%2", "//a//b", "/?", "/??", "/a?b=c?d", "/a#b", "/a:b", "/ä", "/a;b", "*", "/%2e%2e/", "/~a.b-c_d/", "/a\\b", "http://h/a?b"} {
		all = append(all, "GET "+target+" HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS "+target+" HTTP/1.1\r\nHost: h\r\n\r\n")
	}
	for _, start := range []string{"PATCH /", "DELETE /", "OPTIONS /", "CONNECT /", "CONNECT h:1", "TRACE /", "get /", "X-OWN /"} {
		all = append(all, start+" HTTP/1.1\r\nHost: h\r\n\r\n")
	}
	for _, host := range []string{"", "Host:\r\n", "Host: \r\n", "Host: h h\r\n", "Host: h/a\r\n", "Host: [::1]:80\r\n", "Host: ä\r\n", "HOST: H\r\n", "Host: a_b\r\n", "Host: a,b\r\n"} {
		all = append(all, "GET / HTTP/1.1\r\n"+host+"\r\n")
	}
	return all
}

func TestServer_AgreesWithNetHTTP(t *testing.T) {
	t.Parallel()
	for _, row := range wiretest.Rows {
		for _, size := range []int{0, 1, 7} {
			agree(t, row.Name, []byte(wiretest.Get+row.Text+wiretest.Get), size, true)
		}
	}
	for _, text := range seeds() {
		for _, size := range []int{0, 5} {
			agree(t, fmt.Sprintf("%.60q", text), []byte(text+wiretest.Get), size, true)
		}
	}
}

// Whatever a client sends, a lane and net/http have their handlers see the same
// requests, and answer the same.
func FuzzServer_AgreesWithNetHTTP(f *testing.F) {
	for _, row := range wiretest.Rows {
		f.Add([]byte(row.Text+wiretest.Get), byte(0))
		f.Add([]byte(wiretest.Get+row.Text+wiretest.Get), byte(3))
	}
	for _, text := range seeds() {
		f.Add([]byte(text+wiretest.Get), byte(0))
	}
	f.Fuzz(func(t *testing.T, text []byte, size byte) { agree(t, "fuzzed", text, int(size), false) })
}
