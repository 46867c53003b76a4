package worker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// asked is a connection whose host answers calls, and its other end, which has
// said HELLO and READY.
func asked(t *testing.T, answer HostCall) (p *peer, over chan error) {
	t.Helper()
	host, far := socketPair(t)
	ready := make(chan struct{})
	c := newConn(host, events{call: answer, ready: func(platform.Declaration, error) { close(ready) }, log: func(slog.Level, string, string) {}})
	over = make(chan error, 1)
	go func() { over <- c.run() }()
	t.Cleanup(func() { far.Close() })
	p = &peer{t: t, nc: far}
	p.expect(frameHello)
	p.send(frameHello, 0, 0, []byte("PSTN\x00\x01{}"))
	p.send(frameReady, 0, 0, []byte(readyText))
	<-ready
	return p, over
}

func callOf(op string, fields ...string) []byte {
	b := append([]byte{byte(len(op))}, op...)
	for _, f := range fields {
		b = appendFields(b, [][]byte{[]byte(f)})
	}
	return b
}

// Each call is answered with its own number, whatever the answer is; what went
// wrong inside is not told.
func TestHostCall_Answered(t *testing.T) {
	t.Parallel()
	p, _ := asked(t, func(_ context.Context, op string, fields [][]byte) ([][]byte, error) {
		switch op {
		case "echo":
			return fields, nil
		case "refuse":
			return nil, fault.Wrap(errors.New("inside"), fault.TooMany, "enough").WithCode("full")
		case "large":
			return [][]byte{make([]byte, maxPayload)}, nil
		}
		return nil, errors.New("inside")
	})
	for _, c := range []struct {
		name, op string
		fields   []string
		want     string
	}{
		{"fields come back", "echo", []string{"a", "", "bc"}, "\x00\x00\x00\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x02bc"},
		{"nothing comes back", "echo", nil, "\x00"},
		{"a fault without its cause", "refuse", nil, "\x01" + `{"code":"full","message":"enough"}`},
		{"an error without details", "x", nil, "\x01" + `{"code":"internal","message":"the server failed"}`},
		{"a result too large for a frame", "large", nil, "\x01" + `{"code":"internal","message":"the server failed"}`},
	} {
		p.send(frameCall, 0, 7, callOf(c.op, c.fields...))
		if f := p.expect(frameResult); f.stream != 7 || string(f.payload) != c.want {
			t.Errorf("%s: RESULT %d %q", c.name, f.stream, f.payload)
		}
	}
}

// A call that breaks the protocol ends the worker's connection.
func TestHostCall_Malformed(t *testing.T) {
	t.Parallel()
	for name, payload := range map[string][]byte{
		"nothing":             {},
		"a name cut off":      {5, 'a'},
		"a length cut off":    append(callOf("x"), 0, 0),
		"a field cut off":     append(callOf("x"), 0, 0, 0, 2, 'a'),
		"a field of 4 GiB":    append(callOf("x"), 0xff, 0xff, 0xff, 0xff, 'a'),
		"bytes after a field": append(callOf("x", "a"), 1),
		"a MiB of no fields":  append(callOf("x"), make([]byte, maxPayload-4)...),
	} {
		var ran atomic.Bool
		p, over := asked(t, func(context.Context, string, [][]byte) ([][]byte, error) { ran.Store(true); return nil, nil })
		p.send(frameCall, 0, 1, payload)
		if err := <-over; !errors.Is(err, errProtocol) || ran.Load() {
			t.Errorf("%s: %v, ran %v", name, err, ran.Load())
		}
	}
}

// A worker has so many calls out and no more; those that run end with it.
func TestHostCall_TooMany(t *testing.T) {
	t.Parallel()
	var ended atomic.Int32
	p, over := asked(t, func(ctx context.Context, _ string, _ [][]byte) ([][]byte, error) {
		<-ctx.Done()
		ended.Add(1)
		return nil, ctx.Err()
	})
	var all bytes.Buffer
	for i := range maxHostCalls + 1 {
		all.Write(f(frameCall, 0, uint32(i+1), string(callOf("wait"))))
	}
	p.nc.Write(all.Bytes())
	if err := <-over; err == nil || !strings.Contains(err.Error(), "more than 256 calls") {
		t.Errorf("the connection ended with %v", err)
	}
	if n := ended.Load(); n != maxHostCalls {
		t.Errorf("%d calls had ended when the connection had", n)
	}
}
