package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/coder/websocket"
)

// asked is how many requests a program counted that says so at /count.
func (g *target) asked(url string) int {
	g.Helper()
	status, body := call(g.T, g.client, "GET", url+"/count", "", "", "")
	n, err := strconv.Atoi(body)
	if status != 200 || err != nil {
		g.Fatal(status, body)
	}
	return n
}

// shut tries to get in without a key, in several ways; the program hears nothing.
func (g *target) shut(url string, requests ...string) {
	g.Helper()
	before := g.asked(url)
	for _, r := range requests {
		method, path, _ := strings.Cut(r, " ")
		for name, header := range map[string][2]string{
			"nothing shown":    {},
			"a wrong secret":   {"X-API-Key", "psk_x"},
			"identity headers": {"X-Postern-Key-Id", "pak_root"},
		} {
			req, err := http.NewRequestWithContext(g.Context(), method, url+path, strings.NewReader("x"))
			if err != nil {
				g.Fatal(err)
			}
			if header[0] != "" {
				req.Header.Set(header[0], header[1])
			}
			res, err := g.client.Do(req)
			if err != nil {
				g.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != 401 {
				g.Errorf("%s, %s: %s", r, name, res.Status)
			}
		}
	}
	if after := g.asked(url); after != before {
		g.Errorf("the program was asked %d times by who was refused", after-before)
	}
}

func (g *target) get(path string) *http.Response {
	g.Helper()
	req, err := http.NewRequestWithContext(g.Context(), "GET", path, nil)
	if err != nil {
		g.Fatal(err)
	}
	req.Header.Set("Authorization", g.basic)
	res, err := g.client.Do(req)
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { res.Body.Close() })
	return res
}

// TestPrograms_Go: a binary of Go's, built by the deploy, on a unix socket.
func TestPrograms_Go(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	url, said := g.example("http-go")
	for _, want := range []string{"/events", "access key", "/count", "open", "/health"} {
		if !strings.Contains(said, want) {
			t.Errorf("the deploy does not tell of %s:\n%s", want, said)
		}
	}
	g.shut(url, "GET /events", "POST /upper")
	if status, body := call(t, g.client, "GET", url+"/", "", "", ""); status != 200 || !strings.Contains(body, "hello from Go, request req_") {
		t.Error(status, body)
	}
	if status, _ := call(t, g.client, "GET", url+"/ready", g.key["POSTERN_KEY_ID"], g.key["POSTERN_KEY_SECRET"], ""); status != 404 {
		t.Errorf("a path that is no route: %d", status)
	}

	// Events come one by one, and the program learns that the caller has gone.
	res := g.get(url + "/events")
	lines := bufio.NewScanner(res.Body)
	var events []string
	for len(events) < 3 && lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: ") {
			events = append(events, lines.Text())
		}
	}
	if want := "data: 3 for " + g.key["POSTERN_KEY_ID"]; len(events) != 3 || events[2] != want {
		t.Errorf("%q, want %q last", events, want)
	}
	res.Body.Close()

	// A large body goes through in both directions at once.
	body, writer := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/upper", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", g.basic)
	answer := make(chan *http.Response, 1)
	go func() {
		res, err := g.client.Do(req)
		if err != nil {
			t.Error(err)
		}
		answer <- res
	}()
	io.WriteString(writer, "first")
	res = <-answer
	if res == nil {
		t.FailNow()
	}
	defer res.Body.Close()
	first := make([]byte, 5)
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "FIRST" {
		t.Fatalf("%q %v, before the body has ended", first, err)
	}
	go func() {
		writer.Write(bytes.Repeat([]byte("x"), 8<<20))
		writer.Close()
	}()
	if n, err := io.Copy(io.Discard, res.Body); err != nil || n != 8<<20 {
		t.Error(n, err)
	}
}

