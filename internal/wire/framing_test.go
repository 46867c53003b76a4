package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// seen is one request: how long its body was, and whether that was all of it.
type seen struct {
	body  int64
	whole bool
}

// followed is what the framing makes of a client's bytes when they come size
// by size; 0 is all at once.
func followed(text []byte, size int) (good int, wrong string) {
	var f framing
	for good < len(text) && wrong == "" {
		piece := text[good:]
		if size > 0 && len(piece) > size {
			piece = piece[:size]
		}
		var n int
		n, wrong = f.take(bytes.Clone(piece))
		good += n
	}
	return good, wrong
}

// requests is what the framing takes for requests.
func requests(text []byte) (all []seen, wrong string) {
	var f framing
	for i := range text {
		before, left := f.part, f.left
		if _, wrong = f.take(text[i : i+1]); wrong != "" {
			return all, wrong
		}
		switch {
		case before == headerLine && f.part != headerLine:
			all = append(all, seen{0, f.part == requestLine})
		case before == body, before == chunk:
			now := &all[len(all)-1]
			now.body++
			now.whole = before == body && left == 1
		case before == lastEnd && f.part == requestLine:
			all[len(all)-1].whole = true
		}
	}
	return all, ""
}

// script is a connection whose client has sent text, in pieces of size, and
// closed its half.
type script struct {
	text   []byte
	size   int
	mu     sync.Mutex
	out    bytes.Buffer // guarded by mu
	closed chan struct{}
	once   sync.Once
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.text) == 0 {
		return 0, io.EOF
	}
	if s.size > 0 && len(p) > s.size {
		p = p[:s.size]
	}
	n := copy(p, s.text)
	s.text = s.text[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *script) Close() error                     { s.once.Do(func() { close(s.closed) }); return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// one is a listener with one connection.
type one struct {
	conn chan net.Conn
	done chan struct{}
}

func (o *one) Accept() (net.Conn, error) {
	select {
	case c := <-o.conn:
		return c, nil
	case <-o.done:
		return nil, net.ErrClosed
	}
}
func (o *one) Close() error   { return nil }
func (o *one) Addr() net.Addr { return &net.TCPAddr{} }

// served is what net/http makes of a client's bytes that came through a Conn:
// the requests that its handler saw, and all that it answered.
func served(text []byte, size int) (all []seen, answers string, wrong string) {
	s := &script{text: bytes.Clone(text), size: size, closed: make(chan struct{})}
	var mu sync.Mutex
	srv := &http.Server{DisableGeneralOptionsHandler: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, seen{n, err == nil})
	})}
	srv.ErrorLog = nil
	ln := &one{make(chan net.Conn, 1), make(chan struct{})}
	ln.conn <- New(s, func(_ net.Addr, why string) { wrong = why })
	ended := make(chan struct{})
	go func() { srv.Serve(ln); close(ended) }()
	<-s.closed
	close(ln.done)
	<-ended
	srv.Close()
	mu.Lock()
	defer mu.Unlock()
	return all, s.out.String(), wrong
}

const (
	get  = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	head = "POST /p HTTP/1.1\r\nHost: h\r\n"
	tail = "\r\n" + get
)

