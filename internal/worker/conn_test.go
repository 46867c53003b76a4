package worker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/platform"
)

func frames(fs ...[]byte) []byte { return []byte(strings.Join(texts(fs), "")) }

func texts(fs [][]byte) (out []string) {
	for _, f := range fs {
		out = append(out, string(f))
	}
	return out
}

func f(kind frameType, flags byte, stream uint32, payload string) []byte {
	return appendFrame(nil, kind, flags, stream, []byte(payload))
}

const readyText = `{"handlers":[{"name":"a","kind":"custom"}],"auth":null}`

// What a worker may not send, after HELLO, READY and one REQUEST on stream 1.
var misbehaviour = []struct {
	name string
	in   []byte
	want string
}{
	{"a frame of four gigabytes", header(0xffffffff, frameData, 1), "promises"},
	{"a type that is not in the table", f(99, 0, 1, ""), "frame type 99"},
	{"a type of the host's", f(frameRequest, 0, 1, ""), "frame type 16"},
	{"a result from the worker", f(frameResult, 0, 1, ""), "frame type 33"},
	{"text", []byte("HTTP/1.1 200 OK\r\n\r\n"), "promises"},
	{"a second HELLO", f(frameHello, 0, 0, "PSTN\x00\x01{}"), "a second HELLO"},
	{"a second READY", f(frameReady, 0, 0, `{"handlers":[],"auth":null}`), "was ready"},
	{"FAIL after READY", f(frameFail, 0, 0, `{"code":"module_failed"}`), "was ready"},
	{"READY on a stream", f(frameReady, 0, 1, `{}`), "stream 1"},
	{"a PONG nobody asked for", f(framePong, 0, 0, "12345678"), "answers no PING"},
	{"an empty LOG", f(frameLog, 0, 0, ""), "LOG"},
	{"a LOG with half a request ID", f(frameLog, 0, 0, "\x01\x05abc"), "LOG"},
	{"a LOG with a long request ID that is not there", f(frameLog, 0, 0, "\x01\xffabc"), "LOG"},
	{"a LOG with the request ID that overflowed", f(frameLog, 0, 0, "\x01\xfe"), "LOG"},
	{"a response on a stream never opened", f(frameResponse, flagEnd, 2, string(reply(200, ""))), "never opened"},
	{"DATA on a stream never opened", f(frameData, 0, 4_000_000_000, ""), "never opened"},
	{"a response on stream 0", f(frameResponse, flagEnd, 0, string(reply(200, ""))), "stream 0"},
	{"DATA before RESPONSE", f(frameData, 0, 1, "x"), "DATA before RESPONSE"},
	{"status 101", f(frameResponse, flagEnd, 1, string(reply(101, ""))), "a WebSocket nobody asked for"},
	{"a header without a value", f(frameResponse, flagEnd, 1, string(reply(200, "", "x"))), "1 strings"},
	{"two responses", frames(f(frameResponse, 0, 1, string(reply(200, ""))), f(frameResponse, 0, 1, string(reply(200, "")))), "two responses"},
	{"ERROR after RESPONSE", frames(f(frameResponse, 0, 1, string(reply(200, ""))), f(frameError, 0, 1, `{"code":"x"}`)), "ERROR after"},
	{"DATA of more than 64 KiB", frames(f(frameResponse, 0, 1, string(reply(200, ""))), f(frameData, 0, 1, strings.Repeat("x", maxData+1))), "window"},
	{"a response beyond the window", f(frameResponse, 0, 1, string(reply(200, strings.Repeat("x", windowSize+1)))), "window"},
	{"a whole response beyond the window", f(frameResponse, flagEnd, 1, string(reply(200, strings.Repeat("x", windowSize+1)))), "window"},
	{"DATA beyond the window", frames(f(frameResponse, 0, 1, string(reply(200, "x"))), f(frameData, 0, 1, strings.Repeat("x", maxData)), f(frameData, 0, 1, strings.Repeat("x", maxData)),
		f(frameData, 0, 1, strings.Repeat("x", maxData)), f(frameData, 0, 1, strings.Repeat("x", maxData))), "window"},
	{"a WINDOW of three bytes", f(frameWindow, 0, 1, "123"), "WINDOW"},
	{"a RESET without a reason", f(frameReset, 0, 1, ""), "RESET"},
	{"an ERROR that is no JSON", f(frameError, 0, 1, "boom"), "ERROR does not parse"},
	{"an ERROR without a code", f(frameError, 0, 1, `{}`), "ERROR does not parse"},
}

