package main_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// talking is a function with WebSockets of several minds, which counts who came.
const talking = `
let ran = 0; let messages = 0; let closed: unknown[] = []; let started: string[] = [];
export const auth = ['/guarded', 'secret'];
export const told = () => ({ ran, messages, closed, started, pid: process.pid });
export const secret = () => 'in';
export function setup(runtime: any) {
  runtime.onStartup(async (context: any) => { started.push('first:' + context.config.functionName + ':' + context.requestId); });
  runtime.onStartup(() => { started.push('second'); });
  const echo = (ws: any, req: any) => {
    ran++;
    ws.on('message', (data: any, isBinary: boolean) => { messages++; ws.send(isBinary ? data : data.toString()); });
    ws.on('close', (code: number, reason: any) => closed.push([req.path, code, String(reason)]));
  };
  runtime.onWebSocket('/guarded', echo);
  runtime.onWebSocket('/open', echo);
  runtime.onWebSocket('/throws', (ws: any, req: any) => {
    ran++;
    ws.onmessage = () => { throw new Error('a mistake in a listener'); };
    ws.onclose = (e: any) => closed.push([req.path, e.code, e.reason]);
  });
  runtime.onWebSocket('/deaf', () => { ran++; });
  runtime.onWebSocket('/floods', (ws: any) => { ran++; ws.onmessage = () => { for (let i = 0; i < 64; i++) ws.send(new Uint8Array(65536)); }; });
}
`

// talk opens a WebSocket of the function.
func (g *target) talk(path string, header http.Header) (*websocket.Conn, *http.Response, error) {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), time.Minute)
	defer cancel()
	c, res, err := websocket.Dial(ctx, g.gateway+"/fn/f"+path, &websocket.DialOptions{HTTPHeader: header})
	if err == nil {
		c.SetReadLimit(-1)
		g.Cleanup(func() { c.CloseNow() })
	}
	return c, res, err
}

// says sends a text and returns what comes back.
func says(t *testing.T, c *websocket.Conn, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	_, m, err := c.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return string(m)
}

