package lane_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/lane"
)

const get = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"

// open serves connections with a server until the test ends. What is given back
// is closed.
func open(t testing.TB, s *lane.Server) (dial func() net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { s.Watch(ctx) })
	group.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				if s.Serve(context.Background(), c) != nil {
					c.Close()
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		late, over := context.WithTimeout(context.Background(), time.Minute)
		defer over()
		if err := s.Shutdown(late); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		cancel()
		group.Wait()
	})
	return func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute))
		return c
	}
}

// answer reads an answer.
func answer(t testing.TB, r *bufio.Reader) (status int, body string) {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// A request whose caller goes away is over, also when its body came late; one
// that is quick ends with its answer.
func TestServer_CallerGoesAway(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	dial := open(t, limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		ended <- r.Context().Err()
	})))
	for name, pieces := range map[string][]string{
		"no body":        {get},
		"a body":         {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"},
		"a body, late":   {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n", "hi"},
		"half of a body": {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nh"},
	} {
		c := dial()
		for _, p := range pieces {
			io.WriteString(c, p)
			time.Sleep(3 * tick)
		}
		c.Close()
		select {
		case err := <-ended:
			if err != context.Canceled {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: the handler waits", name)
		}
	}
}

const tick = 100 * time.Millisecond // as of the package

// What comes while a handler takes its time is not lost, whether it was watched or not.
func TestServer_RequestsBehindASlowOne(t *testing.T) {
	t.Parallel()
	dial := open(t, limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/slow" {
			waits, _ := time.ParseDuration(r.URL.RawQuery)
			time.Sleep(waits)
		}
		fmt.Fprint(w, r.URL.Path, " ", string(b))
		lane.Release(w)
	})))
	for _, waits := range []time.Duration{0, tick / 2, tick, 3 * tick} {
		c := dial()
		r := bufio.NewReader(c)
		go func() {
			for i := range 3 {
				for _, piece := range []string{"GET /slow?" + waits.String() + " HTTP/1.1\r\nHost: h\r\n\r\n", "P", fmt.Sprintf("OST /%d HTTP/1.1\r\nHost: h\r\nContent-Le", i), "ngth: 3\r\n\r\na", "bc"} {
					io.WriteString(c, piece)
					time.Sleep(tick / 4)
				}
			}
		}()
		for i := range 3 {
			if status, body := answer(t, r); status != 200 || body != "/slow " {
				t.Fatalf("%v: %d %q", waits, status, body)
			}
			if status, body := answer(t, r); status != 200 || body != fmt.Sprintf("/%d abc", i) {
				t.Fatalf("%v: %d %q", waits, status, body)
			}
		}
	}
}

// A server that stops closes who waits, and lets who is answered have the answer.
func TestServer_Shutdown(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	s := limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/busy" {
			close(entered)
			<-release
		}
		io.WriteString(w, "whole")
	}))
	dial := open(t, s)
	idle, fresh, half, busy := dial(), dial(), dial(), dial()
	io.WriteString(idle, get)
	answer(t, bufio.NewReader(idle))
	io.WriteString(half, get[:10])
	io.WriteString(busy, "GET /busy HTTP/1.1\r\nHost: h\r\n\r\n"+get)
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(t.Context()) }()
	for name, c := range map[string]net.Conn{"idle": idle, "fresh": fresh, "half a request": half} {
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
	select {
	case err := <-stopped:
		t.Errorf("Shutdown did not wait: %v", err)
	default:
	}
	close(release)
	res, err := http.ReadResponse(bufio.NewReader(busy), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(res.Body); string(b) != "whole" || !res.Close {
		t.Errorf("%q, and close: %v", b, res.Close)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// A file goes out whole, with its head before it, large or small, and no more of
// it than was said.
func TestServer_Files(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/file"
	text := strings.Repeat("0123456789abcde\n", 20<<10)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	dial := open(t, limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(path)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		said, _ := strconv.ParseInt(r.URL.Query().Get("said"), 10, 64)
		most, _ := strconv.ParseInt(r.URL.Query().Get("most"), 10, 64)
		if w.Header().Set("Content-Type", "text/plain"); said >= 0 {
			w.Header().Set("Content-Length", fmt.Sprint(said))
		}
		if r.URL.Path == "/begun" {
			io.WriteString(w, text[:10])
			f.Seek(10, io.SeekStart)
			most -= 10
		}
		io.CopyN(w, f, most)
	})))
	c := dial()
	r := bufio.NewReader(c)
	for _, tc := range []struct{ said, most int }{{200 << 10, 200 << 10}, {100, 100}, {70000, 200 << 10}, {-1, 3000}, {-1, 200 << 10}} {
		for _, path := range []string{"/", "/begun"} {
			fmt.Fprintf(c, "GET %s?said=%d&most=%d HTTP/1.1\r\nHost: h\r\n\r\n", path, tc.said, tc.most)
			want := text[:tc.most]
			if tc.said >= 0 {
				want = text[:tc.said]
			}
			if status, body := answer(t, r); status != 200 || body != want {
				t.Errorf("%s %+v: %d, %d bytes, want %d", path, tc, status, len(body), len(want))
			}
		}
	}
}

