package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/worker"
)

// lines collects what a function wrote.
type lines struct {
	mu  sync.Mutex
	all []worker.Line
}

func (l *lines) add(line worker.Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
}

// wait waits until a line holds text, and returns it.
func (l *lines) wait(t testing.TB, text string) worker.Line {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		for _, line := range l.all {
			if strings.Contains(line.Text, text) {
				l.mu.Unlock()
				return line
			}
		}
		l.mu.Unlock()
	}
	t.Fatalf("no line holds %q; there are: %v", text, l.all)
	return worker.Line{}
}

// spec bundles a module and returns how to start it.
func spec(t testing.TB, source string) (worker.Spec, *lines) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"postern.json": `{"name":"f","runtime":"node"}`, "function.ts": source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	built, err := bundle.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := bundle.Open(built.Archive)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	if err := archive.Extract(out); err != nil {
		t.Fatal(err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("Node is needed; run `make test` as root, or install nodejs: ", err)
	}
	var l lines
	return worker.Spec{Argv: []string{node, "--enable-source-maps", bundle.Entry}, Dir: out,
		Env: []string{"PATH=" + filepath.Dir(node), "NODE_ENV=production", "PROJECT_ID=prj_x", "GREETING=hi"}, Log: l.add}, &l
}

func start(t testing.TB, source string) (*worker.Worker, *lines) {
	t.Helper()
	s, l := spec(t, source)
	w, err := worker.Start(t.Context(), s)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { w.Kill("test over") })
	return w, l
}

func request(handler string) *worker.Request {
	return &worker.Request{ID: "req_1", Method: "POST", Handler: handler, Path: "/" + handler, ClientIP: "192.0.2.1", AuthMethod: "none", Host: "h"}
}

// call runs an invocation and returns status, header and body.
func call(t testing.TB, w *worker.Worker, r *worker.Request) (int, map[string][]string, string, error) {
	t.Helper()
	res, err := w.Do(t.Context(), r)
	if err != nil {
		return 0, nil, "", err
	}
	defer res.Close()
	header := map[string][]string{}
	res.CopyHeader(header)
	body, err := io.ReadAll(res)
	return res.Status, header, string(body), err
}

func TestNode_Declaration(t *testing.T) {
	t.Parallel()
	w, _ := start(t, `
export const auth = ['webhook'];
export function webhook() {} export const status = () => {}; export function home() {} export function smsWebhook() {} export function ice() {}
export class Thing {} export const value = 7; export function setup() {} export function __hidden() {}
export default { other() {}, constructor: 7, toString() { return ''; }, get bad() { return 1; } };`)
	want := platform.Declaration{Auth: platform.AuthDeclaration{Present: true, Names: []string{"webhook"}}, Handlers: []platform.DeclaredHandler{
		{Name: "home", Kind: platform.HandlerRoot}, {Name: "ice", Kind: platform.HandlerCallback}, {Name: "other"}, {Name: "smsWebhook", Kind: platform.HandlerService},
		{Name: "status"}, {Name: "webhook"}}}
	if d := cmp.Diff(want, w.Declaration()); d != "" {
		t.Error(d)
	}
}