// A worker that breaks a rule is cut off, and every call on it fails.
func TestConn_Misbehaviour(t *testing.T) {
	t.Parallel()
	for _, tt := range misbehaviour {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, p, ended := connect(t, socketPair)
			p.send(frameReady, 0, 0, []byte(readyText))
			failed := make(chan error, 1)
			go func() {
				res, err := c.do(t.Context(), smallCall())
				if err == nil {
					<-c.done // a reader would give credit
					_, err = io.ReadAll(res)
					res.Close()
				}
				failed <- err
			}()
			p.expect(frameRequest)
			go p.nc.Write(tt.in)
			if err := <-ended; !errors.Is(err, errProtocol) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the connection ended with %v, want %q", err, tt.want)
			}
			if err := <-failed; !errors.Is(err, ErrLost) {
				t.Errorf("the call in flight: %v", err)
			}
			if _, err := c.do(t.Context(), smallCall()); !errors.Is(err, ErrRefused) {
				t.Errorf("a call afterwards: %v", err)
			}
			select {
			case <-c.leaving:
			default:
				t.Error("it does not say that it takes no calls")
			}
		})
	}
}

// Frames of streams that are over crossed ours on the way: they cost nothing.
func TestConn_DropsWhatCrossed(t *testing.T) {
	t.Parallel()
	c, p, _ := connect(t, socketPair)
	p.send(frameReady, 0, 0, []byte(readyText))
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { _, err := c.do(ctx, smallCall()); failed <- err }()
	p.expect(frameRequest)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled call: %v", err)
	}
	if got := p.expect(frameReset); got.stream != 1 || got.payload[0] != resetCancelled {
		t.Errorf("the worker is told %+v", got)
	}
	p.send(frameResponse, 0, 1, reply(200, "late"))
	p.send(frameData, flagEnd, 1, []byte("later"))
	p.send(frameWindow, 0, 1, []byte{0, 0, 0, 1})
	p.send(frameReset, 0, 1, []byte{resetHandlerFailed})
	p.send(frameError, 0, 1, []byte(`{"code":"x"}`))
	go func() { p.expect(frameRequest); p.send(frameResponse, flagEnd, 2, reply(204, "")) }()
	res, err := c.do(t.Context(), smallCall())
	if err != nil || res.Status != 204 {
		t.Fatalf("the next call: %v %v", res, err)
	}
	res.Close()
}

func TestConn_Start(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		first []byte // instead of HELLO
		want  string // of the end
		told  []string
	}{
		{"another protocol", f(frameHello, 0, 0, "GET / HTTP/1.1"), "does not speak", nil},
		{"a cut magic", f(frameHello, 0, 0, "PSTN\x00"), "does not speak", nil},
		{"another version", f(frameHello, 0, 0, "PSTN\x00\x02{}"), "version 2", nil},
		{"READY first", f(frameReady, 0, 0, readyText), "did not begin with HELLO", nil},
		{"LOG first", f(frameLog, 0, 0, "\x01\x00x"), "did not begin with HELLO", nil},
		{"FAIL", frames(f(frameHello, 0, 0, "PSTN\x00\x01{}"), f(frameFail, 0, 0, `{"code":"module_failed","message":"no"}`)), "module_failed: no", []string{"module_failed: no"}},
		{"a FAIL that is no JSON", frames(f(frameHello, 0, 0, "PSTN\x00\x01{}"), f(frameFail, 0, 0, `no`)), "FAIL does not parse", nil},
		{"a FAIL without a code", frames(f(frameHello, 0, 0, "PSTN\x00\x01{}"), f(frameFail, 0, 0, `{}`)), "FAIL does not parse", nil},
		{"READY that is no JSON", frames(f(frameHello, 0, 0, "PSTN\x00\x01{}"), f(frameReady, 0, 0, `no`)), "READY does not parse", []string{"worker protocol: READY does not parse: invalid character 'o' in literal null (expecting 'u')"}},
		{"the end", nil, "EOF", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			host, far := socketPair(t)
			var told []string
			c := newConn(host, events{ready: func(_ platform.Declaration, err error) { told = append(told, err.Error()) }})
			go func() { far.Write(tt.first); far.(interface{ CloseWrite() error }).CloseWrite() }()
			go io.Copy(io.Discard, far)
			if err := c.run(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ended with %v, want %q", err, tt.want)
			}
			if d := cmp.Diff(tt.told, told); d != "" {
				t.Error(d)
			}
			far.Close()
		})
	}
}

