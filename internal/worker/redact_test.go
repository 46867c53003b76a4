package worker_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"postern.dev/postern/internal/redact"
	"postern.dev/postern/internal/worker"
)

const hidden = `pä55 "w0rd"\of/the+house`

// leaks finds the hidden value, or what is left of it, in what was told of a worker.
func leaks(t testing.TB, what, text string) {
	t.Helper()
	quoted, _ := json.Marshal(hidden)
	for _, form := range []string{hidden, "w0rd", "the+house", string(quoted[1:13]), url.QueryEscape(hidden)[:12], hex.EncodeToString([]byte(hidden))[:12],
		base64.StdEncoding.EncodeToString([]byte(hidden))[4:20], base64.StdEncoding.EncodeToString([]byte("x" + hidden))[4:20], base64.StdEncoding.EncodeToString([]byte("xx" + hidden))[4:20]} {
		if at := strings.Index(text, form); at >= 0 {
			t.Errorf("%s has %q: …%s…", what, form, text[max(at-60, 0):min(at+60, len(text))])
		}
	}
}

// all is everything that the lines say.
func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, line := range l.all {
		fmt.Fprintln(&b, line.Text)
	}
	return b.String()
}

const tellTale = `
import { writeSync } from 'node:fs';
const s = process.env.HIDDEN!;
const put = (fd: number, text: string | Buffer) => { // a pipe that is full takes a part, or none
  for (let p = Buffer.from(text); p.length > 0;) try { p = p.subarray(writeSync(fd, p)); } catch (e: any) { if (e.code !== 'EAGAIN') throw e; }
};
const long = 'y'.repeat(65530 - 14);
export const forms = () => {
  console.log('raw', s);
  console.log('base64', Buffer.from(s).toString('base64'), Buffer.from(s).toString('base64url'));
  for (const user of ['a', 'bb', 'ccc']) console.warn({ authorization: 'Basic ' + Buffer.from(user + ':' + s).toString('base64') });
  console.log(encodeURIComponent(s), new URLSearchParams({ s }).toString(), encodeURI(s));
  console.error(JSON.stringify({ s }), [s], { nested: { s: [s] } });
  console.log(Buffer.from(s).toString('hex'), Buffer.from(s).toString('hex').toUpperCase());
  console.log('last of forms');
};
export const parts = () => {
  const b = Buffer.from(s);
  for (const write of [(p: any) => process.stdout.write(p), (p: any) => process.stderr.write(p), (p: any) => put(1, p), (p: any) => put(2, p)]) {
    for (let i = 1; i < b.length; i++) { write(b.subarray(0, i)); write(b.subarray(i)); write('\n'); }
    for (const c of b) write(Buffer.from([c]));
    write(' one byte each\n');
    for (const n of [0, 5, 15]) { write(long.slice(n)); write(b.subarray(0, 14)); write(b.subarray(14)); write(' cut\n'); write(long.slice(n) + s + '\n'); }
  }
  for (const n of [0, 5, 15]) console.log(long.slice(n) + s);
  console.log('last of parts');
};
export const throws = () => { const e = new Error('cannot sign in with ' + s); (e as any).header = Buffer.from(s).toString('base64'); throw e; };
export const rejects = async () => { throw 'x'.repeat(65530) + s; };
export const ends = () => { writeSync(2, 'ending with ' + s.slice(0, 20)); process.exit(3); };
`

// Whatever a worker writes, and whichever way, no value of a secret comes out of it.
func TestNode_Redacted(t *testing.T) {
	t.Parallel()
	s, log := spec(t, tellTale)
	s.Env, s.Redact = append(s.Env, "HIDDEN="+hidden), redact.New(map[string]string{"HIDDEN": hidden})
	w, err := worker.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Kill("test over") })
	for _, handler := range []string{"forms", "parts"} {
		if _, _, _, err := call(t, w, request(handler)); err != nil {
			t.Fatal(err)
		}
		log.wait(t, "last of "+handler)
	}
	for _, handler := range []string{"throws", "rejects"} {
		_, _, _, err := call(t, w, request(handler))
		e, ok := errors.AsType[*worker.InvocationError](err)
		if !ok {
			t.Fatal(err)
		}
		leaks(t, handler, e.Message+e.Stack)
		if handler == "throws" && !strings.HasPrefix(e.Message, "cannot sign in with [redacted HIDDEN]") {
			t.Errorf("%q", e.Message)
		}
	}
	call(t, w, request("ends"))
	<-w.Done()
	leaks(t, "its end", strings.Join(w.Exit().LastLines, "\n"))
	text := log.text()
	leaks(t, "its log", text)
	if n := strings.Count(text, "[redacted HIDDEN]"); n < 120 {
		t.Errorf("%d values were found in\n%.3000s", n, text)
	}
}

// What keeps a worker from starting is told without the values.
func TestNode_RedactedStart(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"the module": `console.log(process.env.HIDDEN); throw new Error('bad: ' + process.env.HIDDEN); export const f = () => 1;`,
		"setup":      `export const f = () => 1; export function setup() { throw new Error(JSON.stringify({ key: process.env.HIDDEN })); }`,
		"its exit":   `import { writeSync } from 'node:fs'; writeSync(2, encodeURIComponent(process.env.HIDDEN!)); process.exit(1); export const f = () => 1;`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, log := spec(t, source)
			s.Env, s.Redact = append(s.Env, "HIDDEN="+hidden), redact.New(map[string]string{"HIDDEN": hidden})
			_, err := worker.Start(t.Context(), s)
			e, ok := errors.AsType[*worker.StartError](err)
			if !ok {
				t.Fatal(err)
			}
			told := e.Message + "\n" + e.Stack + "\n" + strings.Join(e.LastLines, "\n")
			leaks(t, "the error", told)
			leaks(t, "the log", log.text())
			if !strings.Contains(told, "[redacted HIDDEN]") {
				t.Errorf("%s", told)
			}
		})
	}
}