func TestNode_RefusesToStart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ source, code, text string }{
		"throws":             {`throw new Error('no config');`, "module_failed", "no config"},
		"rejects":            {`await Promise.reject(new Error('late')); export const a = () => 1;`, "module_failed", "late"},
		"exits":              {`console.error('DB_URL is not set'); process.exit(3);`, "module_failed", "process.exit(3) was called"},
		"aborts":             {`process.abort();`, "worker_exited", "SIGABRT"},
		"no handler":         {`export const a = 1;`, "no_handlers", "no function"},
		"auth a number":      {`export const auth = 7; export const a = () => 1;`, "auth_malformed", "'*'"},
		"auth mixed":         {`export const auth = ['a', 1]; export const a = () => 1;`, "auth_malformed", "'*'"},
		"auth a handler":     {`export const auth = () => '*'; export const a = () => 1;`, "auth_malformed", "'*'"},
		"auth undefined":     {`export const auth = undefined; export const a = () => 1;`, "auth_malformed", "'*'"},
		"auth in default":    {`export default { auth: ['a'], a() {} };`, "auth_malformed", "beside"},
		"twice":              {`export const a = () => 1; export default { a() { return 2; } };`, "module_failed", "twice"},
		"getter throws":      {`export default { get a() { throw new Error('boo'); } };`, "module_failed", "boo"},
		"never ready":        {`await new Promise(() => setInterval(() => {}, 1000)); export const a = () => 1;`, "start_timeout", "2s"},
		"blocks":             {`for (;;) {} export const a = () => 1;`, "start_timeout", "2s"},
		"closes our socket":  {`import { closeSync } from 'node:fs'; closeSync(3); setInterval(() => {}, 1000); await new Promise(() => {}); export const a = () => 1;`, "", ""},
		"unhandled at start": {`Promise.reject(new Error('stray')); await new Promise((r) => setTimeout(r, 50)); export const a = () => 1;`, "module_failed", "stray"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := spec(t, tc.source)
			s.StartTimeout = 2 * time.Second
			if tc.code != "start_timeout" {
				s.StartTimeout = 20 * time.Second
			}
			w, err := worker.Start(t.Context(), s)
			if w != nil {
				t.Fatal("it started")
			}
			e, ok := errors.AsType[*worker.StartError](err)
			if !ok || tc.code != "" && e.Code != tc.code || !strings.Contains(e.Message, tc.text) {
				t.Errorf("err = %#v, want %s with %q", err, tc.code, tc.text)
			}
			if ok && name == "exits" && (!slices.Contains(e.LastLines, "DB_URL is not set") || !strings.Contains(e.Stack, "at ")) {
				t.Errorf("lines %q, stack %q: what it said, and where it ended, are lost", e.LastLines, e.Stack)
			}
		})
	}
}

func TestNode_Results(t *testing.T) {
	t.Parallel()
	w, _ := start(t, `
import { ok, notFound, redirect } from '@sinch/functions-runtime';
export const object = () => ({ a: 1, ü: 'ü€😀' });
export const array = async () => [1, 2];
export const text = () => 'häy';
export const bytes = () => Buffer.from([0, 255]);
export const nothing = () => undefined;
export const nul = async () => null;
export const number = () => 7;
export const yes = () => true;
export const full = () => ({ statusCode: 201, headers: { 'X-A': '1', 'set-cookie': ['a=1', 'b=2'], connection: 'close', 'x-postern-key': 'spoof' }, body: { b: 2 } });
export const typed = () => ({ statusCode: 200, headers: { 'Content-Type': 'text/csv' }, body: 'a,b' });
export const response = () => new Response('streamed', { status: 202, headers: { 'x-b': '2' } });
export const stream = () => new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode('one')); c.enqueue(new TextEncoder().encode('two')); c.close(); } });
export const helped = () => ok({ fine: true });
export const gone = () => notFound('no such order');
export const moved = () => redirect('/elsewhere');
export const big = () => 'x'.repeat(1000000);
`)
	for name, tc := range map[string]struct {
		status int
		ctype  string
		body   string
	}{
		"object": {200, "application/json", `{"a":1,"ü":"ü€😀"}`}, "array": {200, "application/json", `[1,2]`}, "text": {200, "text/plain; charset=utf-8", "häy"},
		"bytes": {200, "application/octet-stream", "\x00\xff"}, "nothing": {204, "", ""}, "nul": {204, "", ""}, "number": {200, "application/json", "7"}, "yes": {200, "application/json", "true"},
		"full": {201, "application/json", `{"b":2}`}, "typed": {200, "text/csv", "a,b"}, "response": {202, "text/plain;charset=UTF-8", "streamed"},
		"stream": {200, "application/octet-stream", "onetwo"}, "helped": {200, "application/json", `{"fine":true}`}, "gone": {404, "application/json", `{"error":"no such order"}`},
		"moved": {302, "", ""}, "big": {200, "text/plain; charset=utf-8", strings.Repeat("x", 1000000)},
	} {
		status, header, body, err := call(t, w, request(name))
		ctype := ""
		if v := header["Content-Type"]; len(v) > 0 {
			ctype = v[0]
		}
		if err != nil || status != tc.status || ctype != tc.ctype || body != tc.body {
			t.Errorf("%s: %d %q %.80q %v", name, status, ctype, body, err)
		}
		if name == "full" {
			if d := cmp.Diff(map[string][]string{"Content-Type": {"application/json"}, "X-A": {"1"}, "Set-Cookie": {"a=1", "b=2"}}, header); d != "" {
				t.Error(d)
			}
		}
	}
}

