package wiretest

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Client is a connection whose client has sent a text, in pieces, and closed its
// half.
type Client struct {
	text   []byte
	size   int
	mu     sync.Mutex
	out    bytes.Buffer // guarded by mu
	closed chan struct{}
	once   sync.Once
}

// NewClient makes a client whose text comes size by size; 0 is all at once.
func NewClient(text []byte, size int) *Client {
	return &Client{text: bytes.Clone(text), size: size, closed: make(chan struct{})}
}

// Read reads what the client sent.
func (c *Client) Read(p []byte) (int, error) {
	if len(c.text) == 0 {
		return 0, io.EOF
	}
	if c.size > 0 && len(p) > c.size {
		p = p[:c.size]
	}
	n := copy(p, c.text)
	c.text = c.text[n:]
	return n, nil
}

// Write takes what the client is answered.
func (c *Client) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

// Answered is what the client was answered.
func (c *Client) Answered() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.out.Bytes())
}

// The rest of a net.Conn.
func (c *Client) Close() error                     { c.once.Do(func() { close(c.closed) }); return nil }
func (c *Client) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *Client) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *Client) SetDeadline(time.Time) error      { return nil }
func (c *Client) SetReadDeadline(time.Time) error  { return nil }
func (c *Client) SetWriteDeadline(time.Time) error { return nil }

// Serve has a server serve one connection until it has closed the client, which
// is at its end.
func Serve(srv *http.Server, conn net.Conn, client *Client) {
	ln := &listener{make(chan net.Conn, 1), make(chan struct{})}
	ln.conn <- conn
	ended := make(chan struct{})
	go func() { srv.Serve(ln); close(ended) }()
	<-client.closed
	close(ln.done)
	<-ended
	srv.Close()
}

// listener has one connection.
type listener struct {
	conn chan net.Conn
	done chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { return nil }
func (l *listener) Addr() net.Addr { return &net.TCPAddr{} }
