package worker

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/platform"
)

const controlFile = "testdata/protocol/control.jsonl"

// control is one line of the vectors of all frames but REQUEST and RESPONSE,
// which have a file of their own. After says in which phase of the start the
// frame comes; in "serving" a request is open on stream 1, and in "asked" and
// "socket" a WebSocket on stream 2147483648, not yet taken by the worker and taken.
type control struct {
	Name   string `json:"name"`
	From   string `json:"from"` // host or worker
	After  string `json:"after"`
	Bad    bool   `json:"bad,omitempty"`
	Hex    string `json:"hex"`
	Type   int    `json:"type"`
	Flags  int    `json:"flags"`
	Stream uint32 `json:"stream"`
	// Text is the payload of a good frame, where it is text.
	Text string `json:"text,omitempty"`
}

func makeControl() (out []control) {
	add := func(name, from, after string, bad bool, frame []byte, text string) {
		out = append(out, control{Name: name, From: from, After: after, Bad: bad, Hex: hex.EncodeToString(frame), Type: int(frame[4]), Flags: int(frame[5]),
			Stream: uint32(frame[6])<<24 | uint32(frame[7])<<16 | uint32(frame[8])<<8 | uint32(frame[9]), Text: text})
	}
	add("HELLO", "host", "start", false, appendHello(nil), `{"maxFrame":1048576,"window":262144}`)
	add("DRAIN", "host", "serving", false, f(frameDrain, 0, 0, ""), "")
	add("PING", "host", "serving", false, f(framePing, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x00"), "")
	token := Token{Socket: "/run/calls.sock", Text: "a.b.c"}
	add("TOKEN", "host", "serving", false, appendToken(nil, token), `{"socket":"/run/calls.sock","token":"a.b.c"}`)
	add("TOKEN before READY", "host", "hello", false, appendToken(nil, token), `{"socket":"/run/calls.sock","token":"a.b.c"}`)
	add("TOKEN with a member of a later version", "host", "serving", false, f(frameToken, 0, 0, `{"socket":"/s","token":"t","door":1}`), `{"socket":"/s","token":"t","door":1}`)
	add("TOKEN on a stream", "host", "serving", true, f(frameToken, 0, 1, `{"socket":"/s","token":"t"}`), "")
	add("TOKEN that is no JSON", "host", "serving", true, f(frameToken, 0, 0, `{"socket"`), "")
	add("TOKEN without a token", "host", "serving", true, f(frameToken, 0, 0, `{"socket":"/s"}`), "")
	add("TOKEN that is null", "host", "serving", true, f(frameToken, 0, 0, `null`), "")
	add("DATA", "host", "serving", false, f(frameData, 0, 1, "part"), "part")
	add("DATA with END", "host", "serving", false, f(frameData, flagEnd, 1, ""), "")
	add("WINDOW", "host", "serving", false, windowFrame(nil, 1, 65536), "")
	add("RESET, cancelled", "host", "serving", false, f(frameReset, 0, 1, "\x00"), "")
	add("RESET, deadline", "host", "serving", false, f(frameReset, 0, 1, "\x01"), "")

	const hello = `{"runtime":"node","runtimeVersion":"20.20.2","pid":123}`
	add("HELLO", "worker", "start", false, f(frameHello, 0, 0, "PSTN\x00\x01"+hello), hello)
	add("READY without auth", "worker", "hello", false, f(frameReady, 0, 0, readyText), readyText)
	for _, auth := range []string{`"*"`, `["a"]`, `[]`} {
		text := `{"handlers":[{"name":"a","kind":"custom"},{"name":"home","kind":"root"},{"name":"ice","kind":"callback"},{"name":"smsWebhook","kind":"service"}],"auth":` + auth + `}`
		add("READY with auth "+auth, "worker", "hello", false, f(frameReady, 0, 0, text), text)
	}
	for _, style := range []string{"event", "context"} {
		text := `{"handlers":[{"name":"handler","kind":"custom"}],"auth":null,"style":"` + style + `"}`
		add("READY of style "+style, "worker", "hello", false, f(frameReady, 0, 0, text), text)
	}
	const featured = `{"runtime":"node","runtimeVersion":"20.20.2","pid":123,"features":["route","token"]}`
	add("HELLO with features", "worker", "start", false, f(frameHello, 0, 0, "PSTN\x00\x01"+featured), featured)
	const fail = `{"code":"module_failed","message":"no config","stack":"at function.ts:1"}`
	add("LOG", "worker", "serving", false, f(frameLog, 0, 0, "\x01\x05req_1hällo"), "hällo")
	add("LOG without a request", "worker", "hello", false, f(frameLog, 0, 0, "\x03\x00broken"), "broken")
	add("WINDOW", "worker", "serving", false, windowFrame(nil, 1, 65536), "")
	add("RESET, refused", "worker", "serving", false, f(frameReset, 0, 1, "\x02"), "")
	add("ERROR", "worker", "serving", false, f(frameError, 0, 1, `{"code":"handler_threw","message":"boom","stack":""}`), `{"code":"handler_threw","message":"boom","stack":""}`)

	add("HELLO of another protocol", "worker", "start", true, f(frameHello, 0, 0, "HTTP/1.1"), "")
	add("HELLO of version 2", "worker", "start", true, f(frameHello, 0, 0, "PSTN\x00\x02{}"), "")
	add("READY before HELLO", "worker", "start", true, f(frameReady, 0, 0, readyText), "")
	add("FAIL", "worker", "hello", true, f(frameFail, 0, 0, fail), fail) // told, then over
	add("FAIL without a code", "worker", "hello", true, f(frameFail, 0, 0, `{}`), "")
	add("READY without handlers", "worker", "hello", true, f(frameReady, 0, 0, `{"handlers":[],"auth":null}`), "")
	add("READY out of order", "worker", "hello", true, f(frameReady, 0, 0, `{"handlers":[{"name":"b","kind":"custom"},{"name":"a","kind":"custom"}],"auth":null}`), "")
	add("READY of an unknown style", "worker", "hello", true, f(frameReady, 0, 0, `{"handlers":[{"name":"a","kind":"custom"}],"auth":null,"style":"class"}`), "")
	add("READY without auth member", "worker", "hello", true, f(frameReady, 0, 0, `{"handlers":[{"name":"a","kind":"custom"}]}`), "")
	const ws = socketStreams
	add("MESSAGE", "host", "socket", false, f(frameMessage, flagEnd, ws, "hällo"), "hällo")
	add("MESSAGE, bytes, a part", "host", "socket", false, f(frameMessage, flagBinary, ws, "part"), "part")
	add("CLOSE", "host", "socket", false, f(frameClose, 0, ws, "\x03\xe8bye"), "bye")
	add("CLOSE, the connection is lost", "host", "socket", false, f(frameClose, 0, ws, "\x03\xee"), "")
	add("CLOSE without a code", "host", "socket", true, f(frameClose, 0, ws, "\x03"), "")
	add("RESPONSE that takes a WebSocket", "worker", "asked", false, f(frameResponse, 0, ws, string(reply(101, ""))), "")
	add("ERROR instead", "worker", "asked", false, f(frameError, 0, ws, `{"code":"handler_not_found","message":"","stack":""}`), "")
	add("RESET instead", "worker", "asked", false, f(frameReset, 0, ws, "\x02"), "")
	add("MESSAGE", "worker", "socket", false, f(frameMessage, flagEnd, ws, "hällo"), "hällo")
	add("MESSAGE, bytes, a part", "worker", "socket", false, f(frameMessage, flagBinary, ws, "part"), "part")
	add("CLOSE", "worker", "socket", false, f(frameClose, 0, ws, "\x0f\xa0bye"), "bye")
	add("CLOSE without a code of its own", "worker", "socket", false, f(frameClose, 0, ws, "\x03\xed"), "")
	add("WINDOW of a WebSocket that is taken up", "worker", "socket", true, windowFrame(nil, ws, 1), "")
	add("RESPONSE of another status", "worker", "asked", true, f(frameResponse, 0, ws, string(reply(200, ""))), "")
	add("RESPONSE with END", "worker", "asked", true, f(frameResponse, flagEnd, ws, string(reply(101, ""))), "")
	add("MESSAGE before RESPONSE", "worker", "asked", true, f(frameMessage, flagEnd, ws, "x"), "")
	add("CLOSE before RESPONSE", "worker", "asked", true, f(frameClose, 0, ws, "\x03\xe8"), "")
	add("a second RESPONSE", "worker", "socket", true, f(frameResponse, 0, ws, string(reply(101, ""))), "")
	add("ERROR after RESPONSE of a WebSocket", "worker", "socket", true, f(frameError, 0, ws, `{"code":"x"}`), "")
	add("DATA on a WebSocket", "worker", "socket", true, f(frameData, 0, ws, "x"), "")
	add("MESSAGE on a WebSocket that never was", "worker", "socket", true, f(frameMessage, flagEnd, ws+7, "x"), "")
	add("MESSAGE on the stream of a call", "worker", "serving", true, f(frameMessage, flagEnd, 1, "x"), "")
	add("CLOSE on the stream of a call", "worker", "serving", true, f(frameClose, 0, 1, "\x03\xe8"), "")
	for _, bad := range []string{"", "\x03", "\x03\xee", "\x03\xec", "\x00\x00", "\x0b\xb7", "\x13\x88", "\x03\xe8\xff", "\x03\xe8" + strings.Repeat("x", 124)} {
		add(fmt.Sprintf("CLOSE of %.4q", bad), "worker", "socket", true, f(frameClose, 0, ws, bad), "")
	}
	for _, m := range misbehaviour {
		if _, length, err := parseHeader(m.in); err != nil || len(m.in) == headerSize+length && length < 1000 {
			add(m.name, "worker", "serving", true, m.in, "")
		}
	}
	return out
}

// inPhase is a connection that has come so far, without goroutines.
func inPhase(after string, log *[]string) *conn {
	c := newConn(nil, events{ready: func(platform.Declaration, error) {}, log: func(_ slog.Level, id, text string) { *log = append(*log, id+":"+text) }})
	c.phase = map[string]phase{"start": expectHello, "hello": expectReady, "serving": serving, "asked": serving, "socket": serving}[after]
	if after == "asked" || after == "socket" {
		s := &Socket{c: c, answer: make(chan error, 1), notify: func() {}, window: windowSize, open: after == "socket"}
		if err := c.openSocket(s, &Request{Socket: true}); err != nil {
			panic(err)
		}
	}
	if after == "serving" {
		if err := c.open(&call{done: make(chan struct{}, 1)}, smallCall()); err != nil {
			panic(err)
		}
	}
	return c
}

func TestControlVectors(t *testing.T) {
	t.Parallel()
	made := makeControl()
	if *update {
		var b bytes.Buffer
		for _, v := range made {
			if err := json.NewEncoder(&b).Encode(v); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(controlFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(controlFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var read []control
	for s := bufio.NewScanner(file); s.Scan(); {
		var v control
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		read = append(read, v)
	}
	if d := cmp.Diff(made, read); d != "" || len(read) < 30 {
		t.Fatalf("what is written has changed: run with -update if the protocol did\n%s", d)
	}
	for _, v := range read {
		if v.From != "worker" {
			continue
		}
		raw, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		var log []string
		c := inPhase(v.After, &log)
		_, _, err = c.frames(raw)
		if v.Bad != (err != nil) {
			t.Errorf("%s: err = %v", v.Name, err)
		}
		if v.Type == int(frameLog) && !v.Bad && (len(log) != 1 || !bytes.HasSuffix([]byte(log[0]), []byte(":"+v.Text))) {
			t.Errorf("%s: logged %q", v.Name, log)
		}
	}
}

// FuzzHandle feeds whatever comes to a connection in each phase: it never
// panics, and a call in flight is ended at most once.
func FuzzHandle(f *testing.F) {
	seeds := 0
	for _, v := range makeControl() {
		if v.From == "worker" {
			raw, err := hex.DecodeString(v.Hex)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw, v.After)
			seeds++
		}
	}
	if seeds < 20 {
		f.Fatalf("only %d seeds", seeds)
	}
	f.Fuzz(func(t *testing.T, raw []byte, after string) {
		var log []string
		c := inPhase(after, &log)
		before := c.inFlight
		if n, need, err := c.frames(raw); err == nil && len(raw)-n >= headerSize && need <= len(raw)-n {
			t.Errorf("%d of %d bytes were taken, and the next frame has %d", n, len(raw), need)
		}
		if c.inFlight < 0 || c.inFlight > before {
			t.Errorf("%d calls in flight, of %d", c.inFlight, before)
		}
	})
}