func TestNode_Failures(t *testing.T) {
	t.Parallel()
	w, log := start(t, `
export const throws = () => { throw new Error('boom'); };
export const rejects = async () => { await null; throw 'a string'; };
export const status = () => ({ statusCode: 99 });
export const fraction = () => ({ statusCode: 200.5 });
export const header = () => ({ statusCode: 200, headers: { 'x-a': 'b\r\nx-injected: 1' } });
export const name = () => ({ statusCode: 200, headers: { 'x a': 'b' } });
export const cyclic = () => { const a: any = {}; a.a = a; return a; };
export const symbol = () => Symbol('x');
export const fn = () => () => 1;
export const big = () => ({ n: 1n });
export const half = () => new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(10)); throw new Error('mid-stream'); } });
export const strings = () => new ReadableStream({ start(c) { c.enqueue(1 as any); c.close(); } });
export const body = (c: any, r: any) => r.body;
`)
	for name, code := range map[string]string{"throws": "handler_threw", "rejects": "handler_threw", "status": "result_invalid", "fraction": "result_invalid", "header": "result_invalid",
		"name": "result_invalid", "cyclic": "result_invalid", "symbol": "result_invalid", "fn": "result_invalid", "big": "result_invalid", "none": "handler_not_found", "toString": "handler_not_found", "__proto__": "handler_not_found"} {
		_, _, _, err := call(t, w, request(name))
		if e, ok := errors.AsType[*worker.InvocationError](err); !ok || e.Code != code {
			t.Errorf("%s: err = %v, want %s", name, err, code)
		}
	}
	if l := log.wait(t, "boom"); l.RequestID != "req_1" || l.Level != slog.LevelError || !strings.Contains(l.Text, "function.ts") {
		t.Errorf("the stack is logged as %+v", l)
	}
	for _, name := range []string{"half", "strings"} {
		if _, _, _, err := call(t, w, request(name)); !errors.Is(err, worker.ErrAborted) {
			t.Errorf("%s: err = %v", name, err)
		}
	}
	bad := request("body")
	bad.Header, bad.Inline = map[string][]string{"Content-Type": {"application/json"}}, []byte(`{"a":`)
	if _, _, _, err := call(t, w, bad); !strings.Contains(fmt.Sprint(err), "body_malformed") {
		t.Errorf("malformed JSON: %v", err)
	}
	if status, _, _, err := call(t, w, request("body")); status != 204 || err != nil {
		t.Errorf("after all of that: %d %v", status, err)
	}
}

func TestNode_Request(t *testing.T) {
	t.Parallel()
	w, _ := start(t, `
export const show = (c: any, r: any) => ({ method: r.method, path: r.path, url: r.url, headers: r.headers, query: r.query, body: r.body, raw: Buffer.from(r.rawBody).toString('latin1'),
  ip: r.ip, id: r.requestId, cid: c.requestId, identity: r.identity, config: c.config, fd: process.env.POSTERN_WORKER_FD ?? null, ts: !Number.isNaN(Date.parse(c.timestamp)) });`)
	r := request("show")
	r.Path, r.Query, r.KeyID, r.ProjectID, r.AuthMethod, r.Scopes = "/ä/show", "a=1&a=2&b=x+y&__proto__=z", "pak_1", "prj_1", "basic", "invoke"
	r.Header = map[string][]string{"Content-Type": {"application/json; charset=utf-8"}, "X-Multi": {"1", "2"}, "Cookie": {"a=1", "b=2"}, "X-Latin": {"\xe9"},
		"Authorization": {"Basic secret"}, "X-Api-Key": {"secret"}, "X_api_key": {"secret"}, "X.Api.Key": {"secret"}, "Proxy-Authorization": {"secret"}, "Dpop": {"secret"}, "X-Postern-Key-Id": {"spoof"}, "X_postern_key": {"spoof"},
		"Connection": {"x-hop, close"}, "X-Hop": {"hop"}, "Transfer-Encoding": {"chunked"}, "Te": {"trailers"}, "Upgrade": {"h2c"}, "Keep-Alive": {"1"}, "Host": {"other"},
		"X-Forwarded-For": {"9.9.9.9"}, "X-Forwarded-Proto": {"https"}, "X_forwarded_for": {"9.9.9.9"}, "Forwarded": {"for=9.9.9.9"}, "X-Real-Ip": {"9.9.9.9"}, "X-Original-Url": {"/x"}, "X-Rewrite-Url": {"/x"}}
	r.Inline = []byte(`{"k":"ü"}`)
	_, _, body, err := call(t, w, r)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"method": "POST", "path": "/ä/show", "url": "/ä/show?a=1&a=2&b=x+y&__proto__=z",
		"headers": map[string]any{"host": "h", "content-type": "application/json; charset=utf-8", "x-multi": "1, 2", "cookie": "a=1; b=2", "x-latin": "é"},
		"query":   map[string]any{"a": []any{"1", "2"}, "b": "x y", "__proto__": "z"}, "body": map[string]any{"k": "ü"}, "raw": "{\"k\":\"\u00c3\u00bc\"}",
		"ip": "192.0.2.1", "id": "req_1", "cid": "req_1", "identity": map[string]any{"keyId": "pak_1", "projectId": "prj_1", "method": "basic", "scopes": []any{"invoke"}},
		"config": map[string]any{"projectId": "prj_x", "functionName": "", "environment": "production", "variables": map[string]any{"GREETING": "hi"}}, "fd": nil, "ts": true}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for ctype, tc := range map[string]struct{ in, want string }{
		"application/x-www-form-urlencoded": {"a=1&b=%C3%BC&a=2", `{"a":["1","2"],"b":"ü"}`}, "text/plain": {"hello", `"hello"`},
		"application/vnd.x+json": {"[1]", `[1]`}, "application/octet-stream": {"\x01", `{"type":"Buffer","data":[1]}`}, "": {"\x02", `{"type":"Buffer","data":[2]}`},
	} {
		r := request("show")
		r.Header, r.Inline = map[string][]string{"Content-Type": {ctype}}, []byte(tc.in)
		_, _, body, err := call(t, w, r)
		if err != nil || !strings.Contains(body, `"body":`+tc.want) {
			t.Errorf("%s: %s %v", ctype, body, err)
		}
	}
}