// Who does not answer within the time that a stopping server has is cut off.
func TestServer_ShutdownDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan struct{})
	s := limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	}))
	c := open(t, s)()
	io.WriteString(c, get)
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), 4*tick)
	defer cancel()
	if err := s.Shutdown(ctx); err == nil {
		t.Error("Shutdown says that all had their answers")
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the handler goes on")
	}
}

// A handler may keep a request for as long as it likes, unless it says otherwise.
func TestServer_KeptRequests(t *testing.T) {
	t.Parallel()
	type pair struct {
		r *http.Request
		w http.ResponseWriter
	}
	all := make(chan pair, 21)
	dial := open(t, limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", r.URL.Path)
		io.Copy(io.Discard, r.Body)
		all <- pair{r, w}
	})))
	c := dial()
	r := bufio.NewReader(c)
	for i := range 21 {
		fmt.Fprintf(c, "POST /%d?q=%d HTTP/1.1\r\nHost: h%d\r\nX-N: %d\r\nContent-Length: 1\r\n\r\na", i, i, i, i)
		answer(t, r)
	}
	for i := range 20 { // of the last, all may not be over
		p, n := <-all, fmt.Sprint(i)
		r, answer := p.r, p.w
		if r.URL.Path != "/"+n || r.URL.RawQuery != "q="+n || r.Host != "h"+n || r.Header.Get("X-N") != n || answer.Header().Get("X-Path") != "/"+n || r.Context().Err() == nil {
			t.Errorf("request %d is now %v %v %v", i, r.URL, r.Host, r.Header)
		}
		if _, err := r.Body.Read(make([]byte, 1)); err == nil {
			t.Errorf("request %d has a body still", i)
		}
		if _, err := answer.Write([]byte("late")); err == nil {
			t.Errorf("request %d is answered again", i)
		}
	}
}

// Texts of a released request are nobody's next request's.
func TestServer_ReleasedTexts(t *testing.T) {
	t.Parallel()
	all := make(chan []string, 9)
	dial := open(t, limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		texts := append([]string(nil), r.URL.Path+r.Host+r.Header.Get("X-N")+r.RequestURI)
		for name, values := range r.Header {
			texts = append(texts, name, values[0])
		}
		if len(r.Header) != 2 {
			t.Errorf("%d fields: %v", len(r.Header), r.Header)
		}
		all <- texts
		lane.Release(w)
	})))
	c := dial()
	r := bufio.NewReader(c)
	for i := range 9 {
		fmt.Fprintf(c, "GET /%d HTTP/1.1\r\nHost: h%d\r\nX-N: %d\r\nX-%d: a%d\r\n\r\n", i, i, i, i, i)
		answer(t, r)
	}
	for i := range 9 {
		texts, n := strings.Join(<-all, " "), fmt.Sprint(i)
		if !strings.HasPrefix(texts, "/"+n+"h"+n+n+"/"+n) || strings.ContainsAny(texts, strings.ReplaceAll("012345678", n, "")) {
			t.Errorf("of request %d is now %q", i, texts)
		}
	}
}