func TestConn_Log(t *testing.T) {
	t.Parallel()
	c, p, _ := connect(t, socketPair)
	p.send(frameReady, 0, 0, []byte(readyText))
	id := strings.Repeat("i", 255)
	p.send(frameLog, 0, 0, []byte("\x00\x00plain"))
	p.send(frameLog, 0, 0, []byte("\x02\xff"+id+"long ID"))
	p.send(frameLog, 0, 0, []byte("\x09\x00level nine \xff"))
	p.send(frameLog, 0, 0, []byte("\x01\x00"+strings.Repeat("€", maxLine)))
	p.send(frameLog, 0, 0, []byte("\x01\x00"+strings.Repeat("x", maxLine)+cutMark))
	go func() { p.expect(frameRequest); p.send(frameResponse, flagEnd, 1, reply(204, "")) }()
	if _, err := c.do(t.Context(), smallCall()); err != nil { // it is read behind them
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	want := []Line{{Level: slog.LevelDebug, Text: "plain"}, {Level: slog.LevelWarn, RequestID: id, Text: "long ID"}, {Level: slog.LevelError, Text: "level nine \ufffd"},
		{Level: slog.LevelInfo, Text: strings.Repeat("€", maxLine/3) + cutMark}, {Level: slog.LevelInfo, Text: strings.Repeat("x", maxLine) + cutMark}}
	if d := cmp.Diff(want, p.lines); d != "" {
		t.Errorf("%.2000s", d)
	}
}

// The fake clock of a bubble makes the deadlines and pings exact.
func TestConn_DeadlineAndPing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p, _ := connect(t, pipe)
		p.send(frameReady, 0, 0, []byte(readyText))
		failed := make(chan error, 1)
		r := smallCall()
		r.Deadline = time.Now().Add(time.Second)
		go func() { _, err := c.do(t.Context(), r); failed <- err }()
		p.expect(frameRequest)
		c.sweep(time.Now().Add(time.Second)) // not before it has passed
		if n := c.ping(time.Now(), false); n != 0 {
			t.Errorf("silent for %v before the first ping", n)
		}
		ping := p.expect(framePing)
		time.Sleep(300 * time.Millisecond)
		if n := c.ping(time.Now(), false); n != 300*time.Millisecond {
			t.Errorf("silent for %v, want 300ms", n)
		}
		p.send(framePong, 0, 0, ping.payload)
		synctest.Wait()
		if c.lag != 300*time.Millisecond {
			t.Errorf("lag %v", c.lag)
		}
		time.Sleep(701 * time.Millisecond)
		go c.sweep(time.Now())
		if err := <-failed; !errors.Is(err, ErrDeadline) {
			t.Errorf("after its deadline: %v", err)
		}
		if got := p.expect(frameReset); got.payload[0] != resetDeadline {
			t.Errorf("the worker is told %v", got.payload)
		}
		if n := c.ping(time.Now(), false); n != 0 {
			t.Errorf("an idle worker is pinged out of turn: %v", n)
		}
	})
}