func TestNode_LogsCarryTheirRequest(t *testing.T) {
	t.Parallel()
	w, log := start(t, `
export const a = async (c: any, r: any) => {
  console.log('one %s', r.requestId); await new Promise((f) => setTimeout(f, 20)); console.error({ two: r.requestId });
  process.stdout.write('three '); process.stdout.write(r.requestId + '\n'); c.log.warn('four', r.requestId);
};
export const flood = () => { const line = 'x'.repeat(1000); for (let i = 0; i < 50000; i++) console.log(line); };
export const long = () => { console.log('y'.repeat(200000)); };
export const raw = async () => { const { writeSync } = await import('node:fs'); writeSync(2, 'straight to the descriptor\n'); const all = (b: Buffer) => { while (b.length > 0) try { b = b.subarray(writeSync(1, b)); } catch (e: any) { if (e.code !== 'EAGAIN') throw e; } };
  all(Buffer.from('z'.repeat(300000) + '\n')); all(Buffer.from('after it\n')); };`)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			r := request("a")
			r.ID = fmt.Sprintf("req_%02d", i)
			if _, _, _, err := call(t, w, r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 20 {
		id := fmt.Sprintf("req_%02d", i)
		for _, text := range []string{"one " + id, "two: '" + id, "three " + id, "four " + id} {
			if l := log.wait(t, text); l.RequestID != id {
				t.Errorf("%q is logged under %q", text, l.RequestID)
			}
		}
	}
	for _, name := range []string{"long", "raw", "flood"} {
		if _, _, _, err := call(t, w, request(name)); err != nil {
			t.Fatal(name, err)
		}
	}
	if l := log.wait(t, "yyy"); len(l.Text) > 65600 || !strings.HasSuffix(l.Text, "…[cut]") {
		t.Errorf("a long line has %d bytes", len(l.Text))
	}
	if l := log.wait(t, "straight to"); l.Level != slog.LevelError || l.RequestID != "" {
		t.Errorf("%+v", l)
	}
	if l := log.wait(t, "zzz"); !strings.HasSuffix(l.Text, "…[cut]") {
		t.Errorf("a long raw line has %d bytes", len(l.Text))
	}
	log.wait(t, "after it")
	if _, _, _, err := call(t, w, request("a")); err != nil {
		t.Error("after the flood: ", err)
	}
	log.wait(t, "log lines were dropped")
}

const misbehaving = `
export const ok = () => 'ok';
export const exit = () => { process.exit(0); };
export const late = () => { setTimeout(() => { throw new Error('late throw'); }, 10); return new Promise(() => {}); };
export const stray = async () => { Promise.reject(new Error('stray rejection')); await new Promise(() => {}); };
export const slow = () => new Promise((f) => setTimeout(() => f('slow but whole'), 300));
export const never = () => new Promise(() => {});
export const block = () => { for (;;) {} };
export const abort = () => process.abort();
export const kill = () => { process.kill(process.pid, 'SIGKILL'); return new Promise(() => {}); };
export const garbage = async () => { const { writeSync } = await import('node:fs'); writeSync(3, Buffer.from([255, 255, 255, 255, 1, 0, 0, 0, 0, 0])); return new Promise(() => {}); };
export const close = async () => { const { closeSync } = await import('node:fs'); closeSync(3); return new Promise(() => {}); };
export const fork = async () => { const { spawn } = await import('node:child_process'); const c = spawn('sleep', ['1000']); return String(c.pid); };
export const orphan = async () => { const { spawn } = await import('node:child_process'); const c = spawn('sleep', ['1000'], { detached: true, stdio: 'inherit' }); return String(c.pid); };
export const aborted = (c: any, r: any) => new Promise((f) => r.signal.addEventListener('abort', () => { console.log('saw the abort'); f(1); }));
`

func TestNode_MistakesCostTheirOwnRequestOnly(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ code, log string }{
		"exit": {"worker_crashed", "process.exit(0) was called"}, "late": {"worker_crashed", "late throw"}, "stray": {"handler_threw", "stray rejection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, log := start(t, misbehaving)
			other := make(chan error, 1)
			go func() {
				_, _, body, err := call(t, w, request("slow"))
				if body != "slow but whole" && err == nil {
					err = errors.New("another request was cut")
				}
				other <- err
			}()
			for w.InFlight() == 0 {
				time.Sleep(time.Millisecond)
			}
			_, _, _, err := call(t, w, request(name))
			if e, ok := errors.AsType[*worker.InvocationError](err); !ok || e.Code != tc.code {
				t.Errorf("err = %v, want %s", err, tc.code)
			}
			if err := <-other; err != nil {
				t.Error("another request: ", err)
			}
			if l := log.wait(t, tc.log); l.RequestID != "req_1" {
				t.Errorf("logged under %q", l.RequestID)
			}
			if name == "stray" {
				if _, _, body, err := call(t, w, request("ok")); body != "ok" {
					t.Errorf("after a stray rejection: %q %v", body, err)
				}
				return
			}
			if _, _, _, err := call(t, w, request("ok")); !errors.Is(err, worker.ErrRefused) && !errors.Is(err, worker.ErrLost) {
				t.Errorf("it takes new work: %v", err)
			}
			<-w.Done()
		})
	}
}