// endless is a connection on which a request comes again and again.
type endless struct {
	net.Conn
	request []byte
	left    int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left--; e.left < 0 {
		return 0, io.EOF
	}
	return copy(p, e.request), nil
}
func (e *endless) Write(p []byte) (int, error)      { return len(p), nil }
func (e *endless) Close() error                     { return nil }
func (e *endless) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (e *endless) SetDeadline(time.Time) error      { return nil }
func (e *endless) SetReadDeadline(time.Time) error  { return nil }
func (e *endless) SetWriteDeadline(time.Time) error { return nil }

const usual = "/fn/hello/webhook?a=b HTTP/1.1\r\nHost: gateway.example.org\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nAuthorization: Basic cGFrXzAxaHl6Nmg3ZjZrNnQxZTl4eDlxOGZ0dHYwOnBza19wYXNzd29yZHBhc3N3b3JkcGFzc3dvcmRwYXNzd29yZA==\r\n"

// Of a request whose handler keeps nothing only the text of its head is new.
func TestServer_Allocations(t *testing.T) {
	body := []byte(`{"ok":true}`)
	kind, buf := []string{"application/json"}, make([]byte, 8)
	s := limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body.Read(buf)
		w.Header()["Content-Type"] = kind
		w.Write(body)
		r.Context().Done()
		lane.Release(w)
	}))
	most := 1.1
	var pool sync.Pool
	for range 100 {
		if pool.Put(s); pool.Get() == nil { // under the race detector a pool forgets on purpose
			most = 20
		}
	}
	for name, request := range map[string]string{"GET": "GET " + usual + "\r\n", "POST": "POST " + usual + "Content-Length: 5\r\n\r\nhello"} {
		const n = 2000
		once := func() { s.Serve(context.Background(), &endless{request: []byte(request), left: n}) }
		once()
		if got := testing.AllocsPerRun(3, once) / n; got > most {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

// BenchmarkServe is what a lane does for a request, without system calls.
func BenchmarkServe(b *testing.B) {
	body := []byte(`{"ok":true}`)
	kind := []string{"application/json"}
	s := limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = kind
		w.Write(body)
		lane.Release(w)
	}))
	b.ReportAllocs()
	s.Serve(context.Background(), &endless{request: []byte("GET " + usual + "\r\n"), left: b.N})
}

// Who sends a body on may still be reading it when its handler is done and the
// next request has begun to come. Each gets its own bytes.
func TestServer_BodyIsReadOnBehindTheHandler(t *testing.T) {
	t.Parallel()
	const body = "0123456789"
	var got sync.WaitGroup
	var mu sync.Mutex
	var read []byte
	dial := open(t, limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			return
		}
		http.NewResponseController(w).EnableFullDuplex()
		time.Sleep(500 * time.Millisecond) // it is watched, and the next request's first byte has come
		began := make(chan struct{})
		got.Go(func() {
			one := make([]byte, 1)
			for i := 0; ; i++ {
				n, err := r.Body.Read(one)
				mu.Lock()
				read = append(read, one[:n]...)
				mu.Unlock()
				if i == 100 || err != nil && i < 100 {
					close(began)
				}
				if err != nil {
					return
				}
			}
		})
		<-began
	})))
	conn := dial()
	sent := strings.Repeat(body, 300)
	fmt.Fprintf(conn, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(sent), sent)
	time.Sleep(100 * time.Millisecond)
	io.WriteString(conn, get)
	r := bufio.NewReader(conn)
	for range 2 {
		if status, _ := answer(t, r); status != 200 {
			t.Error(status)
		}
	}
	got.Wait()
	if !strings.HasPrefix(sent, string(read)) {
		t.Errorf("of the body came %.60q", read)
	}
}

// A handler that keeps a context although it says that it keeps nothing does
// wrong; but no goroutine of it ends the server.
func TestRelease_OfWhatIsKept(t *testing.T) {
	t.Parallel()
	kept := make(chan context.Context, 1)
	dial := open(t, limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept <- r.Context()
		lane.Release(w)
	})))
	conn := dial()
	io.WriteString(conn, get)
	if status, _ := answer(t, bufio.NewReader(conn)); status != 200 {
		t.Error(status)
	}
	conn.Close()
	ctx := <-kept
	for range 100 {
		if ctx.Value(http.ServerContextKey) != nil {
			t.Fatal("there is a server")
		}
		time.Sleep(time.Millisecond)
	}
}
