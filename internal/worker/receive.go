package worker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"postern.dev/postern/internal/platform"
)

func (c *conn) readLoop() error {
	buf := make([]byte, readBuffer)
	r, w := 0, 0
	for {
		n, need, err := c.frames(buf[r:w])
		if err != nil {
			return err
		}
		r += n
		switch {
		case r == w:
			r, w = 0, 0
		case need > len(buf):
			grown := make([]byte, need+readBuffer)
			w = copy(grown, buf[r:w])
			buf, r = grown, 0
		case len(buf)-w < 4096 || need > len(buf)-r:
			w = copy(buf, buf[r:w])
			r = 0
		}
		if n, err = c.nc.Read(buf[w:]); n == 0 && err != nil {
			return fmt.Errorf("read: %w", err)
		}
		w += n
	}
}

// frames takes the whole frames at the start of b, and returns how long they
// are together and how long the one behind them will be, if that can be seen.
// A run of frames of calls is taken under one lock, and their callers are told
// when it is given back: who is told wants it next.
func (c *conn) frames(b []byte) (n, need int, err error) {
	locked := false
	lock := func(want bool) {
		switch {
		case want && !locked:
			c.mu.Lock()
		case !want && locked:
			c.mu.Unlock()
			for _, call := range c.answered {
				call.done <- struct{}{}
			}
			clear(c.answered)
			c.answered = c.answered[:0]
		}
		locked = want
	}
	defer lock(false)
	for len(b)-n >= headerSize {
		f, length, err := parseHeader(b[n:])
		if err != nil {
			return n, 0, err
		}
		if need = headerSize + length; len(b)-n < need {
			return n, need, nil
		}
		f.payload = b[n+headerSize : n+need]
		n += need
		if c.phase == expectHello && f.kind != frameHello {
			return n, 0, protocolError("the worker did not begin with HELLO")
		}
		if lock(f.kind.ofCall()); locked {
			err = c.handleStream(f)
		} else {
			err = c.handle(f)
		}
		if err != nil {
			return n, 0, err
		}
	}
	return n, 0, nil
}

// phase is how far the start of a worker has come.
type phase uint8

const (
	expectHello phase = iota
	expectReady       // or FAIL
	serving
)

// handle takes a frame that is of no call. In each phase of the start only its
// own frames may come; what a worker says afterwards cannot change what it declared.
func (c *conn) handle(f frame) error {
	switch f.kind {
	case frameHello:
		if c.phase != expectHello {
			return protocolError("a second HELLO")
		}
		c.phase = expectReady
		if err := checkHello(f.payload); err != nil {
			return err
		}
		c.mu.Lock()
		c.routes, c.signatures = hasFeature(f.payload, featureRoute), hasFeature(f.payload, featureSignature)
		c.calls = hasFeature(f.payload, featureToken)
		calls := c.calls
		c.mu.Unlock()
		if calls { // before READY is taken, and so before the first request
			c.grantToken(time.Now())
		}
		return nil
	case frameReady, frameFail:
		if c.phase != expectReady {
			return protocolError("a frame of type %d from a worker that was ready", f.kind)
		}
		c.phase = serving
		if f.kind == frameFail {
			return c.handleFail(f.payload)
		}
		d, err := parseReady(f.payload)
		c.events.ready(d, err)
		return err
	case framePong:
		return c.handlePong(f.payload)
	case frameLog:
		return c.handleLog(f.payload)
	case frameCall:
		return c.handleCall(f)
	}
	return nil
}

func (c *conn) handleFail(p []byte) error {
	e := &StartError{}
	if err := json.Unmarshal(p, e); err != nil || e.Code == "" {
		return protocolError("FAIL does not parse")
	}
	e.Message, e.Stack = redactText(c.events.redact, e.Message), redactText(c.events.redact, e.Stack)
	c.events.ready(platform.Declaration{}, e)
	return e
}

// handlePong measures the ping that is out. A worker could otherwise make
// itself look quick, or slow.
func (c *conn) handlePong(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p) != pingSize || c.pingAt.IsZero() {
		return protocolError("a PONG that answers no PING")
	}
	c.lag = time.Since(c.pingAt)
	c.pingAt = time.Time{}
	return nil
}

func (c *conn) handleLog(p []byte) error {
	if len(p) < 2 || len(p) < 2+int(p[1]) {
		return protocolError("LOG is cut off")
	}
	id, text := p[2:2+int(p[1])], p[2+int(p[1]):]
	levels := [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	c.events.log(levels[min(int(p[0]), len(levels)-1)], string(id), cutLine(redactLine(c.events.redact, text)))
	return nil
}

// handleStream takes a frame of a call. Frames of calls that are over crossed
// ours on the way, and are dropped. c.mu is held.
func (c *conn) handleStream(f frame) error {
	if f.stream >= socketStreams {
		return c.handleSocket(f)
	}
	if uint64(f.stream) > c.opened {
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
		if len(f.payload) > maxData || !call.append(f.payload) {
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
			c.leave() // a worker that drains takes nothing more
			call.finish(ErrRefused)
		default:
			call.finish(&InvocationError{Code: "handler_threw", Message: redactText(c.events.redact, string(f.payload[1:]))})
		}
	case frameError:
		err := c.parseError(f.payload)
		if errors.Is(err, errProtocol) {
			return err
		}
		if call.answered {
			return protocolError("ERROR after RESPONSE")
		}
		c.take(call)
		call.finish(err)
	case frameMessage, frameClose:
		return protocolError("a frame of type %d on a stream that is no WebSocket", f.kind)
	}
	return nil
}

// parseError reads an ERROR: it returns an *InvocationError, or that it is none.
func (c *conn) parseError(p []byte) error {
	e := &InvocationError{}
	if err := json.Unmarshal(p, e); err != nil || e.Code == "" {
		return protocolError("ERROR does not parse")
	}
	e.Message, e.Stack = redactText(c.events.redact, e.Message), redactText(c.events.redact, e.Stack)
	return e
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
	if status == statusSocket {
		return protocolError("a response that opens a WebSocket nobody asked for")
	}
	if len(body) > windowSize {
		return protocolError("more body than the window allows")
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
	}
	c.answered = append(c.answered, call)
	return nil
}
