package worker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// counter is a body without an end that counts what was read of it.
type counter struct{ n atomic.Int64 }

func (c *counter) Read(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

func window(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// A request body stops at the worker's window, to the byte, and goes on with
// its credit.
func TestBody_StopsAtTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p, _ := connect(t, pipe)
		p.send(frameReady, 0, 0, []byte(readyText))
		ctx, cancel := context.WithCancel(t.Context())
		r, body := smallCall(), &counter{}
		r.Body, r.Stream = body, true
		failed := make(chan error, 1)
		go func() { _, err := c.do(ctx, r); failed <- err }()
		if f := p.expect(frameRequest); f.flags&flagEnd != 0 {
			t.Error("a request with a body to come carries END")
		}
		take := func(want int) {
			t.Helper()
			for got := 0; got < want; {
				f := p.expect(frameData)
				if len(f.payload) > maxData || f.flags&flagEnd != 0 {
					t.Fatalf("DATA of %d bytes, flags %d", len(f.payload), f.flags)
				}
				got += len(f.payload)
				if got > want {
					t.Fatalf("%d bytes, %d were allowed", got, want)
				}
			}
			synctest.Wait() // it would send more now if it could
			c.mu.Lock()
			waiting := c.unsent()
			c.mu.Unlock()
			if waiting != 0 {
				t.Errorf("%d bytes wait beyond the window", waiting)
			}
		}
		take(windowSize)
		if n := body.n.Load(); n != windowSize {
			t.Errorf("%d bytes were read of the body, for a window of %d", n, windowSize)
		}
		p.send(frameWindow, 0, 1, window(1000))
		take(1000)
		// An answer ends the body: nobody wants the rest.
		p.send(frameWindow, 0, 1, window(0))
		p.send(frameResponse, flagEnd, 1, reply(200, "enough"))
		if err := <-failed; err != nil {
			t.Errorf("err = %v", err)
		}
		before := body.n.Load()
		p.send(frameWindow, 0, 1, window(1<<20))
		synctest.Wait()
		if n := body.n.Load(); n != before {
			t.Errorf("%d more bytes were read after the answer", n-before)
		}
		cancel()
	})
}

// Of a response at most a window is kept for a caller who stops reading, and
// credit is given for what he took, not for what came.
func TestBody_CreditIsForWhatWasTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p, _ := connect(t, pipe)
		p.send(frameReady, 0, 0, []byte(readyText))
		go func() {
			p.expect(frameRequest)
			p.send(frameResponse, 0, 1, reply(200, "0123456789"))
			p.send(frameData, 0, 1, make([]byte, maxData))
			p.send(frameData, 0, 1, make([]byte, maxData))
		}()
		res, err := c.do(t.Context(), smallCall())
		if err != nil {
			t.Fatal(err)
		}
		if _, whole := res.Whole(); whole {
			t.Error("a response without END is whole")
		}
		synctest.Wait()
		c.mu.Lock()
		waiting := c.unsent()
		c.mu.Unlock()
		if waiting != 0 {
			t.Errorf("%d bytes to the worker before anything was taken", waiting)
		}
		const took = 10 + maxData + 100
		if _, err := io.ReadFull(res, make([]byte, took)); err != nil {
			t.Fatal(err)
		}
		var credit uint32
		for credit < 10+maxData { // the last bytes wait for more of their like
			credit += binary.BigEndian.Uint32(p.expect(frameWindow).payload)
		}
		if credit > took {
			t.Errorf("credit for %d bytes; %d were taken", credit, took)
		}
		go res.Close()
		if f := p.expect(frameReset); f.payload[0] != resetCancelled {
			t.Errorf("a caller who goes away: reset %v", f.payload)
		}
	})
}