// ending is how a WebSocket ends.
func ending(t *testing.T, c *websocket.Conn) websocket.StatusCode {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if _, _, err := c.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// chat is a WebSocket that is read all the time: only so are pings answered.
type chat struct {
	t    *testing.T
	c    *websocket.Conn
	said chan string
	end  chan websocket.StatusCode
}

func follow(t *testing.T, c *websocket.Conn) *chat {
	h := &chat{t, c, make(chan string, 1), make(chan websocket.StatusCode, 1)}
	go func() {
		defer close(h.said)
		for {
			_, m, err := c.Read(context.Background())
			if err != nil {
				h.end <- websocket.CloseStatus(err)
				return
			}
			h.said <- string(m)
		}
	}()
	return h
}

// says sends a text and returns what comes back.
func (h *chat) says(text string) string {
	h.t.Helper()
	if err := h.c.Write(h.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		h.t.Fatal(err)
	}
	return <-h.said
}

func newTalking(t *testing.T, flags ...string) *target {
	t.Helper()
	s := newSite(t)
	if len(flags) > 0 {
		s.stop()
		s.start(flags...)
	}
	s.deployed(`{"name":"f","runtime":"node"}`, talking)
	return s.target()
}

// heard is what the function says of its WebSockets.
type heard struct {
	Ran, Messages, Pid int
	Closed             [][]any
	Started            []string
}

func (g *target) heard() (h heard) {
	g.Helper()
	res, err := g.client.Get(g.gateway + "/fn/f/told")
	if err != nil {
		g.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&h); err != nil {
		g.Fatal(err)
	}
	return h
}

func TestSockets_Echo(t *testing.T) {
	t.Parallel()
	g := newTalking(t)
	c, res, err := g.talk("/guarded", http.Header{"Authorization": {g.basic}})
	if err != nil {
		t.Fatal(err, res)
	}
	for _, text := range []string{"", "grüß", strings.Repeat("x", 70000), strings.Repeat("ä", 400000)} {
		if got := says(t, c, text); got != text {
			t.Errorf("%d bytes come back as %d", len(text), len(got))
		}
	}
	c.Close(websocket.StatusNormalClosure, "bye")
}

// How a WebSocket ends, and that the others do not end with it.
func TestSockets_Ends(t *testing.T) {
	t.Parallel()
	g := newTalking(t, "--drain-timeout", "5s", "--socket-ping", "300ms") // longer than a deploy takes to end on a busy machine
	shown := http.Header{"Authorization": {g.basic}}
	open := func(path string) *websocket.Conn {
		t.Helper()
		c, res, err := g.talk(path, shown)
		if err != nil {
			t.Fatal(err, res)
		}
		return c
	}
	if h := g.heard(); !slices.Equal(h.Started, []string{"first:f:", "second"}) {
		t.Errorf("before the first request: %q", h.Started)
	}

	// A mistake in a listener ends its own socket.
	stays, throws := follow(t, open("/guarded")), open("/throws")
	throws.Write(t.Context(), websocket.MessageText, []byte("x"))
	if code := ending(t, throws); code != websocket.StatusInternalError {
		t.Errorf("a listener that throws: %d", code)
	}
	eventually(t, "its own close listener is called", func() bool {
		return slices.ContainsFunc(g.heard().Closed, func(c []any) bool { return c[0] == "/throws" && c[1] == float64(1011) })
	})
	if got := stays.says("still there"); got != "still there" {
		t.Errorf("%q", got)
	}
	if log := g.must("functions", "logs", "f"); !strings.Contains(log, "a mistake in a listener") {
		t.Errorf("the function's log: %s", log)
	}

	// A client that sends to a handler who does not read is held up, and who does not
	// read what a handler sends holds that up: neither takes memory beyond the window.
	deaf, flood := open("/deaf"), open("/floods")
	sent := 0
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for deaf.Write(ctx, websocket.MessageBinary, make([]byte, 65536)) == nil {
		sent++
	}
	if sent > 300 { // a window, and what two sockets of the kernel hold
		t.Errorf("a handler that does not read was sent %d times 64 KiB", sent)
	}
	flood.Write(t.Context(), websocket.MessageText, []byte("go"))
	if got := stays.says("beside it"); got != "beside it" {
		t.Errorf("%q", got)
	}
	flood.CloseNow()

	// A client that answers no ping is gone.
	conn := g.dial()
	io.WriteString(conn, "GET /fn/f/open HTTP/1.1\r\nHost: h\r\n"+handshake+"\r\n")
	if _, err := io.ReadAll(conn); err != nil { // until it is cut off
		t.Errorf("who answers no ping: %v", err)
	}
	eventually(t, "the handler hears that it is gone", func() bool {
		return slices.ContainsFunc(g.heard().Closed, func(c []any) bool { return c[0] == "/open" && c[1] == float64(1006) })
	})
	if got := stays.says("answers pings"); got != "answers pings" {
		t.Errorf("%q", got)
	}

	// A deploy leaves open ones to the version before, for the drain timeout.
	g.deployed(`{"name":"f","runtime":"node"}`, talking+"// the next\n")
	if got := stays.says("the version before"); got != "the version before" {
		t.Errorf("%q", got)
	}
	if code := <-stays.end; code != websocket.StatusGoingAway {
		t.Errorf("after a deploy: %d", code)
	}

	// The worker is killed.
	killed := open("/guarded")
	says(t, killed, "x")
	syscall.Kill(g.heard().Pid, syscall.SIGKILL)
	if code := ending(t, killed); code != websocket.StatusServiceRestart {
		t.Errorf("after its worker was killed: %d", code)
	}

	// The next one starts a worker; the server stops.
	last := open("/guarded")
	done := make(chan websocket.StatusCode, 1)
	go func() { done <- ending(t, last) }()
	if err := g.stop(); err != nil {
		t.Errorf("the server: %v", err)
	}
	if code := <-done; code != websocket.StatusGoingAway {
		t.Errorf("when the server stops: %d", code)
	}
}

// A deploy says what was wrong with setup, and traffic stays.
func TestSockets_SetupFails(t *testing.T) {
	t.Parallel()
	g := newTalking(t)
	dir := t.TempDir()
	for name, c := range map[string]struct{ source, says string }{
		"setup throws":              {`export function setup() { throw new Error('no luck'); }`, "setup threw: Error: no luck"},
		"a hook rejects":            {`export function setup(r) { r.onStartup(async () => { throw new Error('no database'); }); }`, "a startup hook threw: Error: no database"},
		"a path that is none":       {`export function setup(r) { r.onWebSocket('chat', () => {}); }`, "begins with a slash"},
		"the address of a handler":  {`export function setup(r) { r.onWebSocket('/x/told', () => {}); }`, "the WebSocket /x/told has the address of the handler told"},
		"the address of /health":    {`export function setup(r) { r.onWebSocket('/health', () => {}); }`, "the built-in health answer"},
		"the address of a callback": {`export function setup(r) { r.onWebSocket('/x/ice', () => {}); }`, "a voice callback"},
		"auth names another":        {`export const auth = ['/chat']; export function setup(r) { r.onWebSocket('/chats', () => {}); }`, "/chats"},
	} {
		g.files(dir, map[string]string{"postern.json": `{"name":"f","runtime":"node"}`, "function.ts": "export const told = () => 'another';\n" + c.source + "\n"})
		if out, err := g.command("functions", "deploy", dir); err == nil || !strings.Contains(out, c.says) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if h := g.heard(); len(h.Started) != 2 {
		t.Errorf("traffic did not stay: %+v", h)
	}
	out := g.deployed(`{"name":"f","runtime":"node","handlers":{"/guarded":{"cors":{"origins":["https://shop.example"]}}}}`, talking)
	for _, row := range []string{"/guarded", "WebSocket", "access key"} {
		if !strings.Contains(out, row) {
			t.Errorf("the routes lack %q:\n%s", row, out)
		}
	}
	if _, res, err := g.talk("/guarded", http.Header{"Authorization": {g.basic}, "Origin": {"https://shop.example"}}); err != nil {
		t.Errorf("from a page that cors lists: %v %v", err, res)
	}
}

// A worker has so many WebSockets at a time, and calls beside them; it is not
// stopped while one is open; and each is one call when it ends.
func TestSockets_Limits(t *testing.T) {
	t.Parallel()
	g := newTalking(t, "--max-sockets", "2", "--max-in-flight", "1", "--idle-timeout", "200ms")
	shown := http.Header{"Authorization": {g.basic}}
	first, _, err := g.talk("/guarded", shown)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := g.talk("/guarded", shown)
	if err != nil {
		t.Fatal(err)
	}
	if _, res, err := g.talk("/guarded", shown); err == nil || res == nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the third: %v, %v", res, err)
	}
	pid := g.heard().Pid
	time.Sleep(600 * time.Millisecond) // as long as a worker without anything would be stopped
	if got := says(t, first, "kept"); got != "kept" || g.heard().Pid != pid {
		t.Errorf("%q, and another worker: %v", got, g.heard().Pid != pid)
	}
	second.Close(websocket.StatusNormalClosure, "")
	eventually(t, "there is room again", func() bool {
		c, _, err := g.talk("/guarded", shown)
		if err == nil {
			c.CloseNow()
		}
		return err == nil
	})
	first.Close(websocket.StatusNormalClosure, "")
	eventually(t, "the access log has it", func() bool {
		return strings.Contains(g.log(), `"path":"/fn/f/guarded","decision":"allowed","status":101,"bytesIn":4,"bytes":4`)
	})
}
