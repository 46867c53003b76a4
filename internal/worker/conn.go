package worker

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"postern.dev/postern/internal/platform"
)

var (
	// ErrRefused says that the worker took no new work; nothing ran.
	ErrRefused = errors.New("the worker takes no new work")
	// ErrLost says that the worker ended, or misbehaved, before it answered.
	ErrLost = errors.New("the worker was lost")
	// ErrDeadline says that the invocation's deadline passed.
	ErrDeadline = errors.New("the invocation's deadline passed")
	// ErrAborted says that the handler failed after its response began.
	ErrAborted = errors.New("the handler failed after its response began")
)

// InvocationError is a failure of a handler before its response began.
type InvocationError struct {
	Code    string `json:"code"` // as in docs/worker-protocol.md, ERROR
	Message string `json:"message"`
	Stack   string `json:"stack"` // for the function's log, never for a caller
}

func (e *InvocationError) Error() string { return e.Code + ": " + e.Message }

const (
	slots       = 4096     // calls at once, and the mask of their table
	maxBuffered = 4 << 20  // unsent bytes from which body senders wait
	readBuffer  = 64 << 10 // grows to one frame where needed
)

// conn multiplexes calls over one socket. A call's frames are appended to buf
// under one mutex, and a writer goroutine sends what has gathered: under load
// many calls share a system call.
type conn struct {
	nc      net.Conn
	events  events
	started time.Time

	mu       sync.Mutex
	buf      []byte        // frames to send; guarded by mu
	next     uint32        // the next stream; guarded by mu
	inFlight int           // guarded by mu
	table    [slots]*call  // by stream modulo slots; guarded by mu
	err      error         // why the connection is over; guarded by mu
	idle     chan struct{} // closed when a drained connection has no calls; guarded by mu
	pingAt   time.Time     // of the ping that is out, else zero; guarded by mu
	lag      time.Duration // of the last ping; guarded by mu
	wake     chan struct{} // capacity 1: buf has something
	sent     *sync.Cond    // on mu: buf was taken
	calls    sync.Pool
	done     chan struct{} // closed when the connection is over
}

// events is what a connection tells its worker.
type events struct {
	ready func(platform.Declaration, error)
	log   func(level slog.Level, requestID, text string)
}

func newConn(nc net.Conn, ev events) *conn {
	c := &conn{nc: nc, events: ev, next: 1, wake: make(chan struct{}, 1), done: make(chan struct{}), started: time.Now()}
	c.sent = sync.NewCond(&c.mu)
	c.calls.New = func() any { return &call{done: make(chan struct{}, 1)} }
	c.buf = appendHello(c.buf)
	return c
}

// run serves the connection until it is over. It returns why.
func (c *conn) run() error {
	var wg sync.WaitGroup
	wg.Go(c.writeLoop)
	c.wakeWriter()
	err := c.readLoop()
	c.close(err)
	wg.Wait()
	return err
}

// close ends the connection and fails every call.
func (c *conn) close(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = fmt.Errorf("%w: %w", ErrLost, err)
	close(c.done)
	c.nc.Close()
	for i, call := range c.table {
		if call != nil {
			c.table[i] = nil
			call.finish(c.err)
		}
	}
	c.inFlight = 0
	c.signalIdle()
	c.sent.Broadcast()
}

func (c *conn) signalIdle() {
	if c.idle != nil && c.inFlight == 0 {
		close(c.idle)
		c.idle = nil
	}
}

// ── writing ──

func (c *conn) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *conn) writeLoop() {
	var out []byte
	for {
		select {
		case <-c.wake:
		case <-c.done:
			return
		}
		// Other callers that are about to append get their turn first.
		runtime.Gosched()
		c.mu.Lock()
		out, c.buf = c.buf, out[:0]
		c.sent.Broadcast()
		c.mu.Unlock()
		if len(out) == 0 {
			continue
		}
		if _, err := c.nc.Write(out); err != nil {
			c.close(fmt.Errorf("write: %w", err))
			return
		}
		if cap(out) > maxBuffered {
			out = nil
		}
	}
}

// enqueue appends a frame, unless the connection is over.
func (c *conn) enqueue(kind frameType, flags uint8, stream uint32, payload []byte) {
	c.mu.Lock()
	if c.err == nil {
		c.buf = appendFrame(c.buf, kind, flags, stream, payload)
	}
	c.mu.Unlock()
	c.wakeWriter()
}

// ── calls ──