// TestPrograms_Python: a script of the standard library's server, on a port.
func TestPrograms_Python(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	url, said := g.example("http-python")
	if !strings.Contains(said, "reach past the gateway") {
		t.Errorf("the deploy does not warn of the port:\n%s", said)
	}
	g.shut(url, "GET /events", "POST /echo/x", "PUT /echo")
	res := g.get(url + "/events")
	if all, err := io.ReadAll(res.Body); err != nil || strings.Count(string(all), "data: ") != 5 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%q %v", all, err)
	}
	status, body := call(t, g.client, "POST", url+"/echo/a%20b?c=d", g.key["POSTERN_KEY_ID"], g.key["POSTERN_KEY_SECRET"], "hello")
	want := fmt.Sprintf(`{"method": "POST", "path": "/echo/a%%20b?c=d", "caller": %q, "credential": null, "body": "hello"}`, g.key["POSTERN_KEY_ID"])
	if status != 200 || body != want {
		t.Errorf("%d %s, want %s", status, body, want)
	}
}

// TestPrograms_NodeWebSocket: a server of node:http with a WebSocket by hand.
func TestPrograms_NodeWebSocket(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	url, _ := g.example("http-node")
	g.shut(url, "POST /echo", "GET /socket")
	if status, body := call(t, g.client, "GET", url+"/health", "", "", ""); status != 200 || body != "healthy, says the program" {
		t.Error("its own /health:", status, body)
	}
	dial := func(header http.Header) (*websocket.Conn, *http.Response, error) {
		return websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(url, "http")+"/socket", &websocket.DialOptions{HTTPHeader: header})
	}
	before := g.asked(url)
	for name, c := range map[string]struct {
		header http.Header
		status int
	}{
		"nothing shown":     {http.Header{}, 401},
		"from another page": {http.Header{"Authorization": {g.basic}, "Origin": {"https://evil.example"}}, 403},
	} {
		if _, res, err := dial(c.header); err == nil || res.StatusCode != c.status {
			t.Errorf("%s: %v %v", name, res, err)
		}
	}
	if now := g.asked(url); now != before {
		t.Errorf("the program heard %d handshakes that were refused", now-before)
	}
	conn, _, err := dial(http.Header{"Authorization": {g.basic}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	for _, message := range []string{"hello", strings.Repeat("x", 200), strings.Repeat("y", 70_000)} {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		conn.SetReadLimit(1 << 20)
		if _, got, err := conn.Read(t.Context()); err != nil || string(got) != message {
			t.Fatalf("%d bytes came back of %d: %v", len(got), len(message), err)
		}
	}
	// Its key ends, and so does it.
	id, secret := g.createKey("For a while")
	brief, _, err := dial(http.Header{"X-Api-Key": {secret}})
	if err != nil {
		t.Fatal(err)
	}
	defer brief.CloseNow()
	g.must("keys", "revoke", id)
	if _, _, err := brief.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Error("after its key was revoked:", err)
	}
	// A new version: who is connected is told to come again.
	g.must("functions", "deploy", "--force", filepath.Join("..", "..", "examples", "http-node"))
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Error("after a deploy:", err)
	}
}

// slowToAccept is a program that takes its connections one by one, with pauses:
// who waits for a new one is often answered on another that became free.
const slowToAccept = `import os, socket, threading, time
s = socket.socket(socket.AF_UNIX)
s.bind(os.environ['POSTERN_SOCKET'])
s.listen(0)
def serve(c):
    had = b''
    while True:
        while b'\r\n\r\n' not in had:
            more = c.recv(65536)
            if not more: return
            had += more
        head, had = had.split(b'\r\n\r\n', 1)
        who = [l for l in head.split(b'\r\n') if l.lower().startswith(b'x-who:')][0][6:].strip()
        time.sleep(0.002)
        c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(who) + who)
while True:
    c, _ = s.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
    time.sleep(0.02)
`

