package main_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// talking is a function with WebSockets of several minds, which counts who came.
const talking = `
let ran = 0; let messages = 0; let closed: unknown[] = []; let started: string[] = [];
export const auth = ['/guarded', 'secret'];
export const told = () => ({ ran, messages, closed, started });
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
	ctx, cancel := context.WithTimeout(g.Context(), 10*time.Second)
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
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
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
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		if _, _, err := c.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
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
	Ran, Messages int
	Closed        [][]any
	Started       []string
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
