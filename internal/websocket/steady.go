package websocket

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
)

// steady is a connection that ends with an error: the reader of a WebSocket takes
// io.EOF within a message for the message's end, and half a message for a whole one.
type steady struct{ io.ReadWriteCloser }

var errCut = errors.New("the connection ended without a close frame")

func (s steady) Read(p []byte) (int, error) {
	n, err := s.ReadWriteCloser.Read(p)
	if err == io.EOF {
		err = errCut
	}
	return n, err
}

// steadyConn is steady for a connection that was hijacked.
type steadyConn struct{ net.Conn }

func (c steadyConn) Read(p []byte) (int, error) { return steady{c.Conn}.Read(p) }

// Connections are what is beneath the two ends of a WebSocket. To take leave in
// the middle of a message the library reads the rest of it, however long it is
// said to be; only who closes the connection ends that.
type Connections []io.Closer

// Close closes them.
func (c Connections) Close() {
	for _, conn := range c {
		conn.Close()
	}
}

// hijackable is a response whose connection is steady once it is hijacked, and
// taken down.
type hijackable struct {
	http.ResponseWriter
	beneath *Connections
}

// Hijack gives the connection.
func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, brw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	*h.beneath = append(*h.beneath, conn)
	return steadyConn{conn}, brw, nil
}

// Transport makes what follows a 101 steady, and takes it down.
type Transport struct {
	http.RoundTripper
	Beneath *Connections
}

// RoundTrip sends a request.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.RoundTripper.RoundTrip(r)
	if err == nil && res.StatusCode == http.StatusSwitchingProtocols {
		if rwc, ok := res.Body.(io.ReadWriteCloser); ok {
			*t.Beneath = append(*t.Beneath, rwc)
			res.Body = steady{rwc}
		}
	}
	return res, err
}
