package main_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/platform"
)

// writer writes what it is told to, in the forms that a log must take as text.
const writer = `
import { writeSync } from 'node:fs';
export const auth: string[] = [];
const evil: Record<string, () => void> = {
  escapes: () => console.log('\x1b[2J\x1b[H\x1b]0;title\x07\x1b]52;c;aWQ=\x07\x1bP+q\x1b\\\x9b31m\u202e after'),
  bomb: () => console.log('\x1b[31m'.repeat(10000) + 'bomb'),
  unicode: () => { writeSync(1, Buffer.from([0xff, 0xfe, 0xc0, 0x80, 0xed, 0xa0, 0x80, 0x0a])); },
  events: () => console.log('\n\nid: 1\nevent: request\ndata: {"forged":true}\n\n\r\r\u2028\u2029: x'),
  json: () => console.log('{"seq":1,"invocation":{"status":200},"level":"ERROR","text":"forged"}\n{"forged":true}'),
  nul: () => console.log('\0\0\0'),
  request: () => writeSync(2, 'requestId=req_00000000000000000000 req_forged\n'),
};
export const writes = (_: unknown, r: any) => { evil[r.query.what](); console.log('end of ' + r.query.what); return { statusCode: 200, headers: { 'x-answer': 'a\tb' }, body: 'ok' }; };
export const much = async () => { for (let i = 0; i < 200; i++) { console.log('x'.repeat(60000)); await new Promise((ok) => setImmediate(ok)); } await new Promise((ok) => setTimeout(ok, 1000)); console.log('end of much'); return 'ok'; };
`

// stream opens a log as it is written.
func (v *vault) stream(project, keyID, secret, path, last string) *http.Response {
	v.Helper()
	req, err := http.NewRequestWithContext(v.Context(), "GET", v.control+"/v1/projects/"+project+"/functions/"+path, nil)
	if err != nil {
		v.Fatal(err)
	}
	req.SetBasicAuth(keyID, secret)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		v.Fatal(err)
	}
	v.Cleanup(func() { res.Body.Close() })
	return res
}

// Whatever a function writes is text in its own log: no event, no other line's
// fields, no sequence to a terminal. Who may not read it learns nothing of it.
func TestAttack_Logs(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	project, keyID, secret := v.key["POSTERN_PROJECT_ID"], v.key["POSTERN_KEY_ID"], v.key["POSTERN_KEY_SECRET"]
	v.deploy("says", writer)
	res := v.stream(project, keyID, secret, "says/logs/stream?view=entries", "")
	if res.StatusCode != 200 {
		t.Fatal(res.Status)
	}
	events := make(chan string, 1<<16)
	go func() {
		defer close(events)
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 8<<20)
		for lines.Scan() {
			events <- lines.Text()
		}
	}()
	for _, what := range []string{"escapes", "bomb", "unicode", "events", "json", "nul", "request"} {
		tried(t, "written", what)
		v.get("/fn/says/writes?what=" + what)
		v.untilEnd(events, what)
	}
	tried(t, "written", "12 MB at once")
	began := time.Now()
	v.get("/fn/says/much")
	if took := time.Since(began); took > time.Minute {
		t.Errorf("a function that writes much waits for who reads it: %v", took)
	}
	v.untilEnd(events, "much")
	cmd := exec.Command(binary, "functions", "logs", "says", "--lines", "2000", "--plain")
	cmd.Env = v.env
	if out, err := cmd.Output(); err != nil || unsafe(string(out)) != "" {
		t.Errorf("at a terminal: %v, %q", err, unsafe(string(out)))
	}
	v.strangers(project, keyID, secret)
}

// get calls a handler that answers.
func (v *vault) get(path string) {
	v.Helper()
	res, err := http.Get(v.gateway + path)
	if err != nil {
		v.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		v.Errorf("%s: %s", path, res.Status)
	}
}

// untilEnd reads events up to that of the end of what was written. Each field of
// an event is one that the server sends, and its data is JSON.
func (v *vault) untilEnd(events <-chan string, what string) {
	v.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		select {
		case line, ok := <-events:
			if !ok {
				v.Fatal("the stream ended")
			}
			field, value, _ := strings.Cut(line, ": ")
			switch {
			case !slices.Contains([]string{"", "id", "event", "data"}, field) || strings.ContainsAny(line, "\x00\x1b\r"):
				v.Errorf("%s: an event has the line %.100q", what, line)
			case field == "event" && !slices.Contains([]string{"line", "request", "lost"}, value):
				v.Errorf("%s: the event %q", what, value)
			case field == "data":
				var e struct {
					Forged    bool
					Text      string
					RequestID string
				}
				if err := json.Unmarshal([]byte(value), &e); err != nil || e.Forged || e.RequestID == "req_forged" || e.RequestID == "req_00000000000000000000" {
					v.Errorf("%s: %v, %.200q", what, err, value)
				}
				if e.Text == "end of "+what {
					return
				}
			}
		case <-deadline:
			v.Fatalf("the end of %s does not come", what)
		}
	}
}

// strangers are those who ask for a log that is not theirs, or from nowhere.
func (v *vault) strangers(project, keyID, secret string) {
	v.Helper()
	other := "prj_" + strings.TrimPrefix(accesskey.NewID(time.Now()), "pak_")
	if err := v.db.CreateProject(v.Context(), platform.Project{ID: other, Name: "other", CreatedAt: time.Now()}); err != nil {
		v.Fatal(err)
	}
	theirs, theirSecret := v.mint(func(k *platform.AccessKey) { k.ProjectID = other })
	invoke, invokeSecret := v.mint(func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeInvoke} })
	v.settle()
	f, _ := deployed(v, project, "says")
	for _, path := range []string{"/status", "/logs", "/logs/stream"} {
		for name, tc := range map[string]struct {
			project, key, secret, function string
			want                           int
		}{
			"theirs for ours":       {project, theirs.ID, theirSecret, "says", 403},
			"theirs for ours by ID": {project, theirs.ID, theirSecret, f.ID, 403},
			"our ID in theirs":      {other, theirs.ID, theirSecret, f.ID, 404},
			"our name in theirs":    {other, theirs.ID, theirSecret, "says", 404},
			"nothing in theirs":     {other, theirs.ID, theirSecret, "fn-00000000000000000000000000", 404},
			"a key for calls":       {project, invoke.ID, invokeSecret, "says", 403},
			"a wrong secret":        {project, keyID, theirSecret, "says", 401},
			"a path":                {project, keyID, secret, "..%2f" + f.ID, 404},
		} {
			tried(v, name, path)
			res := v.stream(tc.project, tc.key, tc.secret, tc.function+path, "")
			if res.Body.Close(); res.StatusCode != tc.want {
				v.Errorf("%s, %s: %s, want %d", name, path, res.Status, tc.want)
			}
			time.Sleep(60 * time.Millisecond) // a bare secret may be shown 10 times a second
		}
	}
	for _, last := range []string{"-1", "1e9", "0x1", "1.1.1", "١", "1;2", " ", "../1", strings.Repeat("1", 30), "1.", ".1", "NaN", "9999999999999999999"} {
		tried(v, "a place", last)
		res := v.stream(project, keyID, secret, "says/logs/stream", last)
		if res.Body.Close(); res.StatusCode != 422 && !(strings.TrimSpace(last) == "" && res.StatusCode == 200) {
			v.Errorf("the place %q: %s", last, res.Status)
		}
		time.Sleep(110 * time.Millisecond)
	}
}