// TestPrograms_SlowToAccept: what makes a connection for a request goes on after
// that was answered, and finds nothing of the next caller's in its place.
func TestPrograms_SlowToAccept(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	dir := t.TempDir()
	g.files(dir, map[string]string{"postern.json": `{"name":"slow","runtime":"http","command":["python3","app.py"],"port":"socket","routes":[{"path":"GET /{$}","auth":"none"}]}`, "app.py": slowToAccept})
	g.must("functions", "deploy", dir)
	var callers sync.WaitGroup
	for i := range 24 {
		conn := g.dial()
		callers.Go(func() {
			defer conn.Close()
			r := bufio.NewReader(conn)
			for j := range 10 {
				who := fmt.Sprintf("%d of %d", j, i)
				fmt.Fprintf(conn, "GET /fn/slow/ HTTP/1.1\r\nHost: h\r\nX-Who: %s\r\n\r\n", who)
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Errorf("%s: %v", who, err)
					return
				}
				if body, err := io.ReadAll(res.Body); err != nil || string(body) != who {
					t.Errorf("%s: %s %q, %v", who, res.Status, body, err)
				}
			}
		})
	}
	callers.Wait()
}

// TestPrograms_CrashAndRedeploy: a program that ends is started again, and a
// deploy under load drops nothing.
func TestPrograms_CrashAndRedeploy(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	url, _ := g.example("http-node")
	id, secret := g.key["POSTERN_KEY_ID"], g.key["POSTERN_KEY_SECRET"]
	echo := func() (int, string) { return call(t, g.client, "POST", url+"/echo", id, secret, "x") }
	if status, body := echo(); status != 200 || body != "x" {
		t.Fatal(status, body)
	}
	pids := workers(g.data)
	if len(pids) != 1 {
		t.Fatalf("there are %d workers", len(pids))
	}
	syscall.Kill(pids[0], syscall.SIGKILL)
	eventually(t, "the program runs again", func() bool { status, _ := echo(); return status == 200 })
	if !strings.Contains(g.log(), `"a worker ended"`) || !strings.Contains(g.log(), "SIGKILL") {
		t.Error("the end of the worker has no reason in the log")
	}

	var stop atomic.Bool
	var calls, failed atomic.Int64
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for !stop.Load() {
				if status, body := echo(); status != 200 || body != "x" {
					failed.Add(1)
					t.Errorf("during a deploy: %d %s", status, body)
				}
				calls.Add(1)
			}
		})
	}
	for range 3 {
		g.must("functions", "deploy", "--force", filepath.Join("..", "..", "examples", "http-node"))
	}
	stop.Store(true)
	load.Wait()
	if calls.Load() < 20 || failed.Load() > 0 {
		t.Errorf("%d of %d calls failed", failed.Load(), calls.Load())
	}
	eventually(t, "the versions before have ended", func() bool { return len(workers(g.data)) == 1 })
}

// TestPrograms_DrainAtStop: a server that stops lets answers end, and leaves no
// process and no socket.
func TestPrograms_DrainAtStop(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	url, _ := g.example("http-python")
	res := g.get(url + "/events")
	first := make([]byte, 4)
	if _, err := io.ReadFull(res.Body, first); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- g.stop() }()
	if rest, err := io.ReadAll(res.Body); err != nil || strings.Count(string(rest), "data: ") != 4 {
		t.Errorf("%q %v", rest, err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("%v\n%s", err, g.log())
	}
	if left := workers(g.data); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if strings.Contains(g.log(), "did not drain in time") {
		t.Error("the program was killed")
	}
}

// caller is a program that calls the function that its path names.
const caller = `
import http.client, http.server, os, socket
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ['POSTERN_CALLS_SOCKET'])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name, path = self.path[1:].split('/', 1)
        token = open(os.environ['POSTERN_CALLS_TOKEN_FILE']).read()
        if name == 'forged': token += 'x'
        c = Connection(name + '.internal')
        c.request('GET', '/' + path, headers={'X-Postern-Token': token, 'X-Postern-Request': self.headers['X-Request-Id'], 'X-Postern-Hops': self.headers['X-Postern-Hops']})
        answer = c.getresponse()
        self.send_response(answer.status)
        self.end_headers()
        self.wfile.write(answer.read())
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
`

