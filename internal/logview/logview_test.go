//go:build unix

package logview_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/logview"
)

// person is somebody at a terminal.
type person struct {
	t      *testing.T
	tty    *os.File // our side
	screen *screen
	done   chan error
	feed   chan api.LogEntry
}

// sit opens a terminal of a size and shows a log on it.
func sit(t *testing.T, w, h int, o logview.Options) *person {
	t.Helper()
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, tty: ours, screen: newScreen(w, h), done: make(chan error, 1), feed: make(chan api.LogEntry)}
	p.resize(w, h)
	go io.Copy(p.screen, ours)
	o.Name = "shop"
	o.Clean = func(s string) string { return strings.ReplaceAll(s, "\x1b", "") }
	o.Follow = func(ctx context.Context, take func(api.LogEntry), said func(error)) error {
		for {
			select {
			case e := <-p.feed:
				take(e)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan struct{})
	go func() { defer close(ended); p.done <- logview.Run(ctx, theirs, theirs, o) }()
	// theirs is left to the garbage collector: who reads it may be at it a moment
	// longer than Run.
	t.Cleanup(func() { cancel(); <-ended; ours.Close() })
	return p
}

func (p *person) resize(w, h int) {
	p.screen.resize(w, h)
	if err := pty.Setsize(p.tty, &pty.Winsize{Rows: uint16(h), Cols: uint16(w)}); err != nil {
		p.t.Fatal(err)
	}
	syscall.Kill(os.Getpid(), syscall.SIGWINCH) // the terminal is nobody's own, which the system would tell
}

func (p *person) press(keys ...string) {
	p.t.Helper()
	for _, k := range keys {
		if _, err := io.WriteString(p.tty, k); err != nil {
			p.t.Fatal(err)
		}
	}
}

// sees waits until a text is on the screen, or is no more.
func (p *person) sees(text string, there bool) string {
	p.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		shown := p.screen.String()
		if strings.Contains(shown, text) == there {
			return shown
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%q there: not %v, on\n%s", text, there, shown)
		}
	}
}

const (
	up, down, pgUp, enter, esc = "\x1b[A", "\x1b[B", "\x1b[5~", "\r", "\x1b"
)

func call(n, status int, path string) api.LogEntry {
	at := time.Date(2026, 1, 2, 3, 4, n%60, 0, time.Local)
	return api.LogEntry{ID: fmt.Sprint(n), Time: at, Level: "info", RequestID: fmt.Sprintf("req_%d", n), Invocation: &api.Invocation{
		Request:  api.LogRequest{Time: at, Method: "POST", URL: "https://shop.localhost" + path, Auth: "basic", Headers: map[string]string{"authorization": "[removed]", "content-type": "application/json", "content-length": "7", "x-quote": "it's", "bad:name": "x"}},
		Response: api.LogResponse{Status: status, Headers: map[string]string{"x-answer": "42"}}, ExecutionTimeMS: 12.3, MemoryUsage: 64 << 20, ColdStart: true}}
}

func line(n int, text string) api.LogEntry {
	return api.LogEntry{Time: time.Date(2026, 1, 2, 3, 4, n%60, 0, time.Local), Level: "warning", RequestID: fmt.Sprintf("req_%d", n), Text: text}
}

func history() (list []api.LogEntry) {
	for n := range 40 {
		list = append(list, line(n, fmt.Sprintf("console of %d \x1b[31m", n)), call(n, 200+100*(n%4), fmt.Sprintf("/orders/%d?a=1", n)))
	}
	return append(list, api.LogEntry{Time: time.Now(), Level: "error", Text: "outside of any call"})
}

