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

	"postern.dev/postern/internal/wire/wiretest"
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

// served is what net/http makes of a client's bytes that came through a Conn:
// the requests that its handler saw, and all that it answered.
func served(text []byte, size int) (all []seen, answers string, wrong string) {
	c := wiretest.NewClient(text, size)
	var mu sync.Mutex
	srv := &http.Server{DisableGeneralOptionsHandler: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, seen{n, err == nil})
	})}
	srv.ErrorLog = nil
	wiretest.Serve(srv, New(c, func(_ net.Addr, why string) { wrong = why }), c)
	mu.Lock()
	defer mu.Unlock()
	return all, string(c.Answered()), wrong
}

const get = wiretest.Get

// The same bytes mean the same however they arrive, and net/http sees nothing
// of what is refused, nor of what follows it.
func TestConn_LetsThroughWhatHasOneReading(t *testing.T) {
	t.Parallel()
	for _, row := range wiretest.Rows {
		text := []byte(get + row.Text + get)
		for _, size := range []int{0, 1, 7} {
			good, wrong := followed(text, size)
			if wrong != row.Wrong {
				t.Errorf("%s, by %d: %q, want %q", row.Name, size, wrong, row.Wrong)
			}
			if (wrong == "") != (good == len(text)) {
				t.Errorf("%s, by %d: %q after %d of %d bytes", row.Name, size, wrong, good, len(text))
			}
			all, answers, told := served(text, size)
			want, _ := requests(text)
			if told != wrong || !slices.Equal(all, want) {
				t.Errorf("%s, by %d: net/http saw %v, of %v; told %q", row.Name, size, all, want, told)
			}
			statuses := statusesOf(answers)
			switch last := statuses[len(statuses)-1]; {
			case row.Wrong == "" && (len(all) != 3 || last != 200):
				t.Errorf("%s, by %d: answers %v", row.Name, size, statuses)
			case row.Wrong != "" && (len(all) > 2 || statuses[0] != 200 || last != 400 && last != 501 && all[len(all)-1].whole):
				t.Errorf("%s, by %d: answers %v to %v", row.Name, size, statuses, all)
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
	for _, row := range wiretest.Rows {
		f.Add([]byte(row.Text+get), byte(0))
		f.Add([]byte(get+row.Text+get), byte(3))
	}
	if len(wiretest.Rows) < 80 {
		f.Fatalf("%d rows to begin with", len(wiretest.Rows))
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
	text := []byte(get + wiretest.Head + "Content-Length: 2\r\nUser-Agent: a\r\n\r\nhi" + wiretest.Head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
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
	c := New(wiretest.NewClient([]byte(upgrade+frames), 0), nil)
	buf := make([]byte, len(upgrade))
	if _, err := io.ReadFull(c, buf); err != nil {
		t.Fatal(err)
	}
	c.Hijacked()
	if got, err := io.ReadAll(c); err != nil || string(got) != frames {
		t.Errorf("after it was taken over: %q, %v", got, err)
	}
	c = New(wiretest.NewClient([]byte(upgrade+frames), 0), nil)
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