// A worker that reads nothing must not make the server grow.
func TestConn_RefusesWhenNothingIsRead(t *testing.T) {
	t.Parallel()
	c, p, _ := connect(t, pipe) // nobody reads at the other end
	p.send(frameReady, 0, 0, []byte(readyText))
	r := smallCall()
	r.Inline = make([]byte, 500<<10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // each caller goes away at once; what it sent stays
	refused := 0
	for range 200 {
		if _, err := c.do(ctx, r); errors.Is(err, ErrRefused) {
			refused++
		} else if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if refused < 50 || c.unsent() > maxUnsent+maxPayload+100 || c.inFlight != 0 {
		t.Errorf("%d refused, %d bytes wait, %d in flight", refused, c.unsent(), c.inFlight)
	}
}

// What a call that is alone cannot send at once, the writer sends, and nothing
// overtakes it.
func TestConn_SendsTheRestOfACallThatIsAlone(t *testing.T) {
	t.Parallel()
	c, p, _ := connect(t, socketPair)
	p.send(frameReady, 0, 0, []byte(readyText))
	var bodies []string
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for i := range 20 {
		r := smallCall()
		bodies = append(bodies, strings.Repeat(string(rune('a'+i)), 900<<10))
		r.Inline = []byte(bodies[i])
		calls.Go(func() { c.do(ctx, r) })
		for { // one after the other, although nobody reads
			c.mu.Lock()
			n := c.inFlight
			c.mu.Unlock()
			if n > i {
				break
			}
			runtime.Gosched()
		}
	}
	for i, body := range bodies {
		if f := p.expect(frameRequest); f.stream != uint32(i+1) || !strings.HasSuffix(string(f.payload), "*/*"+body) && !strings.HasSuffix(string(f.payload), "bench"+body) {
			t.Errorf("request %d came as stream %d with %d bytes, or not whole", i+1, f.stream, len(f.payload))
		}
	}
	cancel()
	calls.Wait()
}

// A worker that refuses takes nothing more; what runs on it may finish.
func TestConn_RefusalLeaves(t *testing.T) {
	t.Parallel()
	c, p, _ := connect(t, socketPair)
	p.send(frameReady, 0, 0, []byte(readyText))
	type result struct {
		res *Response
		err error
	}
	got := make(chan result, 1)
	go func() { res, err := c.do(t.Context(), smallCall()); got <- result{res, err} }()
	p.expect(frameRequest)
	go func() { p.expect(frameRequest); p.send(frameReset, 0, 2, []byte{resetRefused}) }()
	if _, err := c.do(t.Context(), smallCall()); !errors.Is(err, ErrRefused) {
		t.Errorf("err = %v", err)
	}
	<-c.leaving
	if _, err := c.do(t.Context(), smallCall()); !errors.Is(err, ErrRefused) {
		t.Errorf("afterwards: %v", err)
	}
	p.send(frameResponse, flagEnd, 1, reply(200, "done"))
	if r := <-got; r.err != nil || r.res.Status != 200 {
		t.Errorf("what ran: %v", r.err)
	}
}

// Streams of calls are numbered round: the number after the last is 1.
func TestConn_StreamNumbersWrap(t *testing.T) {
	t.Parallel()
	c, p, _ := connect(t, socketPair)
	p.send(frameReady, 0, 0, []byte(readyText))
	c.mu.Lock()
	c.next, c.opened = 0x7ffffffe, 0x7ffffffd
	c.mu.Unlock()
	go func() {
		for {
			f := p.read()
			if f.kind == 0 {
				return
			}
			p.send(frameResponse, flagEnd, f.stream, reply(200, "", "x-stream", string(rune('0'+f.stream%10))))
		}
	}()
	var got []string
	for range 4 {
		res, err := c.do(t.Context(), smallCall())
		if err != nil {
			t.Fatal(err)
		}
		h := map[string][]string{}
		res.CopyHeader(h)
		got = append(got, h["X-Stream"]...)
		res.Close()
	}
	if d := cmp.Diff([]string{"6", "7", "1", "2"}, got); d != "" {
		t.Error(d)
	}
}

// A call that lasts keeps its place in the table, and the number of another that
// would have that place is passed over. What comes on those behind it is in order.
func TestConn_StreamNumbersPassACallThatLasts(t *testing.T) {
	t.Parallel()
	c, p, _ := connect(t, socketPair)
	p.send(frameReady, 0, 0, []byte(readyText))
	ctx, cancel := context.WithCancel(t.Context())
	lasting := make(chan error, 1)
	go func() { _, err := c.do(ctx, smallCall()); lasting <- err }()
	p.expect(frameRequest)
	c.mu.Lock()
	c.next, c.opened = slots+1, slots
	c.mu.Unlock()
	go func() { p.send(frameResponse, flagEnd, p.expect(frameRequest).stream, reply(204, "")) }()
	res, err := c.do(t.Context(), smallCall())
	if err != nil {
		t.Fatal(err)
	}
	res.Close()
	if cancel(); !errors.Is(<-lasting, context.Canceled) {
		t.Error("the call that lasts was lost")
	}
	if got := p.expect(frameReset); got.stream != 1 {
		t.Errorf("the worker is told of stream %d", got.stream)
	}
}
