package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What calls: it does what its body says, and tells what came of it.
const callerSource = `
import { ClientRequest } from 'node:http';
export const auth = '*';
const told = async (r: Response) => ({ status: r.status, headers: Object.fromEntries(r.headers), body: await r.text() });
const attempt = async (f: () => Promise<unknown>) => { try { return await f(); } catch (e: any) { return { error: e.name + ': ' + e.message }; } };
export const relay = (c: any, r: any) => attempt(async () => told(await c.functions.call(r.body.name, r.body.init)));
export const times = (c: any, r: any) => attempt(async () => {
  const from = performance.now();
  for (let i = 0; i < r.body.n; i++) await (await c.functions.call(r.body.name, r.body.init)).arrayBuffer();
  return { ms: performance.now() - from };
});
// The body of the answer is that of the call, as it comes.
export const through = (c: any, r: any) => c.functions.call('callee', { path: '/echo', body: r.body });
export const tail = (c: any) => c.functions.call('callee', { path: '/endless' });
export const aborts = (c: any, r: any) => attempt(async () => {
  const stop = new AbortController();
  const res = await c.functions.call('callee', { path: '/endless', signal: stop.signal });
  const reader = res.body.getReader();
  await reader.read();
  stop.abort(new Error('enough'));
  for (;;) if ((await reader.read()).done) return 'whole';
});
export const detached = async (c: any) => {
  c.functions.call('callee', { path: '/hangs' }).catch(() => {});
  await new Promise((done) => setTimeout(done, 200));
  return 'gone';
};
export const environ = () => ({ env: process.env, argv: process.argv, exec: process.execArgv, pid: process.pid });
// A function that gets hold of its own token, as any code in its process may.
export const steal = (c: any) => new Promise((resolve) => {
  const emit = ClientRequest.prototype.emit;
  ClientRequest.prototype.emit = function (this: any, name: any, ...rest: any[]) {
    if (name === 'response') {
      ClientRequest.prototype.emit = emit;
      resolve({ token: this.getHeader('x-postern-token') });
    }
    return emit.call(this, name, ...rest);
  };
  void c.functions.call('callee', { path: '/count' });
});
`

// What is called: private, and it counts.
const calleeSource = `
export const auth = ['count', 'who', 'echo', 'endless', 'hangs'];
let ran = 0, ended = 0;
export const count = () => ({ ran: ++ran });
export const who = (c: any, r: any) => ({ ran: ++ran, identity: r.identity, headers: r.headers, url: r.url, method: r.method, body: r.body ?? null, ip: r.ip, requestId: c.requestId });
export const open = (c: any, r: any) => ({ ran: ++ran, identity: r.identity });
export const ran_ = () => ({ ran, ended });
export const echo = (c: any, r: any) => new Response(r.body);
export const endless = (c: any, r: any) => {
  r.signal.addEventListener('abort', () => { ended++; });
  return new Response(new ReadableStream({ pull: async (to) => { await new Promise((d) => setTimeout(d, 5)); to.enqueue(new Uint8Array(1024)); } }));
};
export const hangs = (c: any, r: any) => new Promise((done) => { r.signal.addEventListener('abort', () => { ended++; done('late'); }); });
export const smsWebhook = () => ({ ran: ++ran });
`

const (
	callerManifest = `{"name": "caller", "runtime": "node", "handlers": {"through": {"body": "stream", "bodyLimit": "1GiB"}}}`
	calleeManifest = `{"name": "callee", "runtime": "node", "visibility": "private", "handlers": {"echo": {"body": "stream", "bodyLimit": "1GiB"}}}`
)

// callSite is a site with a function that calls and one that is called.
type callSite struct{ *site }

func newCallSite(t *testing.T) *callSite {
	t.Helper()
	s := &callSite{newSite(t)}
	s.deployed(calleeManifest, calleeSource)
	s.deployed(callerManifest, callerSource)
	return s
}

// relayed is what came of a call, as the caller tells it.
type relayed struct {
	Status  int
	Headers map[string]string
	Body    string
	Error   string
	Ms      float64
}

// handler calls a handler of the caller from outside.
func (s *callSite) handler(name, body string) (out relayed) {
	s.Helper()
	status, text := s.ask("caller", name, body)
	if status != 200 || json.Unmarshal([]byte(text), &out) != nil {
		s.Fatalf("%s: %d %s", name, status, text)
	}
	return out
}

// relay has the caller call.
func (s *callSite) relay(name, init string) relayed {
	s.Helper()
	return s.handler("relay", fmt.Sprintf(`{"name": %q, "init": %s}`, name, init))
}

