// Package tunnel lets callers of the gateway reach a server on a developer's
// machine, which nobody can connect to from outside.
//
// [Client] runs there: it opens one WebSocket to the control plane and keeps it.
// [Hub] runs in the server: it gives each a name that cannot be guessed, has the
// gateway answer at it, and sends each connection to that name down the WebSocket
// as a stream of its own (yamux). Inside a stream is HTTP/1.1, as anywhere.
//
// Who may open a tunnel is for the control plane to say, and who may call through
// it for the server at its other end: nothing here looks at credentials. What is
// bounded here is how many tunnels there are, how long one stands without calls,
// and how long at all. The end of one is told to both sides with its reason.
package tunnel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	coder "github.com/coder/websocket"
	"github.com/hashicorp/yamux"

	"postern.dev/postern/internal/websocket"
)

const (
	// Subprotocol names this protocol and its version in the handshake.
	Subprotocol = "tunnel.postern.dev.1"
	// ResumeField is the field of the handshake with which a client asks for the
	// name that it had.
	ResumeField = "X-Postern-Tunnel-Resume"
)

// Welcome is the first message of the server, in JSON; all others are binary.
type Welcome struct {
	Name   string   `json:"name"`
	URLs   []string `json:"urls"`   // the one that needs no DNS first
	Resume string   `json:"resume"` // to be shown in ResumeField; a secret
	// What is bounded, in seconds.
	Idle    float64 `json:"idle"`
	Left    float64 `json:"left"` // of the longest that a tunnel stands
	Timeout float64 `json:"timeout"`
}

const maxWelcome = 16 << 10

// Why a tunnel ended, as the codes of its close frame (RFC 6455 §7.4.2). After
// those that are final the client does not come back by itself.
const (
	codeIdle     coder.StatusCode = 4000 + iota // nobody called for too long
	codeOver                                    // it stood for as long as one may
	codeRefused                                 // who opened it may not any more, or has to show it anew
	codeReplaced                                // another connection has the name now
	codeStopping = coder.StatusServiceRestart
	codeBroken   = coder.StatusProtocolError
)

func final(code coder.StatusCode) bool {
	switch code {
	case codeIdle, codeOver, codeReplaced, codeBroken, coder.StatusUnsupportedData:
		return true
	}
	return false
}

// The bounds of a connection. Streams are opened by the server alone.
const (
	aliveEvery   = 15 * time.Second
	writeTimeout = 10 * time.Second
	openTimeout  = 30 * time.Second
	maxStreams   = 250
	grace        = websocket.Grace
)

func streams(backlog int) *yamux.Config {
	c := yamux.DefaultConfig() // 256 KiB of a stream that nobody has read yet
	c.AcceptBacklog = backlog
	c.KeepAliveInterval, c.ConnectionWriteTimeout, c.StreamOpenTimeout, c.StreamCloseTimeout = aliveEvery, writeTimeout, openTimeout, openTimeout
	c.LogOutput = io.Discard
	return c
}

// pipe is a WebSocket as the bytes of its binary messages.
type pipe struct {
	conn *coder.Conn
	rest io.Reader // of the message that is being read
	down func()    // closes what is beneath
	// begun is closed when bytes may go out: what the server says first is a
	// welcome, and by then callers have to get through.
	begun chan struct{}
}

func newPipe(conn *coder.Conn, down func()) *pipe {
	conn.SetReadLimit(-1) // a message is read in pieces, and never kept
	return &pipe{conn: conn, down: down, begun: make(chan struct{})}
}

var errText = errors.New("a text where bytes are expected")

// Read reads what comes next.
func (p *pipe) Read(b []byte) (int, error) {
	for {
		if p.rest == nil {
			kind, r, err := p.conn.Reader(context.Background()) // whoever closes it ends it
			if err == nil && kind != coder.MessageBinary {
				err = errText
			}
			if err != nil {
				return 0, err
			}
			p.rest = r
		}
		n, err := p.rest.Read(b)
		if err == io.EOF {
			p.rest, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Write sends a message.
func (p *pipe) Write(b []byte) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	select {
	case <-p.begun:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if err := p.conn.Write(ctx, coder.MessageBinary, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close cuts the connection; who wants to take leave does it before.
func (p *pipe) Close() error {
	p.down()
	return p.conn.CloseNow()
}

// leave tells the other side why, and cuts the connection when it has heard or
// does not listen.
func (p *pipe) leave(code coder.StatusCode, reason string) {
	defer time.AfterFunc(grace, func() { p.Close() }).Stop()
	p.conn.Close(code, reason)
	p.Close()
}

// ending is how the other side told of the end, if it did.
func ending(err error) (code coder.StatusCode, reason string, told bool) {
	e, told := errors.AsType[coder.CloseError](err)
	return e.Code, e.Reason, told
}

func sendWelcome(ctx context.Context, conn *coder.Conn, w Welcome) error {
	text, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("encode the welcome: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return conn.Write(ctx, coder.MessageText, text)
}

func readWelcome(ctx context.Context, conn *coder.Conn) (w Welcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn.SetReadLimit(maxWelcome)
	kind, text, err := conn.Read(ctx)
	switch {
	case err != nil:
		return w, fmt.Errorf("read the welcome: %w", err)
	case kind != coder.MessageText:
		return w, errors.New("the server does not begin with a welcome")
	}
	if err := json.Unmarshal(text, &w); err != nil || w.Name == "" || len(w.URLs) == 0 {
		return w, errors.New("the server's welcome cannot be read")
	}
	return w, nil
}

func discardIfNil(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
