package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tried deploys a function of these files, and returns what the command said.
func (s *site) tried(name string, files map[string]string) (said string, err error) {
	s.Helper()
	dir := filepath.Join(s.TempDir(), name)
	s.files(dir, files)
	return s.command("functions", "deploy", dir)
}

// again waits until a function answers once more. Workers that ended are
// replaced after a pause that grows, and one that blocks is given half a minute.
func (g *target) again(path string) {
	g.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		got := g.raw("GET " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		if got == 200 {
			return
		}
		if time.Now().After(deadline) {
			g.Fatalf("%s answers with %d for two minutes", path, got)
		}
	}
}

// odd exports what is not meant to be called, beside what is.
const odd = `
let ran = 0;
const count = () => { ran++; return 'ran'; };
export const auth = ['guarded'];
export const guarded = count;
export const setup = () => {}; // the runtime calls it, and no request does
export const then = (f: any) => f;
export const constructor = count, toString = count, valueOf = count, hasOwnProperty = count, isPrototypeOf = count, propertyIsEnumerable = count, toLocaleString = count, __proto = count;
export const number = 1, text = 'text', list = [count], object = { count }, nothing = null, missing = undefined, big = 1n, symbol = Symbol('s'), promise = Promise.resolve(count), pattern = /x/;
export class Class { static guarded = count; run() { return count(); } }
export const runs = () => String(ran);
export default { prototype: count, inner: { count }, ['a b']: count, ['a/b']: count, ['x'.repeat(65)]: count, ['ünï']: count };
`

