// Package wire lets through what has one reading as HTTP/1, and nothing else.
//
// net/http forgives much: folded header lines, lines that end in a bare LF, a
// Content-Length beside chunks, two equal lengths, chunk extensions. A proxy in
// front of it, or a server behind, may read the same bytes as other requests,
// and whoever knows the difference sends a request past the door inside the
// body of another. A [Conn] stands between the socket and net/http. It follows
// each request from its head through its body to the next, and from the first
// line that can be read in two ways on nobody gets to read anything: in its
// place net/http is given a line that it answers with 400, after the answers to
// what came before, and then the end of the connection.
//
// It copies no body, and allocates nothing once a connection has made its first
// request. It does not route, and knows no header but those that frame a
// request. What it refuses is in framing.go, one reason a line.
package wire

import (
	"io"
	"net"
	"time"
)

// broken is what net/http reads in the place of what is refused. Wherever it
// begins, be it within a line of which a part was read, net/http answers 400
// (or 501, within an encoding): NUL is in no method, header or chunk size.
const broken = "\x00\r\n\r\n"

// How long, and for how many bytes, what a client sent already is read and
// thrown away before it is refused: a connection that is closed with bytes
// unread is reset, and the client may not get to see its 400.
const (
	drainTime  = 10 * time.Millisecond
	drainBytes = 256 << 10
)

// Conn is a connection of HTTP/1 as a server reads it. Writing is as it was.
// As with any reader of a stream, one Read goes on at a time.
type Conn struct {
	net.Conn
	framing  framing
	hijacked bool
	refused  bool
	rest     string // of broken; to be read
	report   func(remote net.Addr, wrong string)
}

// New makes a Conn of one on which nothing was read yet. report, if not nil, is
// told once what is wrong with what the client sent.
func New(c net.Conn, report func(remote net.Addr, wrong string)) *Conn {
	return &Conn{Conn: c, report: report}
}

// Read reads what is in order.
func (c *Conn) Read(p []byte) (int, error) {
	if c.refused {
		return c.readBroken(p)
	}
	n, err := c.Conn.Read(p)
	if n <= 0 || c.hijacked {
		return n, err
	}
	good, wrong := c.framing.take(p[:n])
	if wrong == "" {
		return n, err
	}
	c.refused, c.rest = true, broken
	if c.report != nil {
		c.report(c.RemoteAddr(), wrong)
	}
	c.drain()
	if good > 0 {
		return good, nil
	}
	return c.readBroken(p)
}

func (c *Conn) readBroken(p []byte) (n int, err error) {
	if c.rest == "" {
		return 0, io.EOF
	}
	n = copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// drain reads what is there. Nothing else is ever read from the connection, so
// its deadline is free to be used.
func (c *Conn) drain() {
	c.Conn.SetReadDeadline(time.Now().Add(drainTime))
	buf := make([]byte, 4<<10)
	for left := drainBytes; left > 0; {
		n, err := c.Conn.Read(buf)
		if err != nil {
			return
		}
		left -= n
	}
}

// Hijacked tells the connection that it speaks HTTP no longer: from here on
// everything is let through. The server calls it when a handler takes the
// connection over, before that handler answers 101; what a client sent before
// it saw that answer was read as HTTP.
func (c *Conn) Hijacked() { c.hijacked = true }

// CloseWrite ends the sending half, where the connection has halves.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
