package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrClosed says that a WebSocket is over.
var ErrClosed = errors.New("the WebSocket is over")

const (
	// socketStreams is the first stream of a WebSocket; those of calls are below it.
	socketStreams = 1 << 31
	// messageCost is what a MESSAGE takes of the window beside its payload: without
	// it, messages without bytes could be sent without end to who takes none.
	messageCost = 64
	// maxReason is how long the reason of a CLOSE may be (RFC 6455 §5.5).
	maxReason = 123
	// closeNone and closeLost say that a WebSocket ended without a code, or without
	// a close frame: they are never in one (RFC 6455 §7.4.1).
	closeNone = 1005
	closeLost = 1006
)

// Socket is a WebSocket that a handler has. What the handler sends is taken, and
// what its caller sends is passed on, in parts: no message need be in memory whole.
type Socket struct {
	c        *conn
	stream   uint32
	protocol string // that the handler chose; valid once it is open
	answer   chan error
	notify   func()

	// All guarded by c.mu.
	open     bool   // RESPONSE came
	within   bool   // a message of the worker's has begun
	binary   bool   // it is no text
	parts    []Part // that came and were not taken
	unread   int    // what they and those that were not credited took of the window
	owed     int    // what was taken and not yet credited
	window   int    // what may be sent
	room     chan struct{}
	notified bool // and nothing was looked for since
	sent     bool // our CLOSE
	said     bool // the worker's CLOSE
	err      error
}

// Part is what a handler sent: some of a message, or the end.
type Part struct {
	Data   []byte
	Binary bool // the message is no text
	Last   bool // of the message
	// Code and Reason are of the end that the handler asks for; 0: it asks for none.
	// 1005 is an end without a code.
	Code   uint16
	Reason string
	// Err says that the worker is lost; then nothing more comes.
	Err error
}

// Open gives a handler a WebSocket, and returns when the worker has taken it.
// notify is called when there is something to Take, and again each time after
// Take found nothing; it must not block. Errors are as those of Do. The caller
// closes the socket.
func (w *Worker) Open(ctx context.Context, r *Request, notify func()) (*Socket, error) {
	s := &Socket{c: w.conn, answer: make(chan error, 1), notify: notify, window: windowSize}
	asked := *r
	asked.Socket = true
	if err := s.c.openSocket(s, &asked); err != nil {
		return nil, err
	}
	select {
	case err := <-s.answer:
		return s, err
	case <-ctx.Done():
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	select {
	case err := <-s.answer: // just before
		return s, err
	default:
		s.c.resetSocket(s, resetCancelled, ctx.Err())
		return nil, ctx.Err()
	}
}

// openSocket gives a socket a stream, and appends its REQUEST.
func (c *conn) openSocket(s *Socket, r *Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, c.err) // nothing was sent
	}
	if c.left || c.unsent() > maxUnsent {
		return ErrRefused
	}
	if c.sockets == nil {
		c.sockets = map[uint32]*Socket{}
	}
	for s.stream == 0 || c.sockets[s.stream] != nil {
		s.stream = socketStreams | uint32(c.socketsOpened)&(socketStreams-1)
		c.socketsOpened++
	}
	buf, err := appendRequest(c.buf, s.stream, c.plain(r))
	if c.buf = buf; err != nil {
		return err
	}
	c.turn()
	c.sockets[s.stream] = s
	c.wakeWriter()
	return nil
}

// Protocol is the subprotocol that the handler chose; empty: none.
func (s *Socket) Protocol() string { return s.protocol }

// Send passes a part of a message on, as soon as the handler's window has room
// for it. It is called by one goroutine at a time. The part is used until it
// returns. ErrClosed says that the socket is over.
func (s *Socket) Send(binary bool, p []byte, last bool) error {
	for {
		part := p[:min(len(p), maxData)]
		p = p[len(part):]
		if err := s.send(binary, part, last && len(p) == 0); err != nil || len(p) == 0 {
			return err
		}
	}
}

func (s *Socket) send(binary bool, p []byte, last bool) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for cost := len(p) + messageCost; ; {
		switch {
		case s.err != nil || s.sent || s.said:
			return ErrClosed
		case c.unsent() > maxBuffered:
			c.sent.Wait()
			continue
		case s.window >= cost:
			s.window -= cost
			var flags uint8
			if last {
				flags = flagEnd
			}
			if binary {
				flags |= flagBinary
			}
			c.buf = appendFrame(c.buf, frameMessage, flags, s.stream, p)
			c.turn()
			c.wakeWriter()
			return nil
		}
		room := make(chan struct{})
		s.room = room
		c.mu.Unlock()
		<-room
		c.mu.Lock()
	}
}

// Waiting reports whether Send waits for the handler to take what it was sent.
func (s *Socket) Waiting() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.room != nil
}

// Take gives the next part that the handler sent. With ok false there is none at
// the moment. A part is credited to the worker when the next one is taken: by
// then it was passed on.
func (s *Socket) Take() (p Part, ok bool) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	s.credit()
	if len(s.parts) == 0 {
		s.parts, s.notified = nil, false
		return Part{}, false
	}
	p, s.parts = s.parts[0], s.parts[1:]
	if p.Code == 0 && p.Err == nil {
		s.owed += len(p.Data) + messageCost
	}
	return p, true
}

// credit tells the worker what was taken. c.mu is held.
func (s *Socket) credit() {
	if s.owed == 0 || s.owed < windowSize/4 && len(s.parts) > 0 || s.err != nil || s.said {
		return
	}
	s.c.buf = windowFrame(s.c.buf, s.stream, s.owed)
	s.unread -= s.owed
	s.owed = 0
	s.c.wakeWriter()
}