func (s *callSite) ask(function, handler, body string) (int, string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), "POST", s.gateway+"/fn/"+function+"/"+handler, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// ran is how often the callee ran, and how many of its calls were broken off.
func (s *callSite) ran() (ran, ended int) {
	s.Helper()
	var out struct{ Ran, Ended int }
	if r := s.relay("callee", `{"path": "/ran_"}`); json.Unmarshal([]byte(r.Body), &out) != nil || r.Status != 200 {
		s.Fatalf("%+v", r)
	}
	return out.Ran, out.Ended
}

// door is the internal door's socket.
func (s *callSite) door() string { return filepath.Join(s.data, "run", "calls.sock") }

// inside sends bytes to the internal door, and returns the answer's status and
// body.
func (s *callSite) inside(request string) (int, string) {
	s.Helper()
	return s.over("unix", s.door(), request)
}

func (s *callSite) over(network, address, request string) (int, string) {
	s.Helper()
	conn, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	go io.WriteString(conn, request)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, fmt.Sprintf("%v\n%s", res.Header, text)
}

func TestCalls(t *testing.T) {
	t.Parallel()
	s := newCallSite(t)

	// A call carries an identity, and what the function sends.
	r := s.relay("callee", `{"path": "/a/who?x=1", "query": {"y": ["2", "3 4"]}, "headers": {"X-Own": "1", "authorization": "Bearer of-a-user", "x-postern-hops": "9", "host": "elsewhere", "x-api-key": "k", "x-forwarded-for": "6.6.6.6"}, "body": {"a": [1]}}`)
	var who struct {
		Ran      int
		Identity map[string]any
		Headers  map[string]string
		URL      string
		Method   string
		Body     any
		IP       string
	}
	if err := json.Unmarshal([]byte(r.Body), &who); err != nil || r.Status != 200 {
		t.Fatalf("%+v", r)
	}
	id := who.Identity
	if id["functionName"] != "caller" || id["method"] != "function" || !strings.HasPrefix(id["keyId"].(string), "pak_") || !strings.HasPrefix(id["parentRequestId"].(string), "req_") || !strings.HasPrefix(id["functionId"].(string), "fn-") {
		t.Errorf("identity %v", id)
	}
	if who.URL != "/a/who?x=1&y=2&y=3+4" || who.Method != "POST" || who.IP != "127.0.0.1" || fmt.Sprint(who.Body) != "map[a:[1]]" {
		t.Errorf("the callee saw %+v", who)
	}
	for name, want := range map[string]string{"x-own": "1", "authorization": "Bearer of-a-user", "host": "callee.internal", "x-postern-hops": "", "x-postern-token": "", "x-api-key": "", "x-forwarded-for": ""} {
		if who.Headers[name] != want {
			t.Errorf("header %s: %q, want %q", name, who.Headers[name], want)
		}
	}
	if r := s.relay("callee", `{"path": "/open"}`); r.Status != 200 || !strings.Contains(r.Body, `"functionName":"caller"`) {
		t.Errorf("an open handler was told %+v", r)
	}
	if r := s.relay("callee", `{"path": "/webhook/sms", "body": {}}`); r.Status != 401 || r.Headers["x-postern-refused"] != "signature_required" {
		t.Errorf("a callback without a signature: %+v", r)
	}
	for init, want := range map[string]string{
		`{"path": "/a/../who"}`: "ambiguous_path", `{"path": "/none"}`: "handler_not_found", `{"path": "/who", "method": "TRACE"}`: "method_not_allowed",
	} {
		if r := s.relay("callee", init); r.Status < 400 || !strings.Contains(r.Body, want) {
			t.Errorf("%s: %+v", init, r)
		}
	}
	for name, init := range map[string]string{"nobody": `{}`, "callee ": `{}`, "../callee": `{}`, "callee": `{"path": "who"}`, "caller": `{"project": "prj_00000000000000000000000000"}`} {
		if r := s.relay(name, init); !strings.Contains(r.Error, strings.TrimSpace(name)) && !strings.Contains(r.Error, "who") {
			t.Errorf("%s %s: %+v", name, init, r)
		}
	}
	if r := s.relay("callee", `{"path": "/hangs", "timeout": 50}`); !strings.Contains(r.Error, "TimeoutError") {
		t.Errorf("a call past its time: %+v", r)
	}
	if r := s.handler("aborts", `{}`); !strings.Contains(r.Error, "enough") {
		t.Errorf("aborted in the middle: %+v", r)
	}
	if status, text := s.ask("caller", "detached", `{}`); status != 200 || text != "gone" {
		t.Errorf("detached: %d %s", status, text)
	}
	eventually(t, "all broken calls have ended at the callee", func() bool { _, ended := s.ran(); return ended == 3 })
}