func TestNode_EveryEndHasAReason(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"abort": "SIGABRT", "kill": "SIGKILL", "garbage": "promises 4294967295 bytes", "close": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := start(t, misbehaving)
			if _, _, _, err := call(t, w, request(name)); !errors.Is(err, worker.ErrLost) {
				t.Errorf("err = %v, want ErrLost", err)
			}
			<-w.Done()
			if e := w.Exit(); e == nil || !strings.Contains(e.Error(), want) {
				t.Errorf("exit = %v, want %q", e, want)
			}
			if _, _, _, err := call(t, w, request("ok")); !errors.Is(err, worker.ErrLost) {
				t.Errorf("a call after the end: %v", err)
			}
		})
	}
}

func TestNode_BlockedLoopIsKilled(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, misbehaving)
	s.PingEvery, s.PingTimeout = 100*time.Millisecond, 2*time.Second // a machine that is busy is no loop that is blocked
	w, err := worker.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	late := 0
	for ended := false; !ended; { // a call that is late before it begins blocks nothing: then another does
		r := request("block")
		r.Deadline = time.Now().Add(200 * time.Millisecond)
		if _, _, _, err := call(t, w, r); errors.Is(err, worker.ErrDeadline) {
			late++
		}
		select {
		case <-w.Done():
			ended = true
		default:
		}
	}
	if late == 0 {
		t.Error("no call was told that its time is over")
	}
	if e := w.Exit(); !strings.Contains(e.Error(), "blocked") {
		t.Errorf("exit = %v", e)
	}
}

func TestNode_KillTakesChildrenAlong(t *testing.T) {
	t.Parallel()
	w, _ := start(t, misbehaving)
	_, _, pid, err := call(t, w, request("fork"))
	if err != nil {
		t.Fatal(err)
	}
	w.Kill("test")
	var n int
	fmt.Sscan(pid, &n)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n))
		if err != nil || bytes.Contains(state, []byte(") Z ")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("its child lives on")
		}
	}
}