// What JavaScript gives every object, and what is exported and no function, has
// no address; what the runtime keeps for itself has none either.
func TestAttack_HandlerNames(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	if said, err := g.tried("odd", map[string]string{"postern.json": `{"name":"odd","runtime":"node"}`, "function.ts": strings.Replace(odd, "export const then = (f: any) => f;\n", "", 1)}); err != nil {
		t.Fatal(said)
	}
	for _, name := range []string{"constructor", "__proto__", "toString", "valueOf", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "prototype", "then", "auth", "setup", "default", "__proto", "__defineGetter__",
		"number", "text", "list", "object", "nothing", "missing", "big", "symbol", "promise", "pattern", "Class", "inner", "a%20b", "a%2fb", strings.Repeat("x", 65), "%C3%BCn%C3%AF", "length", "name", "caller", "arguments", "call", "apply", "bind", "module", "exports", "require", "process", "globalThis"} {
		want := nowhere
		if name == "a%2fb" {
			want = ambiguous
		}
		for _, header := range []string{"", "Authorization: " + g.basic + "\r\n"} {
			for _, method := range []string{"GET", "POST"} {
				request := method + " /fn/odd/" + name + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n" + header + "\r\n"
				tried(t, name, request)
				if got := g.raw(request); !slices.Contains(want, got) {
					t.Errorf("%s %s: %d, want %v", method, name, got, want)
				}
			}
		}
	}
	for name, want := range map[string]int{"guarded": 401, "inner/count": 404, "object/count": 404, "Class/guarded": 401} {
		request := "GET /fn/odd/" + name + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
		tried(t, name, request)
		if got := g.raw(request); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	if _, ran := call(t, g.client, "GET", g.gateway+"/fn/odd/runs", "", "", ""); ran != "0" {
		t.Errorf("handlers ran %s times", ran)
	}

	// A module that would do something while it is looked at is not deployed.
	for name, source := range map[string]string{
		"a getter that throws":       `export default { get a() { throw new Error('looked'); } };`,
		"a proxy that throws":        `export default new Proxy({ a() {} }, { get() { throw new Error('looked'); }, ownKeys() { throw new Error('looked'); } });`,
		"an auth that throws":        `export const a = () => 1; export const auth = new Proxy(['a'], { get() { throw new Error('looked'); } });`,
		"an auth that is a function": `export const a = () => 1; export const auth = () => ['a'];`,
		"an auth inside":             `export default { auth: ['a'], a() {} };`,
		"an auth of numbers":         `export const a = () => 1; export const auth = [1];`,
		"an auth that names no one":  `export const a = () => 1; export const auth = ['b'];`,
		"the same name twice":        `export const a = () => 1; export default { a: () => 2 };`,
		"nothing that can be called": `export const a = 1; export class B {}`,
		"a then that never comes":    `export const a = () => 1; export const then = () => {};`,
		"an import that never ends":  `await new Promise(() => {}); export const a = () => 1;`,
		"an import that exits":       `process.exit(0); export const a = () => 1;`,
	} {
		tried(t, name, source)
		said, err := g.tried("looked", map[string]string{"postern.json": `{"name":"looked","runtime":"node"}`, "function.ts": source})
		if got := g.raw("GET /fn/looked/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); got != 404 || err == nil {
			t.Errorf("%s: %d, deployed: %v %s", name, got, err == nil, said)
		}
	}
	g.works("all modules")
}

// harmful is a function of somebody who means ill, or of nobody who thought.
// What guards says is where it takes down that its guarded handler ran.
const harmful = `
import { spawn } from 'node:child_process';
import { appendFileSync, closeSync, writeSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
export const auth = ['guarded'];
const never = () => new Promise(() => {});
const frame = (type: number, flags: number, stream: number, payload: string | Buffer, length = Buffer.byteLength(payload)) => {
  const head = Buffer.alloc(10);
  head.writeUInt32BE(length >>> 0, 0); head[4] = type; head[5] = flags; head.writeUInt32BE(stream, 6);
  writeSync(3, Buffer.concat([head, Buffer.from(payload)]));
};
export const guarded = () => { appendFileSync(GUARDED, 'ran'); return 'in'; };
export const ok = () => 'ok';
export const exits = () => process.exit(0);
export const exitsLater = () => { setTimeout(() => process.exit(3), 10); return never(); };
export const reallyExits = () => (process as any).reallyExit(0);
export const aborts = () => process.abort();
export const kills = () => { process.kill(process.pid, 'SIGKILL'); return never(); };
export const killsTheServer = () => { process.kill(-process.pid, 0); return 'sent'; };
export const throws = () => { throw new Error('thrown'); };
export const throwsNothing = () => { throw undefined; };
export const throwsAnObject = () => { throw { get message() { throw new Error('twice'); }, toString() { throw new Error('again'); } }; };
export const throwsLater = () => { setTimeout(() => { throw new Error('late'); }); return never(); };
export const rejectsAlone = () => { Promise.reject(new Error('stray')); return never(); };
export const neverAnswers = () => never();
export const getsAnswered = () => ({ get body() { throw new Error('read'); } });
export const answersInCircles = () => { const o: any = {}; o.o = o; return o; };
export const answersThen = () => ({ then() { throw new Error('then'); } });
export const answersOdd = () => ({ statusCode: 99999, headers: { 'a\r\nb': 'c' }, body: 'x' });
export const splits = () => ({ statusCode: 200, headers: { 'x-a': 'a\r\nSet-Cookie: b=c' }, body: 'x' });
export const blocks = () => { for (;;); };
export const writesMuch = () => { const mebibyte = 'x'.repeat(1 << 20); for (let i = 0; i < 1024; i++) process.stdout.write(mebibyte); return 'written'; };
export const writesPast = () => { const b = Buffer.alloc(1 << 16, 'y'); for (let i = 0; i < 512; i++) try { writeSync(1, b); } catch {} return 'written'; };
export const fillsTheHeap = () => { setFlagsFromString('--max-heap-size=64'); setFlagsFromString('--max-old-space-size=64'); const all: any[] = []; const grow = () => { for (let i = 0; i < 1e5 && all.length < 4e6; i++) all.push({ i, a: [i, i, i] }); if (all.length >= 4e6) process.abort(); setImmediate(grow); }; grow(); return never(); };
export const leavesAChild = () => { const c = spawn('sleep', ['1000']); return String(c.pid); };
export const closesItsSocket = () => { closeSync(3); return never(); };
export const closesAll = () => { for (const fd of [0, 1, 2, 3]) try { closeSync(fd); } catch {} return never(); };
export const writesRubbish = () => { writeSync(3, Buffer.alloc(4096, 0xa5)); return never(); };
export const promisesMuch = () => { frame(17, 0, 1, '', 0xffffffff); return never(); };
export const promisesMore = () => { frame(18, 0, 1, 'x', 0x100001); return never(); };
export const unknownFrame = () => { frame(99, 0, 0, ''); return never(); };
export const helloAgain = () => { frame(1, 0, 0, 'PSTN\x00\x01{}'); return never(); };
export const readyAgain = () => { frame(2, 0, 0, JSON.stringify({ handlers: [{ name: 'guarded', kind: 'custom' }], auth: [] })); return never(); };
export const answersForOthers = () => { for (let s = 2; s < 50; s++) frame(17, 1, s, '\x00\xc8\x00\x00'); return never(); };
export const hostsFrame = () => { frame(16, 1, 7, 'REQUEST'); return never(); };
`

// A handler that anybody may call does what it likes to its own worker. Those
// beside it go on, the doors stay shut, and it is there again afterwards.
func TestAttack_Handlers(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	failed, lost := []int{500}, []int{500, 502, 503}
	acts := []struct {
		name   string
		status []int
	}{
		{"exits", lost}, {"exitsLater", lost}, {"reallyExits", lost}, {"aborts", lost}, {"kills", lost}, {"killsTheServer", []int{200, 500}},
		{"throws", failed}, {"throwsNothing", failed}, {"throwsAnObject", failed}, {"throwsLater", lost}, {"rejectsAlone", lost}, {"neverAnswers", []int{504}},
		{"getsAnswered", failed}, {"answersInCircles", failed}, {"answersThen", failed}, {"answersOdd", failed}, {"splits", failed},
		{"writesMuch", []int{200, 500, 502, 504}}, {"writesPast", []int{200, 500, 502, 504}}, {"fillsTheHeap", append(lost, 504)},
		{"closesItsSocket", lost}, {"closesAll", append(lost, 504)}, {"writesRubbish", lost}, {"promisesMuch", lost}, {"promisesMore", lost}, {"unknownFrame", lost}, {"helloAgain", lost}, {"readyAgain", lost},
		{"answersForOthers", append(lost, 504)}, {"hostsFrame", lost},
		{"blocks", []int{502, 504}},
	}
	guarded := filepath.Join(t.TempDir(), "guarded")
	// Few ends in a row for each, or its starts would be put off.
	const functions = 8
	for i := range functions {
		name := "bad" + strconv.Itoa(i)
		if said, err := g.tried(name, map[string]string{"function.ts": strings.Replace(harmful, "GUARDED", strconv.Quote(guarded), 1),
			"postern.json": `{"name":"` + name + `","runtime":"node","handlers":{"neverAnswers":{"timeout":"1s"},"blocks":{"timeout":"1s"},"answersForOthers":{"timeout":"3s"},"closesAll":{"timeout":"3s"}}}`}); err != nil {
			t.Fatal(said)
		}
	}
	before := resident(t, g.cmd.Process.Pid)
	for i, a := range acts {
		name := "/fn/bad" + strconv.Itoa(i%functions)
		tried(t, a.name, "")
		request := "GET " + name + "/" + a.name + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
		conn := g.dial()
		conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := conn.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		if got := readStatus(conn); !slices.Contains(a.status, got) {
			t.Errorf("%s: %d, want one of %v", a.name, got, a.status)
		}
		conn.Close()
		g.works(a.name)
		if got := g.raw("GET " + name + "/guarded HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); got != 401 {
			t.Errorf("after %s the guarded handler is answered with %d", a.name, got)
		}
		if i >= len(acts)-functions || i%functions == 0 {
			continue
		}
		g.again(name + "/ok")
	}
	for i := range functions {
		g.again("/fn/bad" + strconv.Itoa(i) + "/ok")
	}
	if _, err := os.Stat(guarded); err == nil {
		t.Error("a guarded handler ran")
	}
	if grown := resident(t, g.cmd.Process.Pid) - before; grown > 256<<20 {
		t.Errorf("the server has grown by %d MiB", grown>>20)
	}

	// A child ends with its worker.
	tried(t, "leavesAChild", "")
	_, pid := call(t, g.client, "GET", g.gateway+"/fn/bad0/leavesAChild", "", "", "")
	child, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatalf("no child: %q", pid)
	}
	g.raw("GET /fn/bad0/exits HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	eventually(t, "the child ends with its worker", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil && syscall.Kill(child, 0) != nil || strings.Contains(string(stat), ") Z ")
	})
	if strings.Contains(g.log(), "panic") {
		t.Error("the server panicked")
	}
}