// How a body can end, as its reader sees it.
func TestBody_Ends(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		send func(p *peer)
		want error
	}{
		"whole":        {func(p *peer) { p.send(frameData, flagEnd, 1, []byte("tail")) }, nil},
		"an empty END": {func(p *peer) { p.send(frameData, 0, 1, []byte("tail")); p.send(frameData, flagEnd, 1, nil) }, nil},
		"reset": {func(p *peer) {
			p.send(frameData, 0, 1, []byte("tail"))
			p.send(frameReset, 0, 1, []byte{resetHandlerFailed})
		}, ErrAborted},
		"refused late":   {func(p *peer) { p.send(frameData, 0, 1, []byte("tail")); p.send(frameReset, 0, 1, []byte{resetRefused}) }, ErrAborted},
		"socket closed":  {func(p *peer) { p.send(frameData, 0, 1, []byte("tail")); p.nc.Close() }, ErrLost},
		"garbage behind": {func(p *peer) { p.send(frameData, 0, 1, []byte("tail")); p.send(99, 0, 1, nil) }, ErrLost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, p, _ := connect(t, socketPair)
			p.send(frameReady, 0, 0, []byte(readyText))
			go func() {
				p.expect(frameRequest)
				p.send(frameResponse, 0, 1, reply(200, "head "))
				tc.send(p)
			}()
			res, err := c.do(t.Context(), smallCall())
			if err != nil {
				t.Fatal(err)
			}
			defer res.Close()
			body, err := io.ReadAll(res)
			if string(body) != "head tail" || !errors.Is(err, tc.want) {
				t.Errorf("%q, %v; want %v", body, err, tc.want)
			}
		})
	}
}

// What the worker says instead of an answer, and what the caller is told.
func TestDo_Failures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kind    frameType
		payload string
		want    error
		text    string
	}{
		"ERROR":          {frameError, `{"code":"handler_threw","message":"boom","stack":"at x"}`, nil, "handler_threw: boom"},
		"RESET refused":  {frameReset, "\x02", ErrRefused, ""},
		"RESET failed":   {frameReset, "\x03why", nil, "why"},
		"RESET flow":     {frameReset, "\x04too much", nil, "too much"},
		"RESET of a new": {frameReset, "\xff", nil, "handler_threw"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, p, _ := connect(t, socketPair)
			p.send(frameReady, 0, 0, []byte(readyText))
			go func() { p.expect(frameRequest); p.send(tc.kind, 0, 1, []byte(tc.payload)) }()
			res, err := c.do(t.Context(), smallCall())
			if res != nil || err == nil {
				t.Fatalf("it answered: %v", err)
			}
			if tc.want != nil && !errors.Is(err, tc.want) || !bytes.Contains([]byte(err.Error()), []byte(tc.text)) {
				t.Errorf("err = %v", err)
			}
			if e, ok := errors.AsType[*InvocationError](err); tc.want == nil && (!ok || e.Code != "handler_threw") {
				t.Errorf("err = %#v", err)
			}
		})
	}
}

// What a worker may not set, however it spells it.
func TestCopyHeader_Hostile(t *testing.T) {
	t.Parallel()
	pairs := []string{"connection", "close", "Connection", "close", "TRANSFER-ENCODING", "chunked", "content-length", "5", "Content-Length", "5", "upgrade", "h2c", "Keep-Alive", "x",
		"x-request-id", "mine", "X-Request-ID", "mine", "X-Postern-Key", "spoof", "x-POSTERN-y", "spoof", "trailer", "x", "Trailer:x", "y", "", "no name", "x y", "z", "x\r\ny", "z", "x\x00", "z", "x\xff", "z", "x(", "z",
		"x-fine", "1", "X-FINE", "2", "content-type", "application/json", "set-cookie", "a=1", "set-cookie", "b=2"}
	_, headers, _, err := parseResponse(reply(200, "", pairs...))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	(&Response{table: headers}).CopyHeader(got)
	if len(got) != 3 || len(got["X-Fine"]) != 2 || len(got["Content-Type"]) != 1 || len(got["Set-Cookie"]) != 2 {
		t.Errorf("%q", got)
	}
	got["Content-Type"] = append(got["Content-Type"], "second")
	again := map[string][]string{}
	(&Response{table: headers}).CopyHeader(again)
	if len(again["Content-Type"]) != 1 || again["Content-Type"][0] != "application/json" {
		t.Errorf("shared values were changed: %q", again)
	}
}

// The allocations of a whole small call: the speed of the gateway hangs on it.
func TestDo_AllocationCeiling(t *testing.T) {
	c, p, _ := connect(t, socketPair)
	p.send(frameReady, 0, 0, []byte(readyText))
	go p.echo()
	r, header := smallCall(), map[string][]string{}
	n := testing.AllocsPerRun(500, func() {
		res, err := c.do(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		clear(header)
		res.CopyHeader(header)
		res.Close()
	})
	if n > allocationCeiling {
		t.Errorf("a call allocates %v times, %d at most", n, allocationCeiling)
	}
}
