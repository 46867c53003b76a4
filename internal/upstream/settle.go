package upstream

import (
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync"
)

// settling is a connection that knows whether its reader waits for more. The
// transport keeps a connection for the next request before it has looked whether
// the server sent more than its answer; who asks at that very moment would be
// given the rest as the answer to their own request.
type settling struct {
	net.Conn

	mu    sync.Mutex
	moved *sync.Cond // of mu: when waits or ended changes
	waits bool       // its reader asks for more, so it has looked at all that it had; guarded by mu
	ended bool       // guarded by mu
}

func newSettling(c net.Conn) *settling {
	s := &settling{Conn: c}
	s.moved = sync.NewCond(&s.mu)
	return s
}

// Read implements net.Conn. It waits only when nothing is there.
func (s *settling) Read(p []byte) (int, error) {
	if n, err := arrived(s.Conn, p); n > 0 || err != nil {
		s.set(false, err != nil)
		return n, err
	}
	s.set(true, false)
	n, err := s.Conn.Read(p)
	s.set(false, err != nil)
	return n, err
}

// Close implements net.Conn.
func (s *settling) Close() error {
	s.set(false, true)
	return s.Conn.Close()
}

func (s *settling) set(waits, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits, s.ended = waits, s.ended || ended
	s.moved.Broadcast()
}

// settled waits until nothing is left of the answer before on a connection that
// is used again, or it is closed because there is: then the transport takes
// another. Its reader is about to look, so that is at once. In HTTP/2 an answer
// says whose it is.
func settled(got httptrace.GotConnInfo) {
	if !got.Reused {
		return
	}
	conn := got.Conn
	if t, ok := conn.(*tls.Conn); ok {
		if t.ConnectionState().NegotiatedProtocol == "h2" {
			return
		}
		conn = t.NetConn()
	}
	s, ok := conn.(*settling)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.waits && !s.ended {
		s.moved.Wait()
	}
}