// TestPrograms_CallFunctions: a program calls functions of its project, private
// ones too, with the token in its file; and functions call programs.
func TestPrograms_CallFunctions(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	dir := t.TempDir()
	g.files(dir, map[string]string{"postern.json": `{"name":"caller","runtime":"http","command":["python3","app.py"]}`, "app.py": caller})
	g.must("functions", "deploy", dir)
	g.deployed(`{"name":"f","runtime":"node","visibility":"private"}`, `let ran = 0; export const hello = (c: any) => { ran++; return { by: c.identity.functionName ?? c.identity.function ?? c.identity, ran }; };
export const relay = async (c: any) => (await c.functions.call('caller', { path: '/f/hello' })).json();`)
	id, secret := g.key["POSTERN_KEY_ID"], g.key["POSTERN_KEY_SECRET"]
	if status, body := call(t, g.client, "GET", g.gateway+"/fn/caller/f/hello", id, secret, ""); status != 200 || !strings.Contains(body, `"caller"`) || !strings.Contains(body, `"ran":1`) {
		t.Error(status, body)
	}
	for path, want := range map[string]int{"forged/hello": 401, "nobody/hello": 404, "f/nothing": 404} {
		if status, body := call(t, g.client, "GET", g.gateway+"/fn/caller/"+path, id, secret, ""); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, body, want)
		}
	}
	if status, body := call(t, g.client, "GET", g.gateway+"/fn/caller/caller/caller/caller/caller/caller/caller/caller/caller/caller/caller/f/hello", id, secret, ""); status != 508 {
		t.Errorf("in a circle: %d %s", status, body)
	}
	if status, body := call(t, g.client, "GET", g.gateway+"/fn/caller/f/relay", id, secret, ""); status != 200 || !strings.Contains(body, `"ran":2`) {
		t.Error("a program, a function, the program and the function again:", status, body)
	}
}

// script deploys a program in Python, whose handler's body is given.
func (s *site) script(manifest, get string) (string, error) {
	s.Helper()
	dir := s.TempDir()
	s.files(dir, map[string]string{"postern.json": manifest, "app.py": `import http.server, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_GET(self):
` + get + `
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
`})
	return s.command("functions", "deploy", dir)
}

const scripted = `{"name":"p","runtime":"http","command":["python3","app.py"]}`

// TestPrograms_DeployTells: a deploy of what does not start says why, and changes
// nothing.
func TestPrograms_DeployTells(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	const version = "        self.send_response(200); self.end_headers(); self.wfile.write(b'one')\n"
	if said, err := g.script(scripted, version); err != nil || !strings.Contains(said, g.gateway+"/fn/p") || !strings.Contains(said, "curl -u") {
		t.Fatal(said, err)
	}
	for name, c := range map[string]struct{ manifest, get, want string }{
		"a command that is not there": {strings.Replace(scripted, "python3", "pythonn", 1), version, `the command "pythonn" was not found on the server`},
		"one that ends":               {scripted, version + "sys.exit('no configuration')", "no configuration"},
		"one that is no Python":       {scripted, version + "import nothing_of_this_name", "No module named 'nothing_of_this_name'"},
		"one that listens to all":     {scripted, version + "http.server.HTTPServer(('', int(os.environ['PORT'])), Handler).serve_forever()", "reach it past the gateway"},
		"a field of a module":         {strings.Replace(scripted, "}", `,"handlers":{}}`, 1), version, "postern.json:1:61: handlers is of a module's exports"},
		"a route of an export":        {strings.Replace(scripted, "}", `,"routes":[{"path":"/a","handler":"x"}]}`, 1), version, `route 1 names the handler "x"`},
	} {
		said, err := g.script(c.manifest, c.get)
		if err == nil || !strings.Contains(said, c.want) || strings.Contains(said, g.key["POSTERN_KEY_SECRET"]) {
			t.Errorf("%s: %v, want %q:\n%s", name, err, c.want, said)
		}
	}
	if status, body := call(t, g.client, "GET", g.gateway+"/fn/p/x", g.key["POSTERN_KEY_ID"], g.key["POSTERN_KEY_SECRET"], ""); status != 200 || body != "one" {
		t.Error("the version before:", status, body)
	}
	eventually(t, "nothing is left of those that did not start", func() bool { return len(workers(g.data)) == 1 })
}