// do sends a request and waits for the head of its response.
func (c *conn) do(ctx context.Context, r *Request) (*Response, error) {
	call := c.calls.Get().(*call)
	if err := c.open(call, r); err != nil {
		return nil, err
	}
	if r.Body != nil {
		go c.pump(call, r.Body)
	}
	select {
	case <-call.done:
	case <-ctx.Done():
		if c.drop(call, resetCancelled) {
			return nil, ctx.Err()
		}
		<-call.done // it was answered, or failed, just before
	}
	if call.err != nil {
		err := call.err
		c.recycle(call)
		return nil, err
	}
	return &call.response, nil
}

// open gives the call a stream and appends its REQUEST.
func (c *conn) open(call *call, r *Request) error {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return fmt.Errorf("%w: %w", ErrRefused, c.err) // nothing was sent
	}
	if c.inFlight == slots {
		c.mu.Unlock()
		return ErrRefused
	}
	for c.table[c.next%slots] != nil || c.next == 0 {
		c.next++
	}
	buf, err := appendRequest(c.buf, c.next, r)
	c.buf = buf
	if err != nil {
		c.mu.Unlock()
		return err
	}
	call.begin(c.next, r.Deadline, r.Body != nil)
	c.table[c.next%slots] = call
	c.next++
	c.inFlight++
	c.mu.Unlock()
	c.wakeWriter()
	return nil
}

// take removes a call from the table; it reports whether it was there.
// c.mu is held.
func (c *conn) take(call *call) bool {
	at := &c.table[call.stream%slots]
	if *at != call {
		return false
	}
	*at = nil
	c.inFlight--
	c.signalIdle()
	return true
}

// drop ends a call from our side; false means that it was over already.
func (c *conn) drop(call *call, reason byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.take(call) {
		return false
	}
	if c.err == nil {
		c.buf = appendFrame(c.buf, frameReset, 0, call.stream, []byte{reason})
		c.wakeWriter()
	}
	call.abandon()
	return true
}

// release gives a call back after its response was used.
func (c *conn) release(call *call) {
	if !c.drop(call, resetCancelled) {
		c.recycle(call)
	}
}

// recycle keeps a finished call for the next one. Calls that streamed are not
// kept: a goroutine may still look at them.
func (c *conn) recycle(call *call) {
	if call.streamed {
		return
	}
	call.reset()
	c.calls.Put(call)
}

// credit tells the worker that n bytes of a response were taken.
func (c *conn) credit(call *call, n int) {
	if n == 0 || !call.streamed {
		return
	}
	c.mu.Lock()
	if c.err == nil && c.table[call.stream%slots] == call {
		if call.owed += n; call.owed >= windowSize/4 {
			c.buf = windowFrame(c.buf, call.stream, call.owed)
			call.credited(call.owed)
			call.owed = 0
			c.wakeWriter()
		}
	}
	c.mu.Unlock()
}

// pump sends a request's body as the worker's window allows.
func (c *conn) pump(call *call, body io.Reader) {
	chunk := make([]byte, 32<<10)
	for {
		room := call.waitCredit()
		if room == 0 {
			return // the call is over
		}
		n, err := body.Read(chunk[:min(room, len(chunk))])
		if err != nil && err != io.EOF {
			c.mu.Lock()
			if c.take(call) {
				c.buf = appendFrame(c.buf, frameReset, 0, call.stream, []byte{resetCancelled})
				call.finish(&BodyError{err})
			}
			c.mu.Unlock()
			c.wakeWriter()
			return
		}
		var flags uint8
		if err == io.EOF {
			flags = flagEnd
		}
		c.mu.Lock()
		for len(c.buf) > maxBuffered && c.err == nil {
			c.sent.Wait()
		}
		if c.err == nil && c.table[call.stream%slots] == call {
			c.buf = appendFrame(c.buf, frameData, flags, call.stream, chunk[:n])
		}
		c.mu.Unlock()
		c.wakeWriter()
		call.spend(n)
		if err == io.EOF {
			return
		}
	}
}

// BodyError says that the request's body could not be read to its end; it
// wraps why.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return "read the request body: " + e.Err.Error() }

// Unwrap gives the cause.
func (e *BodyError) Unwrap() error { return e.Err }

// ping sends a ping unless one is out. It returns for how long none has been
// answered. With idle false it pings only while calls are in flight.
func (c *conn) ping(now time.Time, idle bool) (silent time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || !idle && c.inFlight == 0 {
		return 0
	}
	if !c.pingAt.IsZero() {
		return now.Sub(c.pingAt)
	}
	c.pingAt = now
	c.buf = appendFrame(c.buf, framePing, 0, 0, make([]byte, 8))
	c.wakeWriter()
	return 0
}

// sweep ends the calls whose deadline has passed.
func (c *conn) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight == 0 || c.err != nil {
		return
	}
	for _, call := range c.table {
		if call != nil && !call.deadline.IsZero() && now.After(call.deadline) {
			c.take(call)
			c.buf = appendFrame(c.buf, frameReset, 0, call.stream, []byte{resetDeadline})
			call.finish(ErrDeadline)
			c.wakeWriter()
		}
	}
}

