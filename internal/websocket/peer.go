package websocket

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// Code says why a WebSocket ended (RFC 6455 §7.4.1).
type Code = websocket.StatusCode

// The codes with which the gateway itself ends one, and the one that is never in
// a close frame: there was none.
const (
	GoingAway = websocket.StatusGoingAway
	Malformed = websocket.StatusProtocolError
	NoText    = websocket.StatusInvalidFramePayloadData
	Refused   = websocket.StatusPolicyViolation
	TooBig    = websocket.StatusMessageTooBig
	Failed    = websocket.StatusInternalError
	Restart   = websocket.StatusServiceRestart
	Lost      = websocket.StatusAbnormalClosure
)

// Grace is how long a peer has to take leave before it is cut off.
const Grace = time.Second

// Peer is a caller's end of a WebSocket. One goroutine reads, one writes; the
// others may be called at any time.
type Peer struct {
	conn    *Conn
	beneath Connections

	reading Text           // of the message that is being read
	writing io.WriteCloser // a message of which more comes

	heard   atomic.Bool  // something came since the watch looked
	blocked atomic.Int64 // when the write began that is going on, in Unix nanoseconds; 0: none
	watched
}

// NewPeer answers a handshake: see Accept. limit is the longest message.
func NewPeer(w http.ResponseWriter, r *http.Request, subprotocol string, limit int64) (*Peer, error) {
	p := &Peer{}
	conn, err := Accept(w, r, &p.beneath, subprotocol)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(limit)
	p.conn = conn
	return p, nil
}

// errText says that a text is no UTF-8.
var errText = errors.New("a text that is no UTF-8")

// Next waits for a message, and returns what reads it.
func (p *Peer) Next() (binary bool, r io.Reader, err error) {
	kind, r, err := p.conn.Reader(context.Background()) // whoever closes the connection ends it
	p.heard.Store(true)
	p.reading = Text{}
	return kind == websocket.MessageBinary, r, err
}

// Fill reads some of a message: until the buffer is full, or the message is whole.
func (p *Peer) Fill(binary bool, r io.Reader, buf []byte) (n int, whole bool, err error) {
	if n, whole, err = Fill(r, buf); err != nil {
		return n, whole, err
	}
	p.heard.Store(true)
	if !binary && !p.reading.Valid(buf[:n], whole) {
		return n, whole, errText
	}
	return n, whole, nil
}

// Fill reads until the buffer is full or r is at its end.
func Fill(r io.Reader, buf []byte) (n int, whole bool, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	if err == io.EOF {
		return n, true, nil
	}
	return n, false, err
}

// Write sends a part of a message.
func (p *Peer) Write(binary bool, part []byte, last bool) (err error) {
	p.blocked.Store(time.Now().UnixNano())
	defer p.blocked.Store(0)
	kind := websocket.MessageText
	if binary {
		kind = websocket.MessageBinary
	}
	if p.writing == nil && last {
		return p.conn.Write(context.Background(), kind, part)
	}
	if p.writing == nil {
		if p.writing, err = p.conn.Writer(context.Background(), kind); err != nil {
			return err
		}
	}
	if len(part) > 0 {
		_, err = p.writing.Write(part)
	}
	if err == nil && last {
		err = p.writing.Close()
		p.writing = nil
	}
	return err
}

// Close takes leave, for as long as Grace, and reports whether the caller did so
// too. A code that cannot be sent is one without a close frame.
func (p *Peer) Close(code Code, reason string) bool {
	if code == Lost {
		p.Cut()
		return false
	}
	defer time.AfterFunc(Grace, p.Cut).Stop()
	return p.conn.Close(code, reason) == nil
}

// Cut closes the connection without a word.
func (p *Peer) Cut() {
	p.beneath.Close()
	p.conn.CloseNow()
}

// Ending is how a WebSocket ended of which Next or Fill returned an error; clean
// says that the caller took leave.
func Ending(err error) (code Code, reason string, clean bool) {
	if e, ok := errors.AsType[websocket.CloseError](err); ok {
		return e.Code, e.Reason, true
	}
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return TooBig, "the message is too large", false
	case errors.Is(err, errText):
		return NoText, "the text is no UTF-8", false
	}
	return Lost, "", false
}

// Text checks that the parts of a text are UTF-8 together: a part may end within
// a character.
type Text struct {
	begun [utf8.UTFMax - 1]byte // of the character in which the last part ended
	n     int
}

// Valid takes the next part.
func (t *Text) Valid(p []byte, last bool) bool {
	for t.n > 0 && len(p) > 0 {
		var c [utf8.UTFMax]byte
		have := copy(c[:], t.begun[:t.n])
		have += copy(c[have:], p[:1])
		if !utf8.FullRune(c[:have]) {
			t.begun[t.n] = p[0]
			t.n++
			p = p[1:]
			continue
		}
		if r, size := utf8.DecodeRune(c[:have]); r == utf8.RuneError && size <= 1 {
			return false
		}
		t.n, p = 0, p[1:]
	}
	cut := len(p)
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if utf8.RuneStart(p[len(p)-i]) {
			if !utf8.FullRune(p[len(p)-i:]) {
				cut = len(p) - i
			}
			break
		}
	}
	if t.n == 0 {
		t.n = copy(t.begun[:], p[cut:])
	}
	return utf8.Valid(p[:cut]) && (t.n == 0 || !last)
}