// The internal door lets in what a worker was given, and nothing else.
func TestCalls_Refused(t *testing.T) {
	t.Parallel()
	s := newCallSite(t)
	var got struct{ Token string }
	if status, text := s.ask("caller", "steal", `{}`); status != 200 || json.Unmarshal([]byte(text), &got) != nil || strings.Count(got.Token, ".") != 2 {
		t.Fatalf("%d %s", status, text)
	}
	before, _ := s.ran()
	line := func(host, path, token string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 0\r\nConnection: close\r\n" + token + "\r\n"
	}
	id, secret := s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"]
	valid := "X-Postern-Token: " + got.Token + "\r\n"
	ours := s.token(id, secret)
	for name, tt := range map[string]struct {
		request string
		status  int
	}{
		"no token":                      {line("callee.internal", "/count", ""), 401},
		"no token, nowhere":             {line("nobody.internal", "/count", ""), 401},
		"no token, health":              {line("callee.internal", "/health", ""), 401},
		"no token, open":                {line("callee.internal", "/open", ""), 401},
		"rubbish":                       {line("callee.internal", "/count", "X-Postern-Token: x\r\n"), 401},
		"cut off":                       {line("callee.internal", "/count", "X-Postern-Token: "+got.Token[:len(got.Token)-2]+"\r\n"), 401},
		"twice":                         {line("callee.internal", "/count", valid+valid), 400},
		"as bearer":                     {line("callee.internal", "/count", "Authorization: Bearer "+got.Token+"\r\n"), 401},
		"a key of the project":          {line("callee.internal", "/count", "X-API-Key: "+secret+"\r\n"), 401},
		"a key as the token":            {line("callee.internal", "/count", "X-Postern-Token: "+secret+"\r\n"), 401},
		"a token of the token endpoint": {line("callee.internal", "/count", "X-Postern-Token: "+ours+"\r\n"), 401},
		"another domain":                {line("callee.localhost", "/count", valid), 404},
		"by path":                       {line("x", "/fn/callee/count", valid), 404},
		"another project":               {line("callee.prj_00000000000000000000000000.internal", "/count", valid), 404},
		"an empty project":              {line("callee..internal", "/count", valid), 404},
		"hops of no number":             {line("callee.internal", "/count", valid+"X-Postern-Hops: many\r\n"), 400},
		"no hops":                       {line("callee.internal", "/count", valid+"X-Postern-Hops: -1\r\n"), 400},
		"too many hops":                 {line("callee.internal", "/count", valid+"X-Postern-Hops: 11\r\n"), 508},
	} {
		tried(t, name, "inside")
		if status, text := s.inside(tt.request); status != tt.status {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	// Stolen, it opens no other door.
	for name, header := range map[string]string{"bearer": "Authorization: Bearer " + got.Token + "\r\n", "the worker's own": valid} {
		tried(t, name, "outside")
		if status, text := s.over("tcp", strings.TrimPrefix(s.gateway, "http://"), line("x", "/fn/caller/relay", header)); status != 401 {
			t.Errorf("at the gateway, as %s: %d %s", name, status, text)
		}
		if status, text := s.over("tcp", strings.TrimPrefix(s.control, "http://"), "GET /v1/whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+header+"\r\n"); status != 401 {
			t.Errorf("at the control plane, as %s: %d %s", name, status, text)
		}
	}
	if after, _ := s.ran(); after != before {
		t.Errorf("%d calls ran", after-before)
	}
	if status, text := s.inside(line("callee.internal", "/count", valid)); status != 200 {
		t.Errorf("as the worker calls: %d %s", status, text)
	}

	// It ends with its key: at once where the function is deleted.
	s.must("functions", "delete", "caller", "--yes")
	if status, text := s.inside(line("callee.internal", "/count", valid)); status != 401 || !strings.Contains(text, "token_invalid") {
		t.Errorf("of a function that is gone: %d %s", status, text)
	}
}

// token is an access token of the token endpoint.
func (s *callSite) token(id, secret string) string {
	s.Helper()
	req, err := http.NewRequest("POST", s.control+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		s.Fatal(err)
	}
	req.SetBasicAuth(id, secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.AccessToken == "" {
		s.Fatal(err)
	}
	return got.AccessToken
}

// A private function is no function to callers from outside, by whatever name.
func TestCalls_Private(t *testing.T) {
	t.Parallel()
	s := newCallSite(t)
	var list []struct {
		ID, Name, Slug, Visibility string
		URLs                       []string
	}
	if err := json.Unmarshal([]byte(s.must("functions", "list", "--json")), &list); err != nil || len(list) != 2 {
		t.Fatal(err, list)
	}
	f := list[0]
	if f.Name != "callee" || f.Visibility != "private" || len(f.URLs) != 0 {
		t.Errorf("listed as %+v", f)
	}
	if out := s.must("functions", "list"); !regexp.MustCompile(`callee .* private`).MatchString(out) {
		t.Errorf("listed as\n%s", out)
	}
	secret := s.key["POSTERN_KEY_SECRET"]
	before, _ := s.ran()
	ask := func(method, host, path string) string {
		req := "Host: " + host + "\r\nConnection: close\r\nContent-Length: 0\r\n"
		_, text := s.over("tcp", strings.TrimPrefix(s.gateway, "http://"), method+" "+path+" HTTP/1.1\r\n"+req+"X-API-Key: "+secret+"\r\n\r\n")
		_, open := s.over("tcp", strings.TrimPrefix(s.gateway, "http://"), method+" "+path+" HTTP/1.1\r\n"+req+"\r\n")
		return regexp.MustCompile(`req_[0-9a-z]{20}|Date:\[[^\]]*\]`).ReplaceAllString(text+open, "")
	}
	for _, method := range []string{"GET", "POST", "OPTIONS", "HEAD", "DELETE"} {
		for _, path := range []string{"/count", "/open", "/health", "/", "//count", "/%63ount", "/a/count", "/smsWebhook", "/count?x"} {
			for private, unknown := range map[string]string{f.Slug: "nobody", f.ID: "fn-00000000000000000000000000", strings.ToUpper(f.Slug): "NOBODY"} {
				if got, want := ask(method, "x", "/fn/"+private+path), ask(method, "x", "/fn/"+unknown+path); got != want {
					t.Errorf("%s /fn/%s%s:\n%s\nwant\n%s", method, private, path, got, want)
				}
				if got, want := ask(method, private+".localhost", path), ask(method, unknown+".localhost", path); got != want {
					t.Errorf("%s %s.localhost%s:\n%s\nwant\n%s", method, private, path, got, want)
				}
				if got, want := ask(method, private+".internal", path), ask(method, unknown+".internal", path); got != want {
					t.Errorf("%s %s.internal%s:\n%s\nwant\n%s", method, private, path, got, want)
				}
			}
		}
	}
	for private, unknown := range map[string]string{f.Slug: "nobody", f.ID: "fn-00000000000000000000000000"} {
		for path, host := range map[string]string{"/.well-known/oauth-protected-resource/fn/%s": "x", "/.well-known/oauth-protected-resource": "%s.localhost"} {
			at := func(name string) string {
				return ask("GET", strings.ReplaceAll(host, "%s", name), strings.ReplaceAll(path, "%s", name))
			}
			if got, want := at(private), at(unknown); got != want || !strings.Contains(got, "404") {
				t.Errorf("metadata at %s %s:\n%s\nwant\n%s", host, path, got, want)
			}
		}
	}
	if after, _ := s.ran(); after != before {
		t.Errorf("%d calls ran", after-before)
	}

	// It opens and closes with a deploy.
	if out := s.deployed(strings.Replace(calleeManifest, `"private"`, `"public"`, 1), calleeSource); !strings.Contains(out, "/fn/callee") {
		t.Errorf("deployed as\n%s", out)
	}
	if status, text := s.ask("callee", "count", "{}"); status != 200 {
		t.Errorf("public: %d %s", status, text)
	}
	if out := s.deployed(calleeManifest, calleeSource); strings.Contains(out, "/fn/callee") || !strings.Contains(out, "private: it has no public URL") {
		t.Errorf("deployed as\n%s", out)
	}
	if status, text := s.ask("callee", "count", "{}"); status != 404 {
		t.Errorf("private again: %d %s", status, text)
	}
}

// What a call shows is nowhere to be read.
func TestCalls_TokenIsNowhere(t *testing.T) {
	t.Parallel()
	s := newCallSite(t)
	if r := s.relay("callee", `{"path": "/count"}`); r.Status != 200 {
		t.Fatalf("%+v", r)
	}
	var got struct{ Token string }
	_, text := s.ask("caller", "steal", `{}`)
	if json.Unmarshal([]byte(text), &got) != nil || got.Token == "" {
		t.Fatal(text)
	}
	signature := got.Token[strings.LastIndexByte(got.Token, '.'):]
	_, environ := s.ask("caller", "environ", `{}`)
	logs := s.log() + s.must("functions", "logs", "caller") + s.must("functions", "logs", "callee") + environ
	for _, pid := range workers(s.data) {
		for _, file := range []string{"environ", "cmdline"} {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
			logs += string(b)
		}
	}
	filepath.Walk(s.data, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			if b, _ := os.ReadFile(path); bytes.Contains(b, []byte(signature)) {
				t.Errorf("the token is in %s", path)
			}
		}
		return nil
	})
	if strings.Contains(logs, signature) || strings.Contains(logs, ".eyJ") {
		t.Error("the token is in a log or in an environment")
	}
	if info, err := os.Stat(s.door()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the door: %v %v", info, err)
	}
}