// TestPrograms_Timeout: it bounds the time until an answer begins, and each pause
// in it, and not the answer.
func TestPrograms_Timeout(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	said, err := g.script(strings.Replace(scripted, "}", `,"routes":[{"path":"GET /{how}","timeout":"1s"}]}`, 1), `        if self.path == '/late': time.sleep(3)
        self.send_response(200); self.end_headers()
        for n in range(5):
            try: self.wfile.write(b'piece '); self.wfile.flush()
            except OSError: return
            time.sleep(3 if self.path == '/stuck' else 0.4)
`)
	if err != nil {
		t.Fatal(said)
	}
	if res := g.get(g.gateway + "/fn/p/late"); res.StatusCode != 504 {
		t.Errorf("an answer that does not begin: %s", res.Status)
	}
	res := g.get(g.gateway + "/fn/p/steady")
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != strings.Repeat("piece ", 5) {
		t.Errorf("one of two seconds: %q %v", body, err)
	}
	res = g.get(g.gateway + "/fn/p/stuck")
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("one that pauses for too long: %q, as if it were whole", body)
	}
}

// TestPrograms_Logs: what a program writes is in its function's log, cut where a
// line is too long, and its calls are counted.
func TestPrograms_Logs(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	said, err := g.script(scripted, `        print('asked by', self.headers['X-Request-Id']); print('x' * 200_000, file=sys.stderr); print('after it')
        self.send_response(200); self.end_headers(); time.sleep(0.1)
`)
	if err != nil {
		t.Fatal(said)
	}
	for range 3 {
		res := g.get(g.gateway + "/fn/p/")
		if _, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 {
			t.Fatal(res.Status, err)
		}
	}
	if status, _ := call(t, g.client, "GET", g.gateway+"/fn/p/", "", "", ""); status != 401 {
		t.Fatal(status)
	}
	var logs string
	eventually(t, "its lines are there", func() bool { logs = g.must("functions", "logs", "p"); return strings.Count(logs, "after it") == 3 })
	if strings.Count(logs, "asked by req_") != 3 || !strings.Contains(logs, "[cut]") || strings.Contains(logs, strings.Repeat("x", 100_000)) {
		t.Errorf("%.2000s", logs)
	}
	eventually(t, "its calls are counted", func() bool {
		usage := g.must("usage", "--json")
		return strings.Contains(usage, `"invocations":3`) && !strings.Contains(usage, `"computeMs":0`)
	})
}

// TestPrograms_NoUpstreamLeadsToTheirPort: a policy cannot lead round a program's
// door, whoever's it is.
func TestPrograms_NoUpstreamLeadsToTheirPort(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	url, _ := g.example("http-python")
	pids := workers(g.data)
	if len(pids) != 1 {
		t.Fatalf("there are %d workers", len(pids))
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pids[0]))
	_, port, ok := strings.Cut(string(environ), "\x00PORT=")
	port, _, _ = strings.Cut(port, "\x00")
	if err != nil || !ok {
		t.Fatal(err, "no port")
	}
	before := g.asked(url)
	for i, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		file := filepath.Join(t.TempDir(), "gateway.yaml")
		text := fmt.Sprintf("version: 1\nupstreams:\n  past%d:\n    url: http://%s:%s\n    routes:\n      /{path...}: { auth: none }\n", i, host, port)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		g.must("apply", "-f", file)
		if status, body := call(t, g.client, "GET", fmt.Sprintf("%s/fn/past%d/echo/x", g.gateway, i), "", "", ""); status != 502 {
			t.Errorf("%s: %d %s", host, status, body)
		}
	}
	if after := g.asked(url); after != before {
		t.Errorf("the program was asked %d times past its door", after-before)
	}
}
