package devserver_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/devserver"
	"postern.dev/postern/internal/environ"
)

const pythonServer = `import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ("%s " + os.environ.get("ASPNETCORE_ENVIRONMENT", "")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
`

// A program is restarted when a file of it is saved, and by nothing that its own
// build writes.
func TestProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{
		"postern.json": `{"name":"f","runtime":"http","command":["python3","app.py"],"build":["sh","-c","date +%N > built.txt"],"routes":[{"path":"/{path...}","auth":"none"}]}`,
		"app.py":       fmt.Sprintf(pythonServer, "one"),
	}, nil)
	if got := w.get("/x"); got.body != "one Development" {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	w.save("app.py", fmt.Sprintf(pythonServer, "two"))
	if got := w.get("/x"); got.body != "two Development" {
		t.Errorf("saved: %d %s", got.StatusCode, got.body)
	}
	for range 3 {
		w.get("/x") // waits for whatever a build would have begun
	}
	if n := len(w.builds()); n > 3 { // the second may see what the first had made
		t.Errorf("%d builds of one save", n)
	}
	w.save("app.py", "import sys; sys.exit('no port today')\n")
	if got := w.get("/x"); got.StatusCode != 500 || !strings.Contains(got.body, "no port today") {
		t.Errorf("one that ends: %d %s", got.StatusCode, got.body)
	}
	w.save("app.py", fmt.Sprintf(pythonServer, "three"))
	if got := w.get("/x"); got.body != "three Development" {
		t.Errorf("mended: %d %s", got.StatusCode, got.body)
	}
}

// The inspector listens on loopback alone, one worker has it, and a save brings it back.
func TestInspect(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	w := newWorld(t, map[string]string{"function.ts": open(`"one"`)}, func(o *devserver.Options) { o.Inspect = port })
	listening := func() bool {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	if got := w.get("/a"); got.body != "one" || !listening() {
		t.Errorf("%d %s, listening %v", got.StatusCode, got.body, listening())
	}
	w.save("function.ts", open(`"two"`))
	if got := w.get("/a"); got.body != "two" || !listening() {
		t.Errorf("after a save: %d %s, listening %v", got.StatusCode, got.body, listening())
	}
	if n := len(w.children()); n != 1 {
		t.Errorf("%d processes", n)
	}
	for _, e := range w.events() {
		if e.Line != nil {
			t.Errorf("the function wrote nothing, and it is told: %s", e.Line.Text)
		}
	}
}

func freePort(t *testing.T) int {
	ln := listen(t)
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// No value of a secret is in what a function writes, nor in what is told of it.
func TestSecrets_AreNotTold(t *testing.T) {
	t.Parallel()
	const value = "hunter2-hunter2"
	w := newWorld(t, map[string]string{
		"postern.json": `{"name":"f","runtime":"node","secrets":["STRIPE_KEY"]}`, ".env": "STRIPE_KEY=" + value + "\n",
		"function.ts": "export const auth = ['b'];\nexport const a = () => { console.log('key', process.env.STRIPE_KEY, btoa(process.env.STRIPE_KEY!)); return 'a'; };\nexport const b = () => 'b';\n",
	}, func(o *devserver.Options) {
		o.Settings = withPair(o.Settings, &devserver.Pair{KeyID: "k", Secret: environ.NewValue("pair-secret-1")})
	})
	w.get("/a")
	if got := w.get("/b", basic("k", "pair-secret-1")); got.StatusCode != http.StatusOK {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	until(t, "both are told of", func() bool { return strings.Count(fmt.Sprintf("%+v", w.events()), "Request:0x") == 2 })
	for _, e := range w.events() {
		text := fmt.Sprintf("%+v", e)
		if e.Request != nil {
			text += fmt.Sprintf("%+v", *e.Request)
		}
		if e.Line != nil {
			text += e.Line.Text
		}
		if e.Build != nil && e.Build.Function != nil {
			text += fmt.Sprintf("%+v", *e.Build.Function)
		}
		for _, secret := range []string{value, "aHVudGVyMi1odW50ZXIy", "pair-secret-1", "cGFpci1zZWNyZXQtMQ"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
	}
	if w.wrote("key [redacted STRIPE_KEY] [redacted STRIPE_KEY]") != 1 {
		t.Error("the line is not told")
	}
}