// A person's way through a log: down and up, into a call, copies, a search, and out.
func TestBrowser(t *testing.T) {
	t.Parallel()
	p := sit(t, 80, 24, logview.Options{Entries: history()})
	shown := p.sees("outside of any call", true)
	if !strings.Contains(shown, "POST    /orders/39?a=1") || !strings.Contains(shown, "12.3ms") && !strings.Contains(shown, "12ms") || strings.Contains(shown, "/orders/5?") {
		t.Errorf("the newest first seen:\n%s", shown)
	}
	p.press(up, up, enter)
	shown = p.sees("console of 38", true)
	for _, want := range []string{"POST https://shop.localhost/orders/38?a=1", "answered 400 in", "cold start", "64 MiB", "content-type: application/json", "x-answer: 42", "authorization: [removed]", "req_38"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	p.press("C")
	shown = p.sees("curl --globoff", true)
	want := `curl --globoff -X 'POST' 'https://shop.localhost/orders/38?a=1' -u "$POSTERN_KEY_ID:$POSTERN_KEY_SECRET" -H 'content-type: application/json' -H 'x-quote: it'\''s' --data-binary @body`
	if !strings.Contains(strings.ReplaceAll(shown, "\n", ""), want) {
		t.Errorf("copied:\n%s", shown)
	}
	p.press(esc)
	p.sees("Console", true)
	p.press("J")
	p.sees(`"method": "POST"`, true)
	p.press("G")
	p.sees(`"executionTimeMs": 12.3`, true)
	p.press("q")
	p.sees("Console", true)
	p.press("q")
	p.sees("outside of any call", true)
	p.press("k", "j", pgUp, pgUp)
	p.sees("/orders/0?", true)
	p.press("/", "orders/12", enter)
	p.sees("/orders/11?", false)
	p.sees("> 03:04:12 POST    /orders/12?a=1", true)
	p.press(enter)
	p.sees("console of 12", true)
	p.press("q", esc)
	p.sees("outside of any call", true)
	p.press("/", "nowhere", enter)
	p.sees(`nothing has "nowhere" in it`, true)
	p.press("q")
	if err := <-p.done; err != nil {
		t.Error(err)
	}
	p.sees(`"text": "console of 38`, true) // what was copied last, for a terminal that does not take it
	p.screen.mu.Lock()
	defer p.screen.mu.Unlock()
	var clip string
	for _, title := range p.screen.titles {
		if data, ok := strings.CutPrefix(title, "52;c;"); ok && clip == "" {
			text, _ := base64.StdEncoding.DecodeString(data)
			clip = string(text)
		}
	}
	if clip != want {
		t.Errorf("the clipboard has %q", clip)
	}
}

// What comes while the log is followed is shown; who looks at something else is
// left alone.
func TestBrowser_Follows(t *testing.T) {
	t.Parallel()
	p := sit(t, 80, 24, logview.Options{Following: true})
	p.sees("waiting for what shop writes", true)
	for _, e := range history()[:40] {
		p.feed <- e
	}
	p.sees("/orders/19?", true)
	p.feed <- line(70, "still running")
	p.sees("> 03:04:10", true)
	p.press(up, up, up)
	p.sees("> 03:04:17", true)
	for n := range 100 {
		p.feed <- call(1000+n, 200, fmt.Sprintf("/later/%d", n))
	}
	if shown := p.sees("> 03:04:17", true); strings.Contains(shown, "/later/99") {
		t.Errorf("the reader was taken along:\n%s", shown)
	}
	p.press("G")
	p.sees("/later/99", true)
	p.feed <- call(70, 200, "/now/over")
	p.press("k", "j")
	p.sees("following", true)
	p.press("f")
	p.sees("following", false)
	select {
	case p.feed <- line(1, "nobody looks"):
		t.Error("the log is followed on")
	default:
	}
	p.press("f")
	p.sees("following", true)
	p.feed <- api.LogEntry{Time: time.Now(), Level: "info", Text: "again"}
	p.sees("again", true)
	p.press("\x03")
	if err := <-p.done; err != nil {
		t.Error(err)
	}
}

// A window of any size shows no line that is too long, and wide characters and
// long paths are where they belong.
func TestBrowser_Sizes(t *testing.T) {
	t.Parallel()
	wide := call(1, 200, "/"+strings.Repeat("語", 300))
	long := call(2, 503, "/"+strings.Repeat("abcdefghij", 100))
	text := line(2, strings.Repeat("é語x", 400)+"\tEND\nsecond line")
	p := sit(t, 160, 50, logview.Options{Entries: []api.LogEntry{wide, text, long}})
	p.sees("… 503", true)
	for _, size := range [][2]int{{80, 24}, {20, 6}, {10, 4}, {160, 50}} {
		p.resize(size[0], size[1])
		p.sees("> 03", true)
		if lines := strings.Split(p.screen.String(), "\n"); len(lines) > size[1]+1 {
			t.Errorf("%v: %d lines", size, len(lines))
		}
	}
	p.press(enter)
	p.sees("Console", true)
	p.press("G")
	p.sees("second line", true)
	p.press("q", "q")
	if err := <-p.done; err != nil {
		t.Error(err)
	}
}

// A flood neither stalls the screen nor grows without end. No other test may run
// meanwhile: what is measured is the whole heap.
func TestBrowser_Flood(t *testing.T) {
	p := sit(t, 80, 24, logview.Options{Following: true})
	p.sees("waiting", true)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	text := strings.Repeat("x", 2000)
	began := time.Now()
	const n = 50_000
	for i := range n {
		p.feed <- api.LogEntry{Time: time.Now(), Level: "info", Text: fmt.Sprintf("flood %d %s", i, text)}
	}
	if took := time.Since(began); took > time.Minute { // 5,000 lines a second, and a busy machine
		t.Errorf("%d lines took %v", n, took)
	}
	p.sees(fmt.Sprintf("flood %d ", n-1), true)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 96<<20 {
		t.Errorf("%d MiB are held", grown>>20)
	}
	p.press("q")
	if err := <-p.done; err != nil {
		t.Error(err)
	}
}