// Close tells the handler how the socket ended: the code is that of a close
// frame, 1005 where there was none in it, 1006 where no frame came. Nothing is
// passed on afterwards. It does not wait, and may be called again.
func (s *Socket) Close(code uint16, reason string) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.sent || s.err != nil {
		return
	}
	s.sent = true
	payload := append(binary.BigEndian.AppendUint16(nil, code), reason[:min(len(reason), maxReason)]...)
	c.buf = appendFrame(c.buf, frameClose, 0, s.stream, payload)
	c.wakeWriter()
	if s.wake(); s.said {
		delete(c.sockets, s.stream)
	}
}

// wake lets Send look again. c.mu is held.
func (s *Socket) wake() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// put gives the gateway something to take. c.mu is held.
func (s *Socket) put(p Part) {
	s.parts = append(s.parts, p)
	if !s.notified {
		s.notified = true
		s.notify()
	}
}

// fail ends a socket. c.mu is held.
func (s *Socket) fail(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	delete(s.c.sockets, s.stream)
	s.wake()
	if !s.open {
		s.answer <- err
		return
	}
	s.put(Part{Err: err})
}

// resetSocket ends a socket from our side. c.mu is held.
func (c *conn) resetSocket(s *Socket, reason byte, err error) {
	if s.err == nil && c.err == nil {
		c.buf = appendFrame(c.buf, frameReset, 0, s.stream, []byte{reason})
		c.wakeWriter()
	}
	s.fail(err)
}

// handleSocket takes a frame of a WebSocket. Frames of those that are over
// crossed ours on the way, and are dropped. c.mu is held.
func (c *conn) handleSocket(f frame) error {
	if uint64(f.stream-socketStreams) >= c.socketsOpened {
		return protocolError("a frame for the WebSocket %d, which was never opened", f.stream)
	}
	s := c.sockets[f.stream]
	if s == nil {
		return nil
	}
	switch f.kind {
	case frameResponse:
		return s.opened(f)
	case frameMessage:
		return s.message(f)
	case frameClose:
		return s.closing(f.payload)
	case frameWindow:
		if len(f.payload) != 4 {
			return protocolError("a WINDOW that is no u32")
		}
		if s.window += int(binary.BigEndian.Uint32(f.payload)); s.window > windowSize {
			return protocolError("more window than there is")
		}
		s.wake()
	case frameReset, frameError:
		return c.refused(s, f)
	default:
		return protocolError("a frame of type %d on a WebSocket", f.kind)
	}
	return nil
}

// opened takes the RESPONSE.
func (s *Socket) opened(f frame) error {
	status, headers, body, err := parseResponse(f.payload)
	switch {
	case err != nil:
		return err
	case s.open || status != statusSocket || len(body) > 0 || f.flags&flagEnd != 0:
		return protocolError("a response of status %d that opens no WebSocket", status)
	}
	headers.each(func(name, value []byte) {
		if string(name) == "sec-websocket-protocol" {
			s.protocol = string(value)
		}
	})
	s.open = true
	s.answer <- nil
	return nil
}

// message takes a part of a message.
func (s *Socket) message(f frame) error {
	binary, last := f.flags&flagBinary != 0, f.flags&flagEnd != 0
	switch {
	case !s.open || s.said:
		return protocolError("MESSAGE on a WebSocket that is not open")
	case s.within && binary != s.binary:
		return protocolError("a message that is both text and binary")
	}
	s.unread += len(f.payload) + messageCost
	if len(f.payload) > maxData || s.unread > windowSize {
		return protocolError("more of a message than the window allows")
	}
	s.within, s.binary = !last, binary
	if !s.sent {
		s.put(Part{Data: append([]byte(nil), f.payload...), Binary: binary, Last: last})
	}
	return nil
}

// closing takes the worker's CLOSE.
func (s *Socket) closing(p []byte) error {
	if !s.open || s.said || len(p) < 2 || len(p) > 2+maxReason {
		return protocolError("a CLOSE that cannot be one")
	}
	code, reason := binary.BigEndian.Uint16(p), p[2:]
	if !utf8.Valid(reason) || code != closeNone && !sendable(code) {
		return protocolError("a CLOSE with the code %d, which cannot be sent, or a reason that is no UTF-8", code)
	}
	s.said = true
	if s.wake(); s.sent {
		delete(s.c.sockets, s.stream)
		return nil
	}
	if s.within {
		return protocolError("a CLOSE within a message")
	}
	s.put(Part{Code: code, Reason: string(reason)})
	return nil
}

// sendable reports whether a code may be in a close frame (RFC 6455 §7.4).
func sendable(code uint16) bool {
	return code >= 1000 && code <= 1014 && code != 1004 && code != closeNone && code != closeLost || code >= 3000 && code <= 4999
}

// refused takes the end of a socket that the worker does not want, or not any
// more. c.mu is held.
func (c *conn) refused(s *Socket, f frame) error {
	var err error
	switch {
	case f.kind == frameError && s.open:
		return protocolError("ERROR after RESPONSE")
	case f.kind == frameError:
		if err = c.parseError(f.payload); errors.Is(err, errProtocol) {
			return err
		}
	case len(f.payload) < 1:
		return protocolError("an empty RESET")
	case f.payload[0] == resetRefused && !s.open:
		c.leave() // a worker that drains takes nothing more
		err = ErrRefused
	default:
		err = ErrAborted
	}
	s.fail(err)
	return nil
}