// A child that left the group holds the pipes, and must not hold us; what it
// left is found by its mark.
func TestNode_ReapOrphans(t *testing.T) {
	t.Parallel()
	s, _ := spec(t, misbehaving)
	instance := fmt.Sprintf("TEST%d", time.Now().UnixNano())
	s.Env = append(s.Env, worker.InstanceVariable+"="+instance, "PATH=/usr/bin:/bin:"+filepath.Dir(s.Argv[0]))
	w, err := worker.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := call(t, w, request("orphan")); err != nil {
		t.Fatal(err)
	}
	w.Kill("test")
	if n, err := worker.ReapOrphans(instance); n != 1 || err != nil {
		t.Errorf("reaped %d, %v", n, err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if n, _ := worker.ReapOrphans(instance); n == 0 {
			return
		}
	}
	t.Error("an orphan lives on")
}

func TestNode_Drain(t *testing.T) {
	t.Parallel()
	w, _ := start(t, misbehaving)
	got := make(chan string, 1)
	go func() {
		_, _, body, err := call(t, w, request("slow"))
		got <- fmt.Sprint(body, err)
	}()
	for w.InFlight() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := w.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if s := <-got; s != "slow but whole<nil>" {
		t.Errorf("the request in flight got %q", s)
	}
	if e := w.Exit(); e.Code != 0 || e.Signal != 0 {
		t.Errorf("exit = %v", e)
	}
	w, _ = start(t, misbehaving)
	go call(t, w, request("never"))
	for w.InFlight() == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.Drain(ctx); err == nil {
		t.Error("a drain with a hanging request ended by itself")
	}
	if e := w.Exit(); e.Signal != syscall.SIGTERM || !strings.Contains(e.Error(), "drain") {
		t.Errorf("exit = %v", e)
	}
}

func TestNode_Cancel(t *testing.T) {
	t.Parallel()
	w, log := start(t, misbehaving)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := w.Do(ctx, request("aborted"))
		failed <- err
	}()
	for w.InFlight() == 0 {
		time.Sleep(time.Millisecond)
	}
	_, _, _, _ = call(t, w, request("ok")) // it has begun
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	log.wait(t, "saw the abort")
	if n := w.InFlight(); n != 0 {
		t.Errorf("%d in flight", n)
	}
}

const streaming = `
export const echo = (c: any, r: any) => ({ statusCode: 200, body: r.body });
export const length = (c: any, r: any) => ({ length: r.rawBody.length });
export const ignore = async () => 'ignored';
export const endless = () => new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(65536)); } });
export const wait = async (c: any, r: any) => { let n = 0; for await (const chunk of r.body) n += chunk.length; return { n }; };
`

func TestNode_StreamsBothWays(t *testing.T) {
	t.Parallel()
	w, _ := start(t, streaming)
	big := bytes.Repeat([]byte("0123456789abcdef"), 8<<20/16)
	for name, tc := range map[string]struct {
		stream bool
		check  func(body string) bool
	}{
		"echo":   {true, func(b string) bool { return b == string(big) }},
		"wait":   {true, func(b string) bool { return b == fmt.Sprintf(`{"n":%d}`, len(big)) }},
		"length": {false, func(b string) bool { return b == fmt.Sprintf(`{"length":%d}`, len(big)) }},
		"ignore": {true, func(b string) bool { return b == "ignored" }},
	} {
		r := request(name)
		r.Stream, r.Body = tc.stream, bytes.NewReader(big)
		_, _, body, err := call(t, w, r)
		if err != nil || !tc.check(body) {
			t.Errorf("%s: %d bytes, %v", name, len(body), err)
		}
	}
	// Whoever stops reading holds the worker at its window, and may go.
	res, err := w.Do(t.Context(), request("endless"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(res, make([]byte, 1<<20)); err != nil {
		t.Error(err)
	}
	res.Close()
	r := request("wait")
	r.Stream, r.Body = true, io.MultiReader(strings.NewReader("abc"), failing{})
	if _, _, _, err := call(t, w, r); !errors.Is(err, errGone) {
		t.Errorf("a body that fails: %v", err)
	}
	if _, _, body, err := call(t, w, request("ignore")); body != "ignored" || w.InFlight() != 0 {
		t.Errorf("after all of that: %q %v, %d in flight", body, err, w.InFlight())
	}
}

var errGone = errors.New("the caller went away")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errGone }