// ── reading ──

func (c *conn) readLoop() error {
	buf := make([]byte, readBuffer)
	r, w := 0, 0
	greeted := false
	for {
		for w-r >= headerSize {
			f, length, err := parseHeader(buf[r:])
			if err != nil {
				return err
			}
			if w-r < headerSize+length {
				if need := headerSize + length; need > len(buf) {
					grown := make([]byte, need+readBuffer)
					w = copy(grown, buf[r:w])
					buf, r = grown, 0
				}
				break
			}
			f.payload = buf[r+headerSize : r+headerSize+length]
			r += headerSize + length
			if !greeted && f.kind != frameHello {
				return protocolError("the worker did not begin with HELLO")
			}
			greeted = true
			if err := c.handle(f); err != nil {
				return err
			}
		}
		if r == w {
			r, w = 0, 0
		} else if len(buf)-w < 4096 {
			w = copy(buf, buf[r:w])
			r = 0
		}
		n, err := c.nc.Read(buf[w:])
		if n == 0 && err != nil {
			return fmt.Errorf("read: %w", err)
		}
		w += n
	}
}

func (c *conn) handle(f frame) error {
	switch f.kind {
	case frameHello:
		return checkHello(f.payload)
	case frameReady:
		d, err := parseReady(f.payload)
		c.events.ready(d, err)
		return err
	case frameFail:
		e := &StartError{}
		if err := json.Unmarshal(f.payload, e); err != nil {
			return protocolError("FAIL does not parse: %v", err)
		}
		c.events.ready(platform.Declaration{}, e)
		return e
	case framePong:
		c.mu.Lock()
		c.lag = time.Since(c.pingAt)
		c.pingAt = time.Time{}
		c.mu.Unlock()
		return nil
	case frameLog:
		return c.handleLog(f.payload)
	}
	return c.handleStream(f)
}

func (c *conn) handleLog(p []byte) error {
	if len(p) < 2 || len(p) < 2+int(p[1]) {
		return protocolError("LOG is cut off")
	}
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	c.events.log(levels[min(int(p[0]), len(levels)-1)], string(p[2:2+p[1]]), string(p[2+int(p[1]):]))
	return nil
}

// handleStream takes a frame of a call. Frames of calls that are over crossed
// ours on the way, and are dropped.
func (c *conn) handleStream(f frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.stream >= c.next {
		return protocolError("a frame for stream %d, which was never opened", f.stream)
	}
	call := c.table[f.stream%slots]
	if call == nil || call.stream != f.stream {
		return nil
	}
	switch f.kind {
	case frameResponse:
		return c.respond(call, f)
	case frameData:
		if !call.answered {
			return protocolError("DATA before RESPONSE")
		}
		if !call.append(f.payload) {
			return protocolError("more body than the window allows")
		}
		if f.flags&flagEnd != 0 {
			c.take(call)
			call.finish(io.EOF)
		}
	case frameWindow:
		if len(f.payload) != 4 {
			return protocolError("a WINDOW that is no u32")
		}
		call.grant(int(binary.BigEndian.Uint32(f.payload)))
	case frameReset:
		if len(f.payload) < 1 {
			return protocolError("an empty RESET")
		}
		c.take(call)
		switch {
		case call.answered:
			call.finish(ErrAborted)
		case f.payload[0] == resetRefused:
			call.finish(ErrRefused)
		default:
			call.finish(&InvocationError{Code: "handler_threw", Message: string(f.payload[1:])})
		}
	case frameError:
		e := &InvocationError{}
		if err := json.Unmarshal(f.payload, e); err != nil {
			return protocolError("ERROR does not parse: %v", err)
		}
		c.take(call)
		call.finish(e)
	}
	return nil
}

// respond gives a call the head of its response. c.mu is held.
func (c *conn) respond(call *call, f frame) error {
	if call.answered {
		return protocolError("two responses on stream %d", f.stream)
	}
	// One copy: the read buffer is used again.
	call.head = append(call.head[:0], f.payload...)
	status, headers, body, err := parseResponse(call.head)
	if err != nil {
		return err
	}
	whole := f.flags&flagEnd != 0
	call.answered = true
	call.response = Response{Status: status, c: c, call: call, table: headers, inline: body, whole: whole}
	if whole {
		c.take(call)
		call.stopPump()
	} else {
		call.streamed = true
		call.unread = len(body)
		if call.unread > windowSize {
			return protocolError("more body than the window allows")
		}
	}
	call.done <- struct{}{}
	return nil
}