// rows are all that is refused, and what stands near it and is not. Each is
// followed by a request that must not be seen when it is refused.
var rows = []struct {
	name, text string
	wrong      string
}{
	{"a request without a body", get, ""},
	{"HTTP/1.0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ""},
	{"a length", head + "Content-Length: 2\r\n\r\nhi", ""},
	{"a length without a space", head + "content-length:2\r\n\r\nhi", ""},
	{"a length of nothing", head + "Content-Length: 0\r\n\r\n", ""},
	{"a length with zeros", head + "Content-Length: 0002\r\n\r\nhi", ""},
	{"chunks", head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0A\r\n0123456789\r\n0\r\n\r\n", ""},
	{"no chunk", head + "transfer-encoding:chunked\r\n\r\n0\r\n\r\n", ""},
	{"a body that looks like a request", head + "Content-Length: 31\r\n\r\nGET / HTTP/1.1\nHost: h\r\r\n\r\n\x00\r\n ", ""},
	{"a body with a GET", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", ""},
	{"an upgrade", "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", ""},
	{"a continuation", head + "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx", ""},
	{"UTF-8 in a header", "GET / HTTP/1.1\r\nHost: h\r\nX-Name: Zoë\r\n\r\n", ""},
	{"a tab in a header", "GET / HTTP/1.1\r\nHost: h\r\nX-Name:\ta\tb\t\r\n\r\n", ""},
	{"an empty header", "GET / HTTP/1.1\r\nHost: h\r\nX-Name:\r\n\r\n", ""},
	{"an alias of no frame", "GET / HTTP/1.1\r\nHost: h\r\nX_Api_Key: a\r\n\r\n", ""},
	{"absolute form", "GET http://H:80/a HTTP/1.1\r\nHost: h:80\r\n\r\n", ""},
	{"absolute form of IPv6", "GET https://[::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n", ""},
	{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", ""},
	{"200 header lines", "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X-A: a\r\n", 199) + "\r\n", ""},
	{"a long line", "GET /" + strings.Repeat("a", 5000) + " HTTP/1.1\r\nHost: h\r\nX-A: " + strings.Repeat("b", 9000) + "\r\n\r\n", ""},

	{"201 header lines", "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X-A: a\r\n", 200) + "\r\n", "more header lines than are taken"},
	{"bare LF behind the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", "a line that ends without CR"},
	{"bare LF behind a header", "GET / HTTP/1.1\r\nHost: h\n\r\n", "a line that ends without CR"},
	{"bare LF behind the head", "GET / HTTP/1.1\r\nHost: h\r\n\n", "a line that ends without CR"},
	{"bare CR in a header", "GET / HTTP/1.1\r\nHost: h\r\nX-A: a\rX-B: b\r\n\r\n", "a control character in a header"},
	{"bare CR behind a header", "GET / HTTP/1.1\r\nHost: h\r\nX-A: a\r\r\n\r\n", "a control character in a header"},
	{"NUL in a header", "GET / HTTP/1.1\r\nHost: h\r\nX-A: a\x00b\r\n\r\n", "a control character in a header"},
	{"DEL in a header", "GET / HTTP/1.1\r\nHost: h\r\nX-A: 0123456789\x7f\r\n\r\n", "a control character in a header"},
	{"a folded header", "GET / HTTP/1.1\r\nHost: h\r\nX-A: a\r\n b\r\n\r\n", "a folded header line"},
	{"a header folded with a tab", "GET / HTTP/1.1\r\nHost: h\r\nX-A: a\r\n\tb\r\n\r\n", "a folded header line"},
	{"a folded encoding", head + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "an encoding other than chunked"},
	{"space before the first header", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", "a folded header line"},
	{"space before the colon", head + "Content-Length : 2\r\n\r\nhi", "a header name that is no token"},
	{"no colon", "GET / HTTP/1.1\r\nHost: h\r\nX-A\r\n\r\n", "a header name that is no token"},
	{"no name", "GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n", "a header name that is no token"},
	{"UTF-8 in a name", "GET / HTTP/1.1\r\nHost: h\r\nX-Ä: a\r\n\r\n", "a header name that is no token"},
	{"length and chunks", head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "both a length and an encoding"},
	{"chunks and length", head + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "both a length and an encoding"},
	{"two equal lengths", head + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "two lengths"},
	{"two lengths", head + "Content-Length: 0\r\nContent-Length: 2\r\n\r\nhi", "two lengths"},
	{"a list of lengths", head + "Content-Length: 2, 2\r\n\r\nhi", "a length that is no number"},
	{"a signed length", head + "Content-Length: +0\r\n\r\n", "a length that is no number"},
	{"a negative length", head + "Content-Length: -1\r\n\r\n", "a length that is no number"},
	{"a hexadecimal length", head + "Content-Length: 0x2\r\n\r\nhi", "a length that is no number"},
	{"a length with a space behind", head + "Content-Length: 2 \r\n\r\nhi", "a length that is no number"},
	{"a length with a tab before", head + "Content-Length:\t2\r\n\r\nhi", "a length that is no number"},
	{"no length", head + "Content-Length:\r\n\r\n", "a length that is no number"},
	{"a length beyond 63 bits", head + "Content-Length: 9223372036854775808\r\n\r\n", "a length that is no number"},
	{"length with an underscore", head + "Content_Length: 2\r\n\r\n", "a name that some readers take for Content-Length"},
	{"length with a dot", head + "content.length: 2\r\n\r\n", "a name that some readers take for Content-Length"},
	{"encoding with an underscore", head + "Transfer_Encoding: chunked\r\n\r\n", "a name that some readers take for Transfer-Encoding"},
	{"an unknown encoding", head + "Transfer-Encoding: xchunked\r\n\r\n", "an encoding other than chunked"},
	{"identity", head + "Transfer-Encoding: identity\r\n\r\n", "an encoding other than chunked"},
	{"a list of encodings", head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "an encoding other than chunked"},
	{"an encoding in capitals", head + "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", "an encoding other than chunked"},
	{"an encoding with a space behind", head + "Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n", "an encoding other than chunked"},
	{"an encoding with a tab before", head + "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", "an encoding other than chunked"},
	{"an encoding with a vertical tab", head + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "a control character in a header"},
	{"two encodings", head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "two encodings"},
	{"an encoding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "an encoding in HTTP/1.0"},
	{"the frame as hop-by-hop", head + "Connection: close, Content-Length\r\nContent-Length: 2\r\n\r\nhi", "a Connection header that names the frame"},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "two Host headers"},
	{"absolute form of another host", "GET http://evil/ HTTP/1.1\r\nHost: h\r\n\r\n", "a Host header that differs from the target"},
	{"absolute form of another port", "GET http://h:80/ HTTP/1.1\r\nHost: h\r\n\r\n", "a Host header that differs from the target"},
	{"absolute form with a user", "GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n", "an authority that is no host"},
	{"absolute form without a host", "GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n", "an authority that is no host"},
	{"absolute form, backslash", "GET http://h\\@evil/ HTTP/1.1\r\nHost: h\r\n\r\n", "an authority that is no host"},
	{"another scheme", "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "a target of an unknown form"},
	{"no slash", "GET a HTTP/1.1\r\nHost: h\r\n\r\n", "a target of an unknown form"},
	{"no target", "GET  HTTP/1.1\r\nHost: h\r\n\r\n", "a target of an unknown form"},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "a request line that is not of HTTP/1.0 or 1.1"},
	{"a tab for a space", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", "a method that is no token"},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "a request line that is not of HTTP/1.0 or 1.1"},
	{"tab in the target", "GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n", "a control character in the target"},
	{"bare CR in the target", "GET /a\rb HTTP/1.1\r\nHost: h\r\n\r\n", "a control character in the target"},
	{"space behind the version", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "a request line that is not of HTTP/1.0 or 1.1"},
	{"HTTP/0.9", "GET /\r\n", "a request line that is not of HTTP/1.0 or 1.1"},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", "a request line that is not of HTTP/1.0 or 1.1"},
	{"HTTP/2 in clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "a request line that is not of HTTP/1.0 or 1.1"},
	{"lower-case version", "GET / http/1.1\r\nHost: h\r\n\r\n", "a request line that is not of HTTP/1.0 or 1.1"},
	{"an empty line first", "\r\n" + get, "a method that is no token"},
	{"a chunk with an extension", head + "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n", "a chunk without a right size"},
	{"a chunk with a long extension", head + "Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("a", 5000) + "\r\nhi\r\n0\r\n\r\n", "a chunk without a right size"},
	{"a chunk with a space", head + "Transfer-Encoding: chunked\r\n\r\n2 \r\nhi\r\n0\r\n\r\n", "a chunk without a right size"},
	{"a signed chunk", head + "Transfer-Encoding: chunked\r\n\r\n+2\r\nhi\r\n0\r\n\r\n", "a chunk without a right size"},
	{"a chunk with a prefix", head + "Transfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n", "a chunk without a right size"},
	{"a chunk without a size", head + "Transfer-Encoding: chunked\r\n\r\n\r\nhi\r\n0\r\n\r\n", "a chunk without a right size"},
	{"a chunk of 2^36", head + "Transfer-Encoding: chunked\r\n\r\n1000000000\r\nhi\r\n0\r\n\r\n", "a chunk without a right size"},
	{"bare LF behind a chunk's size", head + "Transfer-Encoding: chunked\r\n\r\n2\nhi\r\n0\r\n\r\n", "a line that ends without CR"},
	{"bare LF behind a chunk", head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\n0\r\n\r\n", "a line that ends without CR"},
	{"a chunk that is longer", head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhii\r\n0\r\n\r\n", "bytes behind a chunk"},
	{"a trailer", head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nAuthorization: x\r\n\r\n", "bytes behind a chunk"},
	{"bare LF at the end", head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\n", "a line that ends without CR"},
}

// The same bytes mean the same however they arrive, and net/http sees nothing
// of what is refused, nor of what follows it.
func TestConn_LetsThroughWhatHasOneReading(t *testing.T) {
	t.Parallel()
	for _, row := range rows {
		text := []byte(get + row.text + get)
		for _, size := range []int{0, 1, 7} {
			good, wrong := followed(text, size)
			if wrong != row.wrong {
				t.Errorf("%s, by %d: %q, want %q", row.name, size, wrong, row.wrong)
			}
			if (wrong == "") != (good == len(text)) {
				t.Errorf("%s, by %d: %q after %d of %d bytes", row.name, size, wrong, good, len(text))
			}
			all, answers, told := served(text, size)
			want, _ := requests(text)
			if told != wrong || !slices.Equal(all, want) {
				t.Errorf("%s, by %d: net/http saw %v, of %v; told %q", row.name, size, all, want, told)
			}
			statuses := statusesOf(answers)
			switch last := statuses[len(statuses)-1]; {
			case row.wrong == "" && (len(all) != 3 || last != 200):
				t.Errorf("%s, by %d: answers %v", row.name, size, statuses)
			case row.wrong != "" && (len(all) > 2 || statuses[0] != 200 || last != 400 && last != 501 && all[len(all)-1].whole):
				t.Errorf("%s, by %d: answers %v to %v", row.name, size, statuses, all)
			}
		}
	}
}

func statusesOf(answers string) (all []int) {
	r := bufio.NewReader(strings.NewReader(answers))
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return all
		}
		io.Copy(io.Discard, res.Body)
		all = append(all, res.StatusCode)
	}
}

// Whatever is let through, net/http reads as exactly the requests that the
// framing counted: it may refuse more of them, and never sees others.
func FuzzConn_ReadsAsNetHTTPDoes(f *testing.F) {
	for _, row := range rows {
		f.Add([]byte(row.text+get), byte(0))
		f.Add([]byte(get+row.text+get), byte(3))
	}
	if len(rows) < 80 {
		f.Fatalf("%d rows to begin with", len(rows))
	}
	f.Fuzz(func(t *testing.T, text []byte, size byte) {
		want, wrong := requests(text)
		if _, again := followed(text, 0); (again == "") != (wrong == "") {
			t.Fatalf("%q all at once, %q byte by byte", again, wrong)
		}
		all, _, told := served(text, int(size))
		if len(all) > len(want) || told != "" && wrong == "" {
			t.Fatalf("net/http saw %v, of %v", all, want)
		}
		for i, s := range all {
			if s != want[i] {
				t.Fatalf("net/http saw %v, of %v", all, want)
			}
		}
	})
}

func TestConn_AllocatesNothingForARequest(t *testing.T) {
	text := []byte(get + head + "Content-Length: 2\r\nUser-Agent: a\r\n\r\nhi" + head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
	for _, size := range []int{len(text), 1, 11} {
		var f framing
		once := func() {
			for at := 0; at < len(text); at += size {
				if _, wrong := f.take(text[at:min(at+size, len(text))]); wrong != "" {
					t.Fatal(wrong)
				}
			}
		}
		once()
		if n := testing.AllocsPerRun(100, once); n != 0 {
			t.Errorf("by %d: %v allocations", size, n)
		}
	}
}

func TestConn_KeepsNoLongLine(t *testing.T) {
	t.Parallel()
	var f framing
	line := []byte("GET / HTTP/1.1\r\nCookie: " + strings.Repeat("a", 60<<10))
	f.take(line[:40])
	f.take(line[40:])
	f.take([]byte("\r\n\r\n"))
	if f.part != requestLine || cap(f.line) != 0 {
		t.Errorf("%d bytes are kept between two requests", cap(f.line))
	}
}

// A connection that was taken over says what it likes; one that was not is
// HTTP still.
func TestConn_Hijacked(t *testing.T) {
	t.Parallel()
	const upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	const frames = "\x81\x02hi\n\x00\x01\r\n"
	c := New(&script{text: []byte(upgrade + frames), closed: make(chan struct{})}, nil)
	buf := make([]byte, len(upgrade))
	if _, err := io.ReadFull(c, buf); err != nil {
		t.Fatal(err)
	}
	c.Hijacked()
	if got, err := io.ReadAll(c); err != nil || string(got) != frames {
		t.Errorf("after it was taken over: %q, %v", got, err)
	}
	c = New(&script{text: []byte(upgrade + frames), closed: make(chan struct{})}, nil)
	if got, err := io.ReadAll(c); err != nil || string(got) != upgrade+broken {
		t.Errorf("not taken over: %q, %v", got, err)
	}
}

func BenchmarkFraming(b *testing.B) {
	for _, text := range []string{get, "GET /fn/hello/webhook HTTP/1.1\r\nHost: gateway.example.org\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nAuthorization: Basic cGFrXzAxaHl6Nmg3ZjZrNnQxZTl4eDlxOGZ0dHYwOnBza19wYXNzd29yZHBhc3N3b3JkcGFzc3dvcmRwYXNzd29yZA==\r\nX-Request-Id: 6b1f9a0e-9d6e-4a47-8a3c-0d1b8c6a6f1b\r\n\r\n"} {
		b.Run(fmt.Sprintf("%d bytes", len(text)), func(b *testing.B) {
			var f framing
			p := []byte(text)
			b.ReportAllocs()
			for b.Loop() {
				f.take(p)
			}
		})
	}
}
